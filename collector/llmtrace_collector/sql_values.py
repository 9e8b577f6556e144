"""Python values in SQL: as literals in its text, and as the values of its `{name:Type}` placeholders."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TypeAlias
from uuid import UUID


class EncodedText(str):
    """A placeholder's value as a client of ClickHouse's has encoded it: it is passed on as it is."""

    __slots__ = ()


#: What a placeholder may be given. None fits Nullable types, a sequence an Array of any depth, an aware
#: datetime DateTime64 and, in whole seconds, DateTime: the point in time, whatever the type's time zone.
QueryValue: TypeAlias = "str | bool | int | float | date | UUID | Sequence[QueryValue] | None"
QueryParams = Mapping[str, QueryValue]

_ESCAPES = str.maketrans(
    {"\\": "\\\\", "'": "\\'", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": "\\0", "\b": "\\b", "\f": "\\f"}
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_PLACEHOLDER = re.compile(r"\{(\w+):\w+\}")


def literal(text: str) -> str:
    """`text` as a ClickHouse string literal. Raises ValueError when it cannot be one, see `encode`."""
    return f"'{_escaped(text)}'"


def literals(texts: Iterable[str]) -> str:
    """Literals with commas between, for `IN (…)` or `[…]`."""
    return ", ".join(map(literal, texts))


def encode(value: QueryValue) -> str:
    """The text that stands for `value` as a query parameter, which the engine reads as TabSeparated data.

    Raises ValueError for text with a lone surrogate, which no UTF-8 can hold, and for a datetime before 1970
    or without a time zone; TypeError for what is no `QueryValue`.
    """
    if isinstance(value, EncodedText):
        return str(value)
    if isinstance(value, str):
        return _escaped(value)
    return "\\N" if value is None else _nested(value)


def inlined(sql: str, params: Mapping[str, str]) -> str:
    """`sql` with its `{name:String}` placeholders as literals, for text that outlives its query (mutations,
    views), which parameters do not reach.
    """
    return _PLACEHOLDER.sub(lambda match: literal(params[match[1]]), sql)


def _nested(value: QueryValue) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return literal(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, datetime):
        return _unix_time(value)
    if isinstance(value, (date, UUID)):
        return str(value)
    if isinstance(value, Sequence):
        return f"[{', '.join(map(_element, value))}]"
    raise TypeError(f"{type(value).__name__} is no value of a query parameter")


def _element(value: QueryValue) -> str:
    """A value inside an array, where dates and ids stand in quotes as well."""
    return f"'{_nested(value)}'" if isinstance(value, (date, UUID)) else _nested(value)


def _escaped(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"text with the lone surrogate U+{ord(text[error.start]):04X} at {error.start} is no UTF-8: the "
            "store cannot be asked for it"
        ) from error
    return text.translate(_ESCAPES)


def _unix_time(value: datetime) -> str:
    """Seconds since 1970: unlike a date's text, they do not depend on the time zone of who reads them."""
    if value.tzinfo is None:
        raise ValueError(f"{value} has no time zone: which moment it is, is not known")
    microseconds = (value - _EPOCH) // _MICROSECOND
    if microseconds < 0:
        raise ValueError(f"{value} is before 1970, where the engine loses the sign of some moments")
    seconds, fraction = divmod(microseconds, 1_000_000)
    # Fewer than ten digits may be taken for a year.
    return f"{seconds:010d}" + (f".{fraction:06d}" if fraction else "")

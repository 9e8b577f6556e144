"""Arguments and results of functions as JSON that a person can read."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import json
import math
import os
import sys
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from typing import Any, Final

from llmtrace.common import media, number_lists
from llmtrace.wire.render import bounded

LONGEST: Final = 8192
"""Characters of the arguments or the result of a function."""

_DEEPEST: Final = 16
_SHORT_ARRAY: Final = 32
_SHORT_BYTES: Final = 256
_SHORT_TEXT: Final = 64
_encode: Final = json.JSONEncoder(ensure_ascii=False).encode
_BASE64_LENGTH: Final = 2048
_VECTOR_CHARS: Final = 2048
_WRITTEN_OUT: Final = (datetime.date, datetime.time)
_AS_TEXT: Final = (datetime.timedelta, uuid.UUID, os.PathLike)


def as_text(value: Any, limit: int = LONGEST) -> str:
    """JSON of a value, of about `limit` characters at most: see `as_json`. It stays JSON where it is cut."""
    if type(value) is dict and _is_flat(value):
        return _encode(value)
    # Texts are cut first, to have all items; where there are too many of those, the last ones go.
    for budget in (4 * limit, limit * 2 // 3, limit // 3):
        text = bounded(_Reader(budget).json(value), limit)
        if text is not None:
            return text
    return json.dumps(f"[llmtrace left out a {type(value).__qualname__}]")


def _is_flat(fields: Mapping[Any, Any]) -> bool:
    """Whether it is a few short words and whole numbers, as most arguments are: JSON as they stand."""
    if len(fields) > _SHORT_ARRAY:
        return False
    for key, item in fields.items():
        kind = type(item)
        if type(key) is not str or not (
            (kind is str and len(item) <= _SHORT_TEXT) or kind is int or kind is bool or item is None
        ):
            return False
    return True


def as_json(value: Any, budget: int = 4 * LONGEST) -> Any:
    """A value in the terms of JSON.

    Models of pydantic, dataclasses, attrs and named tuples become objects of their fields, without those that
    their class hides from `repr` or excludes; enumerations their values; dates, times, paths and decimals
    text; scalars and short arrays of numpy (and what is like it) numbers; sets lists. Bytes are text, or
    their size, media type and digest. Vectors and long arrays are a mark with their length. What JSON has no
    form for is its `repr`.

    budget: characters after which the rest is left out, with a mark; so no value takes long.
    """
    return _Reader(budget).json(value)


class _Reader:
    """One reading; `_left` counts down the characters that may still be written."""

    def __init__(self, budget: int) -> None:
        self._left = budget
        self._above: set[int] = set()

    def json(self, value: Any) -> Any:
        if value is None or value is True or value is False:
            return value
        kind = type(value)
        if kind is str:
            return self._text(value)
        if kind is int or kind is float:
            self._left -= 8
            return value if kind is int or math.isfinite(value) else repr(value)
        if id(value) in self._above or len(self._above) >= _DEEPEST:
            return "…"
        self._above.add(id(value))
        try:
            return self._composed(value)
        finally:
            self._above.discard(id(value))

    def _composed(self, value: Any) -> Any:
        if isinstance(value, enum.Enum):
            return self.json(value.value)
        if isinstance(value, (bytes, bytearray, memoryview)):
            return self._bytes(bytes(value))
        if isinstance(value, Mapping):
            return self._object((str(key), item) for key, item in value.items())
        if (fields := _fields(value)) is not None:
            return self._object(fields)
        if isinstance(value, (list, tuple, deque)):
            return self._list(value)
        if isinstance(value, Set):
            return self._list(_in_order(value))
        return self._scalar(value)

    def _scalar(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._text(str(value))
        if isinstance(value, (int, float)):
            return self.json(int(value) if isinstance(value, int) else float(value))
        if isinstance(value, _WRITTEN_OUT):
            return self._text(value.isoformat())
        if isinstance(value, _AS_TEXT) or _is_decimal(value):
            return self._text(str(value))
        if (array := _array(value)) is not None:
            return self.json(array)
        return self._text(repr(value))

    def _text(self, text: str) -> str:
        if media.is_base64(text, _BASE64_LENGTH) and (described := media.of_base64(text)).sha256:
            text = described.in_words()
        room = max(self._left, _SHORT_BYTES)
        # A vector that begins before the cut is seen whole enough to be known as one.
        clean = number_lists.without_vectors(text[: room + _VECTOR_CHARS])
        if len(text) > room:
            clean = f"{clean[:room]}…[llmtrace left out {len(text) - room} characters]"
        self._left -= len(clean)
        return clean

    def _bytes(self, data: bytes) -> Any:
        if len(data) <= _SHORT_BYTES:
            try:
                text = data.decode()
            except UnicodeDecodeError:
                text = "\0"
            if all(char.isprintable() or char.isspace() for char in text):
                return self._text(text)
        described = media.of_bytes(data)
        kind = {"mime_type": described.media_type} if described.media_type else {}
        self._left -= 128
        return {"type": "blob", **kind, **described.facts()}

    def _object(self, items: Iterable[tuple[str, Any]]) -> dict[str, Any]:
        written: dict[str, Any] = {}
        for key, item in items:
            if self._left <= 0:
                written["…"] = "[llmtrace left out the rest]"
                break
            self._left -= len(key) + 4
            written[key] = self.json(item)
        return written

    def _list(self, items: Sequence[Any]) -> Any:
        if number_lists.is_vector(items):
            return number_lists.mark(len(items))
        written: list[Any] = []
        for position, item in enumerate(items):
            if self._left <= 0:
                written.append(f"[llmtrace left out {len(items) - position} items]")
                break
            self._left -= 2
            written.append(self.json(item))
        return written


def _is_decimal(value: Any) -> bool:
    module = sys.modules.get("decimal")  # importing it is slow, and who has a value of its has imported it
    return module is not None and isinstance(value, module.Decimal)


def _fields(value: Any) -> Iterator[tuple[str, Any]] | None:
    """The fields of an object whose class declares them; None where it does not."""
    kind = type(value)
    if dataclasses.is_dataclass(kind):
        return _shown(value, ((field.name, field.repr) for field in dataclasses.fields(kind)))
    declared = getattr(kind, "model_fields", None) or getattr(kind, "__fields__", None)
    if isinstance(declared, Mapping):  # pydantic, of either generation
        extra = getattr(value, "model_extra", None)
        names = [(name, _is_shown(field)) for name, field in declared.items()]
        names += [(name, True) for name in extra or () if isinstance(extra, Mapping)]
        return _shown(value, names)
    attributes = getattr(kind, "__attrs_attrs__", None)
    if attributes is not None:
        return _shown(value, ((field.name, bool(field.repr)) for field in attributes))
    names_of_tuple = getattr(kind, "_fields", None)
    if isinstance(value, tuple) and isinstance(names_of_tuple, tuple):
        return zip(map(str, names_of_tuple), value, strict=False)
    return None


def _is_shown(field: Any) -> bool:
    field = getattr(field, "field_info", field)
    return getattr(field, "repr", True) is not False and getattr(field, "exclude", None) is not True


def _shown(value: Any, names: Iterable[tuple[str, bool]]) -> Iterator[tuple[str, Any]]:
    for name, is_shown in names:
        if is_shown:
            yield name, getattr(value, name, None)


def _in_order(values: Set[Any]) -> list[Any]:
    """A set's members, in an order that does not change from run to run where they have one."""
    try:
        return sorted(values)
    except TypeError:
        return sorted(values, key=repr)


def _array(value: Any) -> Any:
    """A scalar or short array of numpy and its like as numbers, a longer one as a mark; None for others."""
    kind, shape = getattr(value, "dtype", None), getattr(value, "shape", None)
    to_list: Callable[[], Any] | None = getattr(value, "tolist", None)
    if kind is None or not isinstance(shape, tuple) or not callable(to_list):
        return None
    size = math.prod(shape)
    if size <= _SHORT_ARRAY:
        return to_list()
    return f"[llmtrace left out {size} numbers: {kind} of shape {'×'.join(map(str, shape))}]"

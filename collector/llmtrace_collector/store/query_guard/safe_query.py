"""What the guard makes of a text, without anything that parses."""

from __future__ import annotations

from dataclasses import dataclass

from .refusal import QueryRefused

#: Formats that are a plain stream of the result.
FORMATS = frozenset(
    "Native RowBinary RowBinaryWithNames RowBinaryWithNamesAndTypes "
    "TabSeparated TabSeparatedRaw TabSeparatedWithNames TabSeparatedWithNamesAndTypes "
    "TSKV TSV TSVRaw TSVWithNames TSVWithNamesAndTypes CSV CSVWithNames CSVWithNamesAndTypes "
    "JSON JSONStrings JSONCompact JSONCompactStrings JSONEachRow JSONCompactEachRow "
    "JSONCompactEachRowWithNames JSONCompactEachRowWithNamesAndTypes JSONColumns "
    "Parquet Arrow ArrowStream Pretty PrettyCompact PrettySpace Vertical Markdown Values Null".split()
)

#: How long a query may be, in bytes of UTF-8, unless the settings say otherwise.
DEFAULT_MAX_BYTES = 20_000


@dataclass(frozen=True)
class SafeQuery:
    """A SELECT that may run, and what its text asked for besides. `sql` is empty when nothing runs."""

    sql: str
    #: The format its text asked for, if any.
    format: str | None = None
    #: Settings its text asked for, name and value, not judged yet.
    settings: tuple[tuple[str, str], ...] = ()
    #: Tables and views of ours that it reads, and functions that it calls by name (lower case).
    tables: frozenset[str] = frozenset()
    functions: frozenset[str] = frozenset()
    #: Tables of the engine that it reads and that something else stands in for: `system.tables`.
    stand_ins: frozenset[str] = frozenset()


def check_format(name: str) -> str:
    """`name`, when it is a format that may be asked for. Raises QueryRefused."""
    if name not in FORMATS:
        raise QueryRefused(f"format {name[:40]!r} is not available here")
    return name


def check_size(text: str, max_bytes: int) -> None:
    """Raise QueryRefused when `text` is longer than `max_bytes` (bytes of UTF-8) or is no text."""
    try:
        size = len(text) if text.isascii() else len(text.encode())
    except UnicodeEncodeError as error:
        raise QueryRefused("the query is no UTF-8 text") from error
    if size > max_bytes:
        raise QueryRefused(
            f"the query is {size} bytes long, more than the {max_bytes} allowed ([collector] "
            "query_max_bytes); long lists can be sent as parameters"
        )

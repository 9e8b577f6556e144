"""How far each rollup has come: rows of `rollup_passes`, which only ever advance."""

from __future__ import annotations

from dataclasses import dataclass

from llmtrace_collector.sql_values import literal
from llmtrace_collector.store.engine import StoreEngine

#: `FilledFrom` of a rollup into which nothing of before was filled, Unix milliseconds.
_NEVER = 7_258_118_400_000


@dataclass(frozen=True)
class Edge:
    """How far one rollup has come. `known` is false before its first pass."""

    known: bool
    scanned_to: int
    """What was stored before this moment (Unix milliseconds) is in it."""
    until: int
    """Hours before this one (Unix seconds) are closed."""
    filled_from: int
    """Spans of before the rollup that started since this moment (Unix milliseconds) are in it."""


def read_edge(engine: StoreEngine, name: str) -> Edge:
    """The edge of the rollup `name`."""
    text = engine.execute(
        "SELECT count(), toUnixTimestamp64Milli(max(ScannedTo)), toUnixTimestamp(max(Until)), "
        "toUnixTimestamp64Milli(min(FilledFrom)) FROM rollup_passes WHERE Name = {name:String}",
        {"name": name},
    )
    count, scanned_to, until, filled_from = map(int, text.split())
    return Edge(count > 0, scanned_to, until, filled_from if count else _NEVER)


def note_edge(
    engine: StoreEngine, name: str, *, scanned_to: int = 0, until: int = 0, filled_from: int = _NEVER
) -> None:
    """Note how far a rollup has come; what is left out, or lies behind what was noted, changes nothing."""
    engine.execute(
        "INSERT INTO rollup_passes (Name, ScannedTo, Until, FilledFrom) "
        f"SELECT {literal(name)}, fromUnixTimestamp64Milli(toInt64({scanned_to})), toDateTime({until}), "  # noqa: S608
        f"fromUnixTimestamp64Milli(toInt64({filled_from}))",
        settings={"async_insert": "0"},
    )

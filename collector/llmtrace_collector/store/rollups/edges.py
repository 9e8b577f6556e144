"""How far each rollup has come: rows of `rollup_passes`, which only ever advance, but where a clock was set
back.
"""

from __future__ import annotations

from dataclasses import dataclass

from llmtrace_collector.sql_values import literal
from llmtrace_collector.store.engine import StoreEngine

#: Later than any span, Unix milliseconds; `FilledFrom` of a rollup into which nothing of before was filled.
NEVER = 7_258_118_400_000


@dataclass(frozen=True)
class Edge:
    """How far one rollup has come. `known` is false before its first pass."""

    known: bool = False
    scanned_to: int = 0
    """What was stored before this moment (Unix milliseconds) is in it."""
    until: int = 0
    """Hours before this one (Unix seconds) are closed."""
    filled_from: int = NEVER
    """Spans of before the rollup that started since this moment (Unix milliseconds) are in it."""


def read_edge(engine: StoreEngine, name: str) -> Edge:
    """The edge of the rollup `name`."""
    return read_edges(engine).get(name, Edge())


def read_edges(engine: StoreEngine) -> dict[str, Edge]:
    """The edges of all rollups that were made before."""
    text = engine.execute(
        "SELECT Name, toUnixTimestamp64Milli(max(ScannedTo)), toUnixTimestamp(max(Until)), "
        "toUnixTimestamp64Milli(min(FilledFrom)) FROM rollup_passes GROUP BY Name"
    )
    rows = [line.split("\t") for line in text.decode().splitlines()]
    return {name: Edge(True, *map(int, numbers)) for name, *numbers in rows}


def note_edge(
    engine: StoreEngine, name: str, *, scanned_to: int = 0, until: int = 0, filled_from: int = NEVER
) -> None:
    """Note how far a rollup has come; what is left out, or lies behind what was noted, changes nothing."""
    engine.execute(
        "INSERT INTO rollup_passes (Name, ScannedTo, Until, FilledFrom) "
        f"SELECT {literal(name)}, fromUnixTimestamp64Milli(toInt64({scanned_to})), toDateTime({until}), "
        f"fromUnixTimestamp64Milli(toInt64({filled_from}))",
        settings={"async_insert": "0", "insert_deduplicate": "0"},
    )


def fold_back(engine: StoreEngine, moment: int) -> None:
    """Have no rollup know what was stored since `moment` (Unix milliseconds): a clock was set back, and what
    is stored now has times that were passed already. Which hours are closed stays.
    """
    to = f"fromUnixTimestamp64Milli(toInt64({moment}))"
    engine.execute(
        f"ALTER TABLE rollup_passes UPDATE ScannedTo = {to} WHERE ScannedTo > {to}",
        settings={"mutations_sync": "2"},
    )

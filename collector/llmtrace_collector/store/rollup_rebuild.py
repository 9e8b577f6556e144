"""The usage rollups, rebuilt from the spans by days."""

from __future__ import annotations

import re
from collections.abc import Iterable

from llmtrace_collector.sql_values import literal

from .engine import StoreEngine
from .schema.description import usage_select


def rebuild_day(engine: StoreEngine, day: str, minutes: Iterable[str] = ()) -> None:
    """Rebuild one day (`YYYY-MM-DD`) of `usage_10s` and `usage_hour` from its spans, or some minutes of it
    (Unix seconds) and the rest as it is.
    """
    make_empty_copy(engine, "usage_10s")
    where = f"toDate(Timestamp) = toDate({literal(day)})"
    starts = ", ".join(minutes)
    if starts:
        engine.execute(
            "INSERT INTO usage_10s_rebuild SELECT * FROM usage_10s "  # noqa: S608, quoted or ours
            f"WHERE toDate(Time) = toDate({literal(day)}) "
            f"AND toUnixTimestamp(toStartOfMinute(Time)) NOT IN ({starts})"
        )
        where += f" AND toUnixTimestamp(toStartOfMinute(Timestamp)) IN ({starts})"
    names = columns(engine, "usage_10s")
    select = usage_select("otel_traces", where)
    engine.execute(f"INSERT INTO usage_10s_rebuild ({names}) SELECT {names} FROM ({select})")  # noqa: S608 - ours
    # A day without a counted call has an empty rollup, which is right.
    engine.execute(
        f"ALTER TABLE usage_10s REPLACE PARTITION {literal(day)} FROM usage_10s_rebuild",
        settings={"allow_replace_partition_from_empty_source": "1"},
    )
    engine.execute("DROP TABLE usage_10s_rebuild SYNC")
    _rebuild_hours(engine, day)


def _rebuild_hours(engine: StoreEngine, day: str) -> None:
    """Rebuild `usage_hour` for one day (`YYYY-MM-DD`) beside the live table and swap it in as a whole.

    The rows are made by the text of the materialized view that fills the table, which is written once.
    """
    select = engine.execute(
        "SELECT as_select FROM system.tables WHERE database = currentDatabase() "
        "AND name = 'usage_hour_mv' FORMAT TSVRaw"
    ).decode()
    make_empty_copy(engine, "usage_hour")
    of_day = f"WHERE toDate(Time) = toDate({literal(day)})"
    names = columns(engine, "usage_hour")
    engine.execute(
        f"INSERT INTO usage_hour_rebuild ({names}) SELECT {names} FROM ({select}) {of_day}"  # noqa: S608 - our text
    )
    engine.execute(
        f"ALTER TABLE usage_hour REPLACE PARTITION {literal(day)} FROM usage_hour_rebuild",
        settings={"allow_replace_partition_from_empty_source": "1"},
    )
    engine.execute("DROP TABLE usage_hour_rebuild SYNC")


def make_empty_copy(engine: StoreEngine, table: str) -> None:
    """Make an empty `TABLE_rebuild` that partitions of `table` can be made in; on one replica alone, where
    the table itself has several."""
    text = engine.execute(
        "SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = {table:String} "
        "FORMAT TSVRaw",
        {"table": table},
    ).decode()
    alone = unreplicated(text.strip())
    engine.execute(f"CREATE OR REPLACE TABLE {table}_rebuild AS {table} ENGINE = {alone}")


def unreplicated(engine_full: str) -> str:
    """A table's engine, as the engine's books have it, without its replicas."""
    return re.sub(r"^Replicated(\w+)\('[^']*', '[^']*'(?:, )?", r"\1(", engine_full)


def columns(engine: StoreEngine, table: str) -> str:
    """A table's columns with commas between: their places differ between stores of different ages."""
    names = engine.execute(
        "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = {table:String} "
        "ORDER BY position FORMAT TSVRaw",
        {"table": table},
    )
    return ", ".join(names.decode().split())

"""`usage_10s`, made anew from the spans by days."""

from __future__ import annotations

from collections.abc import Sequence

from llmtrace_collector.sql_values import literal
from llmtrace_collector.store.engine import StoreEngine
from llmtrace_collector.store.schema.description import usage_select

from .hours import close_hours_anew
from .partitions import columns, empty_copy, replace_day

_DAY, _MINUTE = 86_400, 60


def rebuild_usage_of_day(engine: StoreEngine, day: str, minutes: Sequence[int] = ()) -> None:
    """Rebuild one day (`YYYY-MM-DD`) of `usage_10s` and the closed hours from its spans, or some minutes
    of it (Unix seconds) and the rest as it is.
    """
    names = columns(engine, "usage_10s")
    where = f"toDate(Timestamp) = toDate({literal(day)})"
    with empty_copy(engine, "usage_10s") as copy:
        if minutes:
            starts = ", ".join(map(str, minutes))
            engine.execute(
                f"INSERT INTO {copy} ({names}) SELECT {names} FROM usage_10s "  # noqa: S608, quoted or ours
                f"WHERE toDate(Time) = toDate({literal(day)}) "
                f"AND toUnixTimestamp(toStartOfMinute(Time)) NOT IN ({starts})"
            )
            where += f" AND toUnixTimestamp(toStartOfMinute(Timestamp)) IN ({starts})"
        select = usage_select("otel_traces", where)
        engine.execute(f"INSERT INTO {copy} ({names}) SELECT {names} FROM ({select})")  # noqa: S608 - ours
        # A day without a counted call has an empty rollup, which is right.
        replace_day(engine, "usage_10s", day, copy)
    # An hour that lost all its usage has no row that says when that was stored.
    begin, end = day_bounds(engine, day)
    if minutes:
        begin, end = min(minutes), max(minutes) + _MINUTE
    close_hours_anew(engine, begin, end)


def day_bounds(engine: StoreEngine, day: str) -> tuple[int, int]:
    """Begin and end of a day (`YYYY-MM-DD`) of the engine's clock, Unix seconds."""
    quoted = literal(day)
    begin, end = engine.execute(
        f"SELECT toUnixTimestamp(toDateTime(toDate({quoted}))), "
        f"toUnixTimestamp(toDateTime(toDate({quoted}) + 1))"
    ).split()
    return int(begin), int(end)

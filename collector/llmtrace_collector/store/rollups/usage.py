"""`usage_10s`, made anew from the spans by days."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence

from llmtrace_collector.sql_values import literal, literals
from llmtrace_collector.store.engine import StoreEngine
from llmtrace_collector.store.schema.description import usage_select

from .days import day_bounds, whole_projects
from .hours import close_hours_anew
from .partitions import columns, empty_copy, replace_day

_HOUR, _MINUTE = 3600, 60
#: From this age on `usage_10s` may lose rows of a day, and keeps others for a while, seconds.
_LOSING = 380 * 86_400


def rebuild_usage_of_day(
    engine: StoreEngine, day: str, minutes: Sequence[int] = (), emptied: Collection[str] = ()
) -> None:
    """Rebuild one day (`YYYY-MM-DD`) of `usage_10s` and the closed hours from its spans, or some minutes
    of it (Unix seconds) and the rest as it is. So does all of projects whose spans are gone, but of those
    that `emptied` names.
    """
    begin, end = day_bounds(day)
    projects = whole_projects(engine, begin, emptied)
    if not projects:
        return
    if minutes and _has_parts_of_hours(engine, day):
        minutes = [minute for hour in _hours(minutes) for minute in range(hour, hour + _HOUR, _MINUTE)]
    _rebuild_ten_seconds(engine, day, minutes, literals(projects))
    # An hour that lost all its usage has no row that says when that was stored.
    hours = _hours(minutes) if minutes else range(begin, end, _HOUR)
    close_hours_anew(engine, day, hours, projects)


def _rebuild_ten_seconds(engine: StoreEngine, day: str, minutes: Sequence[int], projects: str) -> None:
    names = columns(engine, "usage_10s")
    of_day = f"= toDate({literal(day)})"
    others = f"Project NOT IN ({projects})"
    where = f"toDate(Timestamp, 'UTC') {of_day} AND Project IN ({projects})"
    if minutes:
        starts = ", ".join(map(str, minutes))
        others += f" OR toUnixTimestamp(toStartOfMinute(Time)) NOT IN ({starts})"
        where += f" AND toUnixTimestamp(toStartOfMinute(Timestamp)) IN ({starts})"
    with empty_copy(engine, "usage_10s") as copy:
        into = f"INSERT INTO {copy} ({names}) SELECT {names}"
        engine.execute(f"{into} FROM usage_10s WHERE toDate(Time, 'UTC') {of_day} AND ({others})")
        engine.execute(f"{into} FROM ({usage_select('otel_traces', where)})")
        # A day without a counted call has an empty rollup, which is right.
        replace_day(engine, "usage_10s", day, copy)


def _has_parts_of_hours(engine: StoreEngine, day: str) -> bool:
    """Whether the rows of `usage_10s` may not be all that the closed hours of a day are made of: it loses
    rows by their age, and of before an upgrade it does not know accounts and tags.
    """
    if day_bounds(day)[0] < time.time() - _LOSING:
        return True
    former = f"toDate(Time, 'UTC') = toDate({literal(day)}) AND LateAt = toDateTime64(1, 3)"
    return int(engine.execute(f"SELECT count() FROM usage_10s WHERE {former}")) > 0  # noqa: S608, quoted


def _hours(minutes: Sequence[int]) -> list[int]:
    return sorted({minute // _HOUR * _HOUR for minute in minutes})

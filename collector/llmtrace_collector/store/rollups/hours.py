"""`usage_hour_closed`: hours of usage that are over, added up from `usage_10s` and swapped in by whole
days.

The view `usage_hour` reads closed hours here and the others from `usage_10s`, where it also reads hours
that gained something since they were closed. So a pass changes nothing that is read but how much work that
is, and one that was killed anywhere is made again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

from llmtrace_collector.sql_values import literal
from llmtrace_collector.store.engine import StoreEngine
from llmtrace_collector.store.schema.description import render_rollup

from .edges import Edge, note_edge, read_edge
from .partitions import columns, empty_copy, replace_day
from .statements import WRITE_SETTINGS, ask_rollup, has_all_spans

NAME = "usage_hour"

#: An hour is closed when it is over for so many seconds: its last ten seconds have come by then, mostly.
_SETTLE_SECONDS = 60
_HOUR = 3600


def close_hours(engine: StoreEngine, edge: Edge, upto: int, lookback: int = 0) -> int:
    """Close the hours that are over and close those anew that gained usage; the number of hours.

    `upto` (Unix milliseconds): what was stored before is all there. What was stored up to `lookback`
    milliseconds before the last pass is examined again: another collector's pass may have undone this
    one's.
    """
    ended = (upto // 1000 - _SETTLE_SECONDS) // _HOUR * _HOUR
    rows = ask_rollup(
        engine, "stale_hours", ended=ended, until=edge.until, since=max(edge.scanned_to - lookback, 0)
    )
    hours = {int(hour) for hour, _ in rows}
    write_hours(engine, hours)
    if ended > edge.until or any(newest == "1" for _, newest in rows):
        note_edge(engine, NAME, scanned_to=upto, until=ended)
    return len(hours)


def former_hours(engine: StoreEngine) -> list[tuple[str, list[int]]]:
    """Hours that are not closed, or gained usage, and of which `usage_10s` has rows from before it knew
    accounts and tags, while their spans are here: day (`YYYY-MM-DD`) and minutes (Unix seconds) of each.
    """
    edge = read_edge(engine, NAME)
    rows = ask_rollup(engine, "former_hours", until=edge.until, since=edge.scanned_to)
    hours = {int(hour) for (hour,) in rows if has_all_spans(engine, int(hour))}
    return [
        (day, [minute for hour in of_day for minute in range(hour, hour + _HOUR, 60)])
        for day, of_day in _by_day(engine, hours).items()
    ]


def close_hours_anew(engine: StoreEngine, begin: int, end: int) -> None:
    """Close the hours from `begin` to `end` (Unix seconds) anew, of those that are closed."""
    until = read_edge(engine, NAME).until
    first = begin // _HOUR * _HOUR
    write_hours(engine, set(range(first, min(end, until), _HOUR)))


def write_hours(engine: StoreEngine, hours: Collection[int]) -> None:
    """Write these hours (Unix seconds of their begin) as `usage_10s` has them now."""
    for day, of_day in _by_day(engine, hours).items():
        with empty_copy(engine, "usage_hour_closed") as copy:
            names = columns(engine, "usage_hour_closed")
            others = f"toDate(Time) = toDate({literal(day)}) AND toUnixTimestamp(Time) NOT IN {_list(of_day)}"
            into = f"INSERT INTO {copy} ({names}) SELECT {names}"
            engine.execute(f"{into} FROM usage_hour_closed WHERE {others}", settings=WRITE_SETTINGS)
            select = render_rollup("usage_hours", hours=sorted(of_day))
            engine.execute(f"{into} FROM ({select})", settings=WRITE_SETTINGS)
            replace_day(engine, "usage_hour_closed", day, copy)


def _by_day(engine: StoreEngine, hours: Collection[int]) -> Mapping[str, list[int]]:
    """The hours by the day of the engine's clock that they begin in."""
    days: dict[str, list[int]] = defaultdict(list)
    if not hours:
        return days
    text = engine.execute(f"SELECT arrayJoin({sorted(hours)}) AS hour, toString(toDate(toDateTime(hour)))")
    for line in text.decode().splitlines():
        hour, day = line.split("\t")
        days[day].append(int(hour))
    return days


def _list(hours: Iterable[int]) -> str:
    return f"({', '.join(map(str, hours))})"

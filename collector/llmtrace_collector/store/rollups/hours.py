"""`usage_hour_closed`: hours of usage that are over, added up from `usage_10s` and swapped in by whole
days.

The view `usage_hour` reads closed hours here and the others from `usage_10s`, where it also reads what
closed hours gained since. So a pass changes nothing that is read but how much work that
is, and one that was killed anywhere is made again.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Collection, Iterable

from llmtrace_collector.sql_values import literal, literals
from llmtrace_collector.store.engine import StoreEngine
from llmtrace_collector.store.schema.description import render_rollup

from .days import day_of
from .edges import Edge, note_edge, read_edge
from .partitions import columns, empty_copy, replace_day
from .statements import WRITE_SETTINGS, ask_rollup

NAME = "usage_hour"

#: An hour is closed when it is over for so many seconds: its last ten seconds have come by then, mostly.
_SETTLE_SECONDS = 60
_HOUR = 3600


#: Parts of hours that one statement names.
_PARTS = 2000

#: Begin of an hour (Unix seconds) and `LateAt` of some of its usage (Unix milliseconds).
Part = tuple[int, int]


def close_hours(engine: StoreEngine, edge: Edge, upto: int, lock: threading.Lock, lookback: int = 0) -> None:
    """Close the hours that are over, and those anew that gained usage.

    `upto` (Unix milliseconds): what was stored before is all there. What was stored up to `lookback`
    milliseconds before the last pass is examined again: another collector's pass may have undone this
    one's. `lock` is held for each day alone.
    """
    ended = (upto // 1000 - _SETTLE_SECONDS) // _HOUR * _HOUR
    rows = ask_rollup(
        engine, "stale_hours", ended=ended, until=edge.until, since=max(edge.scanned_to - lookback, 0)
    )
    days: dict[str, list[Part]] = defaultdict(list)
    for hour, late, _ in rows:
        days[day_of(int(hour))].append((int(hour), int(late)))
    for day, parts in days.items():
        for first in range(0, len(parts), _PARTS):
            with lock:
                _write_parts(engine, day, parts[first : first + _PARTS])
    if ended > edge.until or any(gained == "1" for _, _, gained in rows):
        note_edge(engine, NAME, scanned_to=upto, until=ended)


def close_hours_anew(
    engine: StoreEngine, day: str, hours: Collection[int], projects: Collection[str]
) -> None:
    """Close these hours of a day (Unix seconds of their begin) anew, of those that are closed, as `usage_10s`
    has them of the projects: nothing else of these stays.
    """
    until = read_edge(engine, NAME).until
    closed = sorted(hour for hour in hours if hour < until)
    if closed:
        others = f"toUnixTimestamp(Time) NOT IN {_list(closed)} OR Project NOT IN ({literals(projects)})"
        _write(engine, day, others, render_rollup("usage_hours", hours=closed, parts=[], projects=projects))


def _write_parts(engine: StoreEngine, day: str, parts: Collection[Part]) -> None:
    """Write these parts of hours as `usage_10s` has them now, which has all of them; it may have lost others
    of the same hours.
    """
    hours = sorted({hour for hour, _ in parts})
    others = f"(toUnixTimestamp(Time), toUnixTimestamp64Milli(LateAt)) NOT IN {_list(parts)}"
    _write(engine, day, others, render_rollup("usage_hours", hours=hours, parts=parts, projects=[]))


def _write(engine: StoreEngine, day: str, others: str, select: str) -> None:
    """Make a day of the rows of it for which `others` holds, and of the rows of `select`."""
    with empty_copy(engine, "usage_hour_closed") as copy:
        names = columns(engine, "usage_hour_closed")
        into = f"INSERT INTO {copy} ({names}) SELECT {names}"
        of_day = f"toDate(Time, 'UTC') = toDate({literal(day)})"
        engine.execute(
            f"{into} FROM usage_hour_closed WHERE {of_day} AND ({others})", settings=WRITE_SETTINGS
        )
        engine.execute(f"{into} FROM ({select})", settings=WRITE_SETTINGS)
        replace_day(engine, "usage_hour_closed", day, copy)


def _list(items: Iterable[object]) -> str:
    return f"({', '.join(map(str, items))})"

"""What a rule would have said of the past: so that a threshold can be tried before it wakes anybody."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from clickhouse_connect.driver.client import Client

from llmtrace_analysis.rule_settings import AlertRule

from .judgement import Level, Outside, Unusual, judge
from .objectives import BURN_WINDOWS, burning, read_counts
from .readings import Reading, read, read_over, step_of

#: Moments at which calendar windows and objectives are tried, seconds from one to the next.
_HOUR, _QUARTER = 3600, 900

_COMPARED = {"day": 86_400, "week": 7 * 86_400}


@dataclass(frozen=True)
class Stretch:
    """A time in which a group was outside without a break."""

    group: str
    since: int
    """End of the first window that was outside, Unix seconds."""
    until: int
    """End of the last one."""
    level: Level
    worst: float
    """NaN where nothing came."""
    limit: float


def stretches(client: Client, rule: AlertRule, since: int, until: int) -> list[Stretch]:
    """When the rule would have been outside between two moments (Unix seconds), in the order of time.

    A rolling window is tried at every quarter of its length, one of the calendar every hour.
    """
    step = _HOUR if rule.calendar else _QUARTER if rule.objective is not None else step_of(rule)
    joined: list[Stretch] = []
    last: dict[str, int] = {}
    for moment, outside in _moments(client, rule, since, until):
        for item in outside:
            place = last.get(item.group)
            if place is not None and moment - joined[place].until <= 2 * step:
                joined[place] = _longer(joined[place], item, moment)
            else:
                last[item.group] = len(joined)
                joined.append(Stretch(item.group, moment, moment, item.level, item.value, item.limit))
    return joined


def _longer(stretch: Stretch, item: Outside, moment: int) -> Stretch:
    worse = abs(item.value - item.limit) > abs(stretch.worst - stretch.limit)
    return Stretch(
        stretch.group,
        stretch.since,
        moment,
        "alert" if "alert" in (stretch.level, item.level) else stretch.level,
        item.value if worse else stretch.worst,
        item.limit if worse else stretch.limit,
    )


def _moments(client: Client, rule: AlertRule, since: int, until: int) -> Iterator[tuple[int, list[Outside]]]:
    if rule.objective is not None:
        yield from _burning(client, rule, since, until)
    elif rule.calendar:
        for moment in range(since // _HOUR * _HOUR + _HOUR, until + 1, _HOUR):
            yield moment, judge(rule, read(client, rule, moment).readings)
    else:
        yield from _rolling(client, rule, since, until)


def _burning(client: Client, rule: AlertRule, since: int, until: int) -> Iterator[tuple[int, list[Outside]]]:
    longest = max(window.long for window in BURN_WINDOWS)
    minutes = read_counts(client, rule, since - longest, until, 60)
    for moment in range(since // _QUARTER * _QUARTER + _QUARTER, until + 1, _QUARTER):
        within = [item for item in minutes if moment - longest <= item[0] < moment]
        burns = burning(rule, within, moment)
        outside = [
            Outside("", burn.window.level, "above", burn.rate, burn.limit, burn.counts.total)
            for burn in burns[:1]
        ]
        yield moment, outside


def _rolling(client: Client, rule: AlertRule, since: int, until: int) -> Iterator[tuple[int, list[Outside]]]:
    step = step_of(rule)
    ago = _COMPARED.get(rule.compared_with, rule.window_seconds)
    compares = rule.rises_by is not None or rule.falls_by is not None
    # A series that anomalies are told from needs some history of its own.
    start = since - 14 * 86_400 if rule.anomaly else since - ago if compares else since
    by_end: dict[int, list[Reading]] = defaultdict(list)
    for reading in read_over(client, rule, start // step * step, until, step).readings:
        by_end[reading.ended].append(reading)
    unusual = Unusual()
    for moment in range(start // step * step + step, until + 1, step):
        readings = by_end.get(moment, [])
        before = {item.group: item for item in by_end.get(moment - ago, [])} if compares else {}
        outside = judge(rule, readings, before)
        if rule.anomaly:
            outside += [item for item in map(partial(unusual.advance, rule), readings) if item is not None]
        if moment > since:
            yield moment, [item for item in outside if item.level == "no_data" or math.isfinite(item.value)]

"""A rule's numbers by window and group, read from the store: of now, or of every window of a time."""

# Texts are put together from constants and from a search's condition; values are bound.
# ruff: noqa: S608

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from clickhouse_connect.driver.client import Client

from llmtrace_analysis.rule_settings import AlertRule
from llmtrace_collector.store.search import Period

from .sources import Source, source_of

#: Groups that are read at most, those with most calls; a rule says only so much of them.
_MOST_GROUPS = 10_000

#: How far back a search's terms look for what was scored: people score days later.
_SCORED_WITHIN = timedelta(days=7)


@dataclass(frozen=True)
class Reading:
    """A value of one window and group."""

    ended: int
    """End of the window, Unix seconds."""
    group: str
    """'' where the rule has no groups."""
    count: float
    """Calls, spans, traces or scores that it is of."""
    value: float
    """In the source's unit; NaN where it is not known."""


@dataclass(frozen=True)
class Readings:
    """What was read, and what the values count."""

    unit: str
    readings: tuple[Reading, ...]


def window_of(rule: AlertRule, now: int) -> tuple[int, int]:
    """The window that a value at `now` is of, Unix seconds; its end is not a part of it."""
    if not rule.calendar:
        return now - rule.window_seconds, now
    zone = ZoneInfo(rule.zone)
    day = datetime.fromtimestamp(now, zone).replace(hour=0, minute=0, second=0, microsecond=0)
    if rule.calendar == "week":
        day -= timedelta(days=day.weekday())
    elif rule.calendar == "month":
        day = day.replace(day=1)
    return int(day.timestamp()), now


def read(client: Client, rule: AlertRule, now: int) -> Readings:
    """The values of the window that ends at `now` (Unix seconds, a multiple of ten)."""
    since, until = window_of(rule, now)
    source = _source(rule, since, until)
    return _query(client, source, "{to:UInt32}", since, until, {})


def read_over(client: Client, rule: AlertRule, since: int, until: int, step: int) -> Readings:
    """The values of every window that ends at a multiple of `step` seconds after `since`, up to `until`.

    Only for rolling windows, whose length is a multiple of `step`. Windows without anything are left out.
    """
    windows = rule.window_seconds // step
    source = _source(rule, since - rule.window_seconds, until)
    ends = (
        f"arrayJoin(arrayMap(k -> (intDiv({source.time}, {{step:UInt32}}) + 1 + k) * {{step:UInt32}}, "
        "range({windows:UInt32})))"
    )
    parameters = {"step": step, "windows": windows}
    result = _query(client, source, ends, since - rule.window_seconds, until, parameters)
    return Readings(
        result.unit, tuple(reading for reading in result.readings if since < reading.ended <= until)
    )


def step_of(rule: AlertRule) -> int:
    """Seconds from one window of the past to the next: a quarter of it, in whole tens of seconds."""
    quarter = max(10, rule.window_seconds // 4 // 10 * 10)
    return next(step for step in range(quarter, 0, -10) if rule.window_seconds % step == 0)


def _source(rule: AlertRule, since: int, until: int) -> Source:
    start = datetime.fromtimestamp(since, UTC)
    if rule.score_name:
        start -= _SCORED_WITHIN
    return source_of(rule, Period(start, datetime.fromtimestamp(until, UTC)))


def _query(
    client: Client, source: Source, ends: str, since: int, until: int, parameters: dict[str, int]
) -> Readings:
    sql = f"""SELECT {ends} AS window_end, {source.group or "''"} AS of_group,
    toFloat64({source.count}) AS of_count, toFloat64({source.value}) AS of_value
FROM {source.table}
WHERE {source.where}
GROUP BY window_end, of_group
ORDER BY of_count DESC
LIMIT {_MOST_GROUPS} BY window_end"""
    values = {**source.params, "from": since, "to": until, **parameters}
    rows = client.query(sql, parameters=values).result_rows
    return Readings(
        source.unit,
        tuple(
            Reading(int(ended), str(group), float(count or 0), math.nan if value is None else float(value))
            for ended, group, count, value in rows
        ),
    )

"""Service level objectives: how fast errors use up the budget, over a long and a short window at once."""

# Texts are put together from constants and from a search's conditions; values are bound.
# ruff: noqa: S608

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from clickhouse_connect.driver.client import Client

from llmtrace.semconv import PURPOSE_PRODUCT
from llmtrace_analysis.rule_settings import AlertRule
from llmtrace_collector.sql_values import QueryValue
from llmtrace_collector.store.search import Period, Search, parse

_HOUR, _DAY = 3600, 86_400


class BurnWindow(NamedTuple):
    """An alert when this share of the budget is used up within `long`, and `short` says that it goes on."""

    share: float
    long: int
    """Seconds."""
    short: int
    """Seconds."""
    level: Literal["warning", "alert"]


#: As Google's SRE workbook has them: 2 % of the budget in an hour, 5 % in six wake somebody; 10 % in a day or
#: in three are for the next morning. The short window is a twelfth, so that it ends soon after.
BURN_WINDOWS: tuple[BurnWindow, ...] = (
    BurnWindow(0.02, _HOUR, 300, "alert"),
    BurnWindow(0.05, 6 * _HOUR, 1800, "alert"),
    BurnWindow(0.10, _DAY, 2 * _HOUR, "warning"),
    BurnWindow(0.10, 3 * _DAY, 6 * _HOUR, "warning"),
)

#: Minutes are read anew while they may still grow; the others again after this long, seconds.
_YOUNG, _WHOLE_AGAIN = 900, 6 * _HOUR


class Counts(NamedTuple):
    """Of one time: how many there were, and how many of them were bad."""

    total: float
    bad: float


@dataclass(frozen=True)
class Burn:
    """A window over which the budget is used up too fast."""

    window: BurnWindow
    rate: float
    """How many times as fast as the budget lasts for exactly; 1 uses it up at the end of its days."""
    limit: float
    counts: Counts
    """Of the long window."""


def burn_limit(window: BurnWindow, days: int) -> float:
    """The rate at which `share` of a budget of so many days is used up within the long window."""
    return window.share * days * _DAY / window.long


def burning(rule: AlertRule, minutes: Iterable[tuple[int, Counts]], now: int) -> list[Burn]:
    """The windows over which the budget is used up too fast, the most urgent first.

    `minutes`: (begin, counts), Unix seconds. Raises ValueError where the rule has no objective.
    """
    if rule.objective is None:
        raise ValueError(f"the rule {rule.name!r} has no objective")
    budget = 1 - rule.objective
    listed = list(minutes)
    burns = []
    for window in BURN_WINDOWS:
        limit = burn_limit(window, rule.objective_days)
        long, short = (_sum(listed, now - seconds) for seconds in (window.long, window.short))
        if long.total < rule.min_calls or not short.total:
            continue
        rates = [counts.bad / counts.total / budget for counts in (long, short)]
        if min(rates) >= limit:
            burns.append(Burn(window, rates[0], limit, long))
    return burns


def _sum(minutes: Iterable[tuple[int, Counts]], since: int) -> Counts:
    within = [counts for begin, counts in minutes if begin >= since]
    return Counts(sum(item.total for item in within), sum(item.bad for item in within))


class ObjectiveHistory:
    """Minutes of the longest window, kept from one evaluation to the next."""

    def __init__(self, rule: AlertRule) -> None:
        self._rule = rule
        self._minutes: dict[int, Counts] = {}
        self._now = 0
        self._whole_at = 0

    def minutes(self, client: Client, now: int) -> list[tuple[int, Counts]]:
        """(begin, counts) of every minute with something in it, up to `now` (Unix seconds)."""
        oldest = now - max(window.long for window in BURN_WINDOWS)
        is_whole = not 0 <= now - self._now <= _YOUNG / 2 or not 0 <= now - self._whole_at < _WHOLE_AGAIN
        since = oldest if is_whole else now - _YOUNG
        since = since // 60 * 60
        older = {begin: counts for begin, counts in self._minutes.items() if oldest <= begin < since}
        self._minutes = older | dict(read_counts(client, self._rule, since, now, 60))
        self._now = now
        if is_whole:
            self._whole_at = now
        return sorted(self._minutes.items())


def read_counts(
    client: Client, rule: AlertRule, since: int, until: int, step: int
) -> list[tuple[int, Counts]]:
    """(begin, counts) of every `step` seconds in which something was; Unix seconds."""
    search = parse(rule.search)
    if not search.mentions("purpose"):
        search = search.only(purpose=PURPOSE_PRODUCT)
    period = Period(datetime.fromtimestamp(since, UTC), datetime.fromtimestamp(until, UTC))
    sql, parameters = _counts_sql(rule, search, parse(rule.good), period)
    values = {**parameters, "from": since, "to": until, "step": step}
    rows = client.query(sql, parameters=values).result_rows
    return [(int(begin), Counts(float(total), float(bad))) for begin, total, bad in rows]


def _counts_sql(
    rule: AlertRule, search: Search, good: Search, period: Period
) -> tuple[str, dict[str, QueryValue]]:
    over: Literal["spans", "traces"] = "traces" if rule.over == "traces" else "spans"
    time = "Start" if over == "traces" else "Timestamp"
    asked, well = search.condition(over, period), good.condition(over, period, prefix="good")
    counted = " AND Counted" if rule.over == "calls" else ""
    return (
        f"""SELECT
    intDiv(toUnixTimestamp({time}), {{step:UInt32}}) * {{step:UInt32}} AS begin,
    sum(Weight) AS total,
    sumIf(Weight, NOT ({well.sql})) AS bad
FROM {asked.source}
WHERE {time} >= toDateTime64({{from:UInt32}}, 9) AND {time} < toDateTime64({{to:UInt32}}, 9){counted}
    AND {asked.sql}
GROUP BY begin
ORDER BY begin""",
        {**asked.params, **well.params},
    )

"""Budgets: what was spent of each, kept in memory so that applications may ask before every call."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel

from llmtrace.common.time_zones import day_of, month_of, start_of
from llmtrace_collector.pricing.priced_sums import priced_sums
from llmtrace_collector.settings import Budget
from llmtrace_collector.sql_values import QueryValue
from llmtrace_collector.store.store import Store

#: What a budget is for each of → the rollup's column. A call with several tags counts for each of them.
_COLUMNS: Mapping[str, str] = {
    "all": "''",
    "user": "UserId",
    "project": "Project",
    "model": "Model",
    "service": "ServiceName",
    "account": "Account",
    "tag": "arrayJoin(Tags)",
}

#: A budget's filters → their condition; an empty one lets every call through.
_FILTERS: Mapping[str, str] = {
    **{
        name: f"{_COLUMNS[name]} = {{{name}:String}}"
        for name in ("user", "project", "model", "service", "account")
    },
    "tag": "has(Tags, {tag:String})",
}

_OF_PURPOSE = "(empty({purposes:Array(String)}) OR has({purposes:Array(String)}, Purpose))"

_WINDOW = "Time >= fromUnixTimestamp64Milli({since:Int64}) AND Time < fromUnixTimestamp64Milli({until:Int64})"

_AMOUNTS: Mapping[str, str] = {
    "usd": "ifNull(sum(Cost), 0)",
    "tokens": "sum(InputTokens) + sum(OutputTokens)",
    "requests": "sum(Calls)",
}

_COUNTS = ("Calls", "InputTokens", "OutputTokens")

_ROLLING: Mapping[str, timedelta] = {
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
}


#: Counting takes this part of the time at most: one in so many.
_REST_FACTOR = 10.0
_MAX_STATUSES = 1000


class BudgetUsage(BaseModel):
    """How much of one budget is used. Amounts are in `unit`; from `warn_at` on the state is a warning. Days,
    weeks and months are those of `time_zone`.

    `expected` is the amount at the end of a calendar window if it goes on at the same pace, and `breach_at`
    when the limit is reached then; null in rolling windows, and where it is not reached. Calls without a
    price count as nothing in USD. `stated_share` is the part of what was spent in USD that answers state,
    `estimated_share` the part whose tokens are estimated from text.
    """

    budget: str
    key: str
    per: str
    project: str
    unit: str
    window: str
    window_start: datetime
    time_zone: str
    spent: float
    warn_at: float
    limit: float
    remaining: float
    expected: float | None
    breach_at: datetime | None
    unpriced_calls: int
    stated_share: float
    estimated_share: float
    state: str


class BudgetAnswer(BaseModel):
    """`allowed` is false when a budget that concerns the caller is used up. `as_of`: when it was counted."""

    allowed: bool
    as_of: datetime
    budgets: list[BudgetUsage]


@dataclass(frozen=True)
class _Spent:
    """An amount in a budget's unit, with the calls that are missing and the USD of it that are stated, or by
    estimated tokens.
    """

    amount: float = 0.0
    unpriced_calls: int = 0
    stated: float = 0.0
    estimated: float = 0.0


@dataclass(frozen=True)
class _Counted:
    """What each key spent of each rule, by the rule's place."""

    at: datetime
    spent: Sequence[Mapping[str, _Spent]]


@dataclass(frozen=True)
class BudgetQuery:
    """The call that is asked about; empty where not known."""

    user: str = ""
    project: str = ""
    model: str = ""
    service: str = ""
    account: str = ""
    tags: tuple[str, ...] = ()

    def values(self, name: str) -> tuple[str, ...]:
        """What it is by a budget's `per`; a call may have several tags."""
        if name == "tag":
            return self.tags
        value = getattr(self, name)
        return (value,) if value else ()


class Budgets:
    """Counts every few seconds (`refresh` is one pass) and answers from memory."""

    def __init__(self, store: Store, rules: Sequence[Budget]) -> None:
        self._store = store
        self._rules = rules
        self._counted: _Counted | None = None
        self._lock = threading.Lock()
        self._next_count_at = 0.0

    def refresh(self) -> None:
        """Count, unless counting takes so long that it would keep the store busy."""
        if time.monotonic() >= self._next_count_at:
            began = time.monotonic()
            self.count()
            self._next_count_at = time.monotonic() + _REST_FACTOR * (time.monotonic() - began)

    def count(self, now: datetime | None = None) -> None:
        """Read what was spent of every budget. Hours are the finest step of windows."""
        with self._lock:
            at = now or datetime.now(UTC)
            self._counted = _Counted(at, [self._spent(rule, at) for rule in self._rules])

    def answer(self, query: BudgetQuery) -> BudgetAnswer | None:
        """The status of the budgets that concern a call; None before the first count.

        A budget for each user concerns calls of a known user alone.
        """
        counted = self._counted
        if counted is None:
            return None
        statuses = [
            _status(rule, key, spent, counted.at)
            for rule, spent in zip(self._rules, counted.spent, strict=True)
            for key in _keys(rule, query)
        ]
        return BudgetAnswer(
            allowed=all(status.state != "exceeded" for status in statuses), as_of=counted.at, budgets=statuses
        )

    def statuses(self, every: bool = False) -> BudgetAnswer | None:
        """The budgets that are not all right, or every one that something was spent of; the fullest first."""
        counted = self._counted
        if counted is None:
            return None
        statuses = [
            _status(rule, key, spent, counted.at)
            for rule, spent in zip(self._rules, counted.spent, strict=True)
            for key in spent
            if key or rule.per == "all"
        ]
        visible = [status for status in statuses if every or status.state != "ok"]
        visible.sort(key=lambda status: (-status.spent / status.limit, status.budget, status.key))
        return BudgetAnswer(
            allowed=all(status.state != "exceeded" for status in statuses),
            as_of=counted.at,
            budgets=visible[:_MAX_STATUSES],
        )

    def _spent(self, rule: Budget, now: datetime) -> dict[str, _Spent]:
        filters = {name: str(getattr(rule, name)) for name in _FILTERS}
        where = [_OF_PURPOSE, *(_FILTERS[name] for name, value in filters.items() if value)]
        window = " AND ".join([_WINDOW, *where])
        charged = priced_sums("usage_hour", {"key": _COLUMNS[rule.per]}, window, counts=_COUNTS, parts=False)
        # Names of columns and amounts are constants; everything from settings is bound.
        sql = f"""SELECT toString(key) AS key, {_AMOUNTS[rule.unit]} AS spent,
            sumIf(Calls, NOT Priced) AS unpriced, ifNull(sumIf(Cost, Stated), 0) AS stated,
            ifNull(sumIf(Cost, Estimated != ''), 0) AS estimated
        FROM ({charged}) AS charges
        GROUP BY key"""  # noqa: S608
        params: dict[str, QueryValue] = {
            "since": int(window_start(rule, now).timestamp() * 1000),
            "until": int(now.timestamp() * 1000) + 1,
            "purposes": rule.purposes,
            **{name: value for name, value in filters.items() if value},
        }
        rows: list[dict[str, Any]] = self._store.rows(sql, params)
        return {
            row["key"]: _Spent(
                float(row["spent"]), int(row["unpriced"]), float(row["stated"]), float(row["estimated"])
            )
            for row in rows
        }


def window_start(rule: Budget, now: datetime) -> datetime:
    """Where the window that holds `now` begins, UTC: with a day of the budget's zone, or with a whole hour
    where it rolls.
    """
    if rule.window in _ROLLING:
        hour = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        return hour - _ROLLING[rule.window] + timedelta(hours=1)
    day = day_of(now, rule.time_zone)
    if rule.window == "week":
        day -= timedelta(days=day.weekday())
    return start_of(day.replace(day=1) if rule.window == "month" else day, rule.time_zone)


def _window_end(rule: Budget, start: datetime) -> datetime | None:
    """Where a calendar window ends; rolling ones do not."""
    if rule.window in _ROLLING:
        return None
    first = day_of(start, rule.time_zone)
    if rule.window == "month":
        return month_of(first, rule.time_zone)[1]
    return start_of(first + timedelta(days=7 if rule.window == "week" else 1), rule.time_zone)


def _keys(rule: Budget, query: BudgetQuery) -> tuple[str, ...]:
    """Which of a rule's budgets concern the call."""
    wanted = {name: str(getattr(rule, name)) for name in _FILTERS}
    if any(value and value not in query.values(name) for name, value in wanted.items()):
        return ()
    return ("",) if rule.per == "all" else query.values(rule.per)


def _status(rule: Budget, key: str, spent: Mapping[str, _Spent], now: datetime) -> BudgetUsage:
    counted = spent.get(key, _Spent())
    amount = counted.amount
    start = window_start(rule, now)
    expected, breach = _pace(rule, amount, start, now)
    state = "ok"
    if amount >= rule.limit:
        state = "exceeded"
    elif amount >= rule.warn_at * rule.limit or breach is not None:
        state = "warning"
    return BudgetUsage(
        budget=rule.name,
        key=key,
        per=rule.per,
        project=key if rule.per == "project" else rule.project,
        unit=rule.unit,
        window=rule.window,
        window_start=start,
        time_zone=rule.time_zone,
        spent=amount,
        warn_at=rule.warn_at * rule.limit,
        limit=rule.limit,
        remaining=max(0.0, rule.limit - amount),
        expected=expected,
        breach_at=breach,
        unpriced_calls=counted.unpriced_calls,
        stated_share=counted.stated / amount if rule.unit == "usd" and amount else 0.0,
        estimated_share=counted.estimated / amount if rule.unit == "usd" and amount else 0.0,
        state=state,
    )


def _pace(
    rule: Budget, amount: float, start: datetime, now: datetime
) -> tuple[float | None, datetime | None]:
    """The amount at the window's end, and when the limit is reached before it, if it goes on like this."""
    end = _window_end(rule, start)
    # The first hundredth of a window says nothing about its end.
    if end is None or now - start <= (end - start) / 100:
        return None, None
    expected = amount * ((end - start) / (now - start))
    if expected <= rule.limit or amount >= rule.limit:
        return expected, None
    return expected, start + (now - start) * (rule.limit / amount)

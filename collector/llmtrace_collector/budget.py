"""Budgets: what was spent of each, kept in memory so that applications may ask before every call."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from pydantic import BaseModel

from .auth import Denied, Doors, Identity
from .settings import Budget
from .store.store import Store

#: What a budget is for each of → the ledger's column.
_COLUMNS: Mapping[str, str] = {
    "user": "UserId",
    "project": "Project",
    "model": "Model",
    "service": "ServiceName",
}

_AMOUNTS: Mapping[str, str] = {
    "usd": "ifNull(sum(Cost), 0)",
    "tokens": "sum(InputTokens) + sum(OutputTokens)",
    "requests": "sum(Calls)",
}

_ROLLING: Mapping[str, timedelta] = {
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
}


class Standing(BaseModel):
    """How one budget stands. Amounts are in `unit`; `expected` is the amount at the end of a calendar window
    if it goes on at the same pace, null in rolling ones. Calls without a price count as nothing in USD."""

    budget: str
    key: str
    unit: str
    window: str
    spent: float
    limit: float
    remaining: float
    expected: float | None
    unpriced_calls: int
    state: str


class Answer(BaseModel):
    """`allowed` is false when a budget that concerns the caller is used up. `as_of`: when it was counted."""

    allowed: bool
    as_of: datetime
    budgets: list[Standing]


@dataclass(frozen=True)
class _Counted:
    """What each key spent of each rule, by the rule's place."""

    at: datetime
    spent: Sequence[Mapping[str, tuple[float, int]]]


class Budgets:
    """Counts every few seconds (`count` is one pass) and answers from memory."""

    def __init__(self, store: Store, rules: Sequence[Budget]) -> None:
        self._store = store
        self._rules = rules
        self._counted: _Counted | None = None
        self._turn = threading.Lock()

    def count(self, now: datetime | None = None) -> None:
        """Read what was spent of every budget. Hours are the finest step of windows."""
        with self._turn:
            at = now or datetime.now(UTC)
            self._counted = _Counted(at, [self._spent(rule, at) for rule in self._rules])

    def answer(self, asked: Mapping[str, str]) -> Answer | None:
        """How the budgets that concern a call stand; None before the first count.

        `asked` holds user, project, model and service of the call, empty where not known. A budget for each
        user concerns calls of a known user alone.
        """
        counted = self._counted
        if counted is None:
            return None
        found = [
            _standing(rule, asked, spent, counted.at)
            for rule, spent in zip(self._rules, counted.spent, strict=True)
            if _concerns(rule, asked)
        ]
        return Answer(
            allowed=all(each.state != "exceeded" for each in found), as_of=counted.at, budgets=found
        )

    def _spent(self, rule: Budget, now: datetime) -> dict[str, tuple[float, int]]:
        key = _COLUMNS[rule.per] if rule.per != "all" else "''"
        # Names of columns and amounts are constants; everything from settings is bound.
        sql = f"""SELECT toString({key}) AS key, {_AMOUNTS[rule.unit]} AS spent,
            sumIf(Calls, NOT Priced) AS unpriced
        FROM cost_hour
        WHERE Time >= toDateTime({{since:UInt32}}) AND Time <= toDateTime({{now:UInt32}}) AND NOT Simulated
            AND ({{user:String}} = '' OR UserId = {{user:String}})
            AND ({{project:String}} = '' OR Project = {{project:String}})
            AND ({{model:String}} = '' OR Model = {{model:String}})
        GROUP BY key"""  # noqa: S608
        params = {
            "since": str(int(window_start(rule, now).timestamp())),
            "now": str(int(now.timestamp())),
            "user": rule.user,
            "project": rule.project,
            "model": rule.model,
        }
        rows: list[dict[str, Any]] = self._store.rows(sql, params)
        return {row["key"]: (float(row["spent"]), int(row["unpriced"])) for row in rows}


def window_start(rule: Budget, now: datetime) -> datetime:
    """Where the window that holds `now` begins, UTC; rolling ones begin at a whole hour."""
    hour = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    if rule.window in _ROLLING:
        return hour - _ROLLING[rule.window] + timedelta(hours=1)
    day = hour.replace(hour=0)
    return day.replace(day=1) if rule.window == "month" else day


def _elapsed(rule: Budget, now: datetime) -> float | None:
    """The share of a calendar window that is over."""
    if rule.window in _ROLLING:
        return None
    start = window_start(rule, now)
    end = start + timedelta(days=1)
    if rule.window == "month":
        end = (start + timedelta(days=32)).replace(day=1)
    return (now - start) / (end - start)


def _concerns(rule: Budget, asked: Mapping[str, str]) -> bool:
    if rule.per != "all" and not asked[rule.per]:
        return False
    wanted = {"user": rule.user, "project": rule.project, "model": rule.model}
    return all(value in ("", asked[name]) for name, value in wanted.items())


def _standing(
    rule: Budget, asked: Mapping[str, str], spent: Mapping[str, tuple[float, int]], now: datetime
) -> Standing:
    key = "" if rule.per == "all" else asked[rule.per]
    amount, unpriced = spent.get(key, (0.0, 0))
    elapsed = _elapsed(rule, now)
    # The first hundredth of a window says nothing about its end.
    expected = amount / elapsed if elapsed is not None and elapsed > 0.01 else None
    state = "ok"
    if amount >= rule.limit:
        state = "exceeded"
    elif amount >= rule.warn_at * rule.limit or (expected is not None and expected > rule.limit):
        state = "warning"
    return Standing(
        budget=rule.name,
        key=key,
        unit=rule.unit,
        window=rule.window,
        spent=amount,
        limit=rule.limit,
        remaining=max(0.0, rule.limit - amount),
        expected=expected,
        unpriced_calls=unpriced,
        state=state,
    )


def _asker(doors: Doors, request: Request) -> Identity:
    """Whoever may send or read may ask. Raises HTTPException."""
    try:
        return doors.admit(request.headers, "ingest")
    except Denied:
        try:
            return doors.admit(request.headers, "read")
        except Denied as denied:
            raise HTTPException(denied.status, "a key that may send or read is needed") from denied


def router(budgets: Budgets, doors: Doors) -> APIRouter:
    """The route GET /v1/budget. A key that may send or read may ask."""
    routes = APIRouter()

    @routes.get("/v1/budget")
    async def budget(
        request: Request, user: str = "", project: str = "", model: str = "", service: str = ""
    ) -> Answer:
        identity = _asker(doors, request)
        project = project or identity.project or "default"
        if identity.project and project != identity.project:
            raise HTTPException(403, "this key is for another project")
        answer = budgets.answer({"user": user, "project": project, "model": model, "service": service})
        if answer is None:
            raise HTTPException(
                503, "budgets are being counted for the first time", headers={"Retry-After": "1"}
            )
        return answer

    return routes

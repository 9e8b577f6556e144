"""Budgets as incidents: near the limit, over it, or on the way there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from clickhouse_connect.driver.client import Client

from llmtrace_collector.store.incident import Incident

from .incident_lifecycle import Finding, QuietPeriod

WARNING_RULE, EXCEEDED_RULE, FORECAST_RULE = "budget.warning", "budget.exceeded", "budget.forecast"

#: A budget keeps its status for long: it is seen once in so many seconds.
_STEP = 60.0


class BudgetRule:
    """Whose budget is used up, nearly used up, or will not last."""

    def __init__(self, statuses: Callable[[], Sequence[Mapping[str, Any]]]) -> None:
        """`statuses`: what GET /v1/budgets answers now."""
        self._statuses = statuses

    def findings(self, client: Client, incidents: Sequence[Incident], now: float) -> list[Finding]:
        """See `Rule`."""
        return budget_findings(self._statuses(), now)

    def quiet_periods(self, now: float) -> dict[str, QuietPeriod]:
        """When incidents of budgets are over: soon after their window is."""
        return dict.fromkeys((WARNING_RULE, EXCEEDED_RULE, FORECAST_RULE), QuietPeriod(now, 3 * _STEP))


def budget_findings(statuses: Sequence[Mapping[str, Any]], now: float) -> list[Finding]:
    """The findings of what GET /v1/budgets answered at `now` (Unix seconds).

    One that is used up is past its warning too, so that the two are told apart and each once.
    """
    findings = []
    for status in statuses:
        if status["spent"] >= status["limit"]:
            findings.append(_finding(status, EXCEEDED_RULE, "critical", now))
        if status["spent"] >= status["warn_at"]:
            findings.append(_finding(status, WARNING_RULE, "warning", now))
        elif status["breach_at"] is not None:
            findings.append(_finding(status, FORECAST_RULE, "warning", now))
    return findings


def _finding(
    status: Mapping[str, Any], rule: str, severity: Literal["warning", "critical"], now: float
) -> Finding:
    name = _printable(status["budget"])
    key = _printable(status["key"])
    label = f"{name} of {key}" if key else name
    spent, limit = (_amount(status[field], status["unit"]) for field in ("spent", "limit"))
    title = {
        EXCEEDED_RULE: f"Budget {label} is used up: {spent} of {limit}",
        WARNING_RULE: f"Budget {label} is nearly used up: {spent} of {limit}",
        FORECAST_RULE: f"Budget {label} will not last: {spent} of {limit} so far",
    }[rule]
    ahead = ""
    if status["breach_at"] is not None:
        expected = _amount(status["expected"], status["unit"])
        when = str(status["breach_at"])[:16].replace("T", " ")
        ahead = f" At this pace the limit is reached at {when} UTC, and the window ends at {expected}."
    unpriced = status["unpriced_calls"]
    missing = f" {unpriced} calls have no price and count as nothing." if unpriced else ""
    if share := status.get("stated_share"):
        missing += f" {share:.0%} of it is what answers state, the rest is computed."
    if share := status.get("estimated_share"):
        missing += f" {share:.1%} of it is by tokens that are estimated from text."
    window = {"day": "this day", "week": "this week", "month": "this month"}.get(
        status["window"], f"the last {status['window']}"
    )
    seen = now // _STEP * _STEP
    return Finding(
        rule=rule,
        kind="budget",
        project=status["project"] or "default",
        dimensions={"budget": status["budget"], status["per"]: status["key"]},
        metric="budget",
        severity=severity,
        title=title,
        summary=f"Counted over {window} (UTC).{ahead}{missing}",
        observed=float(status["spent"]),
        expected_low=0.0,
        expected_high=float(status["limit"] if rule == EXCEEDED_RULE else status["warn_at"]),
        unit=status["unit"],
        seen=(seen,),
        openings=(seen,),
    )


def _amount(value: float, unit: str) -> str:
    return f"${value:,.2f}" if unit == "usd" else f"{value:,.0f} {unit}"


def _printable(text: str) -> str:
    """A name from settings or a span, printable and short."""
    return "".join(character for character in text if character.isprintable())[:80]

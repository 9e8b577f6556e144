"""Budgets as incidents: near the limit, over it, or on the way there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from .incident_lifecycle import Finding, QuietPeriod

WARNING_RULE, EXCEEDED_RULE, FORECAST_RULE = "budget.warning", "budget.exceeded", "budget.forecast"

#: A budget stays as it stands for long: it is seen once in so many seconds.
_STEP = 60.0


def budget_findings(standings: Sequence[Mapping[str, Any]], now: float) -> list[Finding]:
    """The findings of what GET /v1/budgets told at `now` (Unix seconds).

    One that is used up is past its warning too, so that the two are told apart and each once.
    """
    findings = []
    for standing in standings:
        if standing["spent"] >= standing["limit"]:
            findings.append(_finding(standing, EXCEEDED_RULE, "critical", now))
        if standing["spent"] >= standing["warn_at"]:
            findings.append(_finding(standing, WARNING_RULE, "warning", now))
        elif standing["breach_at"] is not None:
            findings.append(_finding(standing, FORECAST_RULE, "warning", now))
    return findings


def budget_quiet_periods(now: float) -> dict[str, QuietPeriod]:
    """When incidents of budgets are over: soon after their window is."""
    return dict.fromkeys((WARNING_RULE, EXCEEDED_RULE, FORECAST_RULE), QuietPeriod(now, 3 * _STEP))


def _finding(
    standing: Mapping[str, Any], rule: str, severity: Literal["warning", "critical"], now: float
) -> Finding:
    name = _shown(standing["budget"])
    key = _shown(standing["key"])
    whose = f"{name} of {key}" if key else name
    spent, limit = (_amount(standing[field], standing["unit"]) for field in ("spent", "limit"))
    says = {
        EXCEEDED_RULE: f"Budget {whose} is used up: {spent} of {limit}",
        WARNING_RULE: f"Budget {whose} is nearly used up: {spent} of {limit}",
        FORECAST_RULE: f"Budget {whose} will not last: {spent} of {limit} so far",
    }[rule]
    ahead = ""
    if standing["breach_at"] is not None:
        expected = _amount(standing["expected"], standing["unit"])
        when = str(standing["breach_at"])[:16].replace("T", " ")
        ahead = f" At this pace the limit is reached at {when} UTC, and the window ends at {expected}."
    unpriced = standing["unpriced_calls"]
    missing = f" {unpriced} calls have no price and count as nothing." if unpriced else ""
    window = {"day": "this day", "week": "this week", "month": "this month"}.get(
        standing["window"], f"the last {standing['window']}"
    )
    seen = now // _STEP * _STEP
    return Finding(
        rule=rule,
        kind="budget",
        project=standing["project"] or "default",
        dimensions={"budget": standing["budget"], standing["per"]: standing["key"]},
        metric="budget",
        severity=severity,
        title=says,
        summary=f"Counted over {window} (UTC).{ahead}{missing}",
        observed=float(standing["spent"]),
        expected_low=0.0,
        expected_high=float(standing["limit"] if rule == EXCEEDED_RULE else standing["warn_at"]),
        unit=standing["unit"],
        seen=(seen,),
        openings=(seen,),
    )


def _amount(value: float, unit: str) -> str:
    return f"${value:,.2f}" if unit == "usd" else f"{value:,.0f} {unit}"


def _shown(text: str) -> str:
    """A name from settings or a span, printable and short."""
    return "".join(character for character in text if character.isprintable())[:80]

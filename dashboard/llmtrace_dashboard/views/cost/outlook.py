"""What the month will have cost at its end, against its budgets."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pandas as pd
import streamlit as st

from llmtrace_analysis.cost import forecast, report
from llmtrace_analysis.queries.scope import Scope
from llmtrace_dashboard.settings import DashboardSettings
from llmtrace_dashboard.ui import charts, formats
from llmtrace_dashboard.ui.cached_reads import load
from llmtrace_dashboard.ui.current_settings import current_settings
from llmtrace_dashboard.ui.tables import badge, cell, column, row, table

from .shared import CostViewContext, terminal

#: Days to learn from, as `llmtrace cost forecast` takes by default.
HISTORY_DAYS = 90

_STATES = {"ok": ("Within", "good"), "warning": ("Warning", "warn"), "exceeded": ("Exceeded", "bad")}
_WINDOWS = {"day": "this day", "month": "this month", "24h": "24 hours", "7d": "7 days", "30d": "30 days"}


def draw(view: CostViewContext) -> None:
    """Draw this month so far, its forecast, and how the budgets stand, in US dollars."""
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    scope = replace(view.scope, since=midnight - timedelta(days=HISTORY_DAYS), until=midnight, service="")
    budgets = budget_statuses(current_settings(), scope)
    daily = load(report.daily, scope)
    try:
        found = forecast.month_end(daily, midnight.date())
    except forecast.TooLittleHistory as reason:
        with st.container(border=True):
            st.subheader("No forecast yet", anchor=False)
            st.text(f"{str(reason).split(';')[0]}. Until then, budgets show what was spent.".capitalize())
    else:
        _month(daily, found, midnight, budgets)
        _backtest(daily, midnight)
    _budgets(budgets, scope)
    terminal("forecast", *_options(scope))


def _options(scope: Scope) -> list[str]:
    given = {name: str(getattr(scope, name)) for name in ("project", "model", "user")}
    words = [word for name, value in given.items() if value for word in (f"--{name}", value)]
    return [*words, *(["--simulated"] if scope.simulated else [])]


def budget_statuses(settings: DashboardSettings, scope: Scope) -> list[dict[str, Any]]:
    """How the budgets that concern these calls stand, from the collector; none where it has none."""
    key = settings.read_key.get_secret_value() if settings.read_key else settings.writing_key()
    asked = {name: getattr(scope, name) for name in ("user", "project", "model") if getattr(scope, name)}
    try:
        answer = httpx.get(
            f"{settings.collector_url.rstrip('/')}/v1/budget",
            params=asked,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=5,
        )
        answer.raise_for_status()
    except httpx.HTTPError as error:
        st.caption(f"Budgets cannot be asked for: {error}")
        return []
    found: list[dict[str, Any]] = answer.json()["budgets"]
    return found


def _month(
    daily: pd.Series, found: forecast.Forecast, midnight: datetime, budgets: list[dict[str, Any]]
) -> None:
    first = midnight.replace(day=1)
    end = (first + timedelta(days=32)).replace(day=1)
    limits = {
        each["budget"]: float(each["limit"])
        for each in budgets
        if each["unit"] == "usd" and each["window"] == "month"
    }
    cards = [
        ("Spent on full days", formats.usd(found.spent), f"Since {first:%d %B}, today left out."),
        ("Expected at the month's end", formats.usd(found.expected), found.method.capitalize() + "."),
        (
            f"{found.confidence:.0%} interval",
            f"{formats.usd(found.low)} – {formats.usd(found.high)}",
            f"From {found.history_days} full days.",
        ),
    ]
    for place, (label, value, help) in zip(st.columns(3, gap="small"), cards, strict=True):
        place.metric(label, value, help=help, border=True)
    this_month = daily[daily.index >= pd.Timestamp(first.date())]
    with st.container(border=True):
        st.subheader("This month, summed up", anchor=False)
        st.altair_chart(
            charts.month(this_month.cumsum(), first, end, (found.expected, found.low, found.high), limits),
            key="month",
            alt=f"Cost summed over this month, expected to reach {formats.usd(found.expected)}",
        )


def _backtest(daily: pd.Series, midnight: datetime) -> None:
    tested = forecast.backtest(daily, midnight.date())
    if tested.empty:
        st.caption("How good such forecasts were can be told after five weeks of history.")
        return
    rows = [
        row(
            [
                cell(str(item["from"])),
                cell(formats.usd(item["expected"])),
                cell(f"{formats.usd(item['low'])} – {formats.usd(item['high'])}"),
                cell(formats.usd(item["actual"])),
                cell(formats.NONE if item["error"] != item["error"] else f"{item['error']:+.0%}"),
                cell("inside" if item["inside"] else "outside", tone="" if item["inside"] else "warn"),
            ]
        )
        for item in tested.to_dict(orient="records")
    ]
    columns = [
        column("Two weeks from", fit="grow"),
        column("Forecast", "right"),
        column("Interval", "right"),
        column("Came", "right"),
        column("Error", "right"),
        column("Interval held"),
    ]
    with st.expander("How earlier forecasts would have done"):
        table("Earlier forecasts", columns, rows, "backtest")


def _budgets(budgets: list[dict[str, Any]], scope: Scope) -> None:
    st.subheader("Budgets", anchor=False)
    if not budgets:
        st.text("No budget concerns these calls. Set one in llmtrace.toml and restart the collector:")
        st.code('[[collector.budgets]]\nname = "month"\nlimit = 500\nunit = "usd"', language="toml")
        return
    rows = []
    for each in budgets:
        share = each["spent"] / each["limit"]
        state = badge(_STATES, each["state"])
        rows.append(
            row(
                [
                    cell(each["budget"], sub=each["key"]),
                    cell(_WINDOWS.get(each["window"], each["window"])),
                    cell(_amount(each["spent"], each["unit"]), bar=min(1.0, share)),
                    cell(_amount(each["limit"], each["unit"])),
                    cell(formats.percent(share)),
                    cell(_amount(each["expected"], each["unit"])),
                    cell(state["text"], badge=state["tone"]),
                ]
            )
        )
    columns = [
        column("Budget", fit="grow"),
        column("Window"),
        column("Spent", "right"),
        column("Limit", "right"),
        column("Used", "right"),
        column("At its end", "right", help="If it goes on at the same pace; of calendar windows alone"),
        column("State"),
    ]
    table("Budgets", columns, rows, "budgets")
    if not scope.user:
        st.caption("Budgets of each user are shown once a user is chosen on the left.")


def _amount(value: float | None, unit: str) -> str:
    if unit == "usd":
        return formats.usd(value)
    return formats.NONE if value is None else f"{formats.count(value)} {unit}"

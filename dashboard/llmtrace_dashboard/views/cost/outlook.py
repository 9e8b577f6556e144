"""What the month will have cost at its end, against its budgets."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pandas as pd
import streamlit as st

from llmtrace.common.escaping import markdown_text
from llmtrace.common.time_zones import UTC_ZONE, day_of, start_of
from llmtrace_analysis.collector_client import CollectorRefused, CollectorUnavailable, connect
from llmtrace_analysis.cost import report
from llmtrace_analysis.cost.planning import forecast
from llmtrace_analysis.cost.report import CostPage
from llmtrace_analysis.cost.stated_costs import stated_share
from llmtrace_analysis.queries.scope import Scope
from llmtrace_dashboard.settings import DashboardSettings
from llmtrace_dashboard.ui import charts, formats
from llmtrace_dashboard.ui.cached_reads import load
from llmtrace_dashboard.ui.current_settings import current_settings
from llmtrace_dashboard.ui.tables import badge, cell, column, row, table
from llmtrace_dashboard.ui.visitor import access

from .shared import purpose_options, show_command

#: Days to learn from, as `llmtrace cost forecast` takes by default.
HISTORY_DAYS = 90

_STATES = {"ok": ("Within", "good"), "warning": ("Warning", "warn"), "exceeded": ("Exceeded", "bad")}
_WINDOWS = {"day": "this day", "month": "this month", "24h": "24 hours", "7d": "7 days", "30d": "30 days"}


def draw(page: CostPage) -> None:
    """Draw this month so far, its forecast, and the budgets' status, in US dollars."""
    zone = page.scope.zone
    today = day_of(datetime.now(UTC), zone)
    since = start_of(today - timedelta(days=HISTORY_DAYS), zone)
    scope = replace(page.scope, since=since, until=start_of(today, zone), service="")
    statuses = budget_statuses(current_settings(), scope)
    costs = load(report.daily_costs, scope)
    daily = costs["cost"]
    try:
        month_end = forecast.month_end(daily, today, zone=zone)
    except forecast.TooLittleHistory as reason:
        with st.container(border=True):
            st.subheader("No forecast yet", anchor=False)
            lacking = str(reason).partition(";")[0]
            st.text(f"{lacking[:1].upper()}{lacking[1:]}. Until then, budgets show what was spent.")
    else:
        _month(daily, month_end, today, statuses)
        if share := stated_share(float(costs["stated_cost"].sum()), float(daily.sum())):
            st.caption(f"{share:.0%} of the cost that it is made of is stated by answers, the rest computed.")
        if share := stated_share(float(costs["estimated_cost"].sum()), float(daily.sum())):
            st.caption(f"≈ {share:.1%} of the cost that it is made of is by tokens estimated from text.")
        _backtest(daily, today)
        st.caption(f"Days and months are those of {markdown_text(zone)}.")
    _budgets(statuses, scope)
    show_command("forecast", *_options(scope))


def _options(scope: Scope) -> list[str]:
    filters = {name: str(getattr(scope, name)) for name in ("project", "model", "user")}
    words = [word for name, value in filters.items() if value for word in (f"--{name}", value)]
    return [*words, *purpose_options(scope)]


def budget_statuses(settings: DashboardSettings, scope: Scope) -> list[dict[str, Any]]:
    """The status of each budget that concerns these calls, from the collector; none where it has none."""
    query = {name: getattr(scope, name) for name in ("user", "project", "model") if getattr(scope, name)}
    try:
        with closing(connect(settings, reading=True, caller=access().caller())) as client:
            return client.budgets_of(**query)
    except (CollectorUnavailable, CollectorRefused) as error:
        st.caption(f"Budgets cannot be asked for: {markdown_text(str(error))}")
        return []


def _month(
    daily: pd.Series, month_end: forecast.Forecast, today: date, statuses: list[dict[str, Any]]
) -> None:
    # Charts draw days of any zone as those of UTC.
    first = datetime(today.year, today.month, 1, tzinfo=UTC)
    end = (first + timedelta(days=32)).replace(day=1)
    limits = {
        status["budget"]: float(status["limit"])
        for status in statuses
        if status["unit"] == "usd" and status["window"] == "month"
    }
    cards = [
        ("Spent on full days", formats.usd(month_end.spent), f"Since {first:%d %B}, today left out."),
        ("Expected at the month's end", formats.usd(month_end.expected), month_end.method.capitalize() + "."),
        (
            f"{month_end.confidence:.0%} interval",
            f"{formats.usd(month_end.low)} – {formats.usd(month_end.high)}",
            f"From {month_end.history_days} full days.",
        ),
    ]
    for place, (label, value, help) in zip(st.columns(3, gap="small"), cards, strict=True):
        place.metric(label, value, help=help, border=True)
    this_month = daily[daily.index >= pd.Timestamp(first.date())]
    with st.container(border=True):
        st.subheader("This month, summed up", anchor=False)
        st.altair_chart(
            charts.month(
                this_month.cumsum(), first, end, (month_end.expected, month_end.low, month_end.high), limits
            ),
            key="month",
            alt=f"Cost summed over this month, expected to reach {formats.usd(month_end.expected)}",
        )


def _backtest(daily: pd.Series, today: date) -> None:
    tested = forecast.backtest(daily, today)
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


def _zone(status: dict[str, Any]) -> str:
    """Whose day, week or month a budget counts, where it is another's than UTC's."""
    return "" if status["time_zone"] == UTC_ZONE else str(status["time_zone"])


def _budgets(statuses: list[dict[str, Any]], scope: Scope) -> None:
    st.subheader("Budgets", anchor=False)
    if not statuses:
        st.text("No budget concerns these calls. Set one in llmtrace.toml and restart the collector:")
        st.code('[[collector.budgets]]\nname = "month"\nlimit = 500\nunit = "usd"', language="toml")
        return
    rows = []
    for status in statuses:
        share = status["spent"] / status["limit"]
        state = badge(_STATES, status["state"])
        rows.append(
            row(
                [
                    cell(status["budget"], sub=status["key"]),
                    cell(_WINDOWS.get(status["window"], status["window"]), sub=_zone(status)),
                    cell(
                        _amount(status["spent"], status["unit"]), bar=min(1.0, share), title=_made_of(status)
                    ),
                    cell(_amount(status["limit"], status["unit"])),
                    cell(formats.percent(share)),
                    cell(_amount(status["expected"], status["unit"])),
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


def _made_of(status: dict[str, Any]) -> str:
    parts = []
    if share := status.get("stated_share"):
        parts.append(f"{share:.0%} of it is stated by answers, the rest computed")
    if share := status.get("estimated_share"):
        parts.append(f"≈ {share:.1%} of it is by tokens estimated from text")
    return "; ".join(parts)


def _amount(value: float | None, unit: str) -> str:
    if unit == "usd":
        return formats.usd(value)
    return formats.NONE if value is None else f"{formats.count(value)} {unit}"

"""Overview: is it up, fast and affordable, and who uses it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

import pandas as pd
import streamlit as st

from llmtrace_dashboard import charts, filters, formats
from llmtrace_dashboard.components import show
from llmtrace_dashboard.links import incident_url, page_url
from llmtrace_dashboard.page import empty, header, live
from llmtrace_dashboard.queries import incidents, usage
from llmtrace_dashboard.queries.usage import Totals
from llmtrace_dashboard.reading import load
from llmtrace_dashboard.tables import SEVERITIES, badge, cell, column, cost_cell, error_cell, row, table


def render() -> None:
    """Draw the page's data."""
    scope = filters.scope()
    header("Overview", filters.range_label())
    _incidents(scope.project)
    totals = load(usage.totals, scope)
    if not totals.calls:
        empty("calls")
        return
    series = load(usage.over_time, scope)
    _kpis(totals, load(usage.totals, scope.before()), series)
    zone = filters.zone()
    left, right = st.columns(2, gap="medium")
    with left, st.container(border=True):
        st.subheader("Latency", anchor=False)
        st.altair_chart(
            charts.percentiles(series, zone),
            key="latency",
            alt=f"Latency over time; p95 over the whole window is {formats.seconds(totals.p95)}",
        )
    with right, st.container(border=True):
        st.subheader("Calls and errors", anchor=False)
        st.altair_chart(
            charts.calls(series, zone, scope.step),
            key="calls",
            alt=f"{totals.calls} calls over time, {totals.errors} of them failed",
        )
    left, right = st.columns(2, gap="medium")
    with left:
        st.subheader("Top models", anchor=False)
        _models(load(usage.top_models, scope))
    with right:
        st.subheader("Top users", anchor=False)
        _users(load(usage.top_users, scope))


def _incidents(project: str) -> None:
    found = load(incidents.incident_list, project, ("open",), 5)
    if not found:
        return
    now = datetime.now(UTC)
    strip = []
    for incident in found[:3]:
        mark = badge(SEVERITIES, incident.severity)
        strip.append(
            {
                "tone": mark["tone"],
                "badge": mark["text"],
                "text": incident.title,
                "when": "opened " + formats.ago(incident.opened_at, now),
                "href": incident_url(incident.incident_id),
            }
        )
    show("facts", {"strip": strip}, "open_incidents")
    if len(found) > len(strip):
        st.page_link("pages/incidents.py", label="All open incidents", icon=":material/arrow_forward:")


def _kpis(totals: Totals, before: Totals, series: pd.DataFrame) -> None:
    unpriced = f"{formats.count(totals.unpriced)} unpriced" if totals.unpriced else ""
    without = (
        f" {formats.plural(totals.without_tokens, 'call')} reported no token counts."
        if totals.without_tokens
        else ""
    )
    rate = series["errors"] / series["calls"].where(series["calls"] > 0)
    columns = st.columns(6, gap="small")
    cards: list[tuple[str, str, str | None, Literal["inverse", "primary"], pd.Series, str]] = [
        (
            "Calls",
            formats.count(totals.calls),
            formats.change(totals.calls, before.calls),
            "primary",
            series["calls"],
            "Calls to models that count for usage.",
        ),
        (
            "Error rate",
            formats.percent(totals.error_rate),
            formats.change(totals.error_rate, before.error_rate),
            "inverse",
            rate,
            f"{totals.errors:,} of {totals.calls:,} calls failed.",
        ),
        (
            "Latency p95",
            formats.seconds(totals.p95),
            formats.change(totals.p95, before.p95),
            "inverse",
            series["p95"],
            f"Half of the calls took at most {formats.seconds(totals.p50)}, 95% at most this.",
        ),
        (
            "TTFT p95",
            formats.seconds(totals.ttft_p95),
            formats.change(totals.ttft_p95, before.ttft_p95),
            "inverse",
            series["ttft_p95"],
            f"Time to first token (TTFT) of the {totals.streamed:,} streamed calls.",
        ),
        (
            "Tokens",
            formats.count(totals.tokens),
            formats.change(totals.tokens, before.tokens),
            "primary",
            series["input_tokens"] + series["output_tokens"],
            f"{totals.input_tokens:,} in and {totals.output_tokens:,} out.{without}",
        ),
        (
            "Cost",
            "unpriced" if totals.cost is None else formats.usd(totals.cost),
            " · ".join(part for part in (formats.change(totals.cost, before.cost), unpriced) if part) or None,
            "primary",
            series["cost"],
            "In US dollars; calls without a price are not in it. See the Cost page.",
        ),
    ]
    for place, (label, value, delta, colour, line, help) in zip(columns, cards, strict=True):
        place.metric(
            label,
            value,
            delta,
            delta_color=colour,
            delta_arrow="auto" if delta and delta[0] in "+-" else "off",
            border=True,
            chart_data=_sparkline(line),
            chart_type="area",
            help=help + " Change against the time just before.",
            height="stretch",
        )


def _sparkline(line: pd.Series) -> list[float]:
    """Half the points of a series, gaps bridged by the value before."""
    values = pd.to_numeric(line, errors="coerce").ffill().bfill().fillna(0)
    return [float(value) for value in values.iloc[:: max(1, len(values) // 48)]]


_MEASURES = [
    column("Calls", "right"),
    column("Errors", "right"),
    column("p95", "right", help="95% of the calls took at most this long"),
    column("Tokens", "right"),
    column("Cost", "right"),
]


def _measures(data: pd.Series) -> list[dict[str, object]]:
    calls, cost = int(data["calls"]), float(data["cost"])
    return [
        cell(formats.count(calls)),
        error_cell(int(data["errors"]), calls),
        cell(formats.seconds(float(data["p95"]))),
        cell(formats.count(int(data["input_tokens"]) + int(data["output_tokens"]))),
        cost_cell(cost, int(data["unpriced"]), calls),
    ]


def _models(data: pd.DataFrame) -> None:
    rows = [
        row(
            [
                cell(
                    str(item["model"]) or "no model named",
                    href=page_url("/traces", model=str(item["model"])),
                    sub=str(item["provider"]),
                    title=str(item["model"]),
                ),
                *_measures(item),
            ]
        )
        for _, item in data.iterrows()
    ]
    table("Top models", [column("Model", fit="grow"), *_MEASURES], rows, "models", "No model was called.")


def _users(data: pd.DataFrame) -> None:
    rows = [
        row(
            [
                cell(
                    str(item["user"]),
                    href=page_url("/traces", user=str(item["user"])),
                    title=str(item["user"]),
                ),
                *_measures(item),
            ]
        )
        for _, item in data.iterrows()
    ]
    table(
        "Top users",
        [column("User", fit="grow"), *_MEASURES],
        rows,
        "users",
        "No call names its user: wrap calls in llmtrace.context(user_id=…).",
    )


if __name__ == "__main__":
    live(render)

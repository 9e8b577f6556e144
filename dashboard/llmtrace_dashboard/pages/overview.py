"""Overview: is it up, fast and affordable, and who uses it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import pandas as pd
import streamlit as st

from llmtrace.common.escaping import markdown_text
from llmtrace.semconv import DEGRADATIONS
from llmtrace_analysis.cost.stated_costs import stated_share
from llmtrace_analysis.queries import degraded_answers, incidents, process_ends, usage
from llmtrace_analysis.queries.process_ends import ProcessEnd
from llmtrace_analysis.queries.scope import Scope, utc
from llmtrace_analysis.queries.usage import Totals
from llmtrace_dashboard.ui import charts, filters, formats, theme
from llmtrace_dashboard.ui.cached_reads import load
from llmtrace_dashboard.ui.components import show
from llmtrace_dashboard.ui.page_frame import empty, header, live
from llmtrace_dashboard.ui.page_links import PAGES, incident_url, page_url
from llmtrace_dashboard.ui.tables import SEVERITIES, badge, cell, column, cost_cell, error_cell, row, table


@dataclass(frozen=True)
class _Card:
    """One key figure: `note` stands under its value, `change` is against the time before."""

    label: str
    value: str
    note: str
    line: pd.Series
    help: str
    change: str | None
    colour: Literal["primary", "red", "green", "orange"] = "primary"


def render() -> None:
    """Draw the page's data."""
    scope = filters.scope()
    header("Overview", filters.range_label())
    _incidents(scope.project)
    _process_ends(load(process_ends.ended_without_goodbye, scope))
    over_time = load(usage.over_time, scope)
    totals, series = over_time.totals, over_time.buckets
    if not totals.calls:
        empty("calls")
        return
    minutes = (scope.until - scope.since).total_seconds() / 60
    _kpis(totals, over_time.before, series, minutes)
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
            charts.calls(series, zone, (scope.since, scope.until), scope.step),
            key="calls",
            alt=f"{totals.calls} calls over time, {totals.errors} of them failed",
        )
    _degraded(scope)
    left, right = st.columns(2, gap="medium")
    with left:
        st.subheader("Top models", anchor=False)
        _models(over_time.models)
    with right:
        st.subheader("Top users", anchor=False)
        _users(load(usage.top_users, scope))


def _degraded(scope: Scope) -> None:
    """Draw the share of degraded answers, where there are any."""
    answers = load(degraded_answers.degraded_answers, scope)
    if not answers.degraded:
        return
    kinds = [kind for kind in DEGRADATIONS if kind in set(answers.series["kind"])]
    kinds += sorted(set(answers.series["kind"]) - set(kinds))
    with st.container(border=True):
        st.subheader("Degraded answers", anchor=False)
        summary = (
            f"{formats.percent(answers.share)} of {formats.count(answers.answers)} answers came from what "
            "stood in for a model"
        )
        st.altair_chart(
            charts.shares(
                answers.series,
                filters.zone(),
                (scope.since, scope.until),
                scope.step,
                theme.colors_of(kinds),
            ),
            key="degraded",
            alt=f"Share of degraded answers over time: {summary}",
        )
        st.caption(f"{markdown_text(summary)}. [Their traces]({page_url('/traces', q='has:degraded')})")


def _process_ends(ends: list[ProcessEnd]) -> None:
    """Name the processes that ended without goodbye, where there are any."""
    if not ends:
        return
    lost, now = sum(end.lost for end in ends), datetime.now(UTC)
    label = f"{formats.count(len(ends))} processes ended without goodbye, {formats.count(lost)} spans lost"
    with st.expander(markdown_text(label), icon=":material/power_off:"):
        for end in ends:
            st.text(process_end_line(end, now))


def process_end_line(end: ProcessEnd, now: datetime) -> str:
    """Which process it was, when it was heard of last, and what is missing."""
    where = f" on {end.host}" if end.host else ""
    heard = "it never reported"
    if end.last_report is not None:
        at = end.last_report.strftime("%Y-%m-%d %H:%M:%S UTC")
        heard = f"last report at {at}, {formats.ago(end.last_report, now)}"
    missing = "what it made after that is not known"
    if end.state == "killed":
        missing = f"{formats.count(end.lost)} of {formats.count(end.generated)} spans were in its memory"
    return f"{end.service}, process {end.pid}{where}: ended without goodbye, {heard}; {missing}"


def _incidents(project: str) -> None:
    open_incidents = load(incidents.incident_list, project, ("open",), 5)
    if not open_incidents:
        return
    now = datetime.now(UTC)
    strip = []
    for incident in open_incidents[:3]:
        mark = badge(SEVERITIES, incident.severity)
        strip.append(
            {
                "tone": mark["tone"],
                "badge": mark["text"],
                "text": incident.title,
                "when": "opened " + formats.ago(utc(incident.opened_at), now),
                "href": incident_url(incident.incident_id),
            }
        )
    show("facts", {"strip": strip}, "open_incidents")
    if len(open_incidents) > len(strip):
        st.page_link(PAGES["/incidents"], label="All open incidents", icon=":material/arrow_forward:")


def _kpis(totals: Totals, before: Totals, series: pd.DataFrame, minutes: float) -> None:
    # Lines go on at nothing where nothing was called; latency has no such value.
    called = series["calls"] > 0
    rate = series["errors"] / series["calls"].where(called, 1)
    tokens = (series["input_tokens"] + series["output_tokens"]).where(called, 0)
    without = (
        f" {formats.plural(totals.without_tokens, 'call')} reported no token counts."
        if totals.without_tokens
        else ""
    )
    if totals.estimated:
        estimated = formats.plural(totals.estimated, "call")
        without += f" Tokens of {estimated} are estimated from text, at {formats.usd(totals.estimated_cost)}."
    cards = [
        _Card(
            "Calls",
            formats.count(totals.calls),
            f"{totals.calls / minutes:.3g} a minute",
            series["calls"],
            "Calls to models that count for usage.",
            formats.change(totals.calls, before.calls),
        ),
        _Card(
            "Error rate",
            formats.percent(totals.error_rate),
            f"{formats.count(totals.errors)} failed",
            rate,
            f"{totals.errors:,} of {totals.calls:,} calls failed.",
            formats.change(totals.error_rate, before.error_rate),
            "red" if totals.errors else "green",
        ),
        _Card(
            "Latency p95",
            formats.seconds(totals.p95),
            f"p50 {formats.seconds(totals.p50)}",
            series["p95"],
            "95% of the calls took at most this long, half of them at most p50.",
            formats.change(totals.p95, before.p95),
        ),
        _Card(
            "TTFT p95",
            formats.seconds(totals.ttft_p95),
            f"p50 {formats.seconds(totals.ttft_p50)}",
            series["ttft_p95"],
            f"Time to first token (TTFT) of the {totals.streamed:,} streamed calls.",
            formats.change(totals.ttft_p95, before.ttft_p95),
        ),
        _Card(
            "Tokens",
            formats.about(formats.count(totals.tokens), totals.estimated),
            f"{formats.count(totals.output_tokens)} out",
            tokens,
            f"{totals.input_tokens:,} in and {totals.output_tokens:,} out.{without}",
            formats.change(totals.tokens, before.tokens),
        ),
        _Card(
            "Cost",
            "unpriced" if totals.cost is None else formats.about(formats.usd(totals.cost), totals.estimated),
            f"{formats.count(totals.unpriced)} unpriced" if totals.unpriced else "all priced",
            series["cost"].where(called, 0),
            f"In US dollars, without {formats.plural(totals.unpriced, 'call')} that no price is known for. "
            f"{_stated(totals)}See the Cost page.{without}",
            formats.change(totals.cost, before.cost),
            "orange" if totals.unpriced else "primary",
        ),
    ]
    for place, card in zip(st.columns(len(cards), gap="small"), cards, strict=True):
        change = f" {card.change} against the time just before." if card.change else ""
        place.metric(
            card.label,
            card.value,
            card.note,
            delta_color=card.colour,
            delta_arrow="off",
            border=True,
            chart_data=_sparkline(card.line),
            chart_type="area",
            help=card.help + change,
            height="stretch",
        )


def _stated(totals: Totals) -> str:
    share = stated_share(totals.stated, totals.cost or 0.0)
    return f"{share:.0%} of it is stated by answers, the rest computed. " if share else ""


def _sparkline(line: pd.Series) -> list[float]:
    """At most 48 points of a series: of buckets side by side the highest, so that no peak is lost. Buckets
    without a value are left out, for nothing was measured there."""
    values = pd.to_numeric(line, errors="coerce").dropna().reset_index(drop=True)
    peaks = values.groupby(values.index // max(1, -(-len(values) // 48))).max()
    return [float(value) for value in peaks] or [0.0]


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
        cell(
            formats.about(
                formats.count(int(data["input_tokens"]) + int(data["output_tokens"])), data["estimated"]
            )
        ),
        cost_cell(cost, int(data["unpriced"]), calls, estimated=int(data["estimated"])),
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

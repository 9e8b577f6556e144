"""One incident: what it says, its metric and evidence, its history, and what may be done with it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

import streamlit as st

from llmtrace_analysis.collector_client import Decision
from llmtrace_analysis.queries import incidents, traces
from llmtrace_analysis.queries.scope import utc
from llmtrace_collector.store.incident import Incident, Label
from llmtrace_dashboard.ui import charts, filters, formats
from llmtrace_dashboard.ui.cached_reads import ReadFailed, load
from llmtrace_dashboard.ui.components import show
from llmtrace_dashboard.ui.current_settings import current_settings
from llmtrace_dashboard.ui.page_links import page_url, trace_url
from llmtrace_dashboard.ui.tables import SEVERITIES, STATES, badge, cell, column, row, status_cell, table
from llmtrace_dashboard.ui.visitor import AccessEnded, access, person

from .incident_actions import ActionFailed, act, label
from .incident_labels import LABELS, label_facts, label_help, render_margin

#: A detection's metric → the lines of the chart (column of the rollup → label).
_SERIES = {
    "latency": {"p95": "p95", "p50": "p50"},
    "ttft": {"ttft_p95": "p95", "ttft_p50": "p50"},
    "error_rate": {"error_rate": "Error rate"},
    "tokens_per_call": {"tokens_per_call": "Tokens per call"},
    "cost": {"cost_per_10_s": "Cost per 10 s"},
    "calls": {"calls_per_minute": "Calls per minute"},
}
_ACTIONS = {
    "open": "Opened",
    "update": "Seen again",
    "acknowledge": "Acknowledged",
    "resolve": "Resolved",
    "label:useful": "Labelled useful",
    "label:noise": "Labelled noise",
    "label:none": "Label taken back",
}
_METRICS = {
    "latency": "Latency",
    "ttft": "Time to first token",
    "error_rate": "Error rate",
    "tokens_per_call": "Tokens per call",
    "cost": "Cost",
    "calls": "Calls",
    "injection_hits": "Messages that match injection patterns",
    "unseen_spend": "Spend of a day that no span explains",
}


def expected_text(incident: Incident) -> str:
    """What was expected, in words."""
    low, high = incident.expected_low, incident.expected_high
    if low is None and high is None:
        return formats.NONE
    if not low:
        return f"up to {formats.with_unit(high, incident.unit)}"
    if high is None:
        return f"at least {formats.with_unit(low, incident.unit)}"
    return f"{formats.with_unit(low, incident.unit)} to {formats.with_unit(high, incident.unit)}"


def render_facts(incident_id: str) -> None:
    """Draw what an incident says."""
    incident = load(incidents.incident, incident_id)
    if incident is not None:
        _facts(incident)
        return
    with st.container(border=True):
        st.subheader("This incident is not in the store", anchor=False)
        st.text("The address may be incomplete, or the incident belongs to another collector.")


def render_context(incident_id: str) -> None:
    """Draw what surrounds an incident: its metric, evidence, history and deliveries."""
    incident = load(incidents.incident, incident_id)
    if incident is None:
        return
    _chart(incident)
    left, right = st.columns([3, 2], gap="medium")
    with left:
        st.subheader("Evidence", anchor=False)
        _evidence(incident)
    with right:
        st.subheader("History", anchor=False)
        _history(incident)
    st.subheader("Webhook deliveries", anchor=False)
    _deliveries(incident)


def _facts(incident: Incident) -> None:
    zone, now = filters.zone(), datetime.now(UTC)
    facts = [
        {"label": "Observed", "text": formats.with_unit(incident.observed, incident.unit), "tone": "bad"},
        {"label": "Expected", "text": expected_text(incident)},
        {"label": "Metric", "text": _METRICS.get(incident.metric, incident.metric) or formats.NONE},
        {"label": "Opened", "text": formats.clock(utc(incident.opened_at), zone, now)},
        {"label": "Last seen", "text": formats.clock(utc(incident.last_seen_at), zone, now)},
    ]
    if incident.resolved_at is not None:
        facts.append({"label": "Resolved", "text": formats.clock(utc(incident.resolved_at), zone, now)})
    facts.append({"label": "Times seen", "text": formats.count(incident.count)})
    for name, value in sorted(incident.dimensions.items()):
        linked = value and name in ("model", "user", "service")
        target = page_url("/traces", **{name: value}) if linked else ""
        facts.append({"label": name.replace("_", " ").capitalize(), "text": value or "none", "href": target})
    facts.append({"label": "Project", "text": incident.project or "every project"})
    facts.append({"label": "Rule", "text": incident.rule.replace(".", ": ").replace("_", " ")})
    if incident.acknowledged_by:
        facts.append({"label": "Acknowledged by", "text": incident.acknowledged_by})
    facts += label_facts(incident)
    data = {
        "title": incident.title,
        "badges": [badge(SEVERITIES, incident.severity), badge(STATES, incident.state)],
        "lead": incident.summary,
        "facts": facts,
    }
    show("facts", data, "incident_facts")
    render_margin(incident)


def _chart(incident: Incident) -> None:
    series = _SERIES.get(incident.metric)
    if series is None:
        return
    data = load(incidents.around, incident, filters.scope().purposes)
    if not data[list(series)].notna().any(axis=None):
        return
    with st.container(border=True):
        title = next(iter(series.values())) if len(series) == 1 else _METRICS[incident.metric]
        st.subheader(f"{title} around the incident", anchor=False)
        st.altair_chart(
            charts.around_incident(
                data,
                series,
                filters.zone(),
                incident.unit,
                (incident.expected_low, incident.expected_high),
                utc(incident.opened_at),
                utc(incident.ended_at),
            ),
            key="around",
            alt=f"{title} around the incident; expected {expected_text(incident)}",
        )
        st.caption("Green: what is usual. Red: from the opening until it was last seen or resolved.")


def _evidence(incident: Incident) -> None:
    ids, now = list(incident.evidence[:20]), datetime.now(UTC)
    summaries = load(traces.summaries, ids)
    rows = []
    for trace_id in ids:
        trace = summaries.get(trace_id)
        if trace is None:
            rows.append(row([cell(trace_id, mono=True), *[cell(formats.NONE) for _ in range(4)]]))
            continue
        rows.append(
            row(
                [
                    cell(
                        formats.clock(utc(trace.start_ns / 1e9), filters.zone(), now),
                        href=trace_url(trace_id),
                        title=trace_id,
                    ),
                    cell(trace.name, sub=trace.preview, title=trace.preview),
                    status_cell(trace.status, trace.failed_steps, trace.retries),
                    cell(trace.user or formats.NONE, title=trace.user),
                    cell(formats.seconds(trace.seconds)),
                ],
                href=trace_url(trace_id),
            )
        )
    columns = [
        column("Started"),
        column("Trace", fit="grow"),
        column("Status"),
        column("User", fit="clip"),
        column("Duration", "right"),
    ]
    table("Evidence", columns, rows, "evidence", "The detection named no traces.")


def _history(incident: Incident) -> None:
    now = datetime.now(UTC)
    rows = [
        row(
            [
                cell(
                    formats.clock(utc(item.at), filters.zone(), now),
                    tone="muted",
                ),
                cell(_ACTIONS.get(item.action, item.action), sub=item.note, title=item.note),
                cell(item.actor or formats.NONE, title=item.actor),
            ]
        )
        for item in load(incidents.history, incident.incident_id)[:30]
    ]
    table("History", [column("At"), column("What", fit="grow"), column("By", fit="clip")], rows, "history")


def _deliveries(incident: Incident) -> None:
    now = datetime.now(UTC)
    rows = [
        row(
            [
                cell(
                    formats.clock(utc(item.at), filters.zone(), now),
                    tone="muted",
                ),
                cell(item.event),
                cell(item.url, mono=True, sub=item.error, title=item.error or item.url),
                cell("Delivered" if item.ok else "Failed", badge="good" if item.ok else "bad"),
                cell(str(item.status_code or formats.NONE)),
                cell(str(item.attempt)),
                cell(formats.seconds(item.duration_ms / 1000)),
            ]
        )
        for item in load(incidents.deliveries, incident.incident_id)
    ]
    columns = [
        column("At"),
        column("Event"),
        column("Receiver", fit="grow"),
        column("Result"),
        column("HTTP", "right"),
        column("Attempt", "right"),
        column("Took", "right"),
    ]
    table(
        "Webhook deliveries",
        columns,
        rows,
        "deliveries",
        "Nobody was notified: name receivers under [[watch.webhooks]] in llmtrace.toml.",
    )


def render_actions(incident_id: str) -> None:
    """Buttons, outside the part that refreshes so that a note is not lost while it is written."""
    try:
        incident = load(incidents.incident, incident_id)
    except ReadFailed:
        return
    if incident is None or not person().may("operator"):
        return
    offered = {"acknowledge": "Acknowledge", "resolve": "Resolve"}
    if incident.state != "open":
        del offered["acknowledge"]
    if incident.state == "resolved":
        del offered["resolve"]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if not person().name:
            st.text_input("Your name", key="actor", max_chars=80, width=180, placeholder="dashboard")
        st.text_input("Note", key="note", max_chars=500, width=420, placeholder="What is known, what is done")
        for action, text in offered.items():
            st.button(
                text,
                key=f"do_{action}",
                type="primary" if text == next(iter(offered.values())) else "secondary",
                on_click=_do,
                args=(incident_id, action),
            )
        for word, text in LABELS.items():
            st.button(
                text,
                key=f"label_{word or 'none'}",
                help=label_help(word),
                disabled=incident.label == word,
                on_click=_label,
                args=(incident_id, word),
            )


def render_outcome() -> None:
    """Say how the last action went, once."""
    failure = st.session_state.pop("action_failed", None)
    done = st.session_state.pop("action_done", None)
    if failure:
        with st.container(border=True):
            st.badge("Not done", color="red", icon=":material/error:")
            st.text(failure)
    elif done:
        st.toast(done, icon=":material/check_circle:")


def _do(incident_id: str, action: Decision) -> None:
    _carry_out(partial(act, current_settings(), incident_id, action), action)


def _label(incident_id: str, word: Label) -> None:
    _carry_out(partial(label, current_settings(), incident_id, word), f"label:{word}")


def _carry_out(do: Callable[..., object], what: str) -> None:
    # Read here: what was typed last may have arrived together with the click.
    name, note = st.session_state.get("actor", "").strip(), st.session_state["note"].strip()
    try:
        # Asked anew: the button may be older than the role.
        visitor, caller = person(), access().caller()
        name = visitor.name or name or "dashboard"
        do(name, note, visitor=visitor, caller=caller)
    except AccessEnded:
        return
    except ActionFailed as failure:
        st.session_state["action_failed"] = str(failure)
        return
    st.cache_data.clear()
    st.session_state["action_done"] = _ACTIONS[what]
    st.session_state["note"] = ""

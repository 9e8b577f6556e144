"""Incidents: what went wrong, how far from usual, the evidence, and what people did about it."""

from __future__ import annotations

from datetime import UTC, datetime

import streamlit as st

from llmtrace_analysis.queries import incidents, webhooks
from llmtrace_analysis.queries.scope import utc
from llmtrace_dashboard.ui import filters, formats
from llmtrace_dashboard.ui.cached_reads import load
from llmtrace_dashboard.ui.page_frame import header, live
from llmtrace_dashboard.ui.page_links import incident_url
from llmtrace_dashboard.ui.tables import SEVERITIES, STATES, badge, cell, column, row, table
from llmtrace_dashboard.ui.url_state import bound_to_url, one_of
from llmtrace_dashboard.views.incident import (
    expected_text,
    render_actions,
    render_context,
    render_facts,
    render_outcome,
)
from llmtrace_dashboard.views.incident_labels import LABELS, render_usefulness

_STATES_OF_CHOICE = {"unresolved": ("open", "acknowledged"), "resolved": ("resolved",), "all": ()}
#: Watch reports every few seconds.
_SILENT_SECONDS = 30.0
_LABELS = {"unresolved": "Unresolved", "resolved": "Resolved", "all": "All"}


def render_list() -> None:
    """Draw the list's data."""
    project = filters.scope().project
    counts = load(incidents.incident_counts, project)
    summary = ", ".join(f"{number} {state}" for state, number in sorted(counts.items())) or "none so far"
    header("Incidents", summary)
    st.text(watch_line(load(incidents.watch_report)))
    for receiver in load(webhooks.undelivered, project):
        with st.container(border=True):
            st.badge("Not delivered", color="red", icon=":material/error:")
            st.text(undelivered_line(receiver))
    with bound_to_url("state", "unresolved", one_of(_STATES_OF_CHOICE)):
        chosen = st.segmented_control(
            "State",
            list(_STATES_OF_CHOICE),
            required=True,
            format_func=_LABELS.__getitem__,
            key="state",
            label_visibility="collapsed",
        )
    listed = load(incidents.incident_list, project, _STATES_OF_CHOICE[chosen or "unresolved"])
    if not listed:
        _none(bool(sum(counts.values())))
        render_usefulness(project)
        return
    now = datetime.now(UTC)
    rows = []
    for incident in listed:
        severity, state = badge(SEVERITIES, incident.severity), badge(STATES, incident.state)
        rows.append(
            row(
                [
                    cell(severity["text"], badge=severity["tone"]),
                    cell(incident.title, sub=incident.summary, title=incident.summary),
                    cell(state["text"], badge=state["tone"], title=incident.acknowledged_by),
                    cell(formats.with_unit(incident.observed, incident.unit)),
                    cell(expected_text(incident), tone="muted"),
                    cell(
                        formats.ago(utc(incident.opened_at), now),
                        title=formats.clock(utc(incident.opened_at), filters.zone()),
                    ),
                    cell(formats.seconds(incident.ended_at - incident.opened_at)),
                    cell(
                        LABELS.get(incident.label, formats.NONE),
                        tone="" if incident.label else "muted",
                        title=incident.labelled_by,
                    ),
                ],
                href=incident_url(incident.incident_id),
            )
        )
    columns = [
        column("Severity"),
        column("Incident", fit="grow"),
        column("State"),
        column("Observed", "right"),
        column("Expected", "right"),
        column("Opened", "right"),
        column("Lasted", "right"),
        column("Label"),
    ]
    table("Incidents", columns, rows, "incidents")
    render_usefulness(project)


def watch_line(report: incidents.WatchReport | None) -> str:
    """What the list is worth: whether watch runs, and how far it is."""
    if report is None:
        return "llmtrace watch has not reported for a week: nothing is detected. Start it."
    if report.age_seconds > _SILENT_SECONDS:
        silent = formats.seconds(report.age_seconds)
        return f"llmtrace watch last reported {silent} ago: nothing is detected since. See its log."
    behind = formats.seconds(max(0.0, report.scan_lag_seconds))
    rules = f"Watch evaluates its rules in {formats.seconds(report.evaluation_seconds)}"
    return f"{rules}; {report.share:.1%} of the messages that arrived are scanned, {behind} behind."


def undelivered_line(receiver: webhooks.Undelivered) -> str:
    """What a receiver has not been notified of."""
    lines = []
    if receiver.waiting and receiver.since is not None:
        since = formats.clock(receiver.since, filters.zone(), datetime.now(UTC))
        lines.append(
            f"{receiver.waiting} messages wait for {receiver.url} since {since} ({receiver.error}): they are "
            "sent once it answers."
        )
    if receiver.dropped:
        lines.append(
            f"{receiver.dropped} messages for {receiver.url} were given up in the last day; "
            "the incidents' pages say which."
        )
    return "\n".join(lines)


def _none(any_at_all: bool) -> None:
    with st.container(border=True):
        st.subheader("Nothing is wrong", anchor=False)
        if any_at_all:
            st.text("No incident is in this state. Choose All to see those that are over.")
        else:
            st.text(
                "No incident was ever opened. They come from llmtrace watch, which compares latency, errors, "
                "tokens and cost with what was usual, and users with each other:"
            )
            st.code("llmtrace watch", language=None)


def main() -> None:
    """Draw the incident that the address names, else the list."""
    incident_id = st.query_params.get("incident", "").strip()
    if not incident_id:
        live(render_list)
        return
    if st.button("All incidents", icon=":material/arrow_back:", type="tertiary"):
        st.query_params.pop("incident", None)
        st.rerun()
    live(lambda: render_facts(incident_id))
    render_actions(incident_id)
    render_outcome()
    live(lambda: render_context(incident_id))


if __name__ == "__main__":
    main()

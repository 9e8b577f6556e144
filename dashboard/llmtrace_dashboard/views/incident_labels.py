"""Whether incidents were worth opening: what people said, what that asks of the next, and how many were."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import streamlit as st

from llmtrace_analysis.detect import label_margins
from llmtrace_analysis.detect.labels import SCORED_RULES, Usefulness, usefulness
from llmtrace_analysis.queries import incidents
from llmtrace_analysis.queries.scope import utc
from llmtrace_collector.store.incident import Incident, Label
from llmtrace_dashboard.ui import filters, formats
from llmtrace_dashboard.ui.cached_reads import load
from llmtrace_dashboard.ui.tables import cell, column, row, table

#: Label → its button.
LABELS: Mapping[Label, str] = {"useful": "Useful", "noise": "Noise"}

_HELP = {
    "useful": "It was worth opening. Takes back what a noise label of this rule and series asks for.",
    "noise": "Nobody wanted to hear of it. The next one of this rule and series needs more evidence.",
}
_UNMOVED = "Counted in the rule's share of useful ones; its limits are settings, which labels do not move."


def label_help(label: Label) -> str:
    """What a label does."""
    return _HELP[label]


def label_facts(incident: Incident) -> list[dict[str, Any]]:
    """What somebody said of an incident; nothing where nobody has."""
    if not incident.label or incident.labelled_at is None:
        return []
    at = formats.clock(utc(incident.labelled_at), filters.zone(), datetime.now(UTC))
    return [{"label": "Label", "text": f"{LABELS[incident.label]}, by {incident.labelled_by}, {at}"}]


def render_margin(incident: Incident) -> None:
    """Say what labels ask of the next incident of this rule and series."""
    if words := load(label_margins.margin_now, incident.fingerprint).in_words():
        st.caption(words)
    elif incident.label and not incident.rule.startswith(SCORED_RULES):
        st.caption(_UNMOVED)


def render_usefulness(project: str) -> None:
    """Draw how many of each rule's incidents were useful, once somebody has labelled any."""
    rules = usefulness(load(incidents.label_counts, project))
    if not any(rule.useful or rule.noise for rule in rules):
        return
    st.subheader("Worth opening", anchor=False)
    table(
        "Worth opening",
        [
            column("Rule", fit="grow"),
            column("Useful", "right"),
            column("Noise", "right"),
            column("Without a label", "right"),
            column("Useful of those labelled", "right"),
        ],
        [_row(rule) for rule in rules],
        "usefulness",
    )


def _row(rule: Usefulness) -> Any:
    share = formats.NONE if rule.share is None else f"{rule.share:.0%}"
    return row(
        [
            cell(rule.rule.replace(".", ": ").replace("_", " ")),
            cell(formats.count(rule.useful)),
            cell(formats.count(rule.noise)),
            cell(formats.count(rule.unlabelled), tone="muted"),
            cell(share),
        ]
    )

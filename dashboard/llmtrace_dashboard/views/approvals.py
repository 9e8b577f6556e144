"""How a person's decision before an act reads on a trace: beside its bar, and among its span's facts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from llmtrace import semconv
from llmtrace_dashboard.ui import formats

_WORDS: Mapping[str, str] = {
    "approved": "approved",
    "edited": "approved with changes",
    "rejected": "rejected",
    "pending": "no decision yet",
    "timeout": "nobody decided in time",
    "undecided": "left without a decision",
}
_TONES: Mapping[str, str] = {
    "approved": "good",
    "edited": "good",
    "rejected": "bad",
    "timeout": "bad",
    "undecided": "bad",
}

#: Of a step that asked and whose approval never came: the process ended while it waited, or waits still.
_UNANSWERED = "asked, no decision came"


def waiting(spans: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """Ids of approvals that are known: what was asked below one of them has its decision there."""
    return frozenset(span["span_id"] for span in spans if span["operation"] == semconv.APPROVAL_OPERATION)


def label(span: Mapping[str, Any], known: frozenset[str]) -> dict[str, str]:
    """`note` and its `tone` for the waterfall; nothing for other spans."""
    if span["operation"] == semconv.APPROVAL_OPERATION:
        return {
            "note": _decided(span["decision"], span["person"]),
            "tone": _TONES.get(span["decision"], "warn"),
        }
    if span["operation"] == semconv.APPROVAL_REQUEST_OPERATION and span["parent_id"] not in known:
        return {"note": _UNANSWERED, "tone": "warn"}
    return {}


def facts(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Decision, person and waiting time of a span; nothing for other spans."""
    attributes = values["attributes"]
    decision = attributes.get(semconv.APPROVAL_DECISION)
    if not decision:
        return []
    listed: list[dict[str, Any]] = [
        {"label": "Decision", "text": _decided(decision, ""), "tone": _TONES.get(decision, "warn")}
    ]
    if person := attributes.get(semconv.APPROVAL_PERSON):
        listed.append({"label": "Decided by", "text": person})
    try:
        waited = float(attributes.get(semconv.APPROVAL_WAIT, ""))
    except ValueError:
        return listed
    return [*listed, {"label": "Waited", "text": formats.seconds(waited)}]


def _decided(decision: str, person: str) -> str:
    words = _WORDS.get(decision, decision)
    return f"{words} by {person}" if person else words

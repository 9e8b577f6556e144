"""How a person's decision before an act reads on a trace: beside its bar, and among its span's facts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

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


@dataclass(frozen=True)
class Approvals:
    """Of one trace. ids: its approvals. decided_later: those whose decision came in a step below them."""

    ids: frozenset[str]
    decided_later: frozenset[str]

    @classmethod
    def of(cls, spans: Iterable[Mapping[str, Any]]) -> Self:
        """Those among the spans of a trace."""
        steps = [span for span in spans if span["operation"] == semconv.APPROVAL_OPERATION]
        ids = frozenset(span["span_id"] for span in steps)
        return cls(ids, ids & {span["parent_id"] for span in steps})

    def label(self, span: Mapping[str, Any]) -> dict[str, str]:
        """`note` and its `tone` for a span's row of the waterfall; nothing for other spans."""
        if span["operation"] == semconv.APPROVAL_REQUEST_OPERATION and span["parent_id"] not in self.ids:
            return {"note": _UNANSWERED, "tone": "warn"}
        if span["operation"] != semconv.APPROVAL_OPERATION:
            return {}
        decision = span["decision"]
        if decision == "pending" and span["span_id"] in self.decided_later:
            return {"note": "asked, decided later", "tone": ""}
        return {"note": _decided(decision, span["person"]), "tone": _TONES.get(decision, "warn")}


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

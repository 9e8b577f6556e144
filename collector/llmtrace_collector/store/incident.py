"""Incidents, their history and alert deliveries: each field once, for the table, the API and webhooks.

A new field needs a line here and a column in the table's `.sql` file; a test compares the two.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field

from .record import Column, Moment, Record, marks_of, to_iso

__all__ = [
    "AlertDelivery",
    "HistoryEntry",
    "Incident",
    "Label",
    "fingerprint",
    "incident_id",
    "incident_of_missing_rows",
    "to_iso",
]

_NAMESPACE = uuid.UUID("6b1e7f2e-3f0b-5d8a-9c1d-7a4d0f6a2b11")

Label = Literal["useful", "noise", ""]
"""Whether an incident was worth opening, as somebody thinks; empty: nobody has said."""

_TEXT = "String"
_WORD = "LowCardinality(String)"
_TIME = Column("DateTime64(3)", report_type=Moment)
_NUMBER = Column("Nullable(Float64)")


@dataclass(frozen=True)
class InMessage:
    """A field that webhooks send: under its own name or another, and of its texts so many characters."""

    name: str = ""
    longest: int | None = None


_SENT = InMessage()


@dataclass(frozen=True, kw_only=True)
class Incident(Record):
    """An incident; times in Unix seconds, `observed` and `expected_*` in `unit`.

    Detection reports it (`PUT /v1/incidents/{id}`); what people decided and the version are the collector's.
    """

    incident_id: Annotated[str, Column(_TEXT, reported=False), InMessage("id")]
    project: Annotated[str, Column(_WORD), InMessage(longest=256), Field(max_length=256)] = "default"
    fingerprint: Annotated[str, Column(_TEXT), Field(max_length=512)]
    kind: Annotated[Literal["anomaly", "abuse", "budget", "rule"], Column(_WORD), _SENT]
    rule: Annotated[str, Column(_WORD), _SENT, Field(max_length=128)]
    severity: Annotated[Literal["warning", "critical"], Column(_WORD), _SENT]
    state: Annotated[
        Literal["open", "acknowledged", "resolved"],
        Column(_WORD, report_type=Literal["open", "resolved"]),
        _SENT,
    ]
    title: Annotated[str, Column(_TEXT), InMessage(longest=512), Field(max_length=512)]
    summary: Annotated[str, Column(_TEXT), InMessage(longest=4000), Field(max_length=8192)] = ""
    metric: Annotated[str, Column(_WORD), _SENT, Field(max_length=128)] = ""
    dimensions: Annotated[
        Mapping[str, str],
        Column("Map(LowCardinality(String), String)"),
        InMessage(longest=256),
        Field(max_length=32),
    ] = field(default_factory=dict)
    observed: Annotated[float | None, _NUMBER, _SENT] = None
    expected_low: Annotated[float | None, _NUMBER, _SENT] = None
    expected_high: Annotated[float | None, _NUMBER, _SENT] = None
    unit: Annotated[str, Column(_WORD), _SENT, Field(max_length=32)] = ""
    opened_at: Annotated[float, _TIME, _SENT]
    updated_at: Annotated[float, Column("DateTime64(3)", reported=False)]
    last_seen_at: Annotated[float, _TIME, _SENT]
    acknowledged_at: Annotated[float | None, Column("Nullable(DateTime64(3))", reported=False)] = None
    acknowledged_by: Annotated[str, Column(_TEXT, reported=False), InMessage(longest=256)] = ""
    resolved_at: Annotated[
        float | None, Column("Nullable(DateTime64(3))", report_type=Moment | None), _SENT
    ] = None
    evidence: Annotated[tuple[str, ...], Column("Array(String)"), Field(max_length=100)] = field(
        default_factory=tuple
    )
    """Ids of traces."""
    count: Annotated[int, Column("UInt64"), _SENT, Field(ge=0)] = 1
    """How often it was seen."""
    label: Annotated[Label, Column(_WORD, reported=False)] = ""
    labelled_at: Annotated[float | None, Column("Nullable(DateTime64(3))", reported=False)] = None
    labelled_by: Annotated[str, Column(_TEXT, reported=False)] = ""
    version: Annotated[int, Column("UInt64", reported=False)] = 0
    """Of the row in the store; 0 before it is there."""

    @property
    def ended_at(self) -> float:
        """When it was resolved, else when it was last seen."""
        return self.last_seen_at if self.resolved_at is None else self.resolved_at

    def message(self) -> dict[str, Any]:
        """The incident as webhooks send it, long texts cut."""
        return {
            mark.name or name: _cut(self.json_value(name), mark.longest)
            for name, mark in _MESSAGE_FIELDS.items()
        }


_MESSAGE_FIELDS = marks_of(Incident, InMessage)


@dataclass(frozen=True, kw_only=True)
class HistoryEntry(Record):
    """What happened to an incident, who did it, and why."""

    project: Annotated[str, Column(_WORD)]
    incident_id: Annotated[str, Column(_TEXT)]
    at: Annotated[float, Column("DateTime64(3)")]
    action: Annotated[str, Column(_WORD)]
    """open, update, acknowledge, resolve, label:useful, label:noise or label:none."""
    actor: Annotated[str, Column(_TEXT)]
    note: Annotated[str, Column(_TEXT)]


@dataclass(frozen=True, kw_only=True)
class AlertDelivery(Record):
    """One attempt to deliver a webhook; `url` without query or credentials, duration in milliseconds."""

    project: Annotated[str, Column(_WORD), Field(max_length=256)] = "default"
    delivery_id: Annotated[str, Column(_TEXT), Field(min_length=1, max_length=128)]
    incident_id: Annotated[str, Column(_TEXT), Field(max_length=128)]
    event: Annotated[str, Column(_WORD), Field(max_length=64)]
    at: Annotated[float, _TIME]
    url: Annotated[str, Column(_TEXT), Field(max_length=2048)]
    attempt: Annotated[int, Column("UInt32"), Field(ge=0)]
    """From 1; 0: it was given up, for the reason that `error` has."""
    status_code: Annotated[int, Column("UInt16"), Field(ge=0, le=999)] = 0
    ok: Annotated[bool, Column("Bool")]
    error: Annotated[str, Column(_TEXT), Field(max_length=2048)] = ""
    duration_ms: Annotated[float, Column("Float64"), Field(ge=0)] = 0.0


def _cut(value: Any, longest: int | None) -> Any:
    if isinstance(value, str):
        return value[:longest]
    if isinstance(value, dict):
        return {key[:longest]: text[:longest] for key, text in value.items()}
    return value


def fingerprint(rule: str, project: str, dimensions: Mapping[str, str]) -> str:
    """What makes two findings the same trouble: rule, project and dimensions, as one stable id."""
    parts = [rule, project, *(f"{key}={value}" for key, value in sorted(dimensions.items()))]
    return uuid.uuid5(_NAMESPACE, "\x1f".join(parts)).hex


def incident_id(of: str, opened_at: float) -> str:
    """The id of the incident with this fingerprint that began then; the same after a restart."""
    return str(uuid.uuid5(_NAMESPACE, f"{of}@{round(opened_at * 1000)}"))


def incident_of_missing_rows(
    rule: str, project: str, rows: int, *, title: str, summary: str, opened_at: float, now: float
) -> Incident:
    """The collector's own, an open one: so many rows of a project that were acknowledged are not there."""
    same = fingerprint(rule, project, {})
    return Incident(
        incident_id=incident_id(same, opened_at),
        project=project,
        fingerprint=same,
        kind="anomaly",
        rule=rule,
        severity="critical",
        state="open",
        title=title,
        summary=summary,
        metric="missing rows",
        observed=float(rows),
        expected_low=0.0,
        expected_high=0.0,
        unit="rows",
        opened_at=opened_at,
        updated_at=now,
        last_seen_at=now,
    )

"""The incident: what the store keeps of it, and its stable ids."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

_NAMESPACE = uuid.UUID("6b1e7f2e-3f0b-5d8a-9c1d-7a4d0f6a2b11")


@dataclass(frozen=True)
class Incident:
    """An incident as stored; times in Unix seconds, `observed` and `expected_*` in `unit`."""

    incident_id: str
    project: str
    fingerprint: str
    kind: str
    rule: str
    severity: str
    state: str
    title: str
    summary: str
    metric: str
    dimensions: Mapping[str, str]
    observed: float | None
    expected_low: float | None
    expected_high: float | None
    unit: str
    opened_at: float
    last_seen_at: float
    updated_at: float
    acknowledged_at: float | None
    acknowledged_by: str
    resolved_at: float | None
    evidence: tuple[str, ...]
    count: int


def fingerprint(rule: str, project: str, dimensions: Mapping[str, str]) -> str:
    """What makes two findings the same trouble: rule, project and dimensions, as one stable id."""
    parts = [rule, project, *(f"{key}={value}" for key, value in sorted(dimensions.items()))]
    return uuid.uuid5(_NAMESPACE, "\x1f".join(parts)).hex


def incident_id(of: str, opened_at: float) -> str:
    """The id of the incident with this fingerprint that began then; the same after a restart."""
    return str(uuid.uuid5(_NAMESPACE, f"{of}@{round(opened_at * 1000)}"))


def to_iso(time: float) -> str:
    """Unix seconds as ISO 8601 in UTC with milliseconds."""
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

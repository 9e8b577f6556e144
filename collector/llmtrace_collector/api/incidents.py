"""The write endpoints: incidents, what people say of them, and webhook deliveries.

Every write is authenticated and idempotent. The store keeps each change of an incident as a version and a
line of history; readers see the newest version.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, HTTPException, Path, Request
from pydantic import BaseModel, ConfigDict, Field

from llmtrace_collector.access.auth import Authenticator, require_admin, require_project
from llmtrace_collector.store.store import Store

from .audit import audit

Identifier = Annotated[str, Path(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9_.:-]+$")]


class IncidentReport(BaseModel):
    """What detection says of an incident; times in UTC, `expected_*` and `observed` in `unit`."""

    model_config = ConfigDict(extra="forbid")

    project: str = Field(default="default", max_length=256)
    fingerprint: str = Field(max_length=512)
    kind: Literal["anomaly", "abuse", "budget"]
    rule: str = Field(max_length=128)
    severity: Literal["warning", "critical"]
    state: Literal["open", "resolved"]
    title: str = Field(max_length=512)
    summary: str = Field(default="", max_length=8192)
    metric: str = Field(default="", max_length=128)
    dimensions: dict[str, str] = Field(default_factory=dict, max_length=32)
    observed: float | None = None
    expected_low: float | None = None
    expected_high: float | None = None
    unit: str = Field(default="", max_length=32)
    opened_at: datetime
    last_seen_at: datetime
    resolved_at: datetime | None = None
    evidence: list[str] = Field(default_factory=list, max_length=100)
    count: int = Field(default=1, ge=0)
    actor: str = Field(default="watch", max_length=256)
    note: str = Field(default="", max_length=4096)


class Decision(BaseModel):
    """Who decided, and why."""

    model_config = ConfigDict(extra="forbid")

    actor: str = Field(min_length=1, max_length=256)
    note: str = Field(default="", max_length=4096)


class AlertDelivery(BaseModel):
    """One attempt to deliver a webhook; `url` without query or credentials, duration in milliseconds."""

    model_config = ConfigDict(extra="forbid")

    project: str = Field(default="default", max_length=256)
    delivery_id: str = Field(min_length=1, max_length=128)
    incident_id: str = Field(max_length=128)
    event: str = Field(max_length=64)
    at: datetime
    url: str = Field(max_length=2048)
    attempt: int = Field(ge=1)
    status_code: int = Field(default=0, ge=0, le=999)
    ok: bool
    error: str = Field(default="", max_length=2048)
    duration_ms: float = Field(default=0.0, ge=0)


def router(store: Store, authenticator: Authenticator) -> APIRouter:
    """The routes under /v1/incidents and /v1/deliveries. All need the admin key."""
    incidents = Incidents(store)

    routes = APIRouter(dependencies=[Depends(require_admin(authenticator))])

    @routes.put("/v1/incidents/{incident_id}")
    def put_incident(incident_id: Identifier, report: IncidentReport, request: Request) -> dict[str, Any]:
        require_project(request, report.project)
        return incidents.report(incident_id, report, request.state.identity.project)

    @routes.post("/v1/incidents/{incident_id}/acknowledge")
    def acknowledge(incident_id: Identifier, decision: Decision, request: Request) -> dict[str, Any]:
        answer = incidents.decide(incident_id, "acknowledged", decision, request.state.identity.project)
        audit(store, request, "incidents.acknowledge", incident_id, decision.actor)
        return answer

    @routes.post("/v1/incidents/{incident_id}/resolve")
    def resolve(incident_id: Identifier, decision: Decision, request: Request) -> dict[str, Any]:
        answer = incidents.decide(incident_id, "resolved", decision, request.state.identity.project)
        audit(store, request, "incidents.resolve", incident_id, decision.actor)
        return answer

    @routes.post("/v1/deliveries")
    def add_delivery(delivery: AlertDelivery, request: Request) -> dict[str, Any]:
        require_project(request, delivery.project)
        row = {_column(name): value for name, value in delivery.model_dump().items()}
        row["At"] = _milliseconds(delivery.at)
        store.insert_rows("delivery_log", [_as_times(row, ("At",))])
        return {"delivery_id": delivery.delivery_id}

    return routes


class Incidents:
    """Incidents in the store; changes take turns, so that versions are in order."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()

    def report(self, incident_id: str, report: IncidentReport, project: str = "") -> dict[str, Any]:
        """Store what detection says. What people decided stays: an acknowledged incident is not opened
        again by a report, nor is a resolved one. `project`, when given, is the only one that may be touched.
        """
        with self._lock:
            before = self._current(incident_id)
            if before is not None and project and before["Project"] != project:
                raise HTTPException(403, f"incident {incident_id} is another project's")
            row = self._row(incident_id, report, before)
            if before is not None and _same(row, before):
                return _answer(before)
            action = _action(row, before)
            return self._save(row, before, action, report.actor, report.note)

    def decide(self, incident_id: str, state: str, decision: Decision, project: str = "") -> dict[str, Any]:
        """Acknowledge or resolve on a person's behalf. Deciding the same again changes nothing."""
        with self._lock:
            before = self._current(incident_id)
            if before is None or (project and before["Project"] != project):
                raise HTTPException(404, f"there is no incident {incident_id}")
            if before["State"] == state or before["State"] == "resolved":
                return _answer(before)
            row = dict(before)
            row["State"] = state
            now = _milliseconds(datetime.now(UTC))
            if state == "acknowledged":
                row["AcknowledgedAt"] = now
                row["AcknowledgedBy"] = decision.actor
            else:
                row["ResolvedAt"] = now
            action = "acknowledge" if state == "acknowledged" else "resolve"
            return self._save(row, before, action, decision.actor, decision.note)

    def _current(self, incident_id: str) -> dict[str, Any] | None:
        rows = self._store.rows(_CURRENT, {"incident": incident_id})
        return rows[0] if rows else None

    def _row(self, incident_id: str, report: IncidentReport, before: dict[str, Any] | None) -> dict[str, Any]:
        fields = report.model_dump(exclude={"actor", "note"})
        row = {_column(name): value for name, value in fields.items()}
        row["IncidentId"] = incident_id
        for name in ("OpenedAt", "LastSeenAt", "ResolvedAt"):
            row[name] = _milliseconds(row[name])
        row["AcknowledgedAt"] = before["AcknowledgedAt"] if before else None
        row["AcknowledgedBy"] = before["AcknowledgedBy"] if before else ""
        if before is not None and (
            before["State"] == "resolved" or (before["State"] == "acknowledged" and row["State"] == "open")
        ):
            row["State"] = before["State"]
            row["ResolvedAt"] = before["ResolvedAt"]
        elif row["State"] == "resolved" and row["ResolvedAt"] is None:
            row["ResolvedAt"] = row["LastSeenAt"]
        return row

    def _save(
        self, row: dict[str, Any], before: dict[str, Any] | None, action: str, actor: str, note: str
    ) -> dict[str, Any]:
        now = _milliseconds(datetime.now(UTC))
        saved = {**row, "UpdatedAt": now, "Version": (before["Version"] if before else 0) + 1}
        history = {
            "Project": row["Project"],
            "IncidentId": row["IncidentId"],
            "At": now,
            "Action": action,
            "Actor": actor,
            "Note": note,
        }
        self._store.insert_rows("incident_versions", [_as_times(saved, _TIMES)])
        if action != "update" or note:
            self._store.insert_rows("incident_history", [_as_times(history, ("At",))])
        return _answer(saved)


_TIMES = ("OpenedAt", "UpdatedAt", "LastSeenAt", "AcknowledgedAt", "ResolvedAt")


_CURRENT = """SELECT * REPLACE (
    toUnixTimestamp64Milli(OpenedAt) AS OpenedAt,
    toUnixTimestamp64Milli(UpdatedAt) AS UpdatedAt,
    toUnixTimestamp64Milli(LastSeenAt) AS LastSeenAt,
    toUnixTimestamp64Milli(AcknowledgedAt) AS AcknowledgedAt,
    toUnixTimestamp64Milli(ResolvedAt) AS ResolvedAt
) FROM incidents WHERE IncidentId = {incident:String}"""


def _column(name: str) -> str:
    """The store's column of a field: `opened_at` → `OpenedAt`."""
    return "".join(part.capitalize() for part in name.split("_"))


def _milliseconds(at: datetime | None) -> int | None:
    if at is None:
        return None
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


def _as_times(row: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Milliseconds as the text that the engine reads a DateTime64(3) from."""
    return {
        key: f"{value / 1000:.3f}" if key in names and value is not None else value
        for key, value in row.items()
    }


def _same(row: dict[str, Any], before: dict[str, Any]) -> bool:
    return all(before.get(key) == value for key, value in row.items())


def _action(row: dict[str, Any], before: dict[str, Any] | None) -> str:
    if before is None:
        return "open"
    return "resolve" if row["State"] == "resolved" and before["State"] != "resolved" else "update"


def _answer(row: dict[str, Any]) -> dict[str, Any]:
    return {"incident_id": row["IncidentId"], "state": row["State"], "version": int(row["Version"])}

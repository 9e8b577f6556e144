"""The write endpoints: incidents, what people say of them, and webhook deliveries.

Every write is authenticated and idempotent. The store keeps each change of an incident as a version and a
line of history; readers see the newest version.
"""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Path, Request
from pydantic import BaseModel, ConfigDict, Field

from llmtrace_collector.access.auth import require_project
from llmtrace_collector.access.identity import Identity
from llmtrace_collector.store.incident import AlertDelivery, HistoryEntry, Incident, Label
from llmtrace_collector.store.store import Store

from .audit import audited

Identifier = Annotated[str, Path(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9_.:-]+$")]


class Reporter(BaseModel):
    """What detection says of an incident; times in UTC, `expected_*` and `observed` in `unit`."""

    model_config = ConfigDict(extra="forbid")

    actor: str = Field(default="watch", max_length=256)
    note: str = Field(default="", max_length=4096)


class Decision(BaseModel):
    """Who decided, where the request's key does not say it already, and why."""

    model_config = ConfigDict(extra="forbid")

    actor: str = Field(default="", max_length=256)
    note: str = Field(default="", max_length=4096)


class Labelling(Decision):
    """What somebody thinks of an incident: useful, noise, or nothing any more."""

    label: Label


class _DeliveryReport(BaseModel):
    """One attempt to deliver a webhook; `url` without query or credentials, duration in milliseconds."""

    model_config = ConfigDict(extra="forbid")


if TYPE_CHECKING:  # the fields are the records': a checker knows the bases alone
    IncidentReport = Reporter
    DeliveryReport = _DeliveryReport
else:
    IncidentReport = Incident.report_model("IncidentReport", Reporter)
    DeliveryReport = AlertDelivery.report_model("AlertDelivery", _DeliveryReport)


def router(store: Store) -> APIRouter:
    """The routes under /v1/incidents and /v1/deliveries. People decide with the dashboard's key too, the rest
    needs the admin key."""
    incidents = Incidents(store)

    routes = APIRouter()

    @routes.put("/v1/incidents/{incident_id}")
    def put_incident(incident_id: Identifier, report: IncidentReport, request: Request) -> dict[str, Any]:
        incident = Incident.from_report(report, incident_id=incident_id, updated_at=_now())
        require_project(request, incident.project)
        return incidents.report(incident, report.actor, report.note, request.state.identity.project)

    @routes.post("/v1/incidents/{incident_id}/acknowledge")
    def acknowledge(incident_id: Identifier, decision: Decision, request: Request) -> dict[str, Any]:
        with audited(store, request, "incidents.acknowledge", incident_id, decision.actor):
            return incidents.decide(incident_id, "acknowledged", decision, request.state.identity)

    @routes.post("/v1/incidents/{incident_id}/resolve")
    def resolve(incident_id: Identifier, decision: Decision, request: Request) -> dict[str, Any]:
        with audited(store, request, "incidents.resolve", incident_id, decision.actor):
            return incidents.decide(incident_id, "resolved", decision, request.state.identity)

    @routes.post("/v1/incidents/{incident_id}/label")
    def label(incident_id: Identifier, labelling: Labelling, request: Request) -> dict[str, Any]:
        with audited(store, request, "incidents.label", incident_id, labelling.actor):
            return incidents.label(incident_id, labelling, request.state.identity)

    @routes.post("/v1/deliveries")
    def add_delivery(report: DeliveryReport, request: Request) -> dict[str, Any]:
        delivery = AlertDelivery.from_report(report)
        require_project(request, delivery.project)
        store.insert_rows("delivery_log", [delivery.to_row()])
        return {"delivery_id": delivery.delivery_id}

    return routes


class Incidents:
    """Incidents in the store; changes take turns, so that versions are in order."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()

    def report(self, reported: Incident, actor: str, note: str, project: str = "") -> dict[str, Any]:
        """Store what detection says. What people decided stays: an acknowledged incident is not opened
        again by a report, nor is a resolved one. `project`, when given, is the only one that may be touched.
        """
        with self._lock:
            before = self._current(reported.incident_id)
            if before is not None and project and before.project != project:
                raise HTTPException(403, f"incident {before.incident_id} is another project's")
            incident = _decided(reported, before)
            if before is not None and incident == before:
                return _answer(before)
            return self._save(incident, _action(incident, before), actor, note)

    def decide(
        self,
        incident_id: str,
        state: Literal["acknowledged", "resolved"],
        decision: Decision,
        identity: Identity,
    ) -> dict[str, Any]:
        """Acknowledge or resolve on a person's behalf. Deciding the same again changes nothing."""
        actor = identity.actor_stated(decision.actor)
        with self._lock:
            before = self._of_caller(incident_id, identity)
            if before.state in (state, "resolved"):
                return _answer(before)
            incident = replace(before, state=state)
            if state == "acknowledged":
                action = "acknowledge"
                incident = replace(incident, acknowledged_at=_now(), acknowledged_by=actor)
            else:
                action = "resolve"
                incident = replace(incident, resolved_at=_now())
            return self._save(incident, action, actor, decision.note)

    def label(self, incident_id: str, labelling: Labelling, identity: Identity) -> dict[str, Any]:
        """Say on a person's behalf whether it was worth opening, whatever its state. The same again without a
        note changes nothing.
        """
        actor = identity.actor_stated(labelling.actor)
        with self._lock:
            before = self._of_caller(incident_id, identity)
            if before.label == labelling.label and not labelling.note:
                return _answer(before)
            incident = replace(
                before,
                label=labelling.label,
                labelled_at=_now() if labelling.label else None,
                labelled_by=actor if labelling.label else "",
            )
            return self._save(incident, f"label:{labelling.label or 'none'}", actor, labelling.note)

    def _of_caller(self, incident_id: str, identity: Identity) -> Incident:
        """The incident, where the caller may touch it; a 404 otherwise."""
        incident = self._current(incident_id)
        if incident is None or (identity.project and incident.project != identity.project):
            raise HTTPException(404, f"there is no incident {incident_id}")
        return incident

    def _current(self, incident_id: str) -> Incident | None:
        rows = self._store.rows(_CURRENT, {"incident": incident_id})
        return Incident.from_row(rows[0]) if rows else None

    def _save(self, incident: Incident, action: str, actor: str, note: str) -> dict[str, Any]:
        now = _now()
        saved = replace(incident, updated_at=now, version=incident.version + 1)
        self._store.insert_rows("incident_versions", [saved.to_row()])
        if action != "update" or note:
            entry = HistoryEntry(
                project=saved.project,
                incident_id=saved.incident_id,
                at=now,
                action=action,
                actor=actor,
                note=note,
            )
            self._store.insert_rows("incident_history", [entry.to_row()])
        return _answer(saved)


_CURRENT = f"""SELECT
    {Incident.select_list()}
FROM incidents
WHERE IncidentId = {{incident:String}}"""  # noqa: S608, the list is of constants


def _decided(reported: Incident, before: Incident | None) -> Incident:
    """What detection says, with what people decided and the version of the row that it follows."""
    incident = reported
    if before is not None:
        incident = replace(
            incident,
            acknowledged_at=before.acknowledged_at,
            acknowledged_by=before.acknowledged_by,
            label=before.label,
            labelled_at=before.labelled_at,
            labelled_by=before.labelled_by,
            updated_at=before.updated_at,
            version=before.version,
        )
        if before.state == "resolved" or (before.state == "acknowledged" and incident.state == "open"):
            return replace(incident, state=before.state, resolved_at=before.resolved_at)
    if incident.state == "resolved":
        return replace(incident, resolved_at=incident.ended_at)
    return incident


def _action(incident: Incident, before: Incident | None) -> str:
    if before is None:
        return "open"
    return "resolve" if incident.state == "resolved" and before.state != "resolved" else "update"


def _answer(incident: Incident) -> dict[str, Any]:
    labelled = {"label": incident.label} if incident.label else {}
    return {
        "incident_id": incident.incident_id,
        "state": incident.state,
        "version": incident.version,
        **labelled,
    }


def _now() -> float:
    """In the store's milliseconds."""
    return round(time.time(), 3)

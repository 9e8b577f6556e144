"""What webhooks say: one message per event of an incident, its id the same whenever it is made."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from llmtrace_analysis.settings import WebhookEvent
from llmtrace_collector.store.incident import Incident, to_iso

_NAMESPACE = uuid.UUID("0d3f1c52-7b0e-5a5e-8f63-2f9a1f6b7c21")
_MAX_TRACES = 10

#: In the order in which they happen to an incident.
EVENTS: tuple[WebhookEvent, ...] = ("incident.opened", "incident.acknowledged", "incident.resolved")


@dataclass(frozen=True)
class AlertMessage:
    """One event, ready to be signed. A restart gives it the same `message_id`, by which repeats are known."""

    message_id: str
    event: WebhookEvent
    body: str


def message_id_of(incident_id: str, event: str) -> str:
    """The id of the message about an event, whoever sends it and how often."""
    return f"msg_{uuid.uuid5(_NAMESPACE, incident_id + event).hex}"


def delivery_id_of(incident_id: str, event: str, url: str) -> str:
    """The id of that message's delivery to one receiver, all attempts together."""
    return str(uuid.uuid5(_NAMESPACE, f"{message_id_of(incident_id, event)} {url}"))


def events_of(incident: Incident) -> Iterator[tuple[WebhookEvent, float]]:
    """What happened to an incident, and when, in that order."""
    yield "incident.opened", incident.opened_at
    if incident.acknowledged_at is not None:
        yield "incident.acknowledged", incident.acknowledged_at
    if incident.state == "resolved":
        yield "incident.resolved", incident.ended_at


def to_message(incident: Incident, event: WebhookEvent, at: float, dashboard_url: str) -> AlertMessage:
    """One event as a message of well under 20 kB."""
    base = dashboard_url.rstrip("/")
    traces = incident.evidence[:_MAX_TRACES]
    payload: dict[str, Any] = {
        "type": event,
        "timestamp": to_iso(at),
        "data": {
            "incident": {
                **incident.message(),
                "state": "open" if event == "incident.opened" else event.removeprefix("incident."),
            },
            "links": {
                "incident": f"{base}/incidents?incident={quote(incident.incident_id, safe='')}",
                "traces": [f"{base}/traces?trace={quote(trace, safe='')}" for trace in traces],
            },
        },
    }
    return AlertMessage(
        message_id=message_id_of(incident.incident_id, event),
        event=event,
        body=json.dumps(payload, ensure_ascii=False, separators=(",", ":")),
    )

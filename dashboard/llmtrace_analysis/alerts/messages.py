"""What webhooks say: one message per event of an incident, its id the same whenever it is made."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from llmtrace_analysis.settings import WebhookEvent
from llmtrace_collector.store.incident import Incident, to_iso

_NAMESPACE = uuid.UUID("0d3f1c52-7b0e-5a5e-8f63-2f9a1f6b7c21")
_MAX_TRACES = 10


@dataclass(frozen=True)
class AlertMessage:
    """One event, ready to be signed. A restart gives it the same `message_id`, by which repeats are known."""

    message_id: str
    event: WebhookEvent
    at: float
    project: str
    incident_id: str
    body: str

    def delivery_id(self, url: str) -> str:
        """The id of this message's delivery to one receiver, all attempts together."""
        return str(uuid.uuid5(_NAMESPACE, f"{self.message_id} {url}"))


def events_of(incident: Incident) -> Iterator[tuple[WebhookEvent, float]]:
    """What happened to an incident, and when, in that order."""
    yield "incident.opened", incident.opened_at
    if incident.acknowledged_at is not None:
        yield "incident.acknowledged", incident.acknowledged_at
    if incident.state == "resolved":
        yield "incident.resolved", incident.ended_at


def messages_since(incidents: Sequence[Incident], since: float, dashboard_url: str) -> list[AlertMessage]:
    """The events of these incidents since then as messages, oldest first."""
    messages = [
        to_message(incident, event, at, dashboard_url)
        for incident in incidents
        for event, at in events_of(incident)
        if at >= since
    ]
    return sorted(messages, key=lambda message: message.at)


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
        message_id=f"msg_{uuid.uuid5(_NAMESPACE, incident.incident_id + event).hex}",
        event=event,
        at=at,
        project=incident.project,
        incident_id=incident.incident_id,
        body=json.dumps(payload, ensure_ascii=False, separators=(",", ":")),
    )

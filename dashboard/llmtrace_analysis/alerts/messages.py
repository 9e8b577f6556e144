"""What channels say: one message per event of an incident, its id the same whenever it is made."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from llmtrace_analysis.settings import WebhookEvent
from llmtrace_collector.store.incident import Incident, to_iso

_NAMESPACE = uuid.UUID("0d3f1c52-7b0e-5a5e-8f63-2f9a1f6b7c21")
_MAX_TRACES = 10
#: Around an incident, in its link to the traces of that time: what came just before it explains it.
_MARGIN_SECONDS = 300

#: In the order in which they happen to an incident.
EVENTS: tuple[WebhookEvent, ...] = ("incident.opened", "incident.acknowledged", "incident.resolved")


@dataclass(frozen=True)
class Links:
    """Addresses of the dashboard's pages about an incident."""

    incident: str
    period: str
    """The traces of its time, some minutes around it."""
    traces: tuple[str, ...]
    """Those that are its evidence."""


@dataclass(frozen=True)
class AlertMessage:
    """One event, ready to be sent. A restart gives it the same `message_id`, by which repeats are known."""

    message_id: str
    event: WebhookEvent
    body: str
    """As Standard Webhooks send it: JSON of well under 20 kB."""
    incident: Incident
    at: float
    """When it happened, in Unix seconds."""
    links: Links


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


def links_of(incident: Incident, dashboard_url: str) -> Links:
    """Where the dashboard shows an incident, its traces and the traces of its time."""
    base = dashboard_url.rstrip("/")
    since = int(incident.opened_at) - _MARGIN_SECONDS
    until = int(incident.ended_at) + _MARGIN_SECONDS
    filters = {"project": incident.project, "model": incident.dimensions.get("model", "")}
    period = {"range": "custom", "from": str(since), "to": str(until)}
    query = urlencode({**period, **{name: value for name, value in filters.items() if value}})
    return Links(
        incident=f"{base}/incidents?incident={quote(incident.incident_id, safe='')}",
        period=f"{base}/traces?{query}",
        traces=tuple(
            f"{base}/traces?trace={quote(trace, safe='')}" for trace in incident.evidence[:_MAX_TRACES]
        ),
    )


def to_message(incident: Incident, event: WebhookEvent, at: float, dashboard_url: str) -> AlertMessage:
    """One event as a message of well under 20 kB."""
    links = links_of(incident, dashboard_url)
    payload: dict[str, Any] = {
        "type": event,
        "timestamp": to_iso(at),
        "data": {
            "incident": {
                **incident.message(),
                "state": "open" if event == "incident.opened" else event.removeprefix("incident."),
            },
            "links": {"incident": links.incident, "traces": list(links.traces)},
        },
    }
    return AlertMessage(
        message_id=message_id_of(incident.incident_id, event),
        event=event,
        body=json.dumps(payload, ensure_ascii=False, separators=(",", ":")),
        incident=incident,
        at=at,
        links=links,
    )

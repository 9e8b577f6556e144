"""PagerDuty, by its Events API v2: an incident of ours is one alert there, by its dedup key."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from llmtrace_analysis.alerts.messages import AlertMessage
from llmtrace_collector.store.incident import to_iso

from .base import Outcome
from .http_sender import HttpSender
from .service_channel import ServiceChannel
from .texts import content_of, fit

_ACTIONS = {
    "incident.opened": "trigger",
    "incident.acknowledged": "acknowledge",
    "incident.resolved": "resolve",
}
_SUMMARY, _DETAIL, _SOURCE = 1024, 4000, 255


def payload_of(message: AlertMessage, routing_key: str) -> dict[str, Any]:
    """The event as PagerDuty takes it."""
    incident, content = message.incident, content_of(message)
    event: dict[str, Any] = {
        "routing_key": routing_key,
        "event_action": _ACTIONS[message.event],
        "dedup_key": incident.incident_id,
    }
    if message.event != "incident.opened":
        return event
    details = {name: fit(value, _DETAIL) for name, value in content.facts}
    return {
        **event,
        "client": "llmtrace",
        "client_url": message.links.incident,
        "payload": {
            "summary": fit(content.title, _SUMMARY) or incident.rule,
            "source": fit(incident.dimensions.get("model") or incident.project or "llmtrace", _SOURCE),
            "severity": incident.severity,
            "timestamp": to_iso(incident.opened_at),
            "component": fit(incident.project, _SOURCE),
            "group": incident.kind,
            "class": incident.rule,
            "custom_details": {**details, "summary": fit(content.summary, _DETAIL)},
        },
        "links": [{"href": url, "text": name} for name, url in content.links],
    }


class PagerDutyChannel(ServiceChannel):
    """A service of PagerDuty, by its integration key."""

    def __init__(
        self, name: str, label: str, events: Collection[str], sender: HttpSender, url: str, routing_key: str
    ) -> None:
        super().__init__(name, label, events, sender)
        self._url, self._routing_key = url, routing_key

    def send(self, message: AlertMessage) -> Outcome:
        """Trigger, acknowledge or resolve. 202 says that it is queued; 400 refuses, 429 says later."""
        return self._post(self._url, payload_of(message, self._routing_key))

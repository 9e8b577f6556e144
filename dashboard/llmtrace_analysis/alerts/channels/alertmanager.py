"""Alertmanager: alerts by its API, sent again while they last; or what an Alertmanager itself sends."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Collection, Iterator, Sequence
from typing import Any
from urllib.parse import urlencode

from llmtrace_analysis.alerts.messages import AlertMessage
from llmtrace_collector.store.incident import to_iso

from .base import Outcome
from .http_sender import Answer, HttpSender, Request, by_status
from .service_channel import ServiceChannel
from .texts import content_of, fit

#: An alert counts as over when it was not sent again for so long, in case watch itself ends.
_REPEAT_SECONDS, _LASTS_SECONDS = 60.0, 300.0
_LABEL, _ANNOTATION = 1000, 8000
_SEVERITIES = ("warning", "critical")
_NO_LABEL = re.compile(r"[^A-Za-z0-9_]")
_OURS = frozenset({"alertname", "incident", "severity", "kind", "project"})


def labels_of(message: AlertMessage, severity: str) -> dict[str, str]:
    """What identifies the alert: the same from opening to end."""
    incident = message.incident
    dimensions = {_label(name): fit(value, _LABEL) for name, value in incident.dimensions.items() if value}
    labels = {
        **{name: value for name, value in dimensions.items() if name not in _OURS},
        "alertname": incident.rule,
        "incident": incident.incident_id,
        "severity": severity,
        "kind": incident.kind,
        "project": fit(incident.project, _LABEL),
    }
    return {name: value for name, value in labels.items() if value}


def annotations_of(message: AlertMessage) -> dict[str, str]:
    """What people read."""
    content = content_of(message)
    facts = {_label(name.lower()): value for name, value in content.facts[:2]}
    texts = {"title": content.title, "summary": content.summary, "state": content.state, **facts}
    texts["traces"] = message.links.period
    return {name: fit(value, _ANNOTATION) for name, value in texts.items() if value}


def alert_of(message: AlertMessage, severity: str, ends_at: float) -> dict[str, Any]:
    """The incident as the API takes it, until `ends_at` (Unix seconds)."""
    return {
        "labels": labels_of(message, severity),
        "annotations": annotations_of(message),
        "startsAt": to_iso(message.incident.opened_at),
        "endsAt": to_iso(max(ends_at, message.incident.opened_at + 0.001)),
        "generatorURL": message.links.incident,
    }


def webhook_of(message: AlertMessage) -> dict[str, Any]:
    """The incident as an Alertmanager sends it: version 4, a group of one alert."""
    incident = message.incident
    is_over = message.event == "incident.resolved"
    labels, annotations = labels_of(message, incident.severity), annotations_of(message)
    status = "resolved" if is_over else "firing"
    alert = {
        "status": status,
        "labels": labels,
        "annotations": annotations,
        "startsAt": to_iso(incident.opened_at),
        "endsAt": to_iso(incident.ended_at) if is_over else "0001-01-01T00:00:00Z",
        "generatorURL": message.links.incident,
        "fingerprint": incident.fingerprint[:16],
    }
    return {
        "version": "4",
        "groupKey": f'{{}}:{{incident="{incident.incident_id}"}}',
        "truncatedAlerts": 0,
        "status": status,
        "receiver": "llmtrace",
        "groupLabels": {"incident": incident.incident_id},
        "commonLabels": labels,
        "commonAnnotations": annotations,
        "externalURL": message.links.incident,
        "alerts": [alert],
    }


class AlertmanagerWebhook(ServiceChannel):
    """A receiver of what Alertmanagers send."""

    def __init__(
        self,
        name: str,
        label: str,
        events: Collection[str],
        sender: HttpSender,
        url: str,
        authorization: str,
    ) -> None:
        """`authorization`: the header's value, empty for none."""
        super().__init__(name, label, events, sender)
        self._url = url
        self._headers = {"Authorization": authorization} if authorization else {}

    def send(self, message: AlertMessage) -> Outcome:
        """Send the event."""
        return self._post(self._url, webhook_of(message), headers=self._headers)


class AlertmanagerChannel(AlertmanagerWebhook):
    """An Alertmanager, by its API v2.

    The severity is a label, for routes go by it, and labels identify: what an incident was before it
    escalated is an alert of its own there, which is said to be over. What never fired is not, for receivers
    would be notified of its end.
    """

    repeat_seconds = _REPEAT_SECONDS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._alerts_url = f"{self._url.rstrip('/')}/api/v2/alerts"
        self._firing: dict[str, set[str]] = {}

    def send(self, message: AlertMessage) -> Outcome:
        """Post the incident's alerts."""
        return self.repeat([message])

    def repeat(self, messages: Sequence[AlertMessage]) -> Outcome:
        """Post the alerts of incidents that last, which Alertmanager forgets when it is not sent them."""
        now = time.time()
        alerts: list[dict[str, Any]] = []
        firing: dict[str, set[str]] = {}
        for message in messages:
            incident = message.incident
            is_over = message.event == "incident.resolved"
            before = self._severities_of(incident.incident_id, message.event)
            ends_at = min(incident.ended_at, now) if is_over else now + _LASTS_SECONDS
            alerts.append(alert_of(message, incident.severity, ends_at))
            alerts += [alert_of(message, other, min(ends_at, now)) for other in before - {incident.severity}]
            firing[incident.incident_id] = set() if is_over else {incident.severity}
        outcome = self._post(self._alerts_url, alerts, headers=self._headers)
        if outcome.ok:
            self._firing.update(firing)
            self._firing = {name: severities for name, severities in self._firing.items() if severities}
        return outcome

    def _severities_of(self, incident_id: str, event: str) -> set[str]:
        """Those that the incident's alerts there have; an earlier watch may have sent them."""
        if incident_id not in self._firing and event != "incident.opened":
            query = urlencode({"filter": f'incident="{incident_id}"'})
            request = Request(f"{self._alerts_url}?{query}", b"", self._headers, method="GET")
            severities: set[str] = set()

            def read(answer: Answer) -> Outcome:
                severities.update(_severities(answer))
                return by_status(answer)

            self._sender.send(request, read)
            return severities
        return self._firing.get(incident_id, set())


def _severities(answer: Answer) -> Iterator[str]:
    try:
        alerts = json.loads(answer.body)
    except (ValueError, RecursionError):
        return
    for alert in alerts if isinstance(alerts, list) else ():
        labels = alert.get("labels") if isinstance(alert, dict) else None
        if isinstance(labels, dict) and labels.get("severity") in _SEVERITIES:
            yield labels["severity"]


def authorization_of(username: str, secret: str) -> str:
    """The header for a user with a password, or for a bearer token; empty without a secret."""
    if not secret:
        return ""
    if username:
        return "Basic " + base64.b64encode(f"{username}:{secret}".encode()).decode()
    return f"Bearer {secret}"


def _label(name: str) -> str:
    """A name that labels and annotations may have."""
    label = _NO_LABEL.sub("_", name)[:100]
    return f"_{label}" if not label or label[0].isdigit() else label

"""Jira Service Management: its integration events, which are also what Opsgenie's alerts were."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from urllib.parse import quote

from llmtrace_analysis.alerts.messages import AlertMessage

from .base import Outcome
from .http_sender import HttpSender
from .service_channel import ServiceChannel
from .texts import content_of, fit, to_html

_MESSAGE, _DESCRIPTION, _DETAIL, _DETAILS, _ENTITY, _NOTE = 130, 15_000, 500, 8000, 512, 25_000
_PRIORITIES = {"critical": "P1", "warning": "P3"}
_SOURCE = "llmtrace"


def alert_of(message: AlertMessage) -> dict[str, Any]:
    """The alert that an opened incident is; texts escaped, as HTML is shown there."""
    incident, content = message.incident, content_of(message)
    links = "".join(f'<p><a href="{to_html(url)}">{to_html(name)}</a></p>' for name, url in content.links)
    summary = fit(content.summary, _DESCRIPTION - len(links) - 10, to_html)
    details: dict[str, str] = {}
    room = _DETAILS
    for name, value in content.facts:
        escaped = fit(value, _DETAIL, to_html)
        room -= len(name) + len(escaped)
        if room >= 0:
            details[fit(name, 100, to_html)] = escaped
    return {
        "message": fit(content.title, _MESSAGE, to_html) or incident.rule,
        "alias": incident.incident_id,
        "description": f"<p>{summary}</p>{links}",
        "details": details,
        "entity": fit(incident.project, _ENTITY),
        "source": _SOURCE,
        "priority": _PRIORITIES[incident.severity],
        "tags": [incident.kind, incident.severity],
    }


class JsmChannel(ServiceChannel):
    """An API integration of Jira Service Management, by its key."""

    def __init__(
        self, name: str, label: str, events: Collection[str], sender: HttpSender, url: str, key: str
    ) -> None:
        super().__init__(name, label, events, sender)
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"GenieKey {key}"}

    def send(self, message: AlertMessage) -> Outcome:
        """Create, acknowledge or close by the alias. 202 says that it is queued."""
        if message.event == "incident.opened":
            return self._post(self._url, alert_of(message), headers=self._headers)
        action = "acknowledge" if message.event == "incident.acknowledged" else "close"
        alias = quote(message.incident.incident_id, safe="")
        content = content_of(message)
        note = {
            "source": _SOURCE,
            "note": fit(f"{content.headline} {message.links.incident}", _NOTE, to_html),
        }
        url = f"{self._url}/{alias}/{action}?identifierType=alias"
        return self._post(url, note, headers=self._headers)

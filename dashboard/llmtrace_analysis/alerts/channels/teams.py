"""Microsoft Teams: a workflow's address takes Adaptive Cards, and accepts before anything is shown."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from llmtrace_analysis.alerts.messages import AlertMessage

from .base import Outcome
from .http_sender import HttpSender
from .service_channel import ServiceChannel, to_json
from .texts import content_of, fit, to_markdown

#: Teams refuses messages of about 28 KB; what wraps the card there counts too.
_MOST_BYTES = 24_000
_TITLE, _SUMMARY, _FACT = 1000, 6000, 600
_MOST_FACTS = 16
_COLOURS = {"Open": "attention", "Acknowledged": "warning", "Resolved": "good"}


def card_of(message: AlertMessage) -> dict[str, Any]:
    """The event as an Adaptive Card of version 1.4; texts escaped for its Markdown."""
    content = content_of(message)
    body: list[dict[str, Any]] = [
        {
            "type": "TextBlock",
            "text": fit(content.headline, _TITLE, to_markdown),
            "weight": "bolder",
            "size": "medium",
            "color": _COLOURS[content.state],
            "wrap": True,
        }
    ]
    if content.summary:
        body.append({"type": "TextBlock", "text": fit(content.summary, _SUMMARY, to_markdown), "wrap": True})
    facts = [
        {"title": fit(name, 100, to_markdown), "value": fit(value, _FACT, to_markdown)}
        for name, value in content.facts[:_MOST_FACTS]
    ]
    if facts:
        body.append({"type": "FactSet", "facts": facts})
    return {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "msteams": {"width": "Full"},
        "body": body,
        "actions": [{"type": "Action.OpenUrl", "title": name, "url": url} for name, url in content.links],
    }


def payload_of(message: AlertMessage) -> dict[str, Any]:
    """The message with its card, below the size that Teams takes."""
    card = card_of(message)
    while len(to_json(card)) > _MOST_BYTES and len(card["body"]) > 1:
        card["body"].pop()
    attachment = {
        "contentType": "application/vnd.microsoft.card.adaptive",
        "contentUrl": None,
        "content": card,
    }
    return {"type": "message", "attachments": [attachment]}


class TeamsChannel(ServiceChannel):
    """A workflow of Teams; its address carries a signature and is a secret."""

    def __init__(self, name: str, label: str, events: Collection[str], sender: HttpSender, url: str) -> None:
        super().__init__(name, label, events, sender)
        self._url = url

    def send(self, message: AlertMessage) -> Outcome:
        """Hand the card to the workflow. 202 says that it took it, not that Teams has shown it."""
        return self._post(self._url, payload_of(message))

"""Webhooks, signed as Standard Webhooks (standardwebhooks.com) describe."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from urllib.parse import urlsplit, urlunsplit

import standardwebhooks

from llmtrace_analysis.alerts.messages import AlertMessage

from .base import Outcome
from .http_sender import HttpSender, Request

_GONE = 410


class WebhookChannel:
    """One receiver of signed messages."""

    def __init__(self, url: str, secret: str, events: Collection[str], sender: HttpSender) -> None:
        self.url = url
        self.events = events
        self.gone = False
        self._signer = standardwebhooks.Webhook(secret)
        self._sender = sender
        self.timeout_seconds = sender.timeout_seconds

    @property
    def redacted_url(self) -> str:
        """The url without its query, which may hold a token."""
        parts = urlsplit(self.url)
        return urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))

    def send(self, message: AlertMessage) -> Outcome:
        """POST the message, signed; redirects are not followed, and 410 disables the receiver."""
        now = datetime.now(UTC)
        headers = {
            "webhook-id": message.message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self._signer.sign(message.message_id, now, message.body),
        }
        outcome = self._sender.send(Request(self.url, message.body.encode(), headers))
        self.gone = self.gone or outcome.status == _GONE
        return outcome

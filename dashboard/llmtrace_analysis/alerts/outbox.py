"""Which messages are still to be delivered: derived from the store, so that a restart forgets none."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from llmtrace_analysis.settings import WatchSettings
from llmtrace_collector.store.incident import Incident

from .channels.webhook import WebhookChannel
from .delivery import Receiver
from .messages import messages_since

logger = logging.getLogger(__name__)

_CLOSE_SECONDS = 5.0


class Outbox:
    """All receivers. They also hear of what people decide in the dashboard: it is in the store."""

    def __init__(self, settings: WatchSettings, record: Callable[[dict[str, Any]], None]) -> None:
        self._settings = settings
        self.receivers = [
            Receiver(WebhookChannel(webhook, settings), settings, record) for webhook in settings.webhooks
        ]

    def start(self) -> None:
        """Start the receivers' threads."""
        for receiver in self.receivers:
            receiver.start()

    def sync(
        self, incidents: Sequence[Incident], delivered: Mapping[str, tuple[bool, int]], now: float
    ) -> None:
        """Queue every event within the delivery window that a receiver has not got yet.

        `delivered`: delivery id → (delivered, attempts), as recorded. Returns at once; a full queue gets
        the rest at the next call.
        """
        since = now - self._settings.webhook_window_minutes * 60
        for message in messages_since(incidents, since, self._settings.dashboard_url):
            for receiver in self.receivers:
                done, attempts = delivered.get(message.delivery_id(receiver.channel.url), (False, 0))
                if not done and not receiver.offer(message, attempts):
                    logger.warning("webhook_queue_full event=%s", message.event)

    def close(self) -> None:
        """Stop; what is not delivered is queued again at the next start."""
        for receiver in self.receivers:
            receiver.close(_CLOSE_SECONDS)

"""Which messages are still to be delivered: derived from the store, so that a restart forgets none."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from llmtrace_collector.store.incident import Incident

from .delivery import Receiver
from .messages import messages_since

logger = logging.getLogger(__name__)

_CLOSE_SECONDS = 5.0


class Outbox:
    """All receivers. They also hear of what people decide in the dashboard: it is in the store."""

    def __init__(self, receivers: Sequence[Receiver], window_seconds: float, dashboard_url: str) -> None:
        """`window_seconds`: age after which an event is given up; `dashboard_url`: where links lead."""
        self.receivers = receivers
        self.window_seconds = window_seconds
        self._dashboard_url = dashboard_url

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
        since = now - self.window_seconds
        for message in messages_since(incidents, since, self._dashboard_url):
            for receiver in self.receivers:
                if not receiver.offer(message, delivered):
                    logger.warning("webhook_queue_full event=%s", message.event)

    def close(self) -> None:
        """Stop; what is not delivered is queued again at the next start."""
        for receiver in self.receivers:
            receiver.close(_CLOSE_SECONDS)

"""Records of attempts on their way to the collector, off the receivers' threads."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from llmtrace.common.supervised import SupervisedThread
from llmtrace_analysis.collector_client import CollectorRefused, CollectorUnavailable
from llmtrace_collector.store.incident import AlertDelivery

logger = logging.getLogger(__name__)

_MAX_UNRECORDED = 10_000

#: How long the collector may be out of reach before this is a reason against readiness of its own.
_FAILING_SECONDS = 60.0


class AttemptLog:
    """Writes each attempt, in order, by a thread of its own: a collector that is slow holds up no receiver.

    What a killed process had not written is sent again by the next one, under the same id.
    """

    def __init__(self, write: Callable[[dict[str, Any]], None]) -> None:
        """`write` takes the body of `POST /v1/deliveries`; it raises as the collector's client does."""
        self._write = write
        self._unrecorded: deque[AlertDelivery] = deque()
        self._changed = threading.Condition()
        self._stopping = False
        self.thread = SupervisedThread(
            "webhook-attempts",
            self._write_next,
            pauses=(0.5, 2.0),
            expected=(CollectorUnavailable,),
            failing_seconds=_FAILING_SECONDS,
            stuck_seconds=_FAILING_SECONDS,
        )
        self.lost = 0
        """Attempts that will never be recorded: the collector was not there for too long, or refused."""

    def start(self) -> None:
        """Start writing."""
        self.thread.start()

    def add(self, attempt: AlertDelivery) -> None:
        """Have it written. Raises nothing."""
        with self._changed:
            if len(self._unrecorded) >= _MAX_UNRECORDED:
                self._unrecorded.popleft()
                self._count_lost("the collector has taken none of the last ones")
            self._unrecorded.append(attempt)
            self._changed.notify()

    def close(self, seconds: float) -> None:
        """Write what waits, for so long at most."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if not self.thread.join(seconds):
            self.thread.stop()

    def _write_next(self) -> float | None:
        with self._changed:
            while not self._unrecorded:
                if self._stopping:
                    return None
                self._changed.wait()
            attempt = self._unrecorded[0]
        self.thread.begin()
        try:
            self._write(attempt.to_report())
        except CollectorRefused as error:
            self._count_lost(str(error))
        with self._changed:
            # Unless it was the oldest of too many meanwhile.
            if self._unrecorded and self._unrecorded[0] is attempt:
                self._unrecorded.popleft()
        return 0.0

    def _count_lost(self, reason: str) -> None:
        self.lost += 1
        logger.warning("delivery_not_recorded reason=%s", reason)

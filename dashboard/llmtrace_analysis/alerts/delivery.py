"""Delivering messages to one receiver: one thread, in order, retried with backoff."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tenacity import RetryCallState, Retrying, retry_if_result, stop_after_attempt, stop_when_event_set
from tenacity.nap import sleep_using_event
from tenacity.wait import wait_exponential, wait_random

from llmtrace_collector.store.incident import AlertDelivery

from .channels.base import Channel, Outcome
from .messages import AlertMessage

logger = logging.getLogger(__name__)

_QUEUE_SIZE = 256


@dataclass(frozen=True)
class RetryPolicy:
    """How often a message is tried, and how long between."""

    attempts: int
    """In a row, before the message rests."""
    backoff_seconds: float
    """First wait between attempts; it doubles each time, with jitter."""
    backoff_max_seconds: float
    """Longest wait; where a receiver asks for more, the message rests."""
    rest_seconds: float
    """Rest of a message that failed all attempts."""


@dataclass(frozen=True)
class _Queued:
    message: AlertMessage
    delivery_id: str
    attempts: int
    """Those that were recorded before."""


class Receiver:
    """One channel with its queue and thread."""

    def __init__(
        self, channel: Channel, retry: RetryPolicy, record: Callable[[dict[str, Any]], None]
    ) -> None:
        """`record` takes each attempt (the body of `POST /v1/deliveries`)."""
        self.channel = channel
        self._retry = retry
        self._record = record
        self._queue: queue.Queue[_Queued] = queue.Queue(_QUEUE_SIZE)
        self._stopping = threading.Event()
        self._busy: set[str] = set()
        self._rest_until: dict[str, float] = {}
        self._thread = threading.Thread(target=self._work, name="llmtrace-webhook", daemon=True)

    def start(self) -> None:
        """Start delivering."""
        self._thread.start()

    def offer(self, message: AlertMessage, delivered: Mapping[str, tuple[bool, int]]) -> bool:
        """Queue a message, unless it is queued, delivered or resting.

        `delivered`: delivery id → (delivered, attempts), as recorded. False when the queue is full: offer it
        again later.
        """
        if self.channel.gone or message.event not in self.channel.events:
            return True
        delivery_id = message.delivery_id(self.channel.url)
        done, attempts = delivered.get(delivery_id, (False, 0))
        resting = self._rest_until.get(delivery_id, 0.0) > time.monotonic()
        if done or resting or delivery_id in self._busy:
            return True
        try:
            self._queue.put_nowait(_Queued(message, delivery_id, attempts))
        except queue.Full:
            return False
        self._busy.add(delivery_id)
        return True

    def close(self, seconds: float) -> None:
        """Stop after the attempt under way, waiting so long at most. The rest is for the next start."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(seconds)
        self.channel.close()

    def _work(self) -> None:
        while not self._stopping.is_set():
            try:
                queued = self._queue.get(timeout=0.2)
            except queue.Empty:
                continue
            try:
                outcome = self._deliver(queued)
            except Exception:
                # One message must not end the thread that delivers all others.
                message = queued.message
                logger.exception("webhook_failed event=%s incident=%s", message.event, message.incident_id)
                outcome = Outcome(ok=False)
            if not outcome.ok:  # a delivered one stays busy: it is never to be queued again
                rest = max(self._retry.rest_seconds, outcome.retry_after or 0.0)
                self._rest_until[queued.delivery_id] = time.monotonic() + rest
                self._busy.discard(queued.delivery_id)

    def _deliver(self, queued: _Queued) -> Outcome:
        attempts = queued.attempts

        def attempt() -> Outcome:
            nonlocal attempts
            if self._stopping.is_set() or self.channel.gone:
                return Outcome(ok=False, final=True, error="stopped")
            attempts += 1
            outcome = self.channel.send(queued.message)
            self._report(queued, outcome, attempts)
            return outcome

        retrying = Retrying(
            retry=retry_if_result(self._is_worth_retrying),
            stop=stop_after_attempt(self._retry.attempts) | stop_when_event_set(self._stopping),
            wait=self._wait,
            sleep=sleep_using_event(self._stopping),
            retry_error_callback=_last_outcome,
        )
        outcome: Outcome = retrying(attempt)
        return outcome

    def _is_worth_retrying(self, outcome: Outcome) -> bool:
        patient = (outcome.retry_after or 0.0) <= self._retry.backoff_max_seconds
        return not outcome.ok and not outcome.final and patient

    def _wait(self, state: RetryCallState) -> float:
        first, longest = self._retry.backoff_seconds, self._retry.backoff_max_seconds
        backoff = wait_exponential(multiplier=first, max=longest) + wait_random(0, first / 2)
        return max(backoff(state), _last_outcome(state).retry_after or 0.0)

    def _report(self, queued: _Queued, outcome: Outcome, attempts: int) -> None:
        message, url = queued.message, self.channel.redacted_url
        logger.log(
            logging.INFO if outcome.ok else logging.WARNING,
            "webhook event=%s incident=%s host=%s attempt=%d status=%d ok=%s%s",
            message.event,
            message.incident_id,
            urlsplit(url).netloc,
            attempts,
            outcome.status,
            str(outcome.ok).lower(),
            f" error={outcome.error!r}" if outcome.error else "",
        )
        if self.channel.gone:
            logger.warning("webhook_disabled host=%s reason='answered 410'", urlsplit(url).netloc)
        self._record(
            AlertDelivery(
                project=message.project,
                delivery_id=queued.delivery_id,
                incident_id=message.incident_id,
                event=message.event,
                at=time.time(),
                url=url,
                attempt=attempts,
                status_code=outcome.status,
                ok=outcome.ok,
                error=outcome.error[:500],
                duration_ms=outcome.duration_ms,
            ).to_report()
        )


def _last_outcome(state: RetryCallState) -> Outcome:
    if state.outcome is None:
        return Outcome(ok=False)
    outcome: Outcome = state.outcome.result()
    return outcome

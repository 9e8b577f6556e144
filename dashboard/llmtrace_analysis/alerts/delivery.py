"""Delivering messages to one receiver: one thread, each incident's in order, retried with backoff."""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from llmtrace.common.supervised import SupervisedThread
from llmtrace_collector.store.incident import AlertDelivery, Incident

from .backlog import Backlog, Bounds, GivenUp, Recorded, RetryPolicy, Waiting
from .channels.base import Channel, Outcome
from .messages import to_message
from .metrics import DeliveryMetrics
from .repeats import Repeats

logger = logging.getLogger(__name__)

#: Beyond the deadline of an attempt: until it counts as stuck.
_STUCK_SECONDS = 30.0


@dataclass(frozen=True)
class ReceiverState:
    """How a receiver is doing."""

    name: str
    waiting: int
    """Messages."""
    oldest_seconds: float
    """How long the oldest has waited."""
    error: str
    """Why the last attempt failed; empty when it did not."""
    gone: bool
    """It has said that it wants no more."""
    dropped_at: float | None
    """When a message was last given up, by the monotonic clock; None: none was."""


class Receiver:
    """One channel with its backlog and thread."""

    def __init__(
        self,
        channel: Channel,
        *,
        name: str,
        retry: RetryPolicy,
        bounds: Bounds,
        dashboard_url: str,
        record: Callable[[AlertDelivery], None],
        is_settled: Callable[[Sequence[str]], bool],
        metrics: DeliveryMetrics,
    ) -> None:
        """`name` tells it from others in metrics; `record` takes each attempt, and what was given up.

        `is_settled`: whether any of these deliveries is recorded as delivered or given up; asked before each
        attempt, because another watch may be at it too. False where that cannot be known now.
        """
        self.channel = channel
        self.name = name
        self._dashboard_url = dashboard_url
        self._record = record
        self._is_settled = is_settled
        self._metrics = metrics
        self._backlog = Backlog(channel.url, channel.events, retry, bounds)
        self._repeats = Repeats(channel, dashboard_url)
        self._changed = threading.Condition()
        self._stopping = False
        self._dropped_at: float | None = None
        self.thread = SupervisedThread(
            f"webhook {name}", self._deliver_next, stuck_seconds=channel.timeout_seconds + _STUCK_SECONDS
        )
        metrics.watch(name, self.state)

    def start(self) -> None:
        """Start delivering."""
        self.thread.start()

    def state(self) -> ReceiverState:
        """How it is doing now."""
        with self._changed:
            return ReceiverState(
                name=self.name,
                waiting=len(self._backlog),
                oldest_seconds=self._backlog.oldest_seconds(time.monotonic()),
                error=self._backlog.error,
                gone=self.channel.gone,
                dropped_at=self._dropped_at,
            )

    def refresh(self, incidents: Sequence[Incident], recorded: Recorded, now: float) -> None:
        """Take over what the store says is to be delivered. Returns at once."""
        if self.channel.gone:
            return
        with self._changed:
            given_up = self._backlog.refresh(incidents, recorded, now, time.monotonic())
            self._repeats.lasting = [
                incident
                for incident in incidents
                if incident.state != "resolved" and self._backlog.has_settled_opening(incident, recorded)
            ]
            self._changed.notify()
        for dropped in given_up:
            self._drop(dropped)

    def close(self, seconds: float) -> None:
        """Stop after the attempt under way, waiting so long at most. The rest is for the next start."""
        self.thread.stop()
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self.thread.join(seconds)

    def _deliver_next(self) -> float:
        with self._changed:
            if self._stopping:
                return 0.0
            now = time.monotonic()
            waiting, pause = self._backlog.next_event(now)
            until_repeat = self._repeats.seconds_to(now)
            if waiting is None and until_repeat > 0:
                self._changed.wait(min(pause, until_repeat))
                return 0.0
        self.thread.begin()
        if waiting is None:
            self._repeat()
            return 0.0
        if self._is_settled(self._backlog.ids_from(waiting)):
            with self._changed:
                self._backlog.settle(waiting)
            return 0.0
        try:
            message = to_message(waiting.incident, waiting.event, waiting.at, self._dashboard_url)
            outcome = self.channel.send(message)
        except Exception as error:  # noqa: BLE001, a fault of a channel is no end of delivering
            # Not the error's text: a library may put an address or a header into it.
            logger.error(  # noqa: TRY400
                "webhook_failed event=%s incident=%s reason=%s\n%s",
                waiting.event,
                waiting.incident.incident_id,
                type(error).__name__,
                "".join(traceback.format_tb(error.__traceback__)),
            )
            outcome = Outcome(ok=False, error=f"{type(error).__name__}, see the log of watch")
        with self._changed:
            self._backlog.note(waiting, outcome, time.monotonic())
            if self.channel.gone:
                self._backlog.clear()
        self._report(waiting, outcome)
        return 0.0

    def _repeat(self) -> None:
        outcome = self._repeats.send(time.monotonic())
        if not outcome.ok:
            logger.warning("repeat_failed receiver=%s error=%r", self.name, outcome.error)

    def _report(self, waiting: Waiting, outcome: Outcome) -> None:
        self._metrics.attempted(self.name, outcome.ok)
        logger.log(
            logging.INFO if outcome.ok else logging.WARNING,
            "webhook event=%s incident=%s receiver=%r attempt=%d status=%d ok=%s%s",
            waiting.event,
            waiting.incident.incident_id,
            self.name,
            waiting.attempts + 1,
            outcome.status,
            str(outcome.ok).lower(),
            f" error={outcome.error!r}" if outcome.error else "",
        )
        if self.channel.gone:
            logger.warning("webhook_disabled receiver=%s reason='answered 410'", self.name)
        self._record(self._attempt(waiting, waiting.attempts + 1, outcome))

    def _drop(self, dropped: GivenUp) -> None:
        waiting = dropped.waiting
        self._metrics.dropped(self.name, dropped.reason)
        if dropped.reason == "superseded":
            level = logging.INFO
        else:
            level = logging.WARNING
            self._dropped_at = time.monotonic()
        logger.log(
            level,
            "webhook_dropped event=%s incident=%s receiver=%s reason=%s: %s",
            waiting.event,
            waiting.incident.incident_id,
            self.name,
            dropped.reason,
            dropped.text,
        )
        self._record(self._attempt(waiting, 0, Outcome(ok=False, error=dropped.text)))

    def _attempt(self, waiting: Waiting, number: int, outcome: Outcome) -> AlertDelivery:
        return AlertDelivery(
            project=waiting.incident.project,
            delivery_id=waiting.delivery_id,
            incident_id=waiting.incident.incident_id,
            event=waiting.event,
            at=time.time(),
            url=self.channel.redacted_url,
            attempt=number,
            status_code=outcome.status,
            ok=outcome.ok,
            error=outcome.error[:500],
            duration_ms=outcome.duration_ms,
        )

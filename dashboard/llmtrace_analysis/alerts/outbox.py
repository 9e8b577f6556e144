"""All receivers: what is still to be delivered is derived from the store, so that a restart forgets none."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from llmtrace.common.health import HealthReason
from llmtrace.common.supervised import SupervisedThread
from llmtrace_collector.store.incident import Incident

from .attempt_log import AttemptLog
from .backlog import Recorded
from .delivery import Receiver

_CLOSE_SECONDS = 5.0
_PATIENCE_SECONDS = 5.0
_DROPS_SHOW_SECONDS = 3600.0


class Outbox:
    """All receivers. They also hear of what people decide in the dashboard: it is in the store."""

    def __init__(
        self, receivers: Sequence[Receiver], attempt_log: AttemptLog, *, window_seconds: float
    ) -> None:
        """`window_seconds`: age after which an event of an incident that is over is given up."""
        self.receivers = receivers
        self._attempt_log = attempt_log
        #: How far back incidents matter here: an hour longer, so that what is too old is seen to be.
        self.memory_seconds = window_seconds + 3600.0 if receivers else 0.0

    @property
    def threads(self) -> list[SupervisedThread]:
        """Those that deliver, and the one that records."""
        return [*(receiver.thread for receiver in self.receivers), self._attempt_log.thread]

    def start(self) -> None:
        """Start the threads."""
        self._attempt_log.start()
        for receiver in self.receivers:
            receiver.start()

    def sync(self, incidents: Sequence[Incident], recorded: Recorded, now: float) -> None:
        """Have every event sent that a receiver has not got yet. Returns at once.

        `incidents`: those that are not over, and those that changed within `memory_seconds`; `recorded`:
        delivery id → (delivered or given up, attempts), of all of them; `now`: Unix seconds.
        """
        for receiver in self.receivers:
            receiver.refresh(incidents, recorded, now)

    def reasons(self) -> Iterator[HealthReason]:
        """What keeps people from being notified."""
        yield from filter(None, (thread.reason() for thread in self.threads))
        for state in [receiver.state() for receiver in self.receivers]:
            if state.gone:
                yield HealthReason(
                    "webhook-gone",
                    f"{state.name} answered 410 and is sent nothing: remove it from the settings, or "
                    "repair it and start watch anew",
                )
            elif state.oldest_seconds > _PATIENCE_SECONDS:
                yield HealthReason(
                    "webhook-waiting",
                    f"{state.waiting} messages wait for {state.name}, the oldest for "
                    f"{state.oldest_seconds:.0f} s ({state.error or 'it is slow'}); "
                    "they are sent once it answers",
                )
            if state.dropped_at is not None and time.monotonic() - state.dropped_at < _DROPS_SHOW_SECONDS:
                yield HealthReason(
                    "webhook-dropped",
                    f"messages for {state.name} were given up: the incidents' pages and the log name them",
                )

    def close(self) -> None:
        """Stop; what is not delivered is sent after the next start."""
        for receiver in self.receivers:
            receiver.close(_CLOSE_SECONDS)
        self._attempt_log.close(_CLOSE_SECONDS)

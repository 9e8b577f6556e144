"""Where every span and log record of this process has gone: the counters behind `llmtrace.stats()`."""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields

from opentelemetry.util.types import AttributeValue

from llmtrace import semconv

from .exporter import LogRecord
from .settings import Signal


@dataclass(frozen=True, slots=True)
class HookStatus:
    """What became of the hook on a library that is imported."""

    installed: bool
    """False where that failed: nothing that goes through the library is traced."""
    failures: int = 0
    """How often it failed, at being installed or at a request, which was then sent and not traced."""
    error: str = ""
    """The first failure."""


@dataclass(frozen=True, slots=True)
class Stats:
    """Spans, scores and log records since `init` (in a forked child: since the fork).

    `generated` = `sent` + `spooled` + `dropped` + `sampled_out` + `pending`. `sent` were acknowledged by the
    collector; `spooled` wait on disk for it to return; `dropped` are lost; `sampled_out` were left out by the
    sample rate. `replayed` counts further ones, left on disk by earlier processes, that this one sent.

    Of `generated` and `dropped`, `logs` and `logs_dropped` are scores and log records. `logs_limited` counts
    log records that were left out for the limit on their rate, which are in no other counter.

    `hooks`: what became of the hook on each library that is imported, by the library's name. `survives_kill`:
    whether a kill leaves the counters as they are, in shared memory, from the first span on; else as they
    were on disk.
    """

    generated: int = 0
    sent: int = 0
    dropped: int = 0
    pending: int = 0
    spooled: int = 0
    sampled_out: int = 0
    replayed: int = 0
    logs: int = 0
    logs_dropped: int = 0
    logs_limited: int = 0
    hooks: Mapping[str, HookStatus] = field(default_factory=dict, compare=False)
    survives_kill: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class ProcessOrigin:
    """What tells a process apart from all others."""

    instance: str
    pid: int
    host: str


class DeliveryCounters:
    """Thread-safe counters. `lock` also guards the queue, so that `pending` is exact."""

    def __init__(self, on_dropped: Callable[[int], None] | None = None) -> None:
        """`on_dropped` is called with the number of those that were just lost, on any thread."""
        self._on_dropped = on_dropped
        # Re-entrant: a garbage-collected stream submits its call from whatever code runs, this included.
        self.lock = threading.RLock()
        self.generated = self.sent = self.dropped = self.spooled = self.sampled_out = self.replayed = 0
        self.logs = self.logs_dropped = self.logs_limited = 0
        self.shared: memoryview | None = None
        """Where `generated` is written too as it grows, so that a kill leaves it; see `process_file`."""
        self.origin = ProcessOrigin(uuid.uuid4().hex, os.getpid(), socket.gethostname())
        #: What the collector was told last, and whether that was the goodbye.
        self._reported: tuple[Stats, bool] | None = None

    def count_dropped(self, count: int, signal: Signal = "traces") -> None:
        """Count what never arrives."""
        with self.lock:
            self.dropped += count
            if signal == "logs":
                self.logs_dropped += count
        if self._on_dropped is not None:
            self._on_dropped(count)

    def read(self, uncounted: int = 0) -> Stats:
        """A consistent copy; `uncounted` items are queued and not in `generated` yet."""
        with self.lock:
            generated = self.generated + uncounted
            settled = self.sent + self.dropped + self.spooled + self.sampled_out
            return Stats(
                generated,
                self.sent,
                self.dropped,
                generated - settled,
                self.spooled,
                self.sampled_out,
                self.replayed,
                self.logs,
                self.logs_dropped,
                self.logs_limited,
                survives_kill=self.shared is not None,
            )

    def report(
        self, uncounted: int = 0, *, is_last: bool = False, is_again: bool = False
    ) -> LogRecord | None:
        """The counters as an event for the collector; None when it has been sent these already.

        is_last: the process says goodbye with it. is_again: also where nothing has changed.
        """
        stats = self.read(uncounted)
        report = (stats, is_last)
        if (report == self._reported and not is_again) or not (stats.generated or stats.replayed):
            return None
        self._reported = report
        return stats_record(stats, self.origin, is_ended=is_last)

    def forget_report(self) -> None:
        """The last one did not arrive."""
        self._reported = None

    def is_reported(self) -> bool:
        """Whether the collector has been told all that is counted now, and that it is all."""
        stats = self.read()
        return self._reported == (stats, True) or not (stats.generated or stats.replayed)

    def as_left(self, uncounted: int, *, is_ended: bool) -> list[int]:
        """The counters as `process_file` keeps them. For the holder of the lock.

        is_ended: nothing is sent any more; what is pending then is lost, as by a kill.
        """
        stats = self.read(uncounted)
        settled = (stats.sent, stats.dropped, stats.spooled, stats.sampled_out, stats.replayed)
        return [stats.generated, *settled, int(is_ended and not stats.pending)]


def stats_record(
    stats: Stats, origin: ProcessOrigin, *, is_ended: bool, is_killed: bool | None = None
) -> LogRecord:
    """What the collector is told of a process; `is_killed`: by another, which knows how it ended."""
    attributes: dict[str, AttributeValue] = {
        f"{semconv.STATS_PREFIX}{counter.name}": getattr(stats, counter.name)
        for counter in fields(stats)
        if counter.compare
    }
    attributes[semconv.STATS_ENDED] = is_ended
    if is_killed is not None:
        attributes[semconv.STATS_KILLED] = is_killed
    attributes[semconv.SERVICE_INSTANCE_ID] = origin.instance
    attributes[semconv.PROCESS_PID] = origin.pid
    attributes[semconv.HOST_NAME] = origin.host
    return LogRecord(time.time_ns(), semconv.STATS_EVENT, 0, 0, attributes)

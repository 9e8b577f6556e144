"""Where every span and score of this process has gone: the counters behind `llmtrace.stats()`."""

from __future__ import annotations

import os
import threading
import time
import uuid
from dataclasses import dataclass, fields

from opentelemetry.util.types import AttributeValue

from llmtrace import internal_errors, semconv

from .exporter import ScoreRecord


@dataclass(frozen=True, slots=True)
class Stats:
    """Spans and scores since `init` (in a forked child: since the fork).

    `generated` = `sent` + `spooled` + `dropped` + `sampled_out` + `pending`. `sent` were acknowledged by the
    collector; `spooled` wait on disk for it to return; `dropped` are lost; `sampled_out` were left out by the
    sample rate. `replayed` counts further ones, left on disk by earlier processes, that this one sent.
    """

    generated: int = 0
    sent: int = 0
    dropped: int = 0
    pending: int = 0
    spooled: int = 0
    sampled_out: int = 0
    replayed: int = 0


class DeliveryCounters:
    """Thread-safe counters. `lock` also guards the queue, so that `pending` is exact."""

    def __init__(self, destination: str) -> None:
        """`destination` is named in the warning about lost spans."""
        self._destination = destination
        # Re-entrant: a garbage-collected stream submits its call from whatever code runs, this included.
        self.lock = threading.RLock()
        self.generated = self.sent = self.dropped = self.spooled = self.sampled_out = self.replayed = 0
        self._instance = uuid.uuid4().hex
        self._reported: Stats | None = None

    def count_dropped(self, count: int) -> None:
        """Count what never arrives."""
        with self.lock:
            self.dropped += count
        internal_errors.warn_once(
            "drop",
            "llmtrace drops spans (the collector at %s is away or too slow and queue and spool are full, or "
            "it refused them); llmtrace.stats() counts them.",
            self._destination,
        )

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
            )

    def report(self) -> ScoreRecord | None:
        """The counters as an event for the collector, or None when it has been sent these already."""
        stats = self.read()
        if stats == self._reported or not (stats.generated or stats.replayed):
            return None
        self._reported = stats
        attributes: dict[str, AttributeValue] = {
            f"{semconv.STATS_PREFIX}{field.name}": getattr(stats, field.name) for field in fields(stats)
        }
        attributes[semconv.SERVICE_INSTANCE_ID] = self._instance
        attributes[semconv.PROCESS_PID] = os.getpid()
        return ScoreRecord(time.time_ns(), semconv.STATS_EVENT, 0, 0, attributes)

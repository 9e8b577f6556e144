"""The writer: closed segments of the log → the store, in order, exactly once."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Iterable

from llmtrace.common.health import HealthReason
from llmtrace.common.supervised import SupervisedThread
from llmtrace_collector.metrics import CollectorMetrics
from llmtrace_collector.store.engine import StoreError, StoreUnavailable
from llmtrace_collector.store.store import Store

from .completeness import ArrivalCounts
from .insertion import SegmentInserter
from .segment import Segment
from .wal import WriteAheadLog


class Writer:
    """One thread that inserts segments. A store that is unavailable is waited for, however long; what the
    store refuses is set aside and does not hold up what is behind it.
    """

    def __init__(self, store: Store, metrics: CollectorMetrics, arrival_counts: ArrivalCounts) -> None:
        self._store = store
        self._metrics = metrics
        self._arrival_counts = arrival_counts
        # What is inserted stays first until it is done.
        self._queue: deque[Segment] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._half_stored = contextlib.ExitStack()
        self.thread = SupervisedThread("writer", self._step, expected=(OSError, StoreError, sqlite3.Error))

    def submit(self, segment: Segment) -> None:
        """Queue a closed segment."""
        with self._changed:
            self._queue.append(segment)
            self._changed.notify()

    def behind(self) -> bool:
        """Whether a segment closed now would have to wait."""
        return bool(self._queue)

    def start(self, wal: WriteAheadLog) -> None:
        """Begin to insert; `wal` learns which segments are done. Those of before may have been begun."""
        self._wal = wal
        self._metrics.oldest_unstored.set_function(self.oldest_age)
        self._inserter = SegmentInserter(self._store, self._metrics, self._arrival_counts, wal)
        self._recovered_remaining = len(self._queue)
        if self._recovered_remaining:
            self._half_stored.enter_context(self._store.half_stored())
        self.thread.start()

    def close(self, timeout: float) -> bool:
        """Insert what is queued and stop; False when the store did not take everything in `timeout` seconds.

        What is left stays in the log and is inserted at the next start.
        """
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self.thread.join(timeout):
            return True
        self.thread.stop()
        self.thread.join()
        return not self._queue

    def health(self) -> Iterable[HealthReason]:
        """Why what is acknowledged does not reach the store; nothing when it does."""
        reason = self.thread.reason()
        if reason is None:
            return
        if reason.code == "task-failing":
            text = (
                f"nothing could be stored for {self.thread.lag:.0f} s; {len(self._queue)} segments wait in "
                f"the log, which loses nothing, and are tried again: {self.thread.failure}"
            )
            reason = HealthReason("not-storing", text)
        yield reason

    def oldest_age(self) -> float:
        """Seconds since the oldest segment that is not stored was opened; 0.0 when there is none."""
        with self._changed:
            opened = self._queue[0].since if self._queue else self._wal.opened_since()
        return 0.0 if opened is None else max(time.time() - opened, 0.0)

    def _step(self) -> float | None:
        with self._changed:
            if not self._queue:
                self.thread.rest()
            self._changed.wait_for(lambda: self._queue or self._closing)
            if not self._queue:
                return None
            segment = self._queue[0]
        self.thread.begin()
        try:
            self._inserter.insert(segment)
        except BaseException as error:
            self._metrics.store_failures.inc()
            # A full disk may keep the log from noting what was stored; the token makes a repeat harmless.
            if isinstance(error, (OSError, StoreError, sqlite3.Error)):
                raise StoreUnavailable(f"the store did not take {segment.token}: {error}") from error
            raise
        with self._changed:
            self._queue.popleft()
        self._recovered_remaining -= 1
        if self._recovered_remaining == 0:
            self._half_stored.close()
        return 0.0

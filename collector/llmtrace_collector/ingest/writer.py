"""The writer: closed segments of the log → the store, in order, exactly once."""

from __future__ import annotations

import contextlib
import logging
import queue
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Sequence

from llmtrace_collector.metrics import CollectorMetrics
from llmtrace_collector.store.engine import StoreUnavailable
from llmtrace_collector.store.store import Store

from .bisect_segment import RefusedPiece, bisect, journal_path
from .completeness import ArrivalCounts
from .segment import Segment
from .wal import WriteAheadLog

logger = logging.getLogger(__name__)

_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 5.0

#: By how much (seconds) the store's clock may differ from this one's.
_CLOCKS = 3600


class Writer:
    """One thread that inserts segments. A store that is unavailable is waited for, however long; what the
    store refuses is set aside and does not hold up what is behind it.
    """

    def __init__(self, store: Store, metrics: CollectorMetrics, arrival_counts: ArrivalCounts) -> None:
        self._store = store
        self._metrics = metrics
        self._arrival_counts = arrival_counts
        self._queue: queue.SimpleQueue[Segment | None] = queue.SimpleQueue()
        self._inserting = False
        self._half_stored = contextlib.ExitStack()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="llmtrace-writer", daemon=True)

    def submit(self, segment: Segment) -> None:
        """Queue a closed segment."""
        self._queue.put(segment)

    def behind(self) -> bool:
        """Whether a segment closed now would have to wait."""
        return self._inserting or not self._queue.empty()

    def start(self, wal: WriteAheadLog) -> None:
        """Begin to insert; `wal` learns which segments are done. Those of before may have been begun."""
        self._wal = wal
        self._recovered_remaining = self._queue.qsize()
        if self._recovered_remaining:
            self._half_stored.enter_context(self._store.half_stored())
        self._thread.start()

    def close(self, timeout: float) -> bool:
        """Insert what is queued and stop; False when the store did not take everything in `timeout` seconds.

        What is left stays in the log and is inserted at the next start.
        """
        self._queue.put(None)
        self._thread.join(timeout)
        if self._thread.is_alive():
            self._stopping.set()
            self._thread.join()
            return False
        return True

    def _run(self) -> None:
        while (segment := self._queue.get()) is not None:
            self._inserting = True
            if not self._insert(segment):
                return
            self._inserting = False
            self._recovered_remaining -= 1
            if self._recovered_remaining == 0:
                self._half_stored.close()

    def _insert(self, segment: Segment) -> bool:
        """Insert one segment; False when the writer had to stop before the store took it."""
        with contextlib.ExitStack() as half_stored:
            return self._retry_until_stored(segment, half_stored)

    def _retry_until_stored(self, segment: Segment, half_stored: contextlib.ExitStack) -> bool:
        """Try until it is stored; a failed attempt may have stored a part: `half_stored` then holds that."""
        pause = _FIRST_PAUSE
        begun, marked = self._recovered_remaining > 0, False
        asks, is_held = begun and self._is_of_before(segment), False
        while True:
            try:
                if begun and not marked:
                    self._mark_stale(segment, "an insert was begun before")
                    marked = True
                if asks:
                    is_held = self._store.holds_any(segment.signal, segment.row_times())
                    asks = False
                self._insert_once(segment, is_held)
            # A full disk may keep the log from noting what was stored; the token makes a repeat harmless.
            except (StoreUnavailable, OSError, sqlite3.Error) as error:
                if pause == _FIRST_PAUSE:
                    half_stored.enter_context(self._store.half_stored())
                begun = True
                self._metrics.store_failures.inc()
                logger.warning(
                    "the store did not take %s, trying again in %.1f s: %s", segment.token, pause, error
                )
                if self._stopping.wait(pause):
                    return False
                pause = min(pause * 2, _LONGEST_PAUSE)
                continue
            self._metrics.log_bytes.set(self._wal.size)
            return True

    def _is_of_before(self, segment: Segment) -> bool:
        """Whether it may have been inserted before the schema changed: by its token the store would not know
        it again.
        """
        received = min((frame.received for frame in segment.frames()), default=0)
        return received / 1e9 < self._store.changed_at + _CLOCKS

    def _mark_stale(self, segment: Segment, reason: str) -> None:
        """An attempt that did not end well may have fed the rollups, and the engine's memory of tokens is
        each table's own: the segment's minutes are made anew from the spans once all of it is stored.
        """
        if segment.signal == "traces":
            self._store.mark_stale(segment.minutes(), reason)

    def _insert_once(self, segment: Segment, is_held: bool) -> None:
        """Insert one segment once, or what is missing of one that `is_held`; what the store refuses of it is
        set aside.
        """
        started = time.perf_counter()
        reason = None
        if not is_held and not journal_path(segment).exists():
            reason = self._store.try_insert(segment)
            if reason is None:
                self._metrics.insert_seconds.observe(time.perf_counter() - started)
                self._wal.done(segment)
                self._metrics.stored_segments.inc()
                self._arrival_counts.count_stored(segment.signal, segment.rows)
                return
        with self._store.half_stored():
            refused = bisect(self._store, segment, reason, is_held=is_held)
            self._mark_stale(segment, "a segment was taken apart")
            self._set_aside(segment, refused)

    def _set_aside(self, segment: Segment, refused: Sequence[RefusedPiece]) -> None:
        """Quarantine what the store refuses of a segment, the rest of which is stored."""
        bad: Counter[str] = Counter()
        for piece in refused:
            services = self._arrival_counts.count_quarantined(piece.segment)
            bad += services
            rows = services.total()
            self._metrics.quarantined_segments.inc()
            self._metrics.quarantined.labels(segment.signal).inc(rows)
            logger.error(
                "the store refused %d rows of %s; what is kept of them is in %s: %s",
                rows,
                segment.token,
                piece.segment.quarantine(piece.reason),
                piece.reason,
            )
        if not any(piece.segment is segment for piece in refused):
            self._metrics.split_segments.inc()
            self._arrival_counts.count_stored(segment.signal, segment.rows - bad)
        self._wal.done(segment)
        journal_path(segment).unlink(missing_ok=True)

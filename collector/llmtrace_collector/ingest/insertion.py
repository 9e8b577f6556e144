"""One segment on its way into the store: every step may fail and is gone on with where it failed."""

from __future__ import annotations

import contextlib
import logging
import time
from collections import Counter

from llmtrace_collector.metrics import CollectorMetrics
from llmtrace_collector.store.engine import StoreError
from llmtrace_collector.store.integrity.unstored_blocks import add_unstored
from llmtrace_collector.store.store import Store

from .bisect_segment import RefusedPiece, bisect, journal_path
from .completeness import ArrivalCounts
from .fault import FaultFinder
from .segment import Segment
from .wal import WriteAheadLog

logger = logging.getLogger(__name__)

#: By how much (seconds) the store's clock may differ from this one's.
_CLOCKS = 3600


class SegmentInserter:
    """Brings one segment after the other into the store. A segment that could not be stored stays in hand:
    `insert` is called again, and does again only what was not done.
    """

    def __init__(
        self,
        store: Store,
        metrics: CollectorMetrics,
        arrival_counts: ArrivalCounts,
        wal: WriteAheadLog,
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._arrival_counts = arrival_counts
        self._wal = wal
        self._faults = FaultFinder(store)
        self._half_stored = contextlib.ExitStack()
        self._forget()

    def _forget(self) -> None:
        #: Whether an attempt may have stored a part of it, so that rollups wait.
        self._is_begun = False
        self._has_failed = False
        self._is_marked = False
        #: Whether rows of it are stored; None when that was not asked.
        self._is_held: bool | None = None
        #: What the store will not have; None until the rest is stored.
        self._refused: list[RefusedPiece] | None = None
        self._is_noted = False
        self._half_stored.close()

    def insert(self, segment: Segment) -> None:
        """Store a segment, set aside what the store refuses of it and delete it from the log. Raises what
        went wrong: call it again with the same segment, later.
        """
        try:
            if self._refused is None:
                try:
                    self._refused = self._store_segment(segment)
                except BaseException:
                    self._has_failed = True
                    raise
            self._leave_log(segment, self._refused)
        except BaseException:
            self._begin()
            raise
        try:
            self._count(segment, self._refused)
        finally:
            self._forget()

    def _begin(self) -> None:
        if not self._is_begun:
            self._is_begun = True
            self._half_stored.enter_context(self._store.half_stored())

    def _store_segment(self, segment: Segment) -> list[RefusedPiece]:
        """Store what the store takes of a segment, and return the rest."""
        self._wal.set_aside_damage(segment)
        if segment.begun:
            self._begin()
        if self._is_begun and not self._is_marked:
            self._mark_stale(segment, "an insert was begun before")
            self._is_marked = True
        if self._is_held is None:
            asks = segment.begun and self._is_of_before(segment)
            self._is_held = asks and self._store.holds_any(segment.signal, segment.row_times())
        started = time.perf_counter()
        reason = None
        if not self._is_held and not journal_path(segment).exists():
            reason = self._faults.try_insert(segment)
            if reason is None:
                self._demand_stored(segment)
                self._metrics.insert_seconds.observe(time.perf_counter() - started)
                return []
        with self._store.half_stored():
            refused = bisect(self._store, self._faults, segment, reason, is_held=self._is_held)
            self._mark_stale(segment, "a segment was taken apart")
        return refused

    def _demand_stored(self, segment: Segment) -> None:
        """A repeat may have been taken for a duplicate of what the attempt before did not bring in."""
        if not (self._is_begun and segment.has_requests()):
            return
        if self._has_failed or not self._store.holds_all(segment.signal, segment.row_times()):
            with segment.plain_file() as path:
                add_unstored(self._store, segment.signal, path)

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

    def _leave_log(self, segment: Segment, refused: list[RefusedPiece]) -> None:
        """Move what is refused to the quarantine and delete the segment; each may be done already."""
        if not self._is_noted:
            self._arrival_counts.note_leaving(segment, [piece.segment for piece in refused])
            self._is_noted = True
        for piece in refused:
            if piece.segment.path.exists():
                logger.error(
                    "the store refused a part of %s; what is kept of it is in %s: %s",
                    segment.token,
                    piece.segment.quarantine(piece.reason),
                    piece.reason,
                )
        self._wal.done(segment)

    def _count(self, segment: Segment, refused: list[RefusedPiece]) -> None:
        """Let metrics tell what became of a segment that has left the log; nothing depends on it."""
        try:
            bad: Counter[str] = Counter()
            for piece in refused:
                services = self._arrival_counts.count_quarantined(piece.segment)
                bad += services
                self._metrics.quarantined_segments.inc()
                self._metrics.quarantined.labels(segment.signal).inc(services.total())
            if not any(piece.segment is segment for piece in refused):
                self._arrival_counts.count_stored(segment.signal, segment.rows - bad)
                (self._metrics.split_segments if refused else self._metrics.stored_segments).inc()
            self._metrics.log_bytes.set(self._wal.size)
            journal_path(segment).unlink(missing_ok=True)
        except (OSError, StoreError) as error:
            logger.warning("metrics do not tell of %s, which has left the log: %s", segment.token, error)

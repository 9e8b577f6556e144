"""Counts per service and minute of arrival, so that one can see that nothing went missing on the way."""

from __future__ import annotations

import logging
import sqlite3
import threading
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from llmtrace.common.escaping import visible
from llmtrace.common.sealed_files import EncryptionKeys
from llmtrace_collector.metrics import CollectorMetrics
from llmtrace_collector.store.errors import StoreError
from llmtrace_collector.store.store import Store

from .count_journal import Arrival, CountJournal, JournalBatch, arrivals_of
from .log_damage import Damage
from .segment import Segment
from .validate import MAX_NAME, ServiceRows

logger = logging.getLogger(__name__)

Outcome = Literal["received", "rejected", "duplicate", "quarantined"]

#: (project, service, minute, signal) → outcome → rows.
Counts = dict[tuple[str, str, int, str], dict[str, int]]

_MINUTE = 60_000_000_000

#: Services that have a metric of their own; names come from senders and must not grow without end.
_SERVICES = 200


#: Each process of an SDK says what it counted since its start; the largest of its words is the last.
_SDK_COUNTS = """SELECT ServiceName, sum(g) AS generated, sum(s) AS sent, sum(p) AS spooled,
    sum(d) AS dropped, sum(l) AS lost
FROM (
    SELECT ServiceName, max(Generated) AS g, max(Sent) AS s, argMax(Spooled, Timestamp) AS p,
        max(Dropped) AS d, max(Lost) AS l
    FROM sdk_reports
    WHERE Timestamp >= now() - INTERVAL 1 DAY
    GROUP BY Project, ServiceName, Instance
)
GROUP BY ServiceName"""


@dataclass(frozen=True)
class RequestOrigin:
    """Of a request: signal, the key's project, arrival (Unix nanoseconds)."""

    signal: str
    project: str
    received: int


class ArrivalCounts:
    """Adds what came to `completeness_counts` by `flush`.

    What was received, and what of it was set aside, is counted from the log's frames and kept on disk beside
    them: it is exact whatever happens. What was refused or came again is counted in memory: a process that is
    killed loses what it counted since the last flush. What is stored is counted by the engine.
    """

    def __init__(
        self, store: Store, metrics: CollectorMetrics, log: Path, keys: EncryptionKeys | None = None
    ) -> None:
        """`log`: the folder of the log, where what left it is written down, encrypted with `keys`."""
        self._store = store
        self.journal = CountJournal(log, keys)
        self._metrics = metrics
        self._lock = threading.Lock()
        self._flush_lock = threading.Lock()
        self._counts: Counts = {}
        self._unsent: list[dict[str, Any]] = []
        self._services: dict[str, str] = {}

    def add(self, origin: RequestOrigin, rows: ServiceRows, outcome: Outcome, count: int) -> None:
        """Count rows of one service. Those that are received or set aside count in the store once they leave
        the log.
        """
        if not count:
            return
        if count > 0:
            self._metrics.completeness.labels(self.label(rows.service), origin.signal, outcome).inc(count)
        if outcome in ("received", "quarantined"):
            return
        project = origin.project or rows.project or "default"
        key = (project, rows.service, origin.received // _MINUTE * 60, origin.signal)
        with self._lock:
            counts = self._counts.setdefault(key, {})
            counts[outcome] = counts.get(outcome, 0) + count

    def label(self, service: str) -> str:
        """The service as a label of metrics, as it is stored, control characters as escapes; `(other)` beyond
        the first 200.
        """
        service = service[:MAX_NAME]  # those of SDKs' reports were not measured when they came
        with self._lock:
            if service not in self._services and len(self._services) < _SERVICES:
                (stored,) = self._store.clean([service])
                self._services[service] = visible(stored)
            return self._services.get(service, "(other)")

    def count_stored(self, signal: str, rows: Mapping[str, int]) -> None:
        """Count rows by service that reached the store; in the store itself the engine counts them."""
        for service, count in rows.items():
            self._metrics.completeness.labels(self.label(service), signal, "stored").inc(count)

    def flag(self, service: str, flag: str, count: int) -> None:
        """Count calls that `CallDeduplicator` flagged, or spans that were wrong as they came in."""
        self._metrics.flagged.labels(self.label(service), flag).inc(count)

    def update_sdk_gauges(self) -> None:
        """Bring the gauges of what SDKs say of themselves up to date. Raises StoreError."""
        for row in self._store.rows(_SDK_COUNTS):
            for what in ("generated", "sent", "spooled", "dropped", "lost"):
                self._metrics.sdk_spans.labels(self.label(row["ServiceName"]), what).set(int(row[what]))

    def count_quarantined(self, segment: Segment) -> Counter[str]:
        """Count the rows of a segment that is set aside; their number by service."""
        total: Counter[str] = Counter()
        for frame in segment.frames():
            origin = RequestOrigin(segment.signal, frame.project, frame.received)
            for rows in frame.services:
                if rows.accepted:
                    total[rows.service] += rows.accepted
                self.add(origin, rows, "quarantined", rows.accepted)
        return total

    def note_leaving(self, segment: Segment, refused: Sequence[Segment] = ()) -> None:
        """Write down what a segment held, before it leaves the log: its rows were received, and those of the
        `refused` pieces and of its damaged places are set aside. Raises sqlite3.Error.
        """
        quarantined = damaged = sum((item.arrivals for item in segment.damage), Counter[Arrival]())
        for piece in refused:
            quarantined = quarantined + _arrivals(piece)
        self.journal.note(segment.path, segment.signal, segment.arrivals + damaged, quarantined)

    def count_damage(self, damage: Damage) -> None:
        """Count what a damaged place of the log held; in the store it counts once its segment leaves."""
        self._metrics.damaged_bytes.labels(damage.signal).inc(damage.size)
        self._metrics.damaged_requests.labels(damage.signal).inc(damage.requests or 0)
        for (_, service, _), count in damage.arrivals.items():
            self._metrics.completeness.labels(self.label(service), damage.signal, "quarantined").inc(count)
            self._metrics.quarantined.labels(damage.signal).inc(count)

    def note_replay(self, segment: Segment) -> None:
        """Write down that a segment goes from the quarantine back to the log, before it does. Raises
        StoreError and sqlite3.Error.
        """
        self.flush()
        rows = _arrivals(segment)
        self.journal.note(segment.path, segment.signal, rows, rows, back=True)

    def flush(self) -> None:
        """Add what was counted to the store. Raises StoreError, sqlite3.Error or OSError; what could not be
        added is kept.
        """
        with self._flush_lock:
            self._flush()

    def _flush(self) -> None:
        with self._lock:
            counts, self._counts = self._counts, {}
        batch = uuid.uuid4().hex
        self._unsent += [
            {
                "Project": project,
                "ServiceName": service,
                "Minute": minute,
                "Signal": signal,
                # Makes the row its own: the table takes the same rows sent again for a repetition.
                "Batch": batch,
                **{outcome.capitalize(): count for outcome, count in outcomes.items()},
            }
            for (project, service, minute, signal), outcomes in self._as_stored(counts).items()
        ]
        try:
            self._store.insert_rows("completeness_counts", self._unsent)
        except StoreError:
            if self._store.engine.alone:
                self._unsent = [{**row, "Batch": uuid.uuid4().hex} for row in self._unsent]
            raise
        self._unsent = []
        for left in self.journal.batches():
            self._add_left(left)

    def _add_left(self, left: JournalBatch) -> None:
        """Add what left the log to the store, as the same rows each time: they are taken once.

        The engine in this process has not stored what it failed at, but may take the same rows for stored the
        next time: they go in as others then.
        """
        stored = self._stored_names(name for row in left.rows for name in row.arrival[:2])
        rows = [
            {
                "Project": stored[row.arrival.project],
                "ServiceName": stored[row.arrival.service],
                "Minute": row.arrival.minute,
                "Signal": row.signal,
                "Batch": left.name,
                "Received": row.received,
                "Quarantined": row.quarantined,
            }
            for row in left.rows
        ]
        try:
            self._store.insert_rows("completeness_counts", rows)
        except StoreError:
            if self._store.engine.alone:
                self.journal.rename(left)
            raise
        self.journal.done([left])

    def _as_stored(self, counts: Counts) -> Counts:
        """Counts under the names that the engine stores; senders choose them."""
        stored = self._stored_names(name for project, service, _, _ in counts for name in (project, service))
        stored_counts: Counts = {}
        for (project, service, minute, signal), outcomes in counts.items():
            totals = stored_counts.setdefault((stored[project], stored[service], minute, signal), {})
            for outcome, count in outcomes.items():
                totals[outcome] = totals.get(outcome, 0) + count
        return stored_counts

    def _stored_names(self, names: Iterable[str]) -> dict[str, str]:
        """Name of a sender's → the name that the engine stores."""
        unique = sorted(set(names))
        return dict(zip(unique, self._store.clean(unique), strict=True))

    def close(self) -> None:
        """Flush for the last time."""
        try:
            self.flush()
        except (StoreError, sqlite3.Error, OSError) as error:
            logger.warning("what was refused or came again in the last seconds is not counted: %s", error)
        self.journal.close()


def _arrivals(segment: Segment) -> Counter[Arrival]:
    """Whose rows a segment holds, of which minutes; read from its file."""
    total: Counter[Arrival] = Counter()
    for frame in segment.frames():
        total += arrivals_of(frame, frame.services)
    return total

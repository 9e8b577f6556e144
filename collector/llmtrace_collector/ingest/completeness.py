"""Counts per service and minute of arrival, so that one can see that nothing went missing on the way."""

from __future__ import annotations

import logging
import threading
import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from llmtrace.common.escaping import visible
from llmtrace_collector.metrics import CollectorMetrics
from llmtrace_collector.store.engine import StoreError
from llmtrace_collector.store.store import Store

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
_SDK_COUNTS = """SELECT ServiceName, sum(g) AS generated, sum(s) AS sent, sum(p) AS spooled, sum(d) AS dropped
FROM (
    SELECT ServiceName, max(Generated) AS g, max(Sent) AS s, max(Spooled) AS p, max(Dropped) AS d
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
    """Counts in memory and adds them to `completeness_counts` by `flush`. A process that is killed loses
    what it counted since the last flush; what is stored is counted by the engine, exactly.
    """

    def __init__(self, store: Store, metrics: CollectorMetrics) -> None:
        self._store = store
        self._metrics = metrics
        self._lock = threading.Lock()
        self._flush_lock = threading.Lock()
        self._counts: Counts = {}
        self._unsent: list[dict[str, Any]] = []
        self._services: dict[str, str] = {}

    def add(self, origin: RequestOrigin, rows: ServiceRows, outcome: Outcome, count: int) -> None:
        """Count rows of one service."""
        if not count:
            return
        project = origin.project or rows.project or "default"
        key = (project, rows.service, origin.received // _MINUTE * 60, origin.signal)
        with self._lock:
            counts = self._counts.setdefault(key, {})
            counts[outcome] = counts.get(outcome, 0) + count
        if count > 0:
            self._metrics.completeness.labels(self.label(rows.service), origin.signal, outcome).inc(count)

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
            for what in ("generated", "sent", "spooled", "dropped"):
                self._metrics.sdk_spans.labels(self.label(row["ServiceName"]), what).set(int(row[what]))

    def count_quarantined(self, segment: Segment, *, subtract: bool = False) -> Counter[str]:
        """Count the rows of a quarantined segment, or `subtract` them when it goes back; their number by
        service.
        """
        total: Counter[str] = Counter()
        for frame in segment.frames():
            origin = RequestOrigin(segment.signal, frame.project, frame.received)
            for rows in frame.services:
                if rows.accepted:
                    total[rows.service] += rows.accepted
                self.add(origin, rows, "quarantined", -rows.accepted if subtract else rows.accepted)
        return total

    def flush(self) -> None:
        """Add what was counted to the store. Raises StoreError; what could not be added is kept."""
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
        self._store.insert_rows("completeness_counts", self._unsent)
        self._unsent = []

    def _as_stored(self, counts: Counts) -> Counts:
        """Counts under the names that the engine stores; senders choose them."""
        names = sorted({name for project, service, _, _ in counts for name in (project, service)})
        stored = dict(zip(names, self._store.clean(names), strict=True))
        stored_counts: Counts = {}
        for (project, service, minute, signal), outcomes in counts.items():
            totals = stored_counts.setdefault((stored[project], stored[service], minute, signal), {})
            for outcome, count in outcomes.items():
                totals[outcome] = totals.get(outcome, 0) + count
        return stored_counts

    def close(self) -> None:
        """Flush for the last time."""
        try:
            self.flush()
        except StoreError as error:
            logger.warning("counts of the last seconds are lost: %s", error)

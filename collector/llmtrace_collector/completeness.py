"""Counts per service and minute of arrival, so that one can see that nothing went missing on the way."""

from __future__ import annotations

import logging
import threading
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from .envelope import decode
from .metrics import Metrics
from .store.engine import StoreError
from .store.store import Store
from .validate import ServiceRows, service_rows

logger = logging.getLogger(__name__)

Outcome = Literal["received", "rejected", "duplicate", "quarantined"]

_MINUTE = 60_000_000_000

#: Services that have a metric of their own; names come from senders and must not grow without end.
_SERVICES = 200


@dataclass(frozen=True)
class Origin:
    """Of a request: signal, the key's project, arrival (Unix nanoseconds)."""

    signal: str
    project: str
    received: int


class Tally:
    """Counts in memory and adds them to `completeness_counts` by `flush`. A process that is killed loses
    what it counted since the last flush; what is stored is counted by the engine, exactly.
    """

    def __init__(self, store: Store, metrics: Metrics) -> None:
        self._store = store
        self._metrics = metrics
        self._turn = threading.Lock()
        self._counts: dict[tuple[str, str, int, str], dict[str, int]] = {}
        self._unsent: list[dict[str, Any]] = []
        self._services: set[str] = set()

    def add(self, origin: Origin, rows: ServiceRows, outcome: Outcome, count: int) -> None:
        """Count rows of one service."""
        if not count:
            return
        project = origin.project or rows.project or "default"
        key = (project, rows.service, origin.received // _MINUTE * 60, origin.signal)
        with self._turn:
            counts = self._counts.setdefault(key, {})
            counts[outcome] = counts.get(outcome, 0) + count
            if rows.service not in self._services and len(self._services) < _SERVICES:
                self._services.add(rows.service)
            service = rows.service if rows.service in self._services else "(other)"
        if count > 0:
            self._metrics.completeness.labels(service, origin.signal, outcome).inc(count)

    def set_aside(self, signal: str, file: Path, *, back: bool = False) -> int:
        """Count the rows of a quarantined file, or take them off when it goes `back`; their number."""
        total = 0
        for record, _ in decode(file.read_bytes()):
            for rows in service_rows(signal, record.body):
                total += rows.accepted
                count = -rows.accepted if back else rows.accepted
                self.add(Origin(signal, record.project, record.received), rows, "quarantined", count)
        return total

    def flush(self) -> None:
        """Add what was counted to the store. Raises StoreError; what could not be added is kept."""
        with self._turn:
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
                **{outcome.capitalize(): count for outcome, count in each.items()},
            }
            for (project, service, minute, signal), each in counts.items()
        ]
        self._store.insert_rows("completeness_counts", self._unsent)
        self._unsent = []

    def close(self) -> None:
        """Flush for the last time."""
        try:
            self.flush()
        except StoreError as error:
            logger.warning("counts of the last seconds are lost: %s", error)

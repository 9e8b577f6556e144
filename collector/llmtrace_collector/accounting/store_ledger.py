"""The ledger over the store: what was stored is there, part by part and day by day, or everybody is told.

A pass costs a few milliseconds: what the tables hold is read from the engine's list of parts. What differs is
counted by service and minute then, logged, an incident, a metric and a reason not to be ready, until
`llmtrace store check --repair` has dealt with it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from llmtrace.common.health import HealthReason
from llmtrace_collector.metrics import CollectorMetrics
from llmtrace_collector.store.incident import Incident, incident_of_missing_rows
from llmtrace_collector.store.integrity.day_counts import (
    COUNTED,
    ROWS_OF,
    Difference,
    MissingRows,
    differences,
    missing_rows,
    note_retention,
    start_counting,
    unstored,
)
from llmtrace_collector.store.integrity.parts import (
    BrokenPart,
    DamageReports,
    active_parts,
    broken_on_start,
    check_part,
    unreadable,
)
from llmtrace_collector.store.integrity.store_check import by_service, partitions_of, sentence_of
from llmtrace_collector.store.store import Store

logger = logging.getLogger(__name__)

#: A pass takes no more than this share of a core, where it may wait so long (seconds): what is wrong is said
#: within ten.
_SHARE = 0.01
_LONGEST_PAUSE = 7.0

#: How often (seconds) what the engine dropped because of its age is noted.
_RETENTION_SECONDS = 3600.0

#: Parts that nothing was written to for so long (seconds) are read and checked once in such a time.
_COLD_SECONDS = 3600
_CHECK_SECONDS = 86_400.0

#: What is checked at once: seconds of work a pass, of which there is one in ten seconds. Readers feel more.
_CHECK_BUDGET = 0.1

#: A part that the engine complained about is read again so much later (seconds) at the earliest.
_AGAIN_SECONDS = 600.0

RULE = "store-ledger"

_REPAIR = (
    "`llmtrace store check` says whose they are; `llmtrace store check --repair` brings back what a backup "
    "has and takes the rest off the books"
)


class IncidentReports(Protocol):
    """Where incidents are reported."""

    def report(self, reported: Incident, actor: str, note: str, project: str = "") -> dict[str, Any]: ...


@dataclass(frozen=True)
class LedgerState:
    """What the last pass found."""

    differences: tuple[Difference, ...] = ()
    unstored: tuple[tuple[str, int], ...] = ()
    set_aside: tuple[BrokenPart, ...] = ()
    damaged: tuple[BrokenPart, ...] = ()


class StoreLedger:
    """Compares counts and listens to what the engine says of its files. `sync` is a pass, `check_cold`
    another that reads parts slowly; both may be called from any thread.
    """

    def __init__(self, store: Store, metrics: CollectorMetrics, incidents: IncidentReports) -> None:
        self._store = store
        self._metrics = metrics
        self._incidents = incidents
        self._lock = threading.Lock()
        self._reports = DamageReports()
        self._damaged: dict[str, BrokenPart] = {}
        self._checked: dict[tuple[str, str], float] = {}
        self._open: dict[str, Incident] = {}
        self._not_before = 0.0
        self._retention_at = 0.0
        self.state = LedgerState()

    def sync(self, *, at_once: bool = False) -> None:
        """Compare, and say what is new. `at_once`: whatever the last pass took. Raises StoreError."""
        with self._lock:
            began = time.monotonic()
            damaged = set(self._damaged)
            self._check_reported()
            if began < self._not_before and not at_once and damaged == set(self._damaged):
                return
            self._pass()
            took = time.monotonic() - began
            self._not_before = time.monotonic() + min(took / _SHARE, _LONGEST_PAUSE)

    def repaired(self, damaged: Sequence[BrokenPart]) -> None:
        """What a check of all parts found to be damaged still; what was known before is forgotten. Raises
        StoreError.
        """
        with self._lock:
            self._damaged = {part.key: part for part in damaged}
        self.sync(at_once=True)

    def check_cold(self) -> None:
        """Read some of the parts that were not read for a day. Raises StoreError."""
        deadline = time.monotonic() + _CHECK_BUDGET
        parts = active_parts(self._store, quiet_seconds=_COLD_SECONDS)
        with self._lock:
            self._checked = {part: at for part, at in self._checked.items() if part in set(parts)}
            due = [
                part
                for part in parts
                if self._checked.get(part, -_CHECK_SECONDS) <= time.monotonic() - _CHECK_SECONDS
            ]
        for table, name in due:
            self._check(table, name)
            if time.monotonic() > deadline:
                return

    def health(self) -> Iterator[HealthReason]:
        """Reasons of readiness; without names of anybody's services."""
        state = self.state
        if state.set_aside:
            yield HealthReason(
                "parts-broken",
                f"{_parts(state.set_aside, 'was')} broken when the store was opened and set aside; "
                "`llmtrace store check --repair` deals with them",
            )
        if state.damaged:
            yield HealthReason(
                "parts-damaged",
                f"{_parts(state.damaged, 'is')} damaged on disk: reads and merges over them fail; "
                "`llmtrace store check --repair` sets them aside and brings back what a backup has",
            )
        counts = [item.sentence() for item in state.differences]
        counts += [
            f"{rows:,} {ROWS_OF[signal]} left the log and are neither in the store nor in the quarantine"
            for signal, rows in state.unstored
        ]
        if counts:
            more = f" and {len(counts) - 3} more" if len(counts) > 3 else ""
            yield HealthReason("rows-missing", f"{'; '.join(counts[:3])}{more}; {_REPAIR}")

    def _pass(self) -> None:
        start_counting(self._store)
        before = self.state
        differing = differences(self._store)
        known = differing is not None
        state = LedgerState(
            before.differences if differing is None else tuple(differing),
            # What was received counts when it leaves the log, which is after it was stored.
            tuple(unstored(self._store).items()) if known else before.unstored,
            tuple(broken_on_start(self._store)),
            tuple(self._damaged.values()),
        )
        self.state = state
        self._measure(state)
        if state != before:
            self._tell(state, before)
        if time.monotonic() >= self._retention_at:
            note_retention(self._store)
            self._retention_at = time.monotonic() + _RETENTION_SECONDS

    def _check_reported(self) -> None:
        """Check the parts that the engine complained about."""
        for table, name in self._reports.suspects(self._store):
            if time.monotonic() - self._checked.get((table, name), -_AGAIN_SECONDS) >= _AGAIN_SECONDS:
                self._check_part(table, name)

    def _check(self, table: str, name: str) -> None:
        with self._lock:
            known = set(self._damaged)
            self._check_part(table, name)
            new = set(self._damaged) - known
        if new:
            self.sync(at_once=True)

    def _check_part(self, table: str, name: str) -> None:
        part = check_part(self._store, table, name)
        self._checked[table, name] = time.monotonic()
        if part is not None:
            self._damaged[part.key] = part

    def _measure(self, state: LedgerState) -> None:
        missing: dict[str, int] = dict.fromkeys(COUNTED, 0)
        for item in state.differences:
            missing[item.partition.signal] += abs(item.missing)
        for signal, rows in state.unstored:
            missing[signal] += rows
        for signal, rows in missing.items():
            self._metrics.ledger_difference.labels(signal).set(rows)
        self._metrics.broken_parts.labels("set aside").set(len(state.set_aside))
        self._metrics.broken_parts.labels("damaged").set(len(state.damaged))

    def _tell(self, state: LedgerState, before: LedgerState) -> None:
        """Log what is new and bring the incidents up to date."""
        broken = [*state.set_aside, *state.damaged]
        partitions = {item.partition for item in state.differences} | partitions_of(broken)
        missing = missing_rows(self._store, partitions, unreadable(broken))
        whose = "; ".join(sentence_of(by_service(missing))[:20])
        new_parts = [part for part in broken if part not in (*before.set_aside, *before.damaged)]
        if new_parts:
            logger.error(
                "parts of the store are broken: %s",
                "; ".join(
                    f"{part.where} of {part.table}, "
                    + ("set aside by the engine when it opened the store" if part.detached else part.reason)
                    for part in new_parts[:20]
                ),
            )
        if new_parts or state.differences != before.differences or state.unstored != before.unstored:
            counts = [item.sentence() for item in state.differences]
            counts += [
                f"{rows:,} {ROWS_OF[signal]} left the log and were not stored"
                for signal, rows in state.unstored
            ]
            if counts or new_parts:
                logger.error(
                    "rows of the store are missing or cannot be read: %s. Whose: %s. %s",
                    "; ".join(counts) or "parts are broken",
                    whose or "not known",
                    _REPAIR,
                )
        if not (state.differences or state.unstored or broken):
            logger.info("what was stored and what the store holds agree again")
        self._report(state, missing)

    def _report(self, state: LedgerState, missing: Sequence[MissingRows]) -> None:
        """One incident for each project that lost rows; of the default one where nobody knows whose."""
        by_project: dict[str, list[MissingRows]] = defaultdict(list)
        for item in missing:
            by_project[item.project or "default"].append(item)
        if not by_project and (state.differences or state.unstored or state.set_aside or state.damaged):
            by_project["default"] = []
        now = round(time.time(), 3)
        for project, items in by_project.items():
            rows = sum(item.rows for item in items)
            lines = sentence_of(by_service(items))
            known = self._open.get(project)
            incident = incident_of_missing_rows(
                RULE,
                project,
                rows,
                title=f"{rows:,} stored rows are missing" if rows else "Parts of the store are broken",
                summary=("; ".join(lines) or "tables of the collector itself")[:6000] + f". {_REPAIR}.",
                opened_at=now if known is None else known.opened_at,
                now=now,
            )
            self._incidents.report(incident, RULE, "")
            self._open[project] = incident
        for project in set(self._open) - set(by_project):
            incident = replace(self._open.pop(project), state="resolved", resolved_at=now, last_seen_at=now)
            self._incidents.report(incident, RULE, "the counts add up again")


def _parts(parts: Sequence[BrokenPart], verb: str) -> str:
    tables = ", ".join(sorted({part.table for part in parts}))
    if len(parts) == 1:
        return f"a part of {tables} {verb}"
    return f"{len(parts)} parts of {tables} {'were' if verb == 'was' else 'are'}"

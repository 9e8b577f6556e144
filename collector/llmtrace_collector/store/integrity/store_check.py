"""`llmtrace store check`: every part read and compared with its checksums, every day counted, and on request
what is broken taken out, brought back from a backup, and what is made of it made anew.
"""

from __future__ import annotations

import logging
import re
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from llmtrace_collector.sql_values import literal
from llmtrace_collector.store.errors import StoreError, StoreUnavailable
from llmtrace_collector.store.store import Store

from .day_counts import (
    ROWS_OF,
    SIGNAL_OF,
    Difference,
    MissingRows,
    Partition,
    count_anew,
    differences,
    missing_rows,
    note_lost,
    unstored,
)
from .parts import BrokenPart, active_parts, broken_on_start, check_part, note_set_aside, unreadable
from .restored_rows import BackupRows

logger = logging.getLogger(__name__)

#: Tables that are made from the spans again.
_DERIVED = frozenset({"usage_10s", "usage_hour_closed", "steps_10s", "trace_rows", "otel_traces_trace_id_ts"})

_DAY_OF_PARTITION = re.compile(r"(?:^|-)(\d{4})-?(\d{2})-?(\d{2})$")

#: How often, and after how many seconds, it is asked whether days can be compared.
_TRIES, _PAUSE = 150, 0.2

#: Whose rows are missing is said of so many services and days; the rest is in `row_adjustments`.
_MOST = 1000


@dataclass
class CheckReport:
    """How far a check is and what it found. `state` is running, done or failed."""

    check_id: str
    repair: bool
    backups: str = ""
    state: str = "running"
    done: int = 0
    parts: int = 0
    step: str = "reading the list of parts"
    error: str = ""
    broken: list[dict[str, Any]] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    missing: list[dict[str, Any]] = field(default_factory=list)
    restored: list[dict[str, Any]] = field(default_factory=list)
    lost: list[dict[str, Any]] = field(default_factory=list)
    rebuilt: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


class StoreChecks:
    """Runs checks, one at a time, each in a thread of its own. `changed` is called at the end of each with
    the parts that are damaged and were not repaired.
    """

    def __init__(
        self, store: Store, backups: BackupRows, changed: Callable[[Sequence[BrokenPart]], object]
    ) -> None:
        self._store = store
        self._backups = backups
        self._changed = changed
        self._lock = threading.Lock()
        self._known: dict[str, CheckReport] = {}

    def start(self, *, repair: bool, backups: str = "") -> CheckReport:
        """Begin to check. `backups` is a further folder of backups."""
        report = CheckReport(uuid.uuid4().hex[:12], repair, backups)
        self._known[report.check_id] = report
        threading.Thread(target=self.run, args=(report,), name="llmtrace-check", daemon=True).start()
        return report

    def get(self, check_id: str) -> CheckReport | None:
        """A check of this process by its id."""
        return self._known.get(check_id)

    def run(self, report: CheckReport) -> None:
        """Check, and repair where the report says so; what goes wrong is in the report too."""
        with self._lock:
            try:
                self._check(report)
            except Exception as error:
                report.error = str(error)[:1000]
                report.state = "failed"
                logger.warning("the check of the store failed: %s", error, exc_info=True)
            else:
                report.step = ""
                report.state = "done"

    def _check(self, report: CheckReport) -> None:
        parts = active_parts(self._store)
        report.parts = len(parts)
        broken: list[BrokenPart] = []
        for table, name in parts:
            report.step = f"{table} {name}"
            part = check_part(self._store, table, name)
            if part is not None:
                broken.append(part)
            report.done += 1
        broken += broken_on_start(self._store)
        report.step = "counting"
        report.broken = [_said(part) for part in broken]
        differing = self._differences(report)
        report.differences = [item.sentence() for item in differing]
        for signal, rows in unstored(self._store).items():
            report.differences.append(
                f"{rows:,} {ROWS_OF[signal]} left the log and are neither in the store nor in the quarantine"
            )
        concerned = {item.partition for item in differing} | partitions_of(broken)
        missing = missing_rows(self._store, concerned, unreadable(broken))
        report.missing = by_service(missing)
        if report.repair and (broken or report.differences):
            self._repair(report, broken, missing)
            broken = []
        self._changed([part for part in broken if not part.detached])

    def _repair(
        self, report: CheckReport, broken: Sequence[BrokenPart], missing: Sequence[MissingRows]
    ) -> None:
        run = self._store.engine.execute
        for part in broken:
            if not part.detached:
                report.step = f"setting {part.table} {part.name} aside"
                run(f"ALTER TABLE {part.table} DETACH PART {literal(part.name)}")
            report.remarks += _what_of(part)
        note_set_aside(self._store, broken)
        for difference in self._differences(report):
            if difference.missing <= 0:
                continue
            partition = difference.partition
            report.step = f"looking for {ROWS_OF[partition.signal]} of {partition.day} in backups"
            rows, backup = self._backups.restore(partition, difference.missing, report.backups)
            if rows:
                report.restored.append(
                    {"signal": partition.signal, "day": partition.day, "rows": rows, "backup": backup}
                )
        report.step = "noting what is lost"
        left = self._differences(report)
        lost = missing_rows(self._store, {item.partition for item in left}, {})
        note_lost(self._store, lost)
        if unstored(self._store):
            count_anew(self._store)
        report.lost = by_service(lost)
        days = _days_of_rollups(broken, missing)
        emptied = sorted({item.project for item in missing if item.partition.signal == "traces"})
        for day in sorted(days):
            report.step = f"making usage, steps and traces of {day or 'every day'} anew"
            report.rebuilt += self._rebuild(day, emptied)

    def _differences(self, report: CheckReport) -> list[Difference]:
        """Where counts differ now; waits for a segment that is stored in part and for deletions."""
        for _ in range(_TRIES):
            results = differences(self._store)
            if results is not None:
                return results
            report.step = "waiting for a segment that is stored in part, or for rows that are being deleted"
            time.sleep(_PAUSE)
        raise StoreUnavailable(
            "a segment is stored in part, or rows are being deleted, and that does not end: see /health/ready"
        )

    def _rebuild(self, day: str, emptied: Sequence[str]) -> list[str]:
        try:
            return self._store.rebuild_usage(day or None, emptied if day else ())
        except StoreError as error:
            logger.warning("the rollups of %s could not be made anew: %s", day or "every day", error)
            return []


def sentence_of(missing: Iterable[dict[str, Any]]) -> list[str]:
    """What is missing, as sentences: rows, service, minutes."""
    return [
        f"{item['rows']:,} {ROWS_OF[item['signal']]} of {item['service'] or 'services not known'} "
        f"(project {item['project'] or 'not known'}), received {item['first'] or 'at times not known'}"
        + (f" to {item['last']}" if item["last"] != item["first"] else "")
        for item in missing
    ]


def _said(part: BrokenPart) -> dict[str, Any]:
    return {
        "table": part.table,
        "part": part.name,
        "folder": part.where,
        "reason": part.reason,
        "set_aside": part.detached,
    }


def _what_of(part: BrokenPart) -> list[str]:
    """What cannot be brought back here of a part that is gone."""
    if part.table in SIGNAL_OF or part.table in _DERIVED:
        return []
    return [
        f"what {part.name} of {part.table} held cannot be made anew: restore a backup into a new data_dir "
        "and compare, or go on without"
    ]


def partitions_of(broken: Iterable[BrokenPart]) -> set[Partition]:
    """The partitions of counted rows that broken parts are of."""
    partitions = set()
    for part in broken:
        day = _DAY_OF_PARTITION.search(part.partition)
        if part.table in SIGNAL_OF and day is not None:
            retention = int(part.partition.split("-", 1)[0])
            partitions.add(Partition(SIGNAL_OF[part.table], retention, "-".join(day.groups())))
    return partitions


def _days_of_rollups(broken: Iterable[BrokenPart], missing: Iterable[MissingRows]) -> set[str]:
    """Days whose rollups are to be made anew; '' stands for every day."""
    days = {item.partition.day for item in missing if item.partition.signal == "traces"}
    for part in broken:
        day = _DAY_OF_PARTITION.search(part.partition)
        if part.table in _DERIVED:
            days.add("-".join(day.groups()) if day is not None else "")
    return days


def by_service(missing: Iterable[MissingRows]) -> list[dict[str, Any]]:
    """Rows by signal, day, project and service, with the first and last minute of their arrival."""
    grouped: dict[tuple[Partition, str, str], list[MissingRows]] = defaultdict(list)
    for item in missing:
        grouped[item.partition, item.project, item.service].append(item)
    lines = []
    for (partition, project, service), items in sorted(grouped.items()):
        minutes = sorted(item.minute for item in items if item.minute)
        lines.append(
            {
                "signal": partition.signal,
                "day": partition.day,
                "project": project,
                "service": service,
                "rows": sum(item.rows for item in items),
                "first": _minute(minutes[0]) if minutes else "",
                "last": _minute(minutes[-1]) if minutes else "",
            }
        )
    return lines[:_MOST]


def _minute(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M")

"""Counts that close over the store: what was stored of each day, and what its tables hold of it now.

A partition is a day and the days that its rows are kept. What was stored in it is counted by the engine at
each insert (`completeness_counts`); what came or went otherwise is noted when it does (`row_adjustments`).
What is there is read from the engine's list of parts, which costs nothing. Days from which rows go by their
age are not compared: how many of them are gone is noted as the engine drops them.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from llmtrace_collector.sql_values import literal, literals
from llmtrace_collector.store.errors import StoreError
from llmtrace_collector.store.store import Store

logger = logging.getLogger(__name__)

#: Signal → tables of its rows, each with the column of their time.
COUNTED: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "traces": {"otel_traces": "Timestamp"},
        "logs": {"otel_logs": "Timestamp"},
        "metrics": {f"otel_metrics_{kind}": "TimeUnix" for kind in ("gauge", "sum", "histogram")},
    }
)

SIGNAL_OF: Mapping[str, str] = MappingProxyType(
    {table: signal for signal, tables in COUNTED.items() for table in tables}
)

#: What rows of a signal are called.
ROWS_OF: Mapping[str, str] = MappingProxyType(
    {"traces": "spans", "logs": "log records", "metrics": "data points"}
)

#: Counts are kept 400 days; of older rows they say nothing.
_COMPARED_DAYS = 390

_UPGRADE, _RETENTION = "upgrade", "retention"
#: The reason of what was deleted for a user.
ERASURE = "erasure"
#: The reason of rows that were lost and are there again.
_BACK = "back"
#: The reasons that `llmtrace store check --repair` gives.
LOST, SET_ASIDE = "lost", "set aside"


class Partition(NamedTuple):
    """What the rows of one signal, of one day and kept as long, have in common."""

    signal: str
    retention_days: int
    day: str


@dataclass(frozen=True)
class Difference:
    """`stored` rows should be in a partition, and `present` are. Fewer: they are lost; more: their count."""

    partition: Partition
    stored: int
    present: int

    @property
    def missing(self) -> int:
        """Rows that are not there; negative: rows that nobody counted."""
        return self.stored - self.present

    def sentence(self) -> str:
        """What is wrong, without names of anybody."""
        rows, day = ROWS_OF[self.partition.signal], self.partition.day
        if self.missing > 0:
            return f"{self.missing:,} of {self.stored:,} {rows} of {day} are not in the store any more"
        return f"{-self.missing:,} {rows} of {day} are in the store that no count knows"


@dataclass(frozen=True)
class MissingRows:
    """Rows of a service that came in one minute (Unix seconds, 0: not known) and are not there any more."""

    partition: Partition
    project: str
    service: str
    minute: int
    rows: int


def differences(store: Store) -> list[Difference] | None:
    """Where what was stored and what is there differ, and surely so: looked at once more while no segment is
    being inserted. None where that cannot be said: while a segment may be stored in part, or rows are being
    deleted. A cluster's nodes each know of their own parts alone: there it is always empty.

    Rows that are there and that no count knows are counted first: an insert that was killed may have left
    them without, and somebody may have attached a part again. Raises StoreError.
    """
    if store.engine.cluster is not None or not _compare(store):
        return []
    with store.inserts_held() as whole:
        if not whole or _deleting(store) or not _counts_by_day(store):
            return None
        results = _compare(store)
        if results and _count_unknown(store, [item.partition for item in results]):
            return _compare(store)
        return results


def start_counting(store: Store) -> None:
    """Take what an upgraded or restored store holds as stored, where nothing was counted by day before.

    Raises StoreError.
    """
    if store.engine.cluster is not None or _counts_by_day(store):
        return
    run = store.engine.execute
    with store.inserts_held() as whole:
        if not whole or _counts_by_day(store):
            return
        present = " UNION ALL ".join(
            f"SELECT {literal(signal)} AS Signal, RetentionDays, toDate({time}) AS Day, Project, "  # noqa: S608
            f"ServiceName, toInt64(count()) AS r FROM {table} GROUP BY ALL"
            for signal, tables in COUNTED.items()
            for table, time in tables.items()
        )
        counted = (
            "SELECT Signal, RetentionDays, Day, Project, ServiceName, -toInt64(sum(Stored)) AS r "
            "FROM completeness_counts WHERE RetentionDays != 0 GROUP BY ALL"
        )
        columns = "Signal, RetentionDays, Day, Project, ServiceName, Rows, Reason"
        run(
            f"INSERT INTO row_adjustments ({columns}) "  # noqa: S608, ours
            "SELECT Signal, RetentionDays, Day, Project, ServiceName, sum(r) AS Rows, "
            f"{literal(_UPGRADE)} FROM ({present} UNION ALL {counted}) GROUP BY ALL HAVING Rows != 0 "
            f"UNION ALL SELECT 'traces', 0, toDate(0), '', '', 0, {literal(_UPGRADE)}",
            settings={"max_partitions_per_insert_block": "0"},
        )


def note_retention(store: Store) -> None:
    """Note rows that the engine has dropped since because of their age. Raises StoreError."""
    gone = [item for item in _counts(store, of_age=True) if item.missing]
    store.insert_rows(
        "row_adjustments",
        [
            {**_partition_columns(item.partition), "Rows": -item.missing, "Reason": _RETENTION}
            for item in gone
        ],
    )


def missing_rows(
    store: Store, partitions: Iterable[Partition], unreadable: Mapping[str, Sequence[str]]
) -> list[MissingRows]:
    """Whose rows are missing in partitions, by minute of arrival; negative where there are more than were
    counted. Parts that are `unreadable`, by table, count as missing. Raises StoreError.
    """
    results: list[MissingRows] = []
    for partition in sorted(set(partitions)):
        signal, retention, day = partition
        of_day = f"RetentionDays = {retention} AND Day = {literal(day)}"
        sources = [
            f"SELECT Project, ServiceName, toUnixTimestamp(Minute) AS m, {column} AS r FROM {table} "  # noqa: S608
            f"WHERE Signal = {literal(signal)} AND {of_day}"
            for table, column in (("completeness_counts", "Stored"), ("row_adjustments", "Rows"))
        ]
        for table, time in COUNTED[signal].items():
            parts = unreadable.get(table, ())
            readable = f" AND _part NOT IN ({literals(parts)})" if parts else ""
            sources.append(
                "SELECT Project, ServiceName, toUnixTimestamp(toStartOfMinute(toDateTime(ReceivedAt))) AS m, "  # noqa: S608
                f"-toInt64(count()) AS r FROM {table} WHERE RetentionDays = {retention} "
                f"AND toDate({time}) = {literal(day)}{readable} GROUP BY ALL"
            )
        rows = _rows(
            store,
            f"SELECT Project, ServiceName, m, sum(r) AS rows FROM ({' UNION ALL '.join(sources)}) "  # noqa: S608
            "GROUP BY ALL HAVING rows != 0 ORDER BY ALL",
        )
        results += _balanced(
            [
                MissingRows(partition, row["Project"], row["ServiceName"], row["m"], row["rows"])
                for row in rows
            ]
        )
    return results


def _count_unknown(store: Store, partitions: Iterable[Partition]) -> int:
    """Count rows that are there and that no count knows; how many. Inserts are held meanwhile."""
    try:
        unknown = [item for item in missing_rows(store, partitions, {}) if item.rows < 0]
    except StoreError as error:
        logger.warning("days that differ cannot be read: %s", error)
        return 0
    lost = {
        (row["Signal"], row["RetentionDays"], row["d"], row["Project"], row["ServiceName"], row["m"]): row[
            "r"
        ]
        for row in _rows(
            store,
            "SELECT Signal, RetentionDays, toString(Day) AS d, Project, ServiceName, "  # noqa: S608, ours
            "toUnixTimestamp(Minute) AS m, -sum(Rows) AS r FROM row_adjustments "
            f"WHERE Reason IN ({literals([LOST, _BACK])}) GROUP BY ALL HAVING r > 0",
        )
    }
    stored, back = [], []
    for item in unknown:
        key = (*item.partition, item.project, item.service, item.minute)
        owner = _owner_columns(item)
        returned = min(-item.rows, lost.get(key, 0))
        if returned:
            back.append({**owner, "Rows": returned, "Reason": _BACK})
        if -item.rows > returned:
            stored.append({**owner, "Stored": -item.rows - returned, "Batch": uuid.uuid4().hex})
    for table, rows in (("row_adjustments", back), ("completeness_counts", stored)):
        if rows:
            lines = "\n".join(json.dumps(row) for row in rows)
            store.engine.insert_bytes(table, lines.encode(), "JSONEachRow")
    if unknown:
        logger.warning(
            "%d stored rows were in no count, as an interrupted insert leaves them, and are counted now",
            -sum(item.rows for item in unknown),
        )
    return len(unknown)


def note_lost(store: Store, missing: Iterable[MissingRows]) -> None:
    """Take rows as lost for good: from now on nothing waits for them. Raises StoreError."""
    store.insert_rows(
        "row_adjustments",
        [{**_owner_columns(item), "Rows": -item.rows, "Reason": LOST} for item in missing],
    )


def _owner_columns(item: MissingRows) -> dict[str, Any]:
    """Whose rows, in the columns of the tables of counts."""
    return {
        **_partition_columns(item.partition),
        "Project": item.project,
        "ServiceName": item.service,
        "Minute": item.minute,
    }


def _partition_columns(partition: Partition) -> dict[str, Any]:
    return {
        "Signal": partition.signal,
        "RetentionDays": partition.retention_days,
        "Day": partition.day,
    }


def removal(table: str, where: str, *, taken_back: bool = False) -> str:
    """The statement that notes the rows of a counted table for which `where` holds as erased, or takes that
    back.
    """
    signal = SIGNAL_OF[table]
    rows = "toInt64(count())" if taken_back else "-toInt64(count())"
    columns = "Signal, RetentionDays, Day, Project, ServiceName, Minute, Rows, Reason"
    return (
        f"INSERT INTO row_adjustments ({columns}) "  # noqa: S608, ours
        f"SELECT {literal(signal)}, RetentionDays, toDate({COUNTED[signal][table]}) AS d, Project, "
        f"ServiceName, toStartOfMinute(toDateTime(ReceivedAt)) AS m, {rows}, {literal(ERASURE)} "
        f"FROM {table} WHERE {where} GROUP BY RetentionDays, d, Project, ServiceName, m"
    )


def totals(store: Store) -> list[dict[str, Any]]:
    """Of each signal: rows received, quarantined, stored as the engine counted them, present now and taken
    away by reason. Raises StoreError.
    """
    rows = _rows(
        store,
        "SELECT Signal AS signal, toInt64(sum(Received)) AS received, "
        "toInt64(sum(Quarantined)) AS quarantined, toInt64(sum(Stored)) AS stored "
        "FROM completeness_counts GROUP BY Signal",
    )
    known = {row["signal"]: row for row in rows}
    present: dict[str, int] = defaultdict(int)
    for partition, count in _present(store).items():
        present[partition.signal] += count
    adjusted: dict[str, dict[str, int]] = defaultdict(dict)
    for row in _rows(
        store,
        "SELECT Signal AS signal, Reason AS reason, toInt64(sum(Rows)) AS rows FROM row_adjustments "
        "GROUP BY ALL HAVING rows != 0 ORDER BY ALL",
    ):
        adjusted[row["signal"]][row["reason"]] = row["rows"]
    nothing = {"received": 0, "quarantined": 0, "stored": 0}
    return [
        {
            **nothing,
            "signal": signal,
            **known.get(signal, {}),
            "present": present[signal],
            "adjusted": adjusted[signal],
        }
        for signal in COUNTED
    ]


def unstored(store: Store) -> dict[str, int]:
    """Signal → rows that left the log and were neither stored nor set aside, of what came since rows are
    counted by day. Only on an embedded store: others may write to a server. Raises StoreError.
    """
    if not store.engine.alone:
        return {}
    rows = _rows(
        store,
        "SELECT Signal, toInt64(sum(Received) - sum(Quarantined) - sum(Stored)) AS missing "
        "FROM completeness_counts "
        "WHERE Minute > (SELECT max(At) FROM row_adjustments WHERE Reason = 'upgrade') "
        "GROUP BY Signal HAVING missing > 0",
    )
    return {row["Signal"]: row["missing"] for row in rows}


def count_anew(store: Store) -> None:
    """Let `unstored` count what comes from now on. Raises StoreError."""
    store.insert_rows("row_adjustments", [{"Reason": _UPGRADE}])


def _compare(store: Store) -> list[Difference]:
    return [item for item in _counts(store, of_age=False) if item.missing]


def _counts(store: Store, *, of_age: bool) -> list[Difference]:
    """Partitions from which rows may have gone by their age, or those from which none may have."""
    age = "<=" if of_age else ">"
    which = (
        f"RetentionDays != 0 AND Day + RetentionDays {age} toDate(now()) "
        f"AND Day > toDate(now()) - {_COMPARED_DAYS}"
    )
    rows = _rows(
        store,
        "SELECT Signal, RetentionDays, toString(Day) AS d, toInt64(sum(r)) AS stored FROM ("  # noqa: S608
        f"SELECT Signal, RetentionDays, Day, Stored AS r FROM completeness_counts WHERE {which} UNION ALL "
        f"SELECT Signal, RetentionDays, Day, Rows AS r FROM row_adjustments WHERE {which}) GROUP BY ALL",
    )
    stored = {Partition(row["Signal"], row["RetentionDays"], row["d"]): row["stored"] for row in rows}
    present = _present(store, which)
    return [
        Difference(partition, stored.get(partition, 0), present.get(partition, 0))
        for partition in sorted(stored.keys() | present.keys())
    ]


def _present(store: Store, which: str = "1") -> dict[Partition, int]:
    rows = _rows(
        store,
        "SELECT table, RetentionDays, toString(Day) AS d, r FROM ("  # noqa: S608
        "SELECT table, toUInt16(extract(partition, '[0-9]+')) AS RetentionDays, "
        "toDate(extract(partition, '[0-9]{4}-[0-9]{2}-[0-9]{2}')) AS Day, toInt64(sum(rows)) AS r "
        f"FROM system.parts WHERE active AND database = currentDatabase() "
        f"AND table IN ({literals(SIGNAL_OF)}) GROUP BY ALL) WHERE {which}",
    )
    present: dict[Partition, int] = defaultdict(int)
    for row in rows:
        present[Partition(SIGNAL_OF[row["table"]], row["RetentionDays"], row["d"])] += row["r"]
    return present


def _counts_by_day(store: Store) -> bool:
    """Whether `start_counting` was there; a backup of before takes that back."""
    noted = f"SELECT count() FROM row_adjustments WHERE Reason = {literal(_UPGRADE)}"  # noqa: S608
    return int(store.engine.execute(noted)) > 0


def _deleting(store: Store) -> bool:
    pending = (
        "SELECT count() FROM system.mutations WHERE database = currentDatabase() AND NOT is_done "  # noqa: S608
        f"AND table IN ({literals(SIGNAL_OF)}) AND command LIKE '%DELETE WHERE%'"
    )
    return int(store.engine.execute(pending)) > 0


def _balanced(rows: Sequence[MissingRows]) -> list[MissingRows]:
    """Without what an upgrade counted for the whole day and the tables tell by the minute."""
    unknown: dict[tuple[str, str], int] = {
        (item.project, item.service): item.rows for item in rows if item.minute == 0
    }
    balanced = []
    for item in rows:
        owner = (item.project, item.service)
        if item.minute == 0:
            continue
        rest = item.rows
        if rest < 0 and unknown.get(owner, 0) > 0:
            taken = min(-rest, unknown[owner])
            unknown[owner] -= taken
            rest += taken
        if rest:
            balanced.append(MissingRows(item.partition, *owner, item.minute, rest))
    partition = rows[0].partition if rows else Partition("traces", 0, "")
    return balanced + [MissingRows(partition, *owner, 0, left) for owner, left in unknown.items() if left]


def _rows(store: Store, sql: str) -> list[dict[str, Any]]:
    data = store.engine.execute(f"{sql} FORMAT JSONEachRow", settings=None)
    return [json.loads(line) for line in data.splitlines()]

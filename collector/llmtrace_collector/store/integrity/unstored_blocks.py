"""Blocks of a segment that the engine takes for stored though they are not there.

The engine of one node notes a block's token first and gives the block's part its name then. Where the
second fails, or the process is killed in between, a repeat of the insert passes for a duplicate and adds
nothing. So after a repeat what the segment should have brought is made beside the tables and compared with
what they have.
"""

from __future__ import annotations

import logging
from pathlib import Path

from llmtrace_collector.sql_values import literal
from llmtrace_collector.store.store import Store

from .day_counts import COUNTED
from .restored_rows import IDENTITY

logger = logging.getLogger(__name__)

#: Filled by a view from log records, at their insert only.
_SCORES = "Timestamp, TraceId, SpanId, ResponseId, Name, ServiceName"
_ATTACHMENTS = "Timestamp, TraceId, SpanId, Sha256"

_COUNTED_BY = "Project, ServiceName, Minute, RetentionDays, Day"


def add_unstored(store: Store, signal: str, path: Path) -> int:
    """Bring in what a repeated insert of a segment (`path`: its frames, in plain) left out; the number of
    rows. Takes a second. Usage, steps and traces of its minutes are to be made anew afterwards.

    On a cluster nothing is left out: a token and its part are noted in one step. Raises StoreError.
    """
    if store.engine.cluster is not None:
        return 0
    with store.copy_with(signal, path) as copy:
        tables = {table: (time, IDENTITY[table]) for table, time in COUNTED[signal].items()}
        if signal == "logs":
            tables["scores"] = ("Timestamp", _SCORES)
            tables["attachments"] = ("Timestamp", _ATTACHMENTS)
        added = sum(
            _add_partitions(store, copy, table, time, known) for table, (time, known) in tables.items()
        )
        _count_uncounted(store, copy, signal)
    if added:
        logger.warning(
            "%d rows of %s that the engine took for stored were not, and are now", added, path.stem
        )
    return added


def _add_partitions(store: Store, copy: str, table: str, time: str, known: str) -> int:
    """A block is a partition's: all of its rows are there, or none. Attached, they feed no view."""
    run = store.engine.execute
    added = 0
    partitions = run(f"SELECT DISTINCT _partition_id FROM {copy}.{table} FORMAT TSVRaw")  # noqa: S608, ours
    for partition in partitions.decode().split():
        which = f"FROM {copy}.{table} WHERE _partition_id = {literal(partition)}"
        rows, held = run(
            f"SELECT (SELECT count() {which}), count() FROM {table} "  # noqa: S608, ours
            f"WHERE {time} BETWEEN (SELECT min({time}) {which}) AND (SELECT max({time}) {which}) "
            f"AND ({known}) IN (SELECT {known} {which})"
        ).split()
        if not int(held):
            run(f"ALTER TABLE {table} ATTACH PARTITION ID {literal(partition)} FROM {copy}.{table}")
            added += int(rows)
    return added


def _count_uncounted(store: Store, copy: str, signal: str) -> None:
    """Rows that are there and not counted as stored: the block that was left out is that of the counts."""
    keys = f"({_COUNTED_BY}) IN (SELECT {_COUNTED_BY} FROM {copy}.completeness_counts)"  # noqa: S608, ours
    there = " UNION ALL ".join(
        f"SELECT Project, ServiceName, toStartOfMinute(toDateTime(ReceivedAt)) AS Minute, RetentionDays, "  # noqa: S608
        f"toDate({time}) AS Day, toInt64(count()) AS n FROM {table} "
        f"WHERE toDate({time}) IN (SELECT Day FROM {copy}.completeness_counts) AND {keys} GROUP BY ALL"
        for table, time in COUNTED[signal].items()
    )
    counted = (
        f"SELECT {_COUNTED_BY}, -toInt64(sum(Stored)) AS n FROM completeness_counts "  # noqa: S608, ours
        f"WHERE Signal = {literal(signal)} AND {keys} GROUP BY ALL"
    )
    store.engine.execute(
        f"INSERT INTO completeness_counts ({_COUNTED_BY}, Signal, Stored) "  # noqa: S608, ours
        f"SELECT {_COUNTED_BY}, {literal(signal)}, sum(n) AS Missing FROM ({there} UNION ALL {counted}) "
        "GROUP BY ALL HAVING Missing > 0 SETTINGS insert_deduplicate = 0, async_insert = 0"
    )

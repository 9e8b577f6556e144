"""Rows of one partition back from a backup: those that it has and the table has not any more.

They are loaded into a table beside it and attached from there, so that what is filled at an insert (scores,
counts) does not take them for new ones.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from llmtrace.common.sealed_files import EncryptionKeys, SealBroken
from llmtrace_collector.sql_values import literal
from llmtrace_collector.store.errors import StoreError
from llmtrace_collector.store.sealed_pipes import readable
from llmtrace_collector.store.store import Store

from .day_counts import COUNTED, Partition

logger = logging.getLogger(__name__)

#: What tells one row of a table from another.
IDENTITY: Mapping[str, str] = MappingProxyType(
    {
        "otel_traces": "Timestamp, TraceId, SpanId, ReceivedAt",
        "otel_logs": "Timestamp, ReceivedAt, ServiceName, TraceId, SpanId, cityHash64(Body)",
        **{
            f"otel_metrics_{kind}": "TimeUnix, ReceivedAt, ServiceName, MetricName, "
            "cityHash64(mapSort(Attributes))"
            for kind in ("gauge", "sum", "histogram")
        },
    }
)

_RESTORED = "_restored"


class BackupRows:
    """The backups in `folder`, as the collector writes them."""

    def __init__(self, store: Store, folder: Path, keys: EncryptionKeys | None = None) -> None:
        self._store = store
        self._folder = folder
        self._keys = keys

    def restore(self, partition: Partition, missing: int, further: str = "") -> tuple[int, str]:
        """Bring back what is `missing` of a partition from the newest backup that helps, of those in the
        folder `further` too: how many rows, and the backup's name, '' where none does.

        Backups from before rows of it were erased are left alone, for they hold what should be gone. Raises
        StoreError.
        """
        erased = self._store.engine.execute(
            "SELECT toUnixTimestamp(max(At)) FROM row_adjustments WHERE Reason = 'erasure' "  # noqa: S608
            f"AND Signal = {literal(partition.signal)} AND Day = {literal(partition.day)}"
        )
        for folder, manifest in self._manifests(*([Path(further)] if further else [])):
            name = folder.parent.name if folder.name == "store" else folder.name
            written = datetime.strptime(name[:15], "%Y%m%d-%H%M%S").replace(tzinfo=UTC).timestamp()
            if written <= int(erased):
                continue
            rows = 0
            for table in COUNTED[partition.signal]:
                try:
                    rows += self._restore(table, partition, folder, manifest, missing - rows)
                except (OSError, SealBroken, StoreError) as error:
                    logger.warning("rows of %s cannot be had from backup %s: %s", table, name, error)
            if rows:
                return rows, name
        return 0, ""

    def _manifests(self, *further: Path) -> list[tuple[Path, dict[str, Any]]]:
        """Folder and manifest of each backup of this store, newest first."""
        places = ("[0-9]*/manifest.json", "[0-9]*/store/manifest.json")  # of the store only, and of all parts
        results = [
            (file.relative_to(folder), file)
            for folder in (self._folder, *further)
            for place in places
            for file in folder.glob(place)
        ]
        return [(file.parent, json.loads(file.read_text())) for _, file in sorted(results, reverse=True)]

    def _restore(
        self, table: str, partition: Partition, folder: Path, manifest: Mapping[str, Any], missing: int
    ) -> int:
        """Rows that came back; none where the backup has more of them than are missing."""
        file = folder / f"{table}.native.zst"
        has: dict[str, str] = manifest.get("columns", {}).get(table, {})
        if not has or not manifest.get("tables", {}).get(table) or not file.exists():
            return 0
        run = self._store.engine.execute
        scratch = f"{table}{_RESTORED}"
        of_day = (
            f"RetentionDays = {partition.retention_days} "
            f"AND toDate({COUNTED[partition.signal][table]}) = {literal(partition.day)}"
        )
        names = ", ".join(f"`{column}`" for column in self._columns(table) if column in has)
        known = IDENTITY[table]
        structure = literal(", ".join(f"`{column}` {kind}" for column, kind in has.items()))
        run(f"DROP TABLE IF EXISTS {scratch} SYNC")
        run(f"CREATE TABLE {scratch} AS {table}")
        try:
            with readable(file, self._keys) as whole:
                run(
                    f"INSERT INTO {scratch} ({names}) SELECT {names} "  # noqa: S608
                    f"FROM file({literal(str(whole.absolute()))}, 'Native', {structure}) WHERE {of_day} "
                    f"AND ({known}) NOT IN (SELECT {known} FROM {table} WHERE {of_day}) "
                    "SETTINGS insert_deduplicate = 0, async_insert = 0"
                )
            rows = int(run(f"SELECT count() FROM {scratch}"))  # noqa: S608
            if not rows:
                return 0
            if rows > missing:
                logger.warning(
                    "backup %s has %d rows of %s of %s that are not there, but only %d are missing: none was "
                    "taken",
                    folder,
                    rows,
                    table,
                    partition.day,
                    missing,
                )
                return 0
            run(
                f"ALTER TABLE {table} ATTACH PARTITION "
                f"({partition.retention_days}, {literal(partition.day)}) FROM {scratch}"
            )
        finally:
            run(f"DROP TABLE IF EXISTS {scratch} SYNC")
        return rows

    def _columns(self, table: str) -> list[str]:
        """The columns of a table that lie on disk."""
        names = self._store.engine.execute(
            "SELECT name FROM system.columns WHERE database = currentDatabase() "  # noqa: S608
            f"AND table = {literal(table)} AND default_kind NOT IN ('ALIAS', 'EPHEMERAL') "
            "ORDER BY position FORMAT TSVRaw"
        )
        return names.decode().split()

"""The store as the collector uses it: segments in, rows in, SELECTs out, rollups rebuilt."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from clickhouse_connect.driver.client import Client

from .engine import Engine, StoreError, literal, open_engine
from .hourly import rebuild_hours
from .schema import USAGE_SELECT, migrate, protobuf_schema

#: Signal → (Null table that decodes it, message of otlp.proto).
SIGNALS: Mapping[str, tuple[str, str]] = {
    "traces": ("otlp_traces_in", "TracesEnvelope"),
    "logs": ("otlp_logs_in", "LogsEnvelope"),
}

#: A segment is one block: a repeated token is exact only while block boundaries are, so they are pinned.
_ONE_BLOCK: Mapping[str, str] = {
    "max_insert_block_size": "1048576000",
    "min_insert_block_size_rows": "1048576000",
    "min_insert_block_size_bytes": "1073741824",
    "max_insert_threads": "1",
    # One request may hold spans of any number of days; a segment that cannot be stored would block the rest.
    "max_partitions_per_insert_block": "0",
    "async_insert": "0",
    "deduplicate_blocks_in_dependent_materialized_views": "1",
    "input_format_protobuf_oneof_presence": "1",
    "output_format_json_escape_forward_slashes": "0",
}


class Store:
    """One open store. Inserts and rebuilds take turns; reads run beside them."""

    def __init__(self, engine: Engine, retention_days: int) -> None:
        self.engine = engine
        self.version = migrate(engine, retention_days)
        self._schema = protobuf_schema()
        self._turn = threading.Lock()

    @property
    def client(self) -> Client:
        """A new clickhouse-connect client on this store, for readers in this process; close it."""
        return self.engine.client()

    def insert_segment(self, signal: str, path: Path, token: str) -> None:
        """Insert a segment of the log (length-prefixed envelopes) exactly once per `token`.

        Returns when the rows are on disk in every table that they feed. Raises StoreUnavailable when the
        same call may succeed later, StoreError when the engine refuses these bytes.
        """
        table, message = SIGNALS[signal]
        settings = {**_ONE_BLOCK, "insert_deduplication_token": token}
        with self._turn:
            self.engine.insert_messages(table, path, self._schema, message, settings)

    def insert_rows(self, table: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Insert small rows, column name → JSON value, into one of the tables written through endpoints."""
        lines = "\n".join(json.dumps(row, separators=(",", ":")) for row in rows)
        if lines:
            with self._turn:
                self.engine.insert_bytes(table, lines.encode(), "JSONEachRow")

    def read(self, sql: str, params: Mapping[str, str] | None = None, fmt: str = "TabSeparated") -> bytes:
        """Run one SELECT, read-only and within limits; see `Engine.read`."""
        return self.engine.read(sql, params, fmt)

    def rows(self, sql: str, params: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
        """The result of one SELECT as dictionaries; 64-bit integers stay integers."""
        data = self.engine.read(sql, params, "JSONEachRow")
        return [json.loads(line) for line in data.splitlines()]

    def rebuild_usage(self, day: str | None = None) -> list[str]:
        """Rebuild `usage_10s` and `usage_hour` from the spans, for one day (`YYYY-MM-DD`) or every day;
        returns the days.

        A day is rebuilt beside the live table and swapped in as a whole, so readers never see half of it.
        Inserts wait meanwhile.
        """
        with self._turn:
            days = [each for each in self._days() if day in (None, each)]
            for each in days:
                self._rebuild_day(each)
        return days

    def _days(self) -> list[str]:
        """Days whose spans are all still here; older ones keep the rollup that outlived its spans."""
        text = self.engine.execute(
            "SELECT DISTINCT toString(toDate(Timestamp)) AS day FROM otel_traces "
            "WHERE toDate(Timestamp) > today() - RetentionDays ORDER BY day"
        )
        return text.decode().split()

    def _rebuild_day(self, day: str) -> None:
        self.engine.execute("CREATE OR REPLACE TABLE usage_10s_rebuild AS usage_10s")
        select = USAGE_SELECT.format(
            source="otel_traces", where=f"AND toDate(Timestamp) = toDate({literal(day)})"
        )
        self.engine.execute(f"INSERT INTO usage_10s_rebuild {select}")
        # A day without a counted call has an empty rollup, which is right.
        self.engine.execute(
            f"ALTER TABLE usage_10s REPLACE PARTITION {literal(day)} FROM usage_10s_rebuild",
            settings={"allow_replace_partition_from_empty_source": "1"},
        )
        self.engine.execute("DROP TABLE usage_10s_rebuild SYNC")
        rebuild_hours(self.engine, day)

    def ping(self) -> bool:
        """Whether the store answers."""
        try:
            return self.engine.read("SELECT 1").strip() == b"1"
        except StoreError:
            return False

    def close(self) -> None:
        """Release the store; a later `open_store` on the same directory works again."""
        self.engine.close()


def open_store(dsn: str, retention_days: int = 30) -> Store:
    """Open the store of a DSN and bring its schema up to date.

    `chdb:///path/to/dir` (embedded; one process per directory) or `clickhouse://user:password@host:8123/db`.
    Raises ValueError for another address and StoreUnavailable when it cannot be opened.
    """
    return Store(open_engine(dsn), retention_days)

"""The store as the collector uses it: segments in, rows in, SELECTs out, rollups rebuilt."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from clickhouse_connect.driver.client import Client

from llmtrace.common.sealed_files import EncryptionKeys
from llmtrace_collector.sql_values import QueryParams, literal, literals

from .catalogue import SHARDED
from .engine import EmbeddedEngine, StoreEngine, StoreError, StoreUnavailable, open_engine
from .probe import demand_takes_rows
from .rollups.passes import Rollups
from .rollups.settings import DEFAULTS, RollupSettings
from .schema.decoding import protobuf_schema, what_spans_have
from .schema.description import SchemaSettings, describe
from .schema.home import Home
from .schema.reconcile import bring_up_to_date
from .schema.redaction import NOTHING, Redaction
from .schema.scratch import scratch
from .schema.versions import changed_at
from .span_traits import SpanTraits, traits_of

#: Signal → (Null table that decodes it, message of otlp.proto).
SIGNALS: Mapping[str, tuple[str, str]] = {
    "traces": ("otlp_traces_in", "TracesEnvelope"),
    "logs": ("otlp_logs_in", "LogsEnvelope"),
    "metrics": ("otlp_metrics_in", "MetricsEnvelope"),
}

#: Signal → tables of its rows, each with the column of their time.
_ROW_TIMES: Mapping[str, Sequence[tuple[str, str]]] = {
    "traces": (("otel_traces", "Timestamp"),),
    "logs": (("otel_logs", "Timestamp"),),
    "metrics": tuple((f"otel_metrics_{kind}", "TimeUnix") for kind in ("gauge", "sum", "histogram")),
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
    # The views that decode are long: these searches through them take longer than a small segment's insert.
    "optimize_and_compare_chain": "0",
    "query_plan_merge_expressions": "0",
    # Compiling the views to machine code takes as long as one insert and makes the next ones no faster.
    "compile_expressions": "0",
    "compile_aggregate_expressions": "0",
    "compile_sort_description": "0",
    "deduplicate_blocks_in_dependent_materialized_views": "1",
    "input_format_protobuf_oneof_presence": "1",
    "output_format_json_escape_forward_slashes": "0",
}


#: Names that are cleaned by one query, and characters of each; rows that one query asks for.
_NAMES, _NAME, _ROWS = 50, 1000, 2000

#: How long mutations of before are waited for: one that fails again and again never ends.
_MUTATIONS_SECONDS = 600


class Store:
    """One open store. Inserts and rebuilds take turns; reads run beside them."""

    def __init__(
        self, engine: StoreEngine, settings: SchemaSettings, rollups: RollupSettings = DEFAULTS
    ) -> None:
        self.engine = engine
        self.version = bring_up_to_date(engine, settings)
        #: When the schema last changed (Unix seconds, the engine's clock): what was inserted before is not
        #: known by its tokens any more, since those of the tables behind a view are made of the view's.
        self.changed_at = changed_at(Home(engine))
        self.redaction = settings.redaction
        self._settings = settings
        self._rollups = Rollups(engine, rollups)
        self._schema = protobuf_schema()
        self._what_spans_have = what_spans_have()
        self._lock = threading.Lock()
        # Segments that a kill or a failure may have stored in some of their tables only.
        self._half_stored = 0

    @property
    def client(self) -> Client:
        """A new clickhouse-connect client on this store, for readers in this process; close it."""
        return self.engine.client()

    def insert_segment(self, signal: str, path: Path, token: str) -> None:
        """Insert a segment of the log (length-prefixed frames) exactly once per `token`.

        Returns when the rows are on disk in every table that they feed. Raises StoreUnavailable when the
        same call may succeed later, StoreError when the engine refuses these bytes.
        """
        message = SIGNALS[signal][1]
        settings = {**_ONE_BLOCK, "insert_deduplication_token": token}
        with self._lock:
            for table in self._inlets(signal, path):
                self.engine.insert_messages(table, path, self._schema, message, settings)

    def _inlets(self, signal: str, path: Path) -> Sequence[str]:
        """The tables that a segment goes into, one after the other.

        A view takes longer to set up than to decode a small segment: what few spans need is in views of its
        own. That of other dialects comes first: what only it refuses is refused before any row is stored.
        """
        table, message = SIGNALS[signal]
        if signal != "traces":
            return (table,)
        has: int | None = traits_of(path)
        if has is None:
            has = self.engine.examine(path, self._schema, message, self._what_spans_have)
        if has is None or has == SpanTraits.FOREIGN:
            return ("otlp_foreign_in", table)
        return ("otlp_plain_in",) if has == SpanTraits.PLAIN else (table,)

    def demand_takes_rows(self, signal: str) -> None:
        """Raise StoreUnavailable, saying why, where the store takes no rows of a signal, whatever they are:
        some of our own are inserted, beside what anybody reads. Takes a second of CPU.
        """
        table, message = SIGNALS[signal]
        inlets = ("otlp_foreign_in", "otlp_plain_in", table) if signal == "traces" else (table,)
        demand_takes_rows(self.engine, self._settings, inlets, message, self._schema, _ONE_BLOCK)

    @contextmanager
    def copy_with(self, signal: str, path: Path) -> Iterator[str]:
        """A database whose tables, made like the store's, have the rows of a segment and nothing else; it is
        dropped in the end. Inserts wait meanwhile. Raises StoreError.
        """
        home = Home(self.engine)
        message = SIGNALS[signal][1]
        with self._lock, scratch(home, describe(self._settings, embedded=home.embedded)) as copy:
            for inlet in self._inlets(signal, path):
                table = f"{copy.database}.{inlet}"
                self.engine.insert_messages(table, path, self._schema, message, _ONE_BLOCK)
            yield copy.database

    def is_inserting(self, token: str) -> bool:
        """Whether an insert of a segment is still running, which its caller may have given up. Raises
        StoreError.
        """
        same = f"Settings['insert_deduplication_token'] = {literal(token)}"
        sql = f"SELECT count() FROM system.processes WHERE {same} AND query_kind = 'Insert'"  # noqa: S608, ours
        return self.engine.execute(sql).strip() != b"0"

    def holds_any(self, signal: str, times: Iterable[tuple[int, int]]) -> bool:
        """Whether any of these rows is stored: each one's time (Unix nanoseconds) and that of its arrival
        (Unix milliseconds), which no two requests share in practice.
        """
        return any(held for held, _ in self._held(signal, times))

    def holds_all(self, signal: str, times: Iterable[tuple[int, int]]) -> bool:
        """Whether there are such rows and each of them is stored; see `holds_any`."""
        counts = list(self._held(signal, times))
        return bool(counts) and all(held == asked for held, asked in counts)

    def _held(self, signal: str, times: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
        """How many of some of the rows are stored, of how many."""
        rows = iter(dict.fromkeys(times))
        while chunk := list(itertools.islice(rows, _ROWS)):
            pairs = ", ".join(map(str, chunk))
            first, last = min(at for at, _ in chunk), max(at for at, _ in chunk)
            held = 0
            for table, column in _ROW_TIMES[signal]:
                pair = f"(toUnixTimestamp64Nano({column}), toUnixTimestamp64Milli(ReceivedAt))"
                held += int(
                    self.engine.read_all(
                        f"SELECT uniqExact({pair}) FROM {table} WHERE {pair} IN ({pairs}) "  # noqa: S608, ours
                        f"AND {column} BETWEEN fromUnixTimestamp64Nano({first}) "
                        f"AND fromUnixTimestamp64Nano({last})"
                    )
                )
            yield held, len(chunk)

    @contextmanager
    def half_stored(self) -> Iterator[None]:
        """Around the insert of a segment that an earlier attempt may have begun: no rollup is rebuilt then.
        Rebuilt from its spans, and then fed by the attempt that completes it, it would hold them twice.
        """
        with self._lock:
            self._half_stored += 1
        try:
            yield
        finally:
            with self._lock:
                self._half_stored -= 1

    def insert_rows(self, table: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Insert small rows, column name → JSON value, into one of the tables written through endpoints."""
        lines = "\n".join(json.dumps(row, separators=(",", ":")) for row in rows)
        if lines:
            cluster = self.engine.cluster
            place = table if cluster is None else f"{cluster.place(table)}.{table}"
            with self._lock:
                self.engine.insert_bytes(place, lines.encode(), "JSONEachRow")

    def read(
        self,
        sql: str,
        params: QueryParams | None = None,
        fmt: str = "TabSeparated",
        project: str = "",
    ) -> bytes:
        """Run one SELECT of a reader's, read-only and within limits; see `StoreEngine.read`."""
        return self.engine.read(sql, params, fmt, project)

    def rows(self, sql: str, params: QueryParams | None = None) -> list[dict[str, Any]]:
        """The result of one SELECT of ours, over everything in the store, as dictionaries; 64-bit integers
        stay integers.
        """
        data = self.engine.read_all(sql, params, "JSONEachRow")
        return [json.loads(line) for line in data.splitlines()]

    def clean(self, texts: Sequence[str]) -> list[str]:
        """The texts, which are names and short, as the views would store them."""
        if not self.redaction.replaces:
            return list(texts)
        cleaned: list[str] = []
        for first in range(0, len(texts), _NAMES):
            names = literals(text[:_NAME] for text in texts[first : first + _NAMES])
            (row,) = self.rows(f"SELECT {self.redaction.function}([{names}]) AS clean")
            cleaned += row["clean"]
        return cleaned

    def roll_up(self, *, at_once: bool = False) -> int | None:
        """One pass of the rollups that are not made at an insert; the milliseconds by which they are behind
        then. None while a segment may be stored in part: the pass is left out.

        `at_once`: every trace counts as quiet, and nothing is left for the next pass.
        """
        with self._lock:
            if self._half_stored:
                return None
            now = int(self.engine.execute("SELECT toUnixTimestamp64Milli(now64(3))"))
        return self._rollups.run(now - self._rollups.margin, at_once=at_once)

    def rebuild_usage(self, day: str | None = None, emptied: Collection[str] = ()) -> list[str]:
        """Rebuild `usage_10s` and what is made of it, steps and traces from the spans, for one day
        (`YYYY-MM-DD`, of UTC) or every day; returns the days. What projects without spans of a day have
        stays, but of those that `emptied` names: these lost them otherwise than by their age.

        A day of usage is rebuilt beside the live table and swapped in as a whole, so readers never see half
        of it. Inserts wait meanwhile. Raises StoreUnavailable while a segment may be stored in part.
        """
        with self._lock:
            if self._half_stored:
                raise StoreUnavailable(
                    "what an interrupted insert left is stored first; try again in a moment"
                )
            days = [stored_day for stored_day in self._days() if day in (None, stored_day)]
            if emptied and day is not None:
                days = [day]
            for stored_day in days:
                self._rollups.rebuild_usage(stored_day, emptied=emptied)
        for stored_day in days:
            self._rollups.rebuild_spans(stored_day, emptied)
        return days

    def watermark(self) -> str:
        """A time in the engine's clock: spans stored before it can all be read by now."""
        with self._lock:
            return self.engine.execute("SELECT toString(now64(3))").decode().strip()

    def mutate(self, statement: str) -> None:
        """Run an ALTER … UPDATE or DELETE over stored rows and wait until every part has it. Those that an
        upgrade left are waited for first, while inserts go on.
        """
        deadline = time.monotonic() + _MUTATIONS_SECONDS
        while self._mutating() and time.monotonic() < deadline:
            time.sleep(1)
        with self._lock:
            self.engine.execute(statement, settings={"mutations_sync": "2"})

    def _mutating(self) -> bool:
        pending = "SELECT count() FROM system.mutations WHERE database = currentDatabase() AND NOT is_done"
        return int(self.engine.execute(pending)) > 0

    def mark_stale(self, minutes: Iterable[int], reason: str) -> None:
        """Note minutes (Unix seconds of their start) whose rollup no longer agrees with the spans."""
        self.insert_rows("usage_stale", [{"Minute": minute, "Reason": reason} for minute in sorted(minutes)])

    def rebuild_stale(self) -> int:
        """Rebuild the minutes that are marked and unmark them; returns their number.

        As `rebuild_usage`, but only the marked minutes' spans are read; while a segment may be stored in part
        they stay marked.
        """
        with self._lock:
            if self._half_stored:
                return 0
            marked = self._marked()
            days = set(self._days()) if marked else set()
            minutes = [(day, minute) for day, minute, _ in marked if day in days]
            for day in sorted({day for day, _ in minutes}):
                self._rollups.rebuild_usage(day, [minute for of_day, minute in minutes if of_day == day])
        if minutes:
            self._rollups.recount([minute for _, minute in minutes])
        if marked:
            newest = literal(max(at for _, _, at in marked))
            with self._lock:
                self.engine.execute(
                    f"ALTER TABLE usage_stale DELETE WHERE MarkedAt <= {newest}",
                    settings={"mutations_sync": "2"},
                )
        return len(marked)

    def _marked(self) -> list[tuple[str, int, str]]:
        """Day, minute (Unix seconds) and time of marking of each minute that is marked."""
        text = self.engine.execute(
            "SELECT toString(toDate(Minute, 'UTC')), toUnixTimestamp(Minute), toString(max(MarkedAt)) "
            "FROM usage_stale GROUP BY Minute ORDER BY Minute"
        )
        rows = [line.split("\t") for line in text.decode().splitlines()]
        return [(day, int(minute), at) for day, minute, at in rows]

    def _days(self) -> list[str]:
        """Days whose spans are all still here; older ones keep the rollup that outlived its spans."""
        text = self.engine.execute(
            "SELECT DISTINCT toString(toDate(Timestamp, 'UTC')) AS day FROM otel_traces "
            "WHERE toDate(Timestamp, 'UTC') > toDate(now(), 'UTC') - RetentionDays ORDER BY day"
        )
        return text.decode().split()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Hold inserts, passes and rebuilds; what is acknowledged meanwhile waits in the log."""
        with self._lock, self._rollups.paused():
            yield

    @contextmanager
    def inserts_held(self) -> Iterator[bool]:
        """Hold inserts; whether every segment is stored as a whole or not at all meanwhile. Within,
        statements go to the engine itself.
        """
        with self._lock:
            yield not self._half_stored

    @contextmanager
    def rollups_paused(self) -> Iterator[None]:
        """Hold passes and rebuilds alone: none writes again what is deleted meanwhile."""
        with self._rollups.paused():
            yield

    def ping(self) -> bool:
        """Whether the store answers."""
        try:
            return self.engine.read_all("SELECT 1").strip() == b"1"
        except StoreError:
            return False

    def close(self) -> None:
        """Release the store; a later `open_store` on the same directory works again."""
        self.engine.close()


def open_store(
    dsn: str,
    retention_days: int = 30,
    *,
    retention: Mapping[str, int] = MappingProxyType({}),
    cluster: str = "",
    reader: str = "",
    redaction: Redaction = NOTHING,
    rollups: RollupSettings = DEFAULTS,
    encryption_keys: EncryptionKeys | None = None,
) -> Store:
    """Open the store of a DSN and bring its schema up to date.

    `chdb:///path/to/dir` (embedded; one process per directory) or `clickhouse://user:password@host:8123/db`.
    Rows are kept `retention_days`, those of a project in `retention` as many days as it says; stored rows
    keep theirs. On a server, `cluster` is the name of the cluster to spread over, `reader` the address of the
    user who reads for projects. `redaction` holds for what is inserted from now on, whoever inserts it;
    `rollups` says when a trace is whole. With `encryption_keys` an embedded store is encrypted on its disk; a
    server's is the server's to encrypt. Raises ValueError for another address, for a pattern that the engine
    cannot run and for a key that is missing, and StoreUnavailable when it cannot be opened.
    """
    engine = open_engine(dsn, cluster, reader, SHARDED, encryption_keys)
    try:
        store = Store(engine, SchemaSettings(retention_days, retention, redaction), rollups)
        if isinstance(engine, EmbeddedEngine):
            engine.encrypt_plain_parts()
    except BaseException:
        engine.close()
        raise
    return store

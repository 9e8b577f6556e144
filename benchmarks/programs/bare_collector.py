"""The collector's own endpoint, write-ahead log and writer in front of the bare store: `bare_collector.py
SETTINGS`.

What a collector costs beyond this is our schema and our background tasks. Answers on standard input as
collector.py.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, cast

import chdb
import jinja2
import uvicorn
from fastapi import FastAPI

import llmtrace_collector
from benchmarks.programs.collector import answer_until_the_end
from llmtrace.common.http_limits.middleware import HttpLimits
from llmtrace_collector.access.api_keys import ApiKeyStore
from llmtrace_collector.access.auth import Authenticator, load_keys
from llmtrace_collector.access.security_events import SecurityEvents
from llmtrace_collector.api import limits, query
from llmtrace_collector.ingest import otlp_http
from llmtrace_collector.ingest.completeness import ArrivalCounts
from llmtrace_collector.ingest.intake import Intake
from llmtrace_collector.ingest.wal import WriteAheadLog
from llmtrace_collector.ingest.writer import Writer
from llmtrace_collector.metrics import CollectorMetrics
from llmtrace_collector.settings import CollectorSettings
from llmtrace_collector.sql_values import QueryParams, encode, literal
from llmtrace_collector.store.engine import StoreError
from llmtrace_collector.store.query_guard.text_queue import QueryQueue
from llmtrace_collector.store.store import Store

#: A segment is one block, and views are not compiled: as our store inserts.
_SETTINGS: Mapping[str, str] = {
    "max_insert_block_size": "1048576000",
    "min_insert_block_size_rows": "1048576000",
    "min_insert_block_size_bytes": "1073741824",
    "max_insert_threads": "1",
    "async_insert": "0",
    "optimize_and_compare_chain": "0",
    "query_plan_merge_expressions": "0",
    "compile_expressions": "0",
    "compile_aggregate_expressions": "0",
    "compile_sort_description": "0",
    "deduplicate_blocks_in_dependent_materialized_views": "1",
    "input_format_protobuf_oneof_presence": "1",
}


class BareStore:
    """What the ingest asks of a store, over the tables of bare.sql. It counts and remembers nothing else."""

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._connect: Callable[[str], Any] = chdb.connect
        self._local = threading.local()
        self._handles: list[Any] = []
        self._lock = threading.Lock()
        package = Path(llmtrace_collector.__file__).parent
        self._schema = next(package.rglob("otlp.proto")).absolute()
        text = jinja2.Template(Path(__file__).with_name("bare.sql").read_text()).render()
        for statement in text.split(";\n"):
            if statement.strip():
                self._execute(statement)

    def _execute(self, sql: str, fmt: str = "TabSeparated", params: QueryParams | None = None) -> bytes:
        handle = getattr(self._local, "handle", None)
        if handle is None:
            with self._lock:
                handle = self._local.handle = self._connect(str(self._path))
                self._handles.append(handle)
        try:
            values = {name: encode(value) for name, value in (params or {}).items()}
            data: bytes | None = handle.query(sql, fmt, params=values).bytes()
        except RuntimeError as error:
            raise StoreError(str(error)) from error
        return data or b""

    def insert_segment(self, signal: str, path: Path, token: str) -> None:
        """Insert a segment of spans."""
        settings = {
            **_SETTINGS,
            "insert_deduplication_token": token,
            "format_schema": f"{self._schema}:TracesEnvelope",
        }
        clause = ", ".join(f"{name} = {literal(value)}" for name, value in settings.items())
        file = literal(str(path.absolute()))
        self._execute(f"INSERT INTO otlp_traces_in FROM INFILE {file} SETTINGS {clause} FORMAT Protobuf")

    def read(
        self, sql: str, params: QueryParams | None = None, fmt: str = "TabSeparated", project: str = ""
    ) -> bytes:
        """Run one SELECT."""
        return self._execute(sql, fmt, params)

    def rows(self, sql: str, params: QueryParams | None = None) -> list[dict[str, Any]]:
        """Of keys and reports there are none here."""
        return []

    def insert_rows(self, table: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """There are no tables for what endpoints write."""

    def mark_stale(self, minutes: Iterable[int], reason: str) -> None:
        """The rollup is fed by inserts alone."""

    #: The schema never changes.
    changed_at = 0.0

    @contextmanager
    def half_stored(self) -> Iterator[None]:
        """Nothing is rebuilt, so nothing needs to be held back."""
        yield

    def clean(self, texts: Sequence[str]) -> list[str]:
        """Nothing is redacted."""
        return list(texts)

    def close(self) -> None:
        """Release the engine."""
        for handle in self._handles:
            handle.close()


def create_app(settings: CollectorSettings) -> FastAPI:
    """The endpoints for OTLP and reads over a bare store in `data_dir/store`, open until shutdown."""
    bare = BareStore(settings.data_dir / "store")
    store = cast("Store", bare)
    metrics = CollectorMetrics()
    arrival_counts = ArrivalCounts(store, metrics, settings.data_dir / "wal")
    writer = Writer(store, metrics, arrival_counts)
    wal = WriteAheadLog(
        settings.data_dir / "wal",
        segment_bytes=settings.segment_bytes,
        segment_seconds=settings.segment_seconds,
        budget_bytes=settings.log_budget_bytes,
        on_closed=writer.submit,
        behind=writer.behind,
        keep_refused=settings.keeps_refused,
    )
    authenticator = Authenticator(load_keys(settings), ApiKeyStore(store))
    intake = Intake(settings, wal, metrics, arrival_counts)
    readers, queries = query.reader_pool(), QueryQueue(settings.query_max_bytes)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        wal.start()
        writer.start(wal)
        yield
        intake.close()
        wal.close()
        writer.close(15.0)
        wal.release()
        queries.close()
        readers.shutdown(cancel_futures=True)
        bare.close()

    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None)
    events = SecurityEvents(store, metrics)
    app.add_middleware(HttpLimits, rules=limits.rules(settings, authenticator, events, metrics))
    app.include_router(otlp_http.router(intake, metrics))
    app.include_router(query.router(store, authenticator, metrics, readers, queries))

    @app.get("/health/ready")
    def ready() -> dict[str, str]:
        return {"status": "ok"}

    return app


if __name__ == "__main__":
    threading.Thread(target=answer_until_the_end, name="benchmark", daemon=True).start()
    configured = CollectorSettings.model_validate_json(sys.argv[1])
    uvicorn.run(
        create_app(configured), host="127.0.0.1", port=configured.port, log_level="warning", access_log=False
    )

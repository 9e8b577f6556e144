"""Collectors of two releases, or two that start at once, on one store."""

from __future__ import annotations

import time
from pathlib import Path

from llmtrace_collector.ingest.wal_frame import Frame, encode
from llmtrace_collector.store.store import _ONE_BLOCK, Store, open_store

from .otlp import llm, span, traces

_FOREIGN = {
    "gen_ai.system": "openai",
    "llm.request.type": "chat",
    "gen_ai.prompt.0.role": "user",
    "gen_ai.prompt.0.content": "hi",
}


def segment(path: Path, *spans: object) -> Path:
    """A file of the log with one request."""
    frame = Frame("default", time.time_ns(), traces(list(spans)).SerializeToString())  # type: ignore[arg-type]
    path.write_bytes(b"".join(encode(frame)))
    return path


def insert_as_before(store: Store, path: Path) -> None:
    """Insert a segment as the release before does: what is foreign in it, then all of it."""
    for table in ("otlp_foreign_in", "otlp_traces_in"):
        settings = {**_ONE_BLOCK, "insert_deduplication_token": path.stem}
        store.engine.insert_messages(table, path, store._schema, "TracesEnvelope", settings)


def test_an_older_collector_beside_stores_every_span_once(tmp_path: Path) -> None:
    store = open_store(f"chdb://{tmp_path}/store")
    try:
        event = span(events=[{"name": "retrieved"}])
        insert_as_before(store, segment(tmp_path / "a.seg", llm(_FOREIGN), llm(), event))
        assert store.read("SELECT count(), uniqExact(SpanId) FROM otel_traces") == b"3\t3\n"
        assert store.read("SELECT sum(Calls) FROM usage_10s") == b"2\n"
        assert store.read("SELECT count() FROM otel_traces WHERE notEmpty(`Events.Name`)") == b"1\n"
    finally:
        store.close()

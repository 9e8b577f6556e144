"""Collectors of two releases, or two that start at once, on one store."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from llmtrace_collector.ingest.wal_frame import Frame, encode
from llmtrace_collector.store.engine import ServerEngine, StoreMismatch
from llmtrace_collector.store.schema import upgrade_lock
from llmtrace_collector.store.schema.home import Home
from llmtrace_collector.store.store import _ONE_BLOCK, Store, open_store

from .clickhouse import clickhouse_server
from .otlp import llm, span, traces
from .stores.opening import DAYS, unpack

_FOREIGN = {
    "gen_ai.system": "openai",
    "llm.request.type": "chat",
    "gen_ai.prompt.0.role": "user",
    "gen_ai.prompt.0.content": "hi",
}

_LOCKS = "SELECT count() FROM system.tables WHERE name LIKE 'store_lock%'"


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


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The address of a server that has the store of the release before."""
    with clickhouse_server(unpack(tmp_path)) as address:
        yield f"clickhouse://default:@{address}/default"


def before_executing(monkeypatch: pytest.MonkeyPatch, act: Callable[[str], None]) -> None:
    """Have `act` of each statement that a server is asked."""
    execute = ServerEngine.execute

    def watched(self: ServerEngine, sql: str, *arguments: Any, **named: Any) -> bytes:
        act(sql)
        return execute(self, sql, *arguments, **named)

    monkeypatch.setattr(ServerEngine, "execute", watched)


def test_of_two_collectors_that_start_at_once_one_upgrades(
    server: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    inserts: list[str] = []
    second = threading.Event()

    def meet(sql: str) -> None:
        """The first to copy usage stops before it does, so that the other could copy it too."""
        if sql.startswith("INSERT INTO default.usage_10s_next"):
            inserts.append(sql)
            if len(inserts) > 1:
                second.set()
            else:
                second.wait(4)

    before_executing(monkeypatch, meet)
    with ThreadPoolExecutor(2) as pool, caplog.at_level(logging.INFO):
        stores = list(pool.map(lambda _: open_store(server, DAYS), range(2)))
    try:
        for store in stores:
            assert store.read("SELECT sum(Calls) FROM usage_10s") == b"8\n"
        assert store.engine.execute("SELECT count() FROM store_versions WHERE Digest != ''") == b"1\n"
        assert store.engine.execute(_LOCKS) == b"0\n"
        assert "waiting for another collector: llmtrace is brought up to date by process" in caplog.text
    finally:
        for store in stores:
            store.close()


def test_the_lock_of_a_collector_that_died_is_taken(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = ServerEngine(server)
    dead, heir = upgrade_lock._Lock(Home(engine)), upgrade_lock._Lock(Home(engine))
    dead.acquire()
    monkeypatch.setattr(upgrade_lock, "_DEAD", 1.0)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(heir.acquire)
        for _ in range(4):  # who gives signs keeps it
            time.sleep(0.5)
            assert not waiting.done()
            engine.execute("INSERT INTO store_lock (At) VALUES (now64(6))")
        waiting.result(timeout=30)
    # One who only slept learns of it, and takes nothing from the other.
    monkeypatch.setattr(upgrade_lock, "_BEAT", 0.01)
    dead.beat()
    with pytest.raises(StoreMismatch, match="another collector has begun"):
        Home(engine, dead.demand_held).run("SELECT 1")
    dead.give_back()
    assert heir._holder().endswith(heir.id)
    # What only waited as long as that one does not put the heir's lock aside.
    dead._take_from(dead.text)
    assert heir._holder().endswith(heir.id)
    heir.give_back()
    assert engine.execute(_LOCKS) == b"0\n"
    engine.close()


def test_a_servers_database_with_tables_of_others_is_left_alone(tmp_path: Path) -> None:
    with clickhouse_server(tmp_path / "server") as address:
        dsn = f"clickhouse://default:@{address}/default"
        engine = ServerEngine(dsn)
        engine.execute("CREATE TABLE prices (sku String) ENGINE = MergeTree ORDER BY sku")
        engine.execute("INSERT INTO prices VALUES ('chair')")
        engine.execute("CREATE TABLE audit_log (who String) ENGINE = MergeTree ORDER BY who")
        engine.execute("CREATE VIEW traces AS SELECT 1 AS mine")
        place = "default.audit_log, default.prices, default.traces is in the way"
        with pytest.raises(StoreMismatch, match=place):
            open_store(dsn)
        engine.execute("CREATE TABLE schema_versions (id String) ENGINE = MergeTree ORDER BY id")
        with pytest.raises(StoreMismatch, match=r"default\.schema_versions is in the way"):
            open_store(dsn)
        tables = engine.execute("SELECT name FROM system.tables WHERE database = 'default' ORDER BY name")
        assert tables == b"audit_log\nprices\nschema_versions\ntraces\n"
        assert engine.execute("SELECT sku FROM prices") == b"chair\n"
        engine.close()


def test_a_name_that_is_new_may_be_anothers(server: str) -> None:
    engine = ServerEngine(server)
    engine.execute("CREATE VIEW traces AS SELECT 1 AS mine")
    with pytest.raises(StoreMismatch, match=r"default\.traces is in the way"):
        open_store(server, DAYS)
    assert engine.execute("SELECT mine FROM traces") == b"1\n"
    assert engine.execute("SELECT max(Version) FROM schema_versions") == b"60\n"
    engine.close()

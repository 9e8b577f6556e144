"""The store's other home: the same calls over ClickHouse's HTTP interface."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from llmtrace_collector.ingest.wal_frame import Frame, encode
from llmtrace_collector.store.engine import StoreError, StoreUnavailable
from llmtrace_collector.store.store import Store, open_store

from .clickhouse import clickhouse_server
from .otlp import llm, traces
from .running import CLIENT, Launched, settings, until


@pytest.fixture(scope="module")
def server_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the server has its data."""
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def address(server_folder: Path) -> Iterator[str]:
    with clickhouse_server(server_folder) as server:
        dsn = f"clickhouse://default:@{server}/default"
        # Everything is made here, which takes its time: a collector that is started finds it.
        open_store(dsn).close()
        yield dsn


@pytest.fixture(scope="module")
def store(address: str) -> Iterator[Store]:
    opened = open_store(address)
    yield opened
    opened.close()


def segment(folder: Path, count: int) -> Path:
    """A segment of `count` requests with one call each."""
    path = folder / "traces-1.seg"
    frames = [
        b"".join(encode(Frame("", time.time_ns(), traces([llm()]).SerializeToString()))) for _ in range(count)
    ]
    path.write_bytes(b"".join(frames))
    return path


def test_segments_are_inserted_once(store: Store, tmp_path: Path) -> None:
    path = segment(tmp_path, 5)
    for _ in range(2):
        store.insert_segment("traces", path, "token-1")
    assert store.read("SELECT count(), uniqExact(SpanId) FROM otel_traces") == b"5\t5\n"
    assert store.rows("SELECT sum(Calls) AS c, sum(InputTokens) AS i FROM usage_10s") == [{"c": 5, "i": 600}]
    store.insert_segment("traces", segment(tmp_path, 2), "token-2")
    assert store.read("SELECT count() FROM otel_traces") == b"7\n"
    before = store.read("SELECT sum(Calls) FROM usage_10s")
    store.rebuild_usage()
    assert store.read("SELECT sum(Calls) FROM usage_10s") == before


def test_the_schema_is_not_made_twice(store: Store, address: str) -> None:
    again = open_store(address)
    assert again.version == store.version
    again.close()


def test_rows_and_parameters(store: Store) -> None:
    row = {
        "Project": "p",
        "IncidentId": "i",
        "At": "1763625600.250",
        "Action": "open",
        "Actor": "a'b",
        "Note": "\\",
    }
    store.insert_rows("incident_history", [row])
    rows = store.rows("SELECT * FROM incident_history WHERE Actor = {a:String}", {"a": "a'b"})
    assert [(row["Actor"], row["Note"]) for row in rows] == [("a'b", "\\")]
    assert store.read("SELECT {n:UInt8} + 1", {"n": "1"}, "CSV") == b"2\n"
    assert store.ping()
    client = store.client
    assert client.query("SELECT number FROM numbers(3)").result_rows == [(0,), (1,), (2,)]
    client.close()


def test_errors_keep_their_code(store: Store) -> None:
    with pytest.raises(StoreError) as caught:
        store.read("SELECT nothing FROM otel_traces")
    assert caught.value.code == 47
    assert not isinstance(caught.value, StoreUnavailable)
    with pytest.raises(StoreError):
        store.read("DROP TABLE otel_traces")


def test_a_collector_runs_on_a_server(address: str, folder: Path) -> None:
    with Launched(settings(folder, store=address)) as collector:
        sent = llm()
        assert collector.post(traces([sent])).status_code == 200
        collector.stored()
        rows = collector.rows("SELECT Model FROM otel_traces WHERE SpanId = {i:String}", i=sent.span_id.hex())
        assert rows == [{"Model": "gpt-4o-mini"}]
        client = collector.reader()
        assert client.query("SELECT 1").result_rows == [(1,)]
        client.close()
        body = {"actor": "a", "note": ""}
        assert collector.write("POST", "/v1/incidents/none/resolve", body).status_code == 404
        assert not (folder / "store").exists()
        collector.stop()


def test_a_server_that_hangs_keeps_no_answer_of_readiness(address: str, folder: Path) -> None:
    port = address.rpartition(":")[2].partition("/")[0]
    (server,) = [
        int(file.parent.name)
        for file in Path("/proc").glob("[0-9]*/cmdline")
        if f"tests.collector.clickhouse\0{port}\0".encode() in _read(file)
    ]
    with Launched(settings(folder, store=address)) as collector, ThreadPoolExecutor(50) as others:
        os.kill(server, signal.SIGSTOP)
        try:
            # More of those that wait for the store than the collector has threads for.
            waiting = [others.submit(collector.write, "GET", "/v1/ledger", None) for _ in range(50)]
            for _ in range(3):
                started = time.monotonic()
                answer = CLIENT.get(f"{collector.url}/health/ready")
                assert time.monotonic() - started < 2.5
                assert answer.status_code == 503
                (reason,) = [item for item in answer.json()["reasons"] if item["code"] == "store-hangs"]
                assert "has not answered" in reason["text"]
                assert CLIENT.get(f"{collector.url}/health/live").status_code == 200
                assert collector.post(traces([llm()])).status_code == 200
        finally:
            os.kill(server, signal.SIGCONT)
        until(lambda: CLIENT.get(f"{collector.url}/health/ready").status_code == 200, 30)
        # All are answered; who found no room in the stopped server's queue may have heard that it is away.
        assert {answer.result().status_code for answer in waiting} <= {200, 503}
        assert collector.write("GET", "/v1/ledger", None).status_code == 200
        collector.stored()
        collector.stop()


def _read(file: Path) -> bytes:
    with suppress(OSError):  # it has ended
        return file.read_bytes()
    return b""


@pytest.mark.parametrize("home", ["embedded", "server"])
def test_nothing_is_written_where_a_collector_runs(
    address: str, server_folder: Path, tmp_path: Path, home: str
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    store = {"store": address} if home == "server" else {}
    with Launched(settings(tmp_path / "data", **store), folder=empty) as collector:
        assert collector.post(traces([llm()])).status_code == 200
        collector.stored()
        with collector.reader() as client:
            assert client.query("SELECT count() > 0 FROM otel_traces").result_rows == [(True,)]
        collector.stop()
    assert list(empty.iterdir()) == []
    # The schemas that come with inserts belong to the server's data.
    assert home == "embedded" or list(server_folder.glob("__cache__/*.proto"))
    assert not Path("__cache__").exists()

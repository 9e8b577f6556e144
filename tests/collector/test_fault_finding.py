"""Who is at fault when a segment cannot be stored, and that what waits for it is seen."""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from llmtrace_collector.ingest import fault
from llmtrace_collector.ingest.segment import Segment
from llmtrace_collector.ingest.wal_frame import Frame, encode
from llmtrace_collector.store import probe
from llmtrace_collector.store.engine import StoreError, StoreUnavailable
from llmtrace_collector.store.erasure import Eraser
from llmtrace_collector.store.errors import store_error
from llmtrace_collector.store.schema.description import Description
from llmtrace_collector.store.schema.home import Home
from llmtrace_collector.store.schema.scratch import Scratch, scratch

from .otlp import llm, traces
from .running import CLIENT, Served, settings, until


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A collector whose segments hold several requests, and whose writer makes short pauses."""
    collector = Served(settings(tmp_path_factory.mktemp("at-fault"), segment_seconds=0.3))
    collector.collector.writer.thread._first_pause = 0.1
    yield collector
    collector.close()


def ready(served: Served) -> tuple[int, dict[str, Any]]:
    """Status and body of readiness; liveness stays as it is."""
    assert CLIENT.get(f"{served.url}/health/live").status_code == 200
    answer = CLIENT.get(f"{served.url}/health/ready")
    return answer.status_code, answer.json()


def codes(served: Served) -> list[str]:
    """The codes of readiness's reasons."""
    return [reason["code"] for reason in ready(served)[1]["reasons"]]


def stored(served: Served, service: str) -> str:
    """Rows, distinct spans and counted calls of a service."""
    served.collector.store.rebuild_stale()
    spans = served.value(
        "SELECT count(), uniqExact(SpanId) FROM otel_traces WHERE ServiceName = {n:String}", n=service
    )
    calls = served.value("SELECT sum(Calls) FROM usage_10s WHERE ServiceName = {n:String}", n=service)
    return f"{spans} {calls}".replace("\t", " ")


def wait_stored(served: Served) -> None:
    """Wait until everything acknowledged is stored or set aside; asking the store takes CPU."""
    writer = served.collector.writer.thread
    # Stored is not counted yet: until the writer is done rollups are not made anew.
    until(lambda: served.collector.wal.size == 0 and writer.lag == 0, 90, "storing")


def quarantined(served: Served) -> list[Path]:
    return list(served.collector.wal.quarantine_folder.glob("*.seg"))


def send(served: Served, service: str, *texts: str) -> None:
    """One request each."""
    for text in texts:
        sent = traces([llm({"text": text})], {"service.name": service})
        assert served.post(sent).status_code == 200


DISK_QUOTA = (
    "Code: 1001. DB::Exception: std::__1::filesystem::filesystem_error: filesystem error: in "
    'create_directories: Disk quota exceeded ["/data/store/tmp_insert_all_1_1_0"]. (STD_EXCEPTION)'
)


@pytest.mark.parametrize(
    ("message", "kind", "of_data"),
    [
        ("Code: 444. DB::Exception: Protobuf messages are corrupted", StoreError, True),
        ("Code: 32. DB::Exception: Attempt to read after eof", StoreError, True),
        ("Code: 243. DB::Exception: Cannot reserve 1.00 MiB, not enough space", StoreUnavailable, False),
        (
            "Code: 76. DB::Exception: Cannot open file x, errno: 28, strerror: No space",
            StoreUnavailable,
            False,
        ),
        ("Code: 75. DB::Exception: Cannot write to file", StoreUnavailable, False),
        ("Code: 74. DB::Exception: Cannot read from file", StoreUnavailable, False),
        ("Code: 425. DB::Exception: Cannot statvfs", StoreUnavailable, False),
        (DISK_QUOTA, StoreUnavailable, False),
        ("Code: 241. DB::Exception: (total) memory limit exceeded", StoreUnavailable, False),
        ("Connection refused", StoreUnavailable, False),
        # May be meant of either.
        ("Code: 33. DB::Exception: Cannot read all data", StoreError, False),
        ("Code: 1001. DB::Exception: std::length_error: x std::filesystem_error", StoreError, False),
        ("Code: 60. DB::Exception: Table x does not exist", StoreError, False),
        ("Code: 49. DB::Exception: Bad cast", StoreError, False),
    ],
)
def test_errors_are_sorted_by_who_is_at_fault(message: str, kind: type[StoreError], of_data: bool) -> None:
    error = store_error(message)
    assert (type(error), error.speaks_of_data) == (kind, of_data)


@contextmanager
def one_copy() -> Iterator[None]:
    """One copy of the schema for all that is asked in the block: making it takes a second of CPU."""
    copies: list[Scratch] = []
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:

        def copied(home: Home, description: Description) -> AbstractContextManager[Scratch]:
            if not copies:
                copies.append(stack.enter_context(scratch(home, description)))
            return nullcontext(copies[0])

        patch.setattr(probe, "scratch", copied)
        yield


def test_a_store_that_takes_rows_says_so_and_nobody_counts_them(served: Served) -> None:
    tables = "SELECT sum(total_rows) FROM system.tables WHERE database LIKE 'llmtrace%' AND total_rows > 0"
    tables += " AND name LIKE 'ot%'"
    store = served.collector.store
    before = store.engine.execute(tables)
    with one_copy():
        for signal in ("traces", "logs", "metrics"):
            store.demand_takes_rows(signal)
    assert store.engine.execute(tables) == before
    databases = store.engine.execute("SELECT name FROM system.databases WHERE name LIKE '%scratch%'")
    assert databases == b""


@pytest.mark.parametrize("table", ["usage_10s", "otel_logs"])
def test_a_store_that_has_lost_a_table_takes_none(served: Served, table: str) -> None:
    store = served.collector.store
    store.engine.execute(f"RENAME TABLE {table} TO lost")
    try:
        with pytest.raises(StoreUnavailable, match="own"):
            store.demand_takes_rows("traces" if table == "usage_10s" else "logs")
    finally:
        store.engine.execute(f"RENAME TABLE lost TO {table}")


class Failing:
    """The store's insert, which fails for segments with `poison` in them, or as often as it is told to."""

    def __init__(self, served: Served, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
        self._real: Callable[[str, Path, str], None] = served.collector.store.insert_segment
        self._error = error
        self.times: int | None = None
        self.tokens: list[str] = []
        monkeypatch.setattr(served.collector.store, "insert_segment", self.insert)

    def insert(self, signal: str, path: Path, token: str) -> None:
        self.tokens.append(token)
        if self.times is None and b"poison" in path.read_bytes():
            raise self._error
        if self.times:
            self.times -= 1
            raise self._error
        self._real(signal, path, token)


def test_what_says_nothing_of_the_data_is_decided_by_rows_of_our_own(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = Failing(served, monkeypatch, StoreError("Code: 49. DB::Exception: Bad cast", 49))
    asked: list[str] = []
    real = served.collector.store.demand_takes_rows

    def demand_takes_rows(signal: str) -> None:
        asked.append(signal)
        real(signal)

    monkeypatch.setattr(served.collector.store, "demand_takes_rows", demand_takes_rows)
    before = set(quarantined(served))
    send(served, "unknown", "poison", "good")
    with one_copy():
        wait_stored(served)
    whole = failing.tokens[0]
    # It waited three times, asked the store, and tried once more before it was divided.
    assert failing.tokens.count(whole) == 5
    assert asked == ["traces"] * 2, "for the whole, and for the piece that was refused"
    assert stored(served, "unknown") == "1 1 1"
    (piece,) = set(quarantined(served)) - before
    assert b"poison" in piece.read_bytes()
    assert piece.with_suffix(".reason").read_text() == "Code: 49. DB::Exception: Bad cast"


def test_a_segment_that_alone_uses_up_the_store_holds_others_no_longer_than_that(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, text = "alone", "Code: 241. DB::Exception: Memory limit (for query) exceeded"
    monkeypatch.setattr(served.collector.writer.thread, "_longest_pause", 0.5)
    monkeypatch.setattr(fault, "PATIENCE", 2.0)
    failing = Failing(served, monkeypatch, store_error(text))
    before = set(quarantined(served))
    send(served, service, "good", "poison", "good")
    started = time.monotonic()
    until(lambda: len(failing.tokens) > 2)
    assert set(quarantined(served)) == before
    send(served, service, "good")  # of a segment behind it
    with one_copy():
        wait_stored(served)
    assert time.monotonic() - started > 1.5
    assert stored(served, service) == "3 3 3"
    (piece,) = set(quarantined(served)) - before
    assert b"poison" in piece.read_bytes()
    reason = f"{text} (each time, while the store took other rows)"
    assert piece.with_suffix(".reason").read_text() == reason
    monkeypatch.undo()
    assert served.write("POST", f"/v1/quarantine/{piece.stem}/replay", {}).status_code == 200
    wait_stored(served)
    assert stored(served, service) == "4 4 4"


def test_a_disk_that_is_full_or_a_store_that_takes_nothing_is_waited_for(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fault, "PATIENCE", 0.2)
    monkeypatch.setattr(served.collector.writer.thread, "_longest_pause", 0.5)
    before = quarantined(served)
    store = served.collector.store
    full = Failing(served, monkeypatch, StoreUnavailable("Code: 243. DB::Exception: no space", 243))
    send(served, "full", "poison")
    until(lambda: len(full.tokens) >= 4, 60)
    full._error = StoreUnavailable("Code: 241. DB::Exception: memory", 241)
    tried = len(full.tokens)
    asked: list[str] = []

    def demand_takes_rows(signal: str) -> None:
        asked.append(signal)
        raise StoreUnavailable("rows of our own need memory too", 241)

    with monkeypatch.context() as patched:
        patched.setattr(store, "demand_takes_rows", demand_takes_rows)
        until(lambda: bool(asked), 60)
        until(lambda: len(full.tokens) >= tried + 4, 60)
        full.times = 0
        wait_stored(served)
    assert quarantined(served) == before
    assert stored(served, "full") == "1 1 1"


def test_an_insert_that_was_given_up_and_goes_on_is_waited_for(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a server's is when the client's time was up: what it stores is not stored again by pieces."""
    monkeypatch.setattr(fault, "PATIENCE", 0.2)
    monkeypatch.setattr(fault, "_PAUSE", 0.05)
    monkeypatch.setattr(served.collector.writer.thread, "_longest_pause", 0.5)
    monkeypatch.setattr(fault, "_LONGEST_INSERT", 0.2)
    before = quarantined(served)
    store = served.collector.store
    assert not store.is_inserting("traces-1-ab")
    failing = Failing(served, monkeypatch, StoreUnavailable("timed out"))
    running = [True] * 12
    last: list[tuple[str, Path, str]] = []

    def insert(signal: str, path: Path, token: str) -> None:
        last.append((signal, path, token))
        failing.insert(signal, path, token)

    def is_inserting(token: str) -> bool:
        if running:
            return running.pop()
        failing._real(*last[-1])
        return False

    monkeypatch.setattr(store, "insert_segment", insert)
    monkeypatch.setattr(store, "is_inserting", is_inserting)
    send(served, "slow", "poison", "good")
    with one_copy():
        wait_stored(served)
    assert quarantined(served) == before
    assert stored(served, "slow") == "2 2 2"


def test_a_store_at_fault_is_waited_for_and_readiness_says_so(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served.collector.writer.thread, "_failing_seconds", 1.0)
    store = served.collector.store
    before = quarantined(served)
    store.engine.execute("RENAME TABLE usage_10s TO lost")
    try:
        send(served, "lost", "good", "good")
        until(lambda: "not-storing" in codes(served), 60)
        status, body = ready(served)
        assert status == 503
        assert body["status"] == "unavailable"
        assert "nothing could be stored for" in body["reason"]
        assert "usage_10s" in body["reason"]
        assert served.metric("llmtrace_oldest_unstored_segment_age_seconds") > 0.9
        assert served.metric("llmtrace_task_lag_seconds", task="writer") > 0.9
        # Tried so often that it was asked whether it takes rows of our own.
        until(lambda: "rows of our own" in ready(served)[1]["reason"], 60)
    finally:
        store.engine.execute("RENAME TABLE lost TO usage_10s")
    wait_stored(served)
    assert stored(served, "lost") == "2 2 2"
    assert quarantined(served) == before
    until(lambda: "not-storing" not in codes(served))
    until(lambda: served.metric("llmtrace_task_lag_seconds", task="writer") == 0)
    assert served.metric("llmtrace_oldest_unstored_segment_age_seconds") == 0
    last = served.metric("llmtrace_task_last_success_timestamp_seconds", task="writer")
    assert time.time() - last < 10


def test_a_store_that_hangs_or_fails_is_a_reason_at_once(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on = threading.Event()
    failures: list[Exception] = [StoreUnavailable("away", 210), RuntimeError("nobody thought of this")]

    def read_all(sql: str) -> bytes:
        if failures:
            raise failures.pop()
        assert goes_on.wait(30)
        return b"1"

    with monkeypatch.context() as patched:
        patched.setattr(served.collector.store.engine, "read_all", read_all)
        assert "store-away" in codes(served)
        assert "store-away" in codes(served)
        for _ in range(3):
            started = time.monotonic()
            assert "store-hangs" in codes(served)
            assert time.monotonic() - started < 2.5
        threads = [thread for thread in threading.enumerate() if thread.name == "llmtrace-store-probe"]
        assert len(threads) == 1
        goes_on.set()
        until(lambda: not set(codes(served)) & {"store-hangs", "store-away"})


def test_a_disk_that_fails_amid_a_bisect_sets_nothing_good_aside(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    Failing(served, monkeypatch, StoreError("Code: 444. DB::Exception: corrupted", 444))
    before = set(quarantined(served))
    real = Path.mkdir
    failures = [OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))] * 3

    def mkdir(self: Path, *arguments: Any, **named: Any) -> None:
        if self.name in ("split", "quarantine") and failures:
            raise failures.pop()
        real(self, *arguments, **named)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    send(served, "quota", "good", "poison", "good", "good")
    wait_stored(served)
    assert failures == []
    assert stored(served, "quota") == "3 3 3"
    (piece,) = set(quarantined(served)) - before
    assert b"poison" in piece.read_bytes()


def test_a_replay_counts_what_the_first_attempt_left_once(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a disk without inodes leaves it: the rollup was fed and the spans were not stored, or both."""
    store, wal = served.collector.store, served.collector.wal
    call = traces([llm()], {"service.name": "half"})
    segment = Segment(
        "traces", wal.quarantine_folder, f"traces-{time.time_ns():020d}-aa", wal.quarantine_folder
    )
    body = call.SerializeToString()
    frames = b"".join(encode(Frame("", time.time_ns(), body)))
    wal.quarantine_folder.mkdir(exist_ok=True)
    segment.path.write_bytes(frames)
    # The attempt: in the rollup twice (its token is not known there any more), in the spans not at all.
    for token in ("other", "another"):
        store.insert_segment("traces", segment.path, token)
    store.mutate("ALTER TABLE otel_traces DELETE WHERE ServiceName = 'half'")
    assert served.write("POST", f"/v1/quarantine/{segment.token}/replay", {}).status_code == 200
    wait_stored(served)
    assert stored(served, "half") == "1 1 1"


def test_an_error_that_nobody_thought_of_ends_no_thread(
    served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failing = Failing(served, monkeypatch, RuntimeError("nobody thought of this"))
    failing.times = 2
    before = served.metric("llmtrace_task_failures_total", task="writer")
    with caplog.at_level(logging.WARNING):
        send(served, "writer", "good")
        wait_stored(served)
    assert stored(served, "writer") == "1 1 1"
    assert served.metric("llmtrace_task_failures_total", task="writer") == before + 2
    (record,) = [record for record in caplog.records if "writer failed" in record.getMessage()]
    assert record.exc_info is not None

    wal = served.collector.wal
    real = wal._open.write
    failures = [RuntimeError("nobody thought of this either")]

    def write(*arguments: Any) -> None:
        if failures:
            raise failures.pop()
        real(*arguments)

    monkeypatch.setattr(wal._open, "write", write)
    body = traces([llm()], {"service.name": "log"}).SerializeToString()
    assert served.post(body).status_code == 503
    # What failed is not in hand any more: senders come back only where that is well.
    monkeypatch.setattr(wal.thread, "_failing_seconds", 0.05)
    until(lambda: served.metric("llmtrace_task_failures_total", task="log") == 1)
    time.sleep(0.6)
    assert wal.thread.reason() is None
    assert served.post(body).status_code == 200
    wait_stored(served)
    assert stored(served, "log") == "1 1 1"
    assert served.metric("llmtrace_task_failures_total", task="log") == 1


def test_a_task_that_fails_is_a_reason_and_one_that_needs_others_a_warning(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    (task,) = [task for task in served.collector.tasks if task.name == "budgets"]

    def fail() -> None:
        raise StoreError("Code: 60. gone", 60)

    monkeypatch.setattr(task, "_failing_seconds", 0.5)
    monkeypatch.setattr(task, "_work", fail)
    until(lambda: "task-failing" in codes(served))
    assert "Code: 60. gone" in ready(served)[1]["reason"]
    monkeypatch.setattr(task, "is_essential", False)
    assert "task-failing" not in codes(served)
    assert "Code: 60. gone" in ready(served)[1]["warning"]
    assert served.metric("llmtrace_task_lag_seconds", task="budgets") > 0.5
    monkeypatch.undo()
    until(lambda: task.reason() is None)


def test_an_erasure_that_fails_of_what_nobody_thought_of_says_so(
    served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise KeyError("nobody thought of this")

    eraser = Eraser(served.collector.store)
    monkeypatch.setattr(eraser, "_erase", fail)
    with caplog.at_level(logging.WARNING):
        erasure = eraser.start("ann", "default")
        until(lambda: erasure.state == "failed")
    assert "nobody thought of this" in erasure.error
    until(lambda: "Traceback" in caplog.text)

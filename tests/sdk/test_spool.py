"""Batches kept on disk while the collector is unreachable, and replayed once, by this process or the next."""

from __future__ import annotations

import gzip
import logging
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

import llmtrace
from llmtrace import config as configuration
from llmtrace.api import lifecycle
from llmtrace.delivery.exporter import Batch, Exporter, ExportResult
from llmtrace.delivery.sender import Sender
from llmtrace.delivery.settings import DeliverySettings
from llmtrace.delivery.spool import Spool, SpoolFullError
from llmtrace.delivery.stats import DeliveryCounters
from llmtrace.testing import Answer, Received, ReplayServer
from tests.synced_files import SyncedFiles

from .chat import PLAIN, REQUEST
from .test_process import _ASK, OK


@pytest.fixture
def provider() -> Iterator[ReplayServer]:
    with ReplayServer(PLAIN) as server:
        yield server


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _start(url: str, **changes: Any) -> None:
    config = configuration.resolve(endpoint=url)
    delivery = replace(config.delivery, schedule_delay=0.05, **changes)
    lifecycle.start(replace(config, delivery=delivery))


def _ask(provider: ReplayServer, count: int = 1) -> None:
    for _ in range(count):
        httpx.post(provider.url + "/v1/chat/completions", json=REQUEST)


def _span_ids(requests: list[Received]) -> list[bytes]:
    return [
        span.span_id
        for request in requests
        if request.path == "/v1/traces"
        for resource in ExportTraceServiceRequest.FromString(gzip.decompress(request.body)).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def _files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.otlp"))


def test_kept_on_disk_and_sent_when_it_returns(provider: ReplayServer, tmp_path: Path) -> None:
    port = _free_port()
    _start(f"http://127.0.0.1:{port}")
    _ask(provider, 3)
    for _ in range(4):
        assert not llmtrace.flush(2)
    _ask(provider, 2)
    assert not llmtrace.flush(2)
    assert llmtrace.stats() == llmtrace.Stats(generated=5, spooled=5)
    files = _files(tmp_path)
    assert [stat.S_IMODE(file.stat().st_mode) for file in files] == [0o600] * len(files)
    assert stat.S_IMODE(files[0].parent.stat().st_mode) == 0o700
    contents = {file.read_bytes() for file in files}
    with ReplayServer(OK, port=port) as collector:
        assert llmtrace.flush(10)
        _ask(provider)
        assert llmtrace.flush(10)
        assert contents <= {request.body for request in collector.requests}
        ids = _span_ids(collector.requests)
    assert len(ids) == len(set(ids)) == 6
    assert llmtrace.stats() == llmtrace.Stats(generated=6, sent=6)
    assert not _files(tmp_path)


def test_recovery_needs_no_flush(provider: ReplayServer) -> None:
    port = _free_port()
    _start(f"http://127.0.0.1:{port}")
    _ask(provider, 2)
    for _ in range(3):
        llmtrace.flush(2)
    with ReplayServer(OK, port=port):
        until = time.monotonic() + 10
        while llmtrace.stats().sent < 2 and time.monotonic() < until:
            time.sleep(0.05)
    assert llmtrace.stats() == llmtrace.Stats(generated=2, sent=2)


def test_leaving_keeps_and_the_next_start_sends(provider: ReplayServer, tmp_path: Path) -> None:
    port = _free_port()
    _start(f"http://127.0.0.1:{port}")
    _ask(provider, 2)
    assert not llmtrace.shutdown()
    contents = {file.read_bytes() for file in _files(tmp_path)}
    with ReplayServer(OK, port=port) as collector:
        # Another key is another project: what belongs to one is never sent under the other.
        lifecycle.start(configuration.resolve(endpoint=f"http://127.0.0.1:{port}", api_key="other"))
        assert llmtrace.flush(5)
        llmtrace.shutdown()
        assert collector.requests == []
        _start(f"http://127.0.0.1:{port}")
        until = time.monotonic() + 10
        while llmtrace.stats().replayed < 2 and time.monotonic() < until:
            time.sleep(0.05)
        assert llmtrace.stats() == llmtrace.Stats(replayed=2)
        assert {request.body for request in collector.requests} == contents
    assert not _files(tmp_path)


def test_a_hanging_collector_costs_the_deadline_and_no_span(provider: ReplayServer, tmp_path: Path) -> None:
    with ReplayServer(Answer(delay=4.0)) as collector:
        _start(collector.url)
        _ask(provider)
        until = time.monotonic() + 5
        while not collector.requests and time.monotonic() < until:
            time.sleep(0.01)
        _ask(provider, 2)
        began = time.monotonic()
        assert not llmtrace.shutdown(timeout=0.5)
        assert time.monotonic() - began < 2
    bodies = [file.read_bytes() for file in _files(tmp_path)]
    assert collector.requests[0].body in bodies
    spans = _span_ids([Received("POST", "/v1/traces", {}, body) for body in bodies])
    assert len(set(spans)) == 3


def test_an_answer_that_comes_late_counts(provider: ReplayServer, tmp_path: Path) -> None:
    """The attempt was left behind, for the queue filled: what it had sent is not sent again."""
    late = Answer(headers=OK.headers, delay=4.0)
    with ReplayServer(late, OK) as collector:
        _start(collector.url, max_queue_items=10)
        _ask(provider)
        until = time.monotonic() + 10
        while not collector.requests and time.monotonic() < until:
            time.sleep(0.01)
        for _ in range(10):
            _ask(provider)
            time.sleep(0.2)
        assert len(collector.requests) == 1
        stats = llmtrace.stats()
        assert stats.generated == 11 == stats.spooled + stats.pending
        assert stats.spooled > 5
        assert len(_files(tmp_path)) > 1
        assert llmtrace.flush(10)
        ids = _span_ids(collector.requests)
    assert len(ids) == len(set(ids)) == 11
    assert ids[0] in _span_ids(collector.requests[:1])
    assert llmtrace.stats() == llmtrace.Stats(generated=11, sent=11)
    assert not _files(tmp_path)


def test_who_starts_with_another_key_hears_what_waits(
    provider: ReplayServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"http://127.0.0.1:{_free_port()}"
    _start(url)
    _ask(provider)
    llmtrace.shutdown(0.5)
    (file,) = _files(tmp_path)
    with caplog.at_level(logging.WARNING, "llmtrace"):
        lifecycle.start(configuration.resolve(endpoint=f"http://127.0.0.1:{_free_port()}", api_key="other"))
        llmtrace.shutdown(0.1)
        assert str(file.parent) not in caplog.text, "another collector's"
        lifecycle.start(configuration.resolve(endpoint=url, api_key="other"))
    assert f"under other keys wait in {file.parent}" in caplog.text


def test_the_bound_holds_and_is_counted(provider: ReplayServer, tmp_path: Path) -> None:
    _start(f"http://127.0.0.1:{_free_port()}", spool_bytes=2500, max_batch_items=1, retry_for=0.0)
    _ask(provider, 10)
    for _ in range(4):
        llmtrace.flush(3)
    stats = llmtrace.stats()
    assert stats.generated == 10 == stats.spooled + stats.dropped
    assert stats.spooled > 0 < stats.dropped
    assert sum(file.stat().st_size for file in _files(tmp_path)) <= 2500


def test_without_a_disk_they_wait_in_memory(provider: ReplayServer, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("no folder")
    port = _free_port()
    _start(f"http://127.0.0.1:{port}", spool_dir=str(file / "spool"))
    _ask(provider, 2)
    assert not llmtrace.flush(2)
    assert llmtrace.stats() == llmtrace.Stats(generated=2, pending=2)
    with ReplayServer(OK, port=port):
        assert llmtrace.flush(10)
    assert llmtrace.stats() == llmtrace.Stats(generated=2, sent=2)


def test_a_refused_batch_leaves_the_spool(provider: ReplayServer, tmp_path: Path) -> None:
    port = _free_port()
    _start(f"http://127.0.0.1:{port}")
    _ask(provider)
    for _ in range(3):
        llmtrace.flush(2)
    assert llmtrace.stats().spooled == 1
    with ReplayServer(Answer(b"no", 400), port=port):
        assert not llmtrace.flush(5)
    assert llmtrace.stats() == llmtrace.Stats(generated=1, dropped=1)
    assert not _files(tmp_path)


def test_stale_files_make_room_and_others_stay(tmp_path: Path) -> None:
    spool = Spool(replace(configuration.resolve(endpoint="http://127.0.0.1:1").delivery, spool_bytes=100))
    old = spool.put(Batch("traces", 1, b"x" * 60))
    with pytest.raises(SpoolFullError):
        spool.put(Batch("traces", 1, b"y" * 60))
    assert spool.batches() == [old]
    os.utime(old.path, (1.0, 1.0))
    new = spool.put(Batch("logs", 2, b"y" * 60))
    assert spool.batches() == [new]
    assert new.read() == Batch("logs", 2, b"y" * 60)
    (spool.folder / "notes.txt").write_text("not ours")
    (spool.folder / "1-2-3-traces-x.otlp").write_text("odd name")
    assert spool.batches() == [new]


def test_one_process_at_a_time_replays(tmp_path: Path) -> None:
    spool = Spool(configuration.resolve(endpoint="http://127.0.0.1:1").delivery)
    spool.put(Batch("traces", 1, b"x"))
    code = (
        "import fcntl, sys\nfile = open(sys.argv[1], 'a')\nfcntl.lockf(file, fcntl.LOCK_EX)\n"
        "print('held', flush=True)\nsys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(spool.folder / ".lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    with spool.exclusively() as alone:
        assert not alone
    holder.kill()
    holder.communicate()
    with spool.exclusively() as alone:
        assert alone


def _environment(collector: str, provider: str) -> dict[str, str]:
    return {**os.environ, "LLMTRACE_ENDPOINT": collector, "PROVIDER": provider}


def test_processes_that_end_together_lose_and_double_nothing(provider: ReplayServer, tmp_path: Path) -> None:
    """Several leave spans behind; several start at once and replay them."""
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    leave = _ASK + "llmtrace.init()\nask()\nask()\n"
    for process in [
        subprocess.Popen([sys.executable, "-c", leave], env=_environment(url, provider.url)) for _ in range(3)
    ]:
        assert process.wait(60) == 0
    assert len(_files(tmp_path)) >= 3
    resume = "import llmtrace\nllmtrace.init()\nllmtrace.flush(10)\n"
    with ReplayServer(OK, port=port) as collector:
        for process in [
            subprocess.Popen([sys.executable, "-c", resume], env=_environment(url, provider.url))
            for _ in range(3)
        ]:
            assert process.wait(60) == 0
        bodies = {request.body for request in collector.requests if request.path == "/v1/traces"}
    ids = _span_ids([Received("POST", "/v1/traces", {}, body) for body in bodies])
    assert len(ids) == len(set(ids)) == 6  # the collector knows a repeated body by its hash
    assert not _files(tmp_path)


def test_the_collector_is_told_the_counters(provider: ReplayServer) -> None:
    with ReplayServer(OK) as collector:
        llmtrace.init(endpoint=collector.url)
        _ask(provider, 3)
        llmtrace.shutdown()
        (report,) = [request for request in collector.requests if request.path == "/v1/logs"]
    (resource,) = ExportLogsServiceRequest.FromString(gzip.decompress(report.body)).resource_logs
    (record,) = resource.scope_logs[0].log_records
    assert record.event_name == "llmtrace.sdk.stats"
    values = {attribute.key: attribute.value for attribute in record.attributes}
    assert values["llmtrace.stats.generated"].int_value == 3
    assert values["llmtrace.stats.sent"].int_value == 3
    assert values["llmtrace.stats.dropped"].int_value == 0
    assert values["process.pid"].int_value == os.getpid()
    assert len(values["service.instance.id"].string_value) == 32


def _terminated(code: str, collector: str, provider: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", _ASK + code],
        env=_environment(collector, provider),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    return process


_WAIT = "print('ready', flush=True)\nimport time\nwhile True:\n    time.sleep(0.2)\n"


def test_sigterm_sends_and_ends_the_process_as_it_would_have(provider: ReplayServer) -> None:
    with ReplayServer(OK) as collector:
        code = "llmtrace.init()\nask()\n" + _WAIT
        process = _terminated(code, collector.url, provider.url)
        _, errors = process.communicate(timeout=20)
        assert process.returncode == -signal.SIGTERM
        assert errors == ""
        assert len(_span_ids(collector.requests)) == 1


def test_sigterm_with_a_hanging_collector_ends_by_the_deadline(
    provider: ReplayServer, tmp_path: Path
) -> None:
    with ReplayServer(Answer(delay=20.0)) as collector:
        process = _terminated("llmtrace.init()\nask()\n" + _WAIT, collector.url, provider.url)
        began = time.monotonic()
        process.communicate(timeout=20)
        assert time.monotonic() - began < 8
        assert process.returncode == -signal.SIGTERM
    assert len(_files(tmp_path)) == 1


def test_what_is_in_flight_at_the_end_is_kept_once(tmp_path: Path) -> None:
    """The thread that ends the process keeps it, and the attempt fails only then."""
    counters = DeliveryCounters()
    settings = DeliverySettings.for_collector("http://127.0.0.1:9", spool_dir=str(tmp_path))

    class Hanging:
        def send(self, batch: Batch, timeout: float) -> ExportResult:
            sender.rescue([])
            return ExportResult("retry", detail="timed out")

    sender = Sender(settings, lambda: cast("Exporter", Hanging()), counters, Spool(settings))
    sender.set_deadline(time.monotonic() + 60)
    sender.deliver(Batch("traces", 1, b"one span"))
    assert [file.read_bytes() for file in _files(tmp_path)] == [b"one span"]
    assert counters.spooled == 1


def test_a_batch_may_be_kept_before_it_is_sent(tmp_path: Path) -> None:
    """And what an earlier process left goes in the same round in which the collector is back."""
    received: list[bytes] = []
    is_away = True

    class Collector:
        def send(self, batch: Batch, timeout: float) -> ExportResult:
            if is_away:
                return ExportResult("retry", detail="away", retry_after=0.01)
            received.append(batch.payload)
            return ExportResult("acknowledged")

        def close(self) -> None: ...

    settings = DeliverySettings.for_collector("http://127.0.0.1:9", spool_dir=str(tmp_path))
    Sender(settings, Collector, DeliveryCounters(), Spool(settings)).keep(Batch("logs", 1, b"earlier"))
    sender = Sender(settings, Collector, DeliveryCounters(), Spool(settings))
    sender.keep(Batch("logs", 1, b"own"))
    assert sorted(file.read_bytes() for file in _files(tmp_path)) == [b"earlier", b"own"]
    assert not sender.replay()
    is_away = False
    time.sleep(0.02)
    assert sender.replay()
    assert received == [b"own", b"earlier"]
    assert not sender.has_leftovers
    with pytest.raises(OSError, match="no folder"):
        Sender(settings, Collector, DeliveryCounters(), None).keep(Batch("logs", 1, b"lost"))


class _Recording:
    """A collector that acknowledges all, and notes it."""

    def __init__(self) -> None:
        self.received: list[bytes] = []

    def send(self, batch: Batch, timeout: float) -> ExportResult:
        self.received.append(batch.payload)
        return ExportResult("acknowledged")

    def close(self) -> None: ...


def _sender(
    folder: Path, collector: Any, *, spool_bytes: int = 1 << 20
) -> tuple[Sender[Any], DeliveryCounters, Spool]:
    settings = DeliverySettings.for_collector("http://127.0.0.1:9", spool_dir=str(folder))
    spool = Spool(replace(settings, spool_bytes=spool_bytes))
    counters = DeliveryCounters()
    return Sender(settings, lambda: collector, counters, spool), counters, spool


def test_what_made_room_is_dropped_and_not_sent(tmp_path: Path) -> None:
    collector = _Recording()
    sender, counters, spool = _sender(tmp_path, collector, spool_bytes=10)
    left = spool.put(Batch("traces", 4, b"left"))
    sender.keep(Batch("traces", 3, b"own"))
    for file in _files(tmp_path):
        os.utime(file, (1.0, 1.0))
    counters.generated = 3 + 2
    sender.keep(Batch("traces", 2, b"new one"))
    assert not left.path.exists()
    # What another process had left was not generated here; it is lost here.
    assert counters.read() == llmtrace.Stats(generated=9, dropped=7, spooled=2)
    sender.replay()
    assert counters.read() == llmtrace.Stats(generated=9, sent=2, dropped=7)
    assert collector.received == [b"new one"]


def test_what_is_gone_was_sent_by_another_process(tmp_path: Path) -> None:
    collector = _Recording()
    sender, counters, spool = _sender(tmp_path, collector)
    counters.generated = 3
    sender.keep(Batch("traces", 3, b"own"))
    for batch in spool.batches():
        batch.remove()
    assert sender.replay()
    assert counters.read() == llmtrace.Stats(generated=3, sent=3)
    assert collector.received == []


def test_what_cannot_be_read_holds_up_nothing_else(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    collector = _Recording()
    sender, counters, spool = _sender(tmp_path, collector)
    spool.folder.mkdir(parents=True)
    for number in range(40):  # more than one round sends
        (spool.folder / f"{number:020d}-1-{number}-traces-1.otlp").mkdir()
    # As a power cut leaves it, and a draft.
    (spool.folder / f"{50:020d}-1-50-traces-1.otlp").touch()
    (spool.folder / f"{51:020d}-1-51-traces-1.part").write_bytes(b"ha")
    for number in range(20):
        spool.put(Batch("traces", 1, b"good %d" % number))
    for _ in range(5):
        assert sender.replay()
    assert collector.received == [b"good %d" % number for number in range(20)]
    assert counters.replayed == 20
    assert len(list(spool.folder.glob("*.otlp"))) == 41
    (warning,) = [record for record in caplog.records if "cannot be read" in record.getMessage()]
    assert str(spool.folder) in warning.getMessage()


def test_a_batch_that_is_kept_meanwhile_is_counted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread keeps one between the listing and what is known as this process's."""
    collector = _Recording()
    sender, counters, spool = _sender(tmp_path, collector)
    spool.put(Batch("logs", 1, b"left"))
    written, listed = threading.Event(), threading.Event()
    real = spool.put

    def put(batch: Batch, *, sync: bool = False) -> Any:
        spooled = real(batch, sync=sync)
        written.set()
        listed.wait(0.5)
        return spooled

    monkeypatch.setattr(spool, "put", put)
    counters.generated = 1
    keeping = threading.Thread(target=sender.keep, args=(Batch("logs", 1, b"own"),))
    keeping.start()
    assert written.wait(10)
    sender.replay()
    listed.set()
    keeping.join()
    sender.replay()
    assert counters.read() == llmtrace.Stats(generated=1, sent=1, replayed=1)
    assert sorted(collector.received) == [b"left", b"own"]


def test_a_put_does_not_measure_all_that_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, spool = _sender(tmp_path, _Recording())
    measured = 0
    real = spool._measure

    def measure() -> None:
        nonlocal measured
        measured += 1
        real()

    monkeypatch.setattr(spool, "_measure", measure)
    for _ in range(50):
        spool.put(Batch("traces", 1, b"x"))
    assert measured == 1


def test_what_others_write_counts_when_the_bound_is_near(tmp_path: Path) -> None:
    _, _, spool = _sender(tmp_path, _Recording(), spool_bytes=100)
    _, _, other = _sender(tmp_path, _Recording(), spool_bytes=100)
    first = spool.put(Batch("traces", 1, b"x" * 40))
    second = other.put(Batch("traces", 1, b"x" * 50))
    first.remove()
    second.remove()
    # Both are sent: there is room again, though this one has counted them.
    for _ in range(2):
        spool.put(Batch("traces", 1, b"x" * 50))
    with pytest.raises(SpoolFullError):
        other.put(Batch("traces", 1, b"x" * 51))


def test_the_folder_of_what_survives_a_power_cut_does_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = SyncedFiles(monkeypatch)
    sender, _, spool = _sender(tmp_path / "data" / "spool", _Recording())
    sender.keep(Batch("logs", 1, b"row"))
    (file,) = _files(tmp_path)
    assert file in synced
    for folder in (spool.folder, spool.folder.parent, tmp_path / "data"):
        assert synced.holds_name_of(folder)


def test_the_applications_handler_is_left_alone(provider: ReplayServer) -> None:
    """Set before `init` or after it; leaving by it sends all the same."""
    handler = "import signal\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n"
    with ReplayServer(OK) as collector:
        for code in (handler + "llmtrace.init()\n", "llmtrace.init()\n" + handler):
            process = _terminated(code + "ask()\n" + _WAIT, collector.url, provider.url)
            _, errors = process.communicate(timeout=20)
            assert process.returncode == 7
            assert errors == ""
        assert len(_span_ids(collector.requests)) == 2


def test_prefork_workers_send_what_they_have_when_they_are_told_to_stop(provider: ReplayServer) -> None:
    """As gunicorn does it: init in the master, fork, SIGTERM to each worker."""
    code = """
llmtrace.init()
ask()
import signal, time
ready, done = os.pipe()
workers = []
for _ in range(3):
    worker = os.fork()
    if worker == 0:
        ask()
        os.write(done, b".")
        while True:
            time.sleep(0.2)
    workers.append(worker)
for _ in workers:
    os.read(ready, 1)
for worker in workers:
    os.kill(worker, signal.SIGTERM)
for worker in workers:
    assert os.waitpid(worker, 0)[1] == signal.SIGTERM
print("over")
"""
    with ReplayServer(OK) as collector:
        done = subprocess.run(
            [sys.executable, "-c", _ASK + code],
            env=_environment(collector.url, provider.url),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.stdout == "over\n", done.stderr
        assert len(set(_span_ids(collector.requests))) == 4


def test_spawned_children_send_at_their_end(provider: ReplayServer, tmp_path: Path) -> None:
    script = tmp_path / "spawning.py"
    script.write_text(
        _ASK
        + """
import multiprocessing
llmtrace.init()
if __name__ == "__main__":
    ask()
    process = multiprocessing.get_context("spawn").Process(target=ask)
    process.start()
    process.join()
    assert process.exitcode == 0
"""
    )
    with ReplayServer(OK) as collector:
        subprocess.run(
            [sys.executable, str(script)],
            env=_environment(collector.url, provider.url),
            timeout=60,
            check=True,
        )
        assert len(set(_span_ids(collector.requests))) == 2


def test_leaving_with_a_loop_and_http_in_exit_handlers(provider: ReplayServer) -> None:
    """Abandoned async streams, a closed loop, an app that calls HTTP while the interpreter shuts down."""
    code = """
import asyncio, atexit, httpx2
atexit.register(ask)  # runs after ours
llmtrace.init()
atexit.register(ask)  # runs before ours
async def main():
    client = httpx2.AsyncClient()
    request = client.build_request("POST", os.environ["PROVIDER"] + "/v1/chat/completions", json={
        "model": "left", "messages": []})
    response = await client.send(request, stream=True)
    globals()["kept"] = response, response.aiter_raw()
    await anext(kept[1])
    await asyncio.get_running_loop().run_in_executor(None, ask)
asyncio.run(main())
"""
    with ReplayServer(OK) as collector:
        done = subprocess.run(
            [sys.executable, "-c", _ASK + code],
            env=_environment(collector.url, provider.url),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        # asyncio closes abandoned generators in any order; in some of them httpcore's own says that it runs.
        assert str(Path(llmtrace.__file__).parent) not in done.stderr
        assert len(set(_span_ids(collector.requests))) >= 2
        assert all("traceparent" not in request.headers for request in collector.requests)

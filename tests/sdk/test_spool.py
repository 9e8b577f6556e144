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
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

import llmtrace
from llmtrace import config as configuration
from llmtrace.api import lifecycle
from llmtrace.delivery.process_file import ProcessFile
from llmtrace.testing import Answer, Received, ReplayServer
from tests.spooled import reports, spool_files, spooled_items, spooled_payloads, without_reports

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


def test_kept_on_disk_and_sent_when_it_returns(provider: ReplayServer, tmp_path: Path) -> None:
    port = _free_port()
    _start(f"http://127.0.0.1:{port}")
    _ask(provider, 3)
    for _ in range(4):
        assert not llmtrace.flush(2)
    _ask(provider, 2)
    assert not llmtrace.flush(2)
    assert llmtrace.stats() == llmtrace.Stats(generated=5, spooled=5)
    files = spool_files(tmp_path)
    assert [stat.S_IMODE(file.stat().st_mode) for file in files] == [0o600] * len(files)
    assert stat.S_IMODE(files[0].parent.stat().st_mode) == 0o700
    contents = set(spooled_payloads(tmp_path))
    with ReplayServer(OK, port=port) as collector:
        assert llmtrace.flush(10)
        _ask(provider)
        assert llmtrace.flush(10)
        assert contents <= {request.body for request in collector.requests}
        ids = _span_ids(collector.requests)
    assert len(ids) == len(set(ids)) == 6
    assert llmtrace.stats() == llmtrace.Stats(generated=6, sent=6)
    assert not spool_files(tmp_path)


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
    contents = set(spooled_payloads(tmp_path))
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
        assert {request.body for request in without_reports(collector.requests)} == contents
    assert not spool_files(tmp_path)


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
    bodies = spooled_payloads(tmp_path)
    assert collector.requests[0].body in bodies
    spans = _span_ids([Received("POST", "/v1/traces", {}, body) for body in bodies])
    assert len(set(spans)) == 3


def test_two_that_end_the_report_do_not_close_it_under_each_other(
    provider: ReplayServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The replay thread may come to its end just when whoever shuts down stops waiting for it."""
    write, entered, ended = ProcessFile.write, threading.Event(), threading.Event()

    def slow(process: ProcessFile, counters: list[int]) -> None:
        if counters[-1]:
            entered.set()
            ended.wait(0.3)  # the other would have closed the file by then
        write(process, counters)

    with ReplayServer(OK) as collector:
        _start(collector.url)
        _ask(provider)
        assert llmtrace.flush(10)
        runtime = lifecycle.current()
        assert runtime is not None
        worker = runtime.delivery_worker
        assert worker._counters_report is not None
        monkeypatch.setattr(ProcessFile, "write", slow)
        failures: list[BaseException] = []

        def end() -> None:
            try:
                worker._counters_report.end()  # type: ignore[union-attr]  # asked for above
            except OSError as error:
                failures.append(error)

        first = threading.Thread(target=end)
        first.start()
        assert entered.wait(5)
        worker._shutdown._release()
        ended.set()
        first.join()
    assert not failures


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
        assert spooled_items(tmp_path) == stats.spooled
        assert llmtrace.flush(10)
        ids = _span_ids(collector.requests)
    assert len(ids) == len(set(ids)) == 11
    assert ids[0] in _span_ids(collector.requests[:1])
    assert llmtrace.stats() == llmtrace.Stats(generated=11, sent=11)
    assert not spool_files(tmp_path)


def test_who_starts_with_another_key_hears_what_waits(
    provider: ReplayServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"http://127.0.0.1:{_free_port()}"
    _start(url)
    _ask(provider)
    llmtrace.shutdown(0.5)
    (file,) = spool_files(tmp_path)
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
    assert sum(file.stat().st_size for file in spool_files(tmp_path)) <= 2500


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
    assert not spool_files(tmp_path)


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
    assert len(spool_files(tmp_path)) >= 3
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
    assert not spool_files(tmp_path)


def test_the_collector_is_told_the_counters(provider: ReplayServer) -> None:
    with ReplayServer(OK) as collector:
        llmtrace.init(endpoint=collector.url)
        _ask(provider, 3)
        llmtrace.shutdown()
        report = [request for request in collector.requests if reports([request])][-1]
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
    assert spooled_items(tmp_path) == 1


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

"""How processes end: SIGTERM at bad moments, Ctrl-C, what comes too late, what takes too long."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext

from llmtrace.delivery import Batch, DeliverySettings, DeliveryWorker, OtlpHttpExporter, Sender, Spool
from llmtrace.delivery.counters_report import ReportSource
from llmtrace.delivery.stats import DeliveryCounters
from llmtrace.testing import Answer, ReplayServer
from tests.programs.receiver import Receiver

_RESOURCE = Resource({"service.name": "ending", "team": ["a", "b"]})
_SCOPE = InstrumentationScope("tests", "1")
_STEP = "trace.get_tracer('t').start_span('step').end()\n"
_START = "import os, signal, sys, time, llmtrace\nfrom opentelemetry import trace\nllmtrace.init()\n"


def _started(code: str, url: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "LLMTRACE_ENDPOINT": url, "LLMTRACE_STRICT": "0"}
    command = [sys.executable, "-c", _START + code]
    return subprocess.Popen(command, env=environment, stdout=-1, stderr=-1, text=True)


def _ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, errors = process.communicate(timeout=60)
    return process.returncode, errors


def _paths(collector: ReplayServer) -> list[str]:
    return [request.path for request in collector.requests]


def test_sigterm_waits_for_what_is_being_sent_at_exit() -> None:
    with ReplayServer(Answer(delay=1.5, headers={"content-type": "application/x-protobuf"})) as collector:
        process = _started(_STEP, collector.url)
        deadline = time.monotonic() + 60
        while not collector.requests and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        assert _ended(process) == (-signal.SIGTERM, "")
        # The last report is sent after the span was acknowledged.
        assert _paths(collector) == ["/v1/traces", "/v1/logs"]


def test_sigterm_in_a_shutdown_of_the_programs_own() -> None:
    with ReplayServer(Answer(delay=1.0, headers={"content-type": "application/x-protobuf"})) as collector:
        process = _started(_STEP + "llmtrace.shutdown()\ntime.sleep(60)\n", collector.url)
        deadline = time.monotonic() + 60
        while not collector.requests and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        assert _ended(process) == (-signal.SIGTERM, "")
        assert _paths(collector) == ["/v1/traces", "/v1/logs"]


_WHILE_LOCKED = """
from llmtrace.api import lifecycle
queue = lifecycle.current().delivery_worker._queue
held = queue._lock

class Interrupted:
    def __enter__(self):
        held.acquire()
        queue._lock = held
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0)
    def __exit__(self, *_):
        held.release()

queue._lock = Interrupted()
trace.get_tracer("t").start_span("step").end()
time.sleep(60)
"""


def test_sigterm_while_a_lock_is_held() -> None:
    """The interrupted code lets go of it first; nothing is lost, and nobody waits for the deadline."""
    with Receiver() as collector:
        process = _started(_WHILE_LOCKED, collector.url)
        assert _ended(process) == (-signal.SIGTERM, "")
        assert [span.name for span in collector.spans()] == ["step"]
        (report,) = collector.reports().values()
        assert not report.killed


def test_a_server_that_gives_the_default_back_and_raises_the_signal_again() -> None:
    """As uvicorn does; and `init` runs while the server's handler is in place."""
    code = f"""
llmtrace.shutdown()
before = signal.signal(signal.SIGTERM, lambda *_: None)
llmtrace.init()
{_STEP}
signal.signal(signal.SIGTERM, signal.SIG_DFL)
signal.raise_signal(signal.SIGTERM)
"""
    with Receiver() as collector:
        assert _ended(_started(code, collector.url)) == (-signal.SIGTERM, "")
        assert [span.name for span in collector.spans()] == ["step"]


def test_signals_are_set_as_ever() -> None:
    """Others' signals and handlers are untouched, and so is all of it where tracing is off."""
    code = """
def mine(*_): sys.exit(7)
assert signal.signal(signal.SIGUSR1, mine) is signal.SIG_DFL
assert signal.signal(signal.SIGUSR1, signal.SIG_DFL) is mine
assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL
signal.signal(signal.SIGTERM, mine)
assert signal.getsignal(signal.SIGTERM) is mine
try:
    signal.signal(99, mine)
except ValueError:
    pass
else:
    raise AssertionError
llmtrace.shutdown()
signal.signal(signal.SIGTERM, signal.SIG_DFL)
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
"""
    with Receiver() as collector:
        assert _ended(_started(code, collector.url)) == (0, "")


def test_ctrl_c_keeps_its_exit_status() -> None:
    """Also where the delivery imports modules that execute text, after which Python would forget it."""
    with Receiver() as collector:
        status, errors = _ended(_started(_STEP + "signal.raise_signal(signal.SIGINT)\n", collector.url))
        assert status == -signal.SIGINT
        assert errors.rstrip().endswith("KeyboardInterrupt")
        assert len(collector.spans()) == 1
        for code, expected in (("sys.exit(3)", 3), ("1 / 0", 1)):
            assert _ended(_started(f"{_STEP}{code}\n", collector.url))[0] == expected


def _span(number: int) -> ReadableSpan:
    context = SpanContext(number, number, is_remote=False)
    return ReadableSpan(
        "step", context, resource=_RESOURCE, instrumentation_scope=_SCOPE, start_time=1, end_time=2
    )


class _SlowToPack(OtlpHttpExporter):
    """Takes long over the first batch, as an import does where there is no processor."""

    def __init__(self, settings: DeliverySettings) -> None:
        super().__init__(settings, _RESOURCE, _SCOPE)
        self.may_go_on = threading.Event()
        self.began = threading.Event()

    def pack_spans(self, spans: Sequence[ReadableSpan]) -> Batch:
        if not self.began.is_set():
            self.began.set()
            self.may_go_on.wait(30)
        return super().pack_spans(spans)


def _settings(url: str, folder: Path) -> DeliverySettings:
    return DeliverySettings.for_collector(url, spool_dir=str(folder), schedule_delay=0.05)


def _reporting_worker(settings: DeliverySettings) -> DeliveryWorker:
    return DeliveryWorker(
        settings,
        lambda: OtlpHttpExporter(settings, _RESOURCE, _SCOPE),
        spool=Spool(settings),
        reports=ReportSource(_RESOURCE, _SCOPE),
    )


def _replay(settings: DeliverySettings) -> DeliveryCounters:
    """As another process does."""
    counters = DeliveryCounters()
    sender = Sender(
        settings, lambda: OtlpHttpExporter(settings, _RESOURCE, _SCOPE), counters, Spool(settings)
    )
    assert sender.replay()
    sender.close()
    return counters


def test_what_is_being_packed_at_the_deadline_is_kept(tmp_path: Path) -> None:
    with Receiver() as collector:
        settings = _settings(collector.url, tmp_path)
        exporter = _SlowToPack(settings)
        worker = DeliveryWorker(
            settings,
            lambda: exporter,
            spool=Spool(settings),
            reports=ReportSource(_RESOURCE, _SCOPE),
        )
        worker.submit_span(_span(1))
        assert exporter.began.wait(30)
        worker.submit_span(_span(2))
        assert not worker.shutdown(0.1)
        stats = worker.stats()
        assert (stats.generated, stats.spooled, stats.dropped, stats.pending) == (2, 2, 0, 0)
        exporter.may_go_on.set()
        thread = worker._thread
        assert thread is not None
        thread.join(30)
        assert worker.stats() == stats
        assert collector.spans() == []
        assert _replay(settings).replayed == 2
        assert sorted(span.span for span in collector.spans()) == [f"{number:016x}" for number in (1, 2)]


def test_what_comes_after_the_end_is_counted_by_another_process(tmp_path: Path) -> None:
    with Receiver() as collector:
        settings = _settings(collector.url, tmp_path)
        worker = _reporting_worker(settings)
        worker.submit_span(_span(1))
        assert worker.shutdown(10)
        (report,) = collector.reports().values()
        assert (report.generated, report.sent, report.dropped, report.killed) == (1, 1, 0, False)
        assert not list(tmp_path.rglob("*.process"))
        worker.submit_span(_span(2))
        worker.submit_span(_span(3))
        assert worker.stats().dropped == 2
        (file,) = tmp_path.rglob("*.process")
        worker._spool.close(is_reported=False)  # type: ignore[union-attr]  # the process is over
        _replay(settings)
        (report,) = collector.reports().values()
        assert (report.generated, report.sent, report.dropped, report.killed) == (3, 1, 2, False)
        assert not file.exists()


class _Recording(threading.Thread):
    """Goes on recording spans until the process is over."""

    def __init__(self, worker: DeliveryWorker) -> None:
        super().__init__(daemon=True)
        self._worker = worker
        self.returned = 0

    def run(self) -> None:
        while True:
            self._worker.submit_span(_span(self.returned + 1))
            self.returned += 1
            time.sleep(0.001)


@pytest.mark.parametrize("collector_is", ["up", "slow", "hanging", "away"])
def test_what_another_thread_records_while_the_process_ends_is_kept(
    tmp_path: Path, collector_is: str
) -> None:
    """Whatever the collector does, within the time; who comes too late waits for the end, and is not lost."""
    with Receiver(is_away=collector_is == "away") as collector:
        collector.delay = {"slow": 0.4, "hanging": 30.0}.get(collector_is, 0.0)
        settings = _settings(collector.url, tmp_path)
        worker = _reporting_worker(settings)
        thread = _Recording(worker)
        thread.start()
        while thread.returned < 50:
            time.sleep(0.01)
        began = time.monotonic()
        worker.shutdown(1.5, ends_process=True)
        assert time.monotonic() - began < 10
        returned, stats = thread.returned, worker.stats()
        assert (stats.generated, stats.dropped, stats.pending) == (returned, 0, 0)
        assert stats.spooled if collector_is != "up" else stats.sent
        worker.submit_span(_span(10**6))  # the main thread's, which goes on to end the process
        assert worker.stats().dropped == 1
        thread.join(0.05)
        assert (thread.returned, thread.is_alive()) == (returned, True)
        collector.delay = 0.0
        collector.open()
        recorded = {f"{number + 1:016x}" for number in range(returned)}
        deadline = time.monotonic() + 30
        while {span.span for span in collector.spans()} != recorded and time.monotonic() < deadline:
            _replay(settings)  # as soon as this process lets go of what it was sending from there
            time.sleep(0.05)
        assert {span.span for span in collector.spans()} == recorded


def test_a_queue_that_is_closed_for_others_counts_them(tmp_path: Path) -> None:
    """Where the process goes on, as after `llmtrace.shutdown()`, nobody waits."""
    with Receiver() as collector:
        worker = _reporting_worker(_settings(collector.url, tmp_path))
        worker.submit_span(_span(1))
        assert worker.shutdown(10)
        thread = _Recording(worker)
        thread.start()
        while thread.returned < 3:
            time.sleep(0.01)
        assert worker.stats().dropped >= 3


def test_few_seconds_are_for_sending_first(tmp_path: Path) -> None:
    """A short time-out is no reason to keep on disk what a collector that answers at once takes."""
    with Receiver() as collector:
        worker = _reporting_worker(_settings(collector.url, tmp_path))
        worker.submit_span(_span(1))
        assert worker.flush(10)
        for number in range(2, 400):
            worker.submit_span(_span(number))
        worker.shutdown(2.0)
        assert worker.stats().sent == 399

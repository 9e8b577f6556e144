"""`llmtrace.delivery` for programs that send their own: its page, its imports, its use without `init`."""

from __future__ import annotations

import gzip
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext

from llmtrace import delivery
from llmtrace.delivery import (
    DeliverySettings,
    DeliveryWorker,
    ExportResult,
    LogRecord,
    OtlpHttpExporter,
    PeriodicReport,
    Spool,
    Stats,
    packed,
)
from llmtrace.testing import Answer, ReplayServer

RESOURCE = Resource({"service.name": "shop"})
SCOPE = InstrumentationScope("shop", "1")


def _span(name: str, number: int) -> ReadableSpan:
    return ReadableSpan(
        name,
        SpanContext(1, number, is_remote=False),
        resource=RESOURCE,
        instrumentation_scope=SCOPE,
        start_time=1,
        end_time=2,
    )


@dataclass
class _Finished:
    """Comes to as many spans as it says, or fails."""

    count: int
    fails: bool = False
    built: list[str] = field(default_factory=list)

    def complete(self) -> Sequence[ReadableSpan]:
        if self.fails:
            raise ValueError("odd")
        return [_span("step", 100 + number) for number in range(self.count)]

    def weight(self) -> int:
        return 1000

    def span_count(self) -> int:
        return self.count

    def may_be_retried(self) -> bool:
        return False


def _worker(url: str, folder: Path, **more: object) -> DeliveryWorker:
    settings = DeliverySettings.for_collector(url, spool_dir=str(folder), schedule_delay=0.05)
    return DeliveryWorker(
        settings,
        lambda: OtlpHttpExporter(settings, RESOURCE, SCOPE),
        spool=Spool(settings),
        **more,  # type: ignore[arg-type]  # what each test needs
    )


@dataclass
class _Slow(_Finished):
    """Takes long on the delivery thread; notes which thread it was completed on."""

    threads: list[str] = field(default_factory=list)

    def complete(self) -> Sequence[ReadableSpan]:
        name = threading.current_thread().name
        self.threads.append(name)
        if name == "llmtrace-delivery":
            time.sleep(0.2)
        return super().complete()


def test_after_the_deadline_one_thread_goes_on(tmp_path: Path) -> None:
    """Nothing is in the hands of another one that the end of the process would take it from."""
    worker = _worker("http://127.0.0.1:9", tmp_path)
    call = _Slow(1)
    for _ in range(40):
        worker.submit_call(call)
    assert not worker.shutdown(0.3)
    stats = worker.stats()
    assert (stats.generated, stats.spooled, stats.pending) == (40, 40, 0)
    assert call.threads.count("llmtrace-delivery") < 4
    assert call.threads == sorted(call.threads, key=lambda name: name != "llmtrace-delivery")


def test_every_public_name_is_on_the_page() -> None:
    page = (Path(__file__).parents[2] / "docs" / "sdk.md").read_text(encoding="utf-8")
    assert not [name for name in delivery.__all__ if f"`{name}`" not in page]
    assert all(getattr(delivery, name) is not None for name in delivery.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = delivery.nothing


def test_importing_it_loads_nothing_slow() -> None:
    code = (
        "import sys, llmtrace, llmtrace.delivery as d\n"
        "slow = {'requests', 'urllib3', 'ssl', 'google.protobuf'} & sys.modules.keys()\n"
        "assert not slow, slow\n"
        "d.OtlpHttpExporter\n"
        "assert 'requests' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_spans_calls_logs_and_reports_of_a_programs_own(tmp_path: Path) -> None:
    dropped: list[int] = []
    results: list[ExportResult] = []
    message = ExportMetricsServiceRequest().SerializeToString()
    report = PeriodicReport(60.0, lambda: packed("metrics", 0, message), results.append)
    with ReplayServer(Answer(headers={"content-type": "application/x-protobuf"})) as collector:
        worker = _worker(collector.url, tmp_path, on_dropped=dropped.append, periodic_reports=[report])
        worker.resume()
        worker.submit_span(_span("mine", 1))
        worker.submit_call(_Finished(3))
        worker.submit_call(_Finished(2, fails=True))
        worker.submit_log(LogRecord(5, "deployed", 0, 0, {"version": "7"}))
        assert not worker.flush(10), "two spans were lost"
        assert worker.stats() == Stats(generated=7, sent=5, dropped=2, logs=1)
        assert worker.shutdown(10)
        bodies = {request.path: gzip.decompress(request.body) for request in collector.requests}
    assert dropped == [2]
    assert set(bodies) == {"/v1/traces", "/v1/logs", "/v1/metrics"}, "the report goes out at the end"
    assert [result.kind for result in results] == ["acknowledged"]
    (resource_spans,) = ExportTraceServiceRequest.FromString(bodies["/v1/traces"]).resource_spans
    assert sorted(span.name for span in resource_spans.scope_spans[0].spans) == ["mine", *["step"] * 3]
    (resource_logs,) = ExportLogsServiceRequest.FromString(bodies["/v1/logs"]).resource_logs
    assert resource_logs.resource.attributes[0].value.string_value == "shop"


def test_a_queue_of_calls_is_bounded_by_their_spans(tmp_path: Path) -> None:
    dropped: list[int] = []
    settings = DeliverySettings.for_collector("http://127.0.0.1:9", max_queue_items=10, schedule_delay=60.0)
    worker = DeliveryWorker(
        settings, lambda: OtlpHttpExporter(settings, RESOURCE, SCOPE), on_dropped=dropped.append
    )
    for _ in range(5):
        worker.submit_call(_Finished(4))
    assert dropped == [4, 4], "three of them hold twelve spans"
    assert worker.stats() == Stats(generated=20, dropped=8, pending=12)
    worker.shutdown(0.1)

"""What an exception on the delivery thread costs: it is counted, and costs nothing that could be sent."""

from __future__ import annotations

import gzip
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext

from llmtrace import internal_errors
from llmtrace.delivery import (
    Batch,
    DeliverySettings,
    DeliveryWorker,
    ExportResult,
    LogRecord,
    OtlpHttpExporter,
    Stats,
)
from llmtrace.redaction.redactor import Redactor
from llmtrace.spans.sampling import TailSampler
from llmtrace.testing import Answer, ReplayServer

_OK = Answer(headers={"content-type": "application/x-protobuf"})
_SCOPE = InstrumentationScope("shop", "1")
_SECRET = "TOPSECRET"


@pytest.fixture(autouse=True)
def _once() -> Iterator[None]:
    internal_errors.configure(strict=False)
    yield
    internal_errors.configure(strict=False)


@pytest.fixture
def collector() -> Iterator[ReplayServer]:
    with ReplayServer(_OK) as server:
        yield server


def _span(number: int, **attributes: str) -> ReadableSpan:
    return ReadableSpan(
        f"span {number}",
        SpanContext(1, number, is_remote=False),
        resource=Resource.get_empty(),
        instrumentation_scope=_SCOPE,
        attributes=attributes,
        start_time=1,
        end_time=2,
    )


class _Failing(OtlpHttpExporter):
    """Fails as no exporter should, so many times."""

    failures = 0

    def send(self, batch: Batch, timeout: float) -> ExportResult:
        if self.failures:
            self.failures -= 1
            raise LookupError("no exporter raises this")
        return super().send(batch, timeout)


def _worker(
    url: str, *, failures: int = 0, headers: dict[str, str] | None = None, **more: Any
) -> DeliveryWorker:
    settings = DeliverySettings.for_collector(url, schedule_delay=30.0, headers=headers or {})

    def opened() -> OtlpHttpExporter:
        exporter = _Failing(settings, Resource.get_empty(), _SCOPE)
        exporter.failures = failures
        return exporter

    return DeliveryWorker(settings, opened, **more)


def _redacting(function: Callable[[str], str]) -> Redactor:
    return Redactor(secrets=False, pii=False, functions=[function])


def _names(collector: ReplayServer) -> list[str]:
    return [
        span.name
        for request in collector.requests
        if request.path == "/v1/traces"
        for resource in ExportTraceServiceRequest.FromString(gzip.decompress(request.body)).resource_spans
        for span in resource.scope_spans[0].spans
    ]


def _records(collector: ReplayServer) -> Sequence[Any]:
    return [
        record
        for request in collector.requests
        if request.path == "/v1/logs"
        for resource in ExportLogsServiceRequest.FromString(gzip.decompress(request.body)).resource_logs
        for record in resource.scope_logs[0].log_records
    ]


@pytest.mark.parametrize("sampled", [False, True])
def test_what_a_failed_cycle_held_is_counted(collector: ReplayServer, sampled: bool) -> None:
    open_sampler = (lambda: TailSampler(1.0, (), 10.0)) if sampled else None
    worker = _worker(collector.url, failures=1, open_sampler=open_sampler)
    for number in (1, 2):
        worker.submit_span(_span(number))
    worker.submit_log(LogRecord(1, "a score", 0, 0, {}))
    assert not worker.flush(10)
    assert worker.stats() == Stats(generated=3, dropped=2, pending=1, logs=1), (
        "the log record was not taken yet"
    )
    worker.submit_span(_span(3))
    assert worker.flush(10)
    assert worker.stats() == Stats(generated=4, sent=2, dropped=2, logs=1)
    assert worker.shutdown(10)
    assert _names(collector) == ["span 3"]


def test_the_last_cycle_may_fail(collector: ReplayServer) -> None:
    worker = _worker(collector.url, failures=1)
    worker.submit_span(_span(1))
    worker.submit_log(LogRecord(1, "a score", 0, 0, {}))
    assert not worker.shutdown(10)
    assert worker.stats() == Stats(generated=2, dropped=2, logs=1, logs_dropped=1)


def test_a_log_record_that_cannot_be_packed_costs_no_other(collector: ReplayServer) -> None:
    worker = _worker(collector.url)
    for trace_id in (1, -1, 2**128, 2):
        worker.submit_log(LogRecord(1, "a score", trace_id, 0, {}))
    assert not worker.flush(10)
    assert worker.stats() == Stats(generated=4, sent=2, dropped=2, logs=4, logs_dropped=2)
    assert [int.from_bytes(record.trace_id, "big") for record in _records(collector)] == [1, 2]
    worker.shutdown(10)


@pytest.mark.parametrize("key", [f"{_SECRET}…", f"{_SECRET}\n", f" {_SECRET}"])
def test_a_header_that_cannot_be_sent(
    collector: ReplayServer, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    worker = _worker(collector.url, headers={"authorization": key, "x-a": "b"})
    worker.submit_span(_span(1))
    with caplog.at_level(logging.WARNING):
        assert not worker.flush(10)
    assert worker.stats() == Stats(generated=1, dropped=1)
    assert "a header cannot be sent: one of authorization, x-a" in caplog.text
    assert _SECRET not in caplog.text
    worker.shutdown(10)


def test_no_warning_holds_the_password_of_an_address(caplog: pytest.LogCaptureFixture) -> None:
    settings = DeliverySettings.for_collector(f"http://user:{_SECRET}@127.0.0.1:9", retry_for=0.0)
    worker = DeliveryWorker(settings, lambda: OtlpHttpExporter(settings, Resource.get_empty(), _SCOPE))
    worker.submit_span(_span(1))
    with caplog.at_level(logging.WARNING):
        assert not worker.flush(10)
    assert "http://127.0.0.1:9/v1/traces" in caplog.text
    assert _SECRET not in caplog.text
    worker.shutdown(10)


def test_redaction_keeps_no_thread_of_the_program_waiting(collector: ReplayServer) -> None:
    """Not even one that ends a span while the redaction waits for it."""
    redacting = threading.Event()

    def redact(text: str) -> str:
        if text == "slow":
            redacting.set()
            ended = threading.Thread(target=worker.submit_span, args=(_span(9),))
            ended.start()
            ended.join(20)
            time.sleep(0.3)
        return text

    worker = _worker(collector.url, redactor=_redacting(redact))
    for number in (1, 2, 3):
        worker.submit_span(_span(number, text="slow"))
    flushed = threading.Thread(target=worker.flush, args=(30,))
    flushed.start()
    assert redacting.wait(10)
    started = time.monotonic()
    worker.submit_span(_span(4))
    assert time.monotonic() - started < 0.2
    flushed.join(30)
    assert worker.shutdown(10)
    assert sorted(_names(collector)) == sorted(
        [*(f"span {number}" for number in (1, 2, 3, 4)), *["span 9"] * 3]
    )


def test_shutdown_does_not_claim_what_is_being_redacted(collector: ReplayServer) -> None:
    leaving, redacting = threading.Event(), threading.Event()

    def redact(text: str) -> str:
        redacting.set()
        leaving.wait(20)
        return text

    worker = _worker(collector.url, redactor=_redacting(redact))
    worker.submit_span(_span(1, text="slow"))
    threading.Thread(target=worker.flush, args=(30,)).start()
    assert redacting.wait(10)
    assert not worker.shutdown(0.2)
    leaving.set()


def test_the_body_of_a_log_record_is_redacted(collector: ReplayServer) -> None:
    def redact(text: str) -> str:
        return text.replace(_SECRET, "***")

    worker = _worker(collector.url, redactor=_redacting(redact))
    worker.submit_log(LogRecord(1, "note", 0, 0, {"a": _SECRET}, body=f"the key is {_SECRET}"))
    assert worker.flush(10)
    (record,) = _records(collector)
    assert (record.body.string_value, record.attributes[0].value.string_value) == ("the key is ***", "***")
    worker.shutdown(10)

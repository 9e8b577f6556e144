"""To the collector: retries, bounds, counters, over real HTTP, without a disk to fall back on."""

from __future__ import annotations

import gzip
import logging
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from opentelemetry import trace
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

import llmtrace
from llmtrace import config as configuration
from llmtrace.api import lifecycle
from llmtrace.testing import Answer, ReplayServer
from tests.spooled import without_reports

from .chat import PLAIN, REQUEST

OK = Answer(headers={"content-type": "application/x-protobuf"})


@pytest.fixture
def provider() -> Iterator[ReplayServer]:
    with ReplayServer(PLAIN) as server:
        yield server


def _ask(provider: ReplayServer) -> None:
    httpx.post(provider.url + "/v1/chat/completions", json=REQUEST)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _start(url: str, **changes: Any) -> None:
    config = configuration.resolve(endpoint=url, service_name="svc", project="proj", api_key="key")
    lifecycle.start(replace(config, delivery=replace(config.delivery, spool_dir="", **changes)))


def test_what_arrives(provider: ReplayServer) -> None:
    with ReplayServer(OK) as collector:
        llmtrace.init(
            endpoint=collector.url,
            service_name="shop",
            project="web",
            api_key="lt-key",
            headers={"x-extra": "1"},
            resource_attributes={"deployment.environment.name": "test"},
        )
        llmtrace.init(endpoint=collector.url)  # changes nothing
        with llmtrace.context(user_id="u"):
            _ask(provider)
        llmtrace.score("good", 1)
        assert llmtrace.flush(10)
        traces, logs = without_reports(collector.requests)
    assert (traces.method, traces.path, logs.path) == ("POST", "/v1/traces", "/v1/logs")
    assert traces.headers["authorization"] == "Bearer lt-key"
    assert traces.headers["x-extra"] == "1"
    assert traces.headers["content-type"] == "application/x-protobuf"
    assert "traceparent" not in traces.headers
    (resource_spans,) = ExportTraceServiceRequest.FromString(gzip.decompress(traces.body)).resource_spans
    resource = {
        attribute.key: attribute.value.string_value for attribute in resource_spans.resource.attributes
    }
    assert resource["service.name"] == "shop"
    assert resource["llmtrace.project"] == "web"
    assert resource["deployment.environment.name"] == "test"
    (scope_spans,) = resource_spans.scope_spans
    assert scope_spans.scope.name == "llmtrace"
    (span,) = scope_spans.spans
    assert span.name == "chat gpt-4o-mini"
    assert span.kind == span.SPAN_KIND_CLIENT
    values = {attribute.key: attribute.value for attribute in span.attributes}
    assert values["gen_ai.usage.input_tokens"].int_value == 30
    assert values["user.id"].string_value == "u"
    assert [
        reason.string_value for reason in values["gen_ai.response.finish_reasons"].array_value.values
    ] == ["tool_call"]
    (resource_logs,) = ExportLogsServiceRequest.FromString(gzip.decompress(logs.body)).resource_logs
    (record,) = resource_logs.scope_logs[0].log_records
    assert record.event_name == "gen_ai.evaluation.result"
    assert (record.trace_id, record.span_id) == (span.trace_id, span.span_id)
    assert llmtrace.stats() == llmtrace.Stats(generated=2, sent=2, logs=1)


def test_a_batch_is_sent_again_as_the_same_bytes(
    provider: ReplayServer, caplog: pytest.LogCaptureFixture
) -> None:
    busy = Answer(status=503, headers={"retry-after": "0.01"})
    with ReplayServer(busy, busy, OK) as collector, caplog.at_level(logging.WARNING, "llmtrace"):
        _start(collector.url)
        _ask(provider)
        assert llmtrace.flush(10)
        sent = without_reports(collector.requests)
        assert len(sent) == 3
        assert len({request.body for request in sent}) == 1
    assert llmtrace.stats() == llmtrace.Stats(generated=1, sent=1)
    (warning,) = caplog.records
    assert "HTTP 503" in warning.getMessage()


def test_the_collector_comes_back(provider: ReplayServer) -> None:
    """Nothing blocks while it is unreachable, nothing is lost when it returns on the same port."""
    port = _free_port()
    _start(f"http://127.0.0.1:{port}", schedule_delay=0.05)
    began = time.monotonic()
    for _ in range(20):
        _ask(provider)
    assert time.monotonic() - began < 60  # an unreachable collector is waited for much longer
    assert not llmtrace.flush(0.3)
    assert llmtrace.stats().pending == 20
    with ReplayServer(OK, port=port) as collector:
        assert llmtrace.flush(10)
        arrived = [
            span
            for request in without_reports(collector.requests)
            for span in ExportTraceServiceRequest.FromString(gzip.decompress(request.body))
            .resource_spans[0]
            .scope_spans[0]
            .spans
        ]
    assert len({span.span_id for span in arrived}) == len(arrived) == 20
    assert llmtrace.stats() == llmtrace.Stats(generated=20, sent=20)


def test_too_old_and_too_many_are_dropped_and_counted(
    provider: ReplayServer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "llmtrace"):
        _start(f"http://127.0.0.1:{_free_port()}", retry_for=0.0, max_queue_items=5, schedule_delay=30.0)
        for _ in range(8):
            _ask(provider)
        assert llmtrace.stats().dropped == 3
        assert not llmtrace.flush(10)
        assert llmtrace.stats() == llmtrace.Stats(generated=8, dropped=8)
    assert sum("drops spans" in record.getMessage() for record in caplog.records) == 1
    assert "Connection refused). Batches are kept" in caplog.text


def test_refusals_and_partial_success(provider: ReplayServer) -> None:
    partial = ExportTraceServiceResponse(
        partial_success=ExportTracePartialSuccess(rejected_spans=1, error_message="bad id")
    )
    answers = (Answer(b"no", 400), OK, Answer(partial.SerializeToString()))  # the second is for the counters
    with ReplayServer(*answers) as collector:
        _start(collector.url, schedule_delay=30.0)
        _ask(provider)
        assert not llmtrace.flush(10)
        for _ in range(3):
            _ask(provider)
        assert not llmtrace.flush(10)
        assert len(without_reports(collector.requests)) == 2
        assert llmtrace.stats() == llmtrace.Stats(generated=4, sent=2, dropped=2)


def test_batches_stay_below_their_bound(provider: ReplayServer) -> None:
    with ReplayServer(OK) as collector:
        _start(collector.url, max_batch_bytes=10_000)
        for _ in range(20):
            _ask(provider)
        assert llmtrace.flush(10)
        assert len(without_reports(collector.requests)) >= 4
        assert llmtrace.stats().sent == 20


def test_shutdown_sends_what_is_left_and_init_starts_again(provider: ReplayServer) -> None:
    with ReplayServer(OK) as collector:
        _start(collector.url, schedule_delay=30.0)
        _ask(provider)
        assert llmtrace.shutdown()
        assert [request.path for request in collector.requests] == ["/v1/traces", "/v1/logs"]
        _ask(provider)
        llmtrace.init(endpoint=collector.url)
        _ask(provider)
        trace.get_tracer("t").start_span("other").end()
        assert llmtrace.flush()
        assert llmtrace.stats().sent == 2


def test_leaving_does_not_wait_for_a_dead_collector(provider: ReplayServer) -> None:
    _start(f"http://127.0.0.1:{_free_port()}")
    _ask(provider)
    began = time.monotonic()
    assert not llmtrace.shutdown()
    assert time.monotonic() - began < 60  # an unreachable collector is waited for much longer


def test_one_span_that_cannot_be_encoded_does_not_cost_the_others(provider: ReplayServer) -> None:
    with ReplayServer(OK) as collector:
        _start(collector.url, schedule_delay=30.0)
        _ask(provider)
        running = lifecycle.current()
        assert running is not None
        from opentelemetry.sdk.trace import ReadableSpan

        running.delivery_worker.submit_span(ReadableSpan("no context"))
        _ask(provider)
        assert not llmtrace.flush(10)
        assert llmtrace.stats() == llmtrace.Stats(generated=3, sent=2, dropped=1)

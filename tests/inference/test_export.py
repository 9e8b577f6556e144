"""Delivery of spans: they are the SDK's, wait on disk for the collector, and what is lost is counted."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans as reference
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation import set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from pydantic import SecretStr

from llmtrace.delivery import encode_spans
from llmtrace_inference.engine.interface import Chunk, ModelInfo, Progress
from llmtrace_inference.protocol.requests import ChatRequest
from llmtrace_inference.settings import InferenceSettings
from llmtrace_inference.telemetry.export import CollectorPipeline, service_resource
from llmtrace_inference.telemetry.phases import phases_of
from llmtrace_inference.telemetry.request_record import ChoiceRecord, RequestRecord
from llmtrace_inference.telemetry.spans import request_spans, server_attributes
from tests.inference.running import free_port, wait_until
from tests.spooled import spool_files, spooled_items

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENTS = {
    "none": {},
    "sampled": {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "a=1,b=2"},
    "unsampled": {"traceparent": f"00-{TRACE}-{PARENT}-00"},
    "broken": {"traceparent": "00-nonsense"},
}


def _record(headers: dict[str, str], **more: Any) -> RequestRecord:
    now = time.perf_counter_ns()
    request = ChatRequest.model_validate(
        {
            "model": "m",
            "messages": [{"role": "user", "content": "Grüße 🙂"}],
            "stop": ["a", "b"],
            "seed": -(2**63),
            "temperature": 0.5,
            "stream": True,
        }
    )
    link = SpanContext(7, 8, is_remote=False)
    progress = Progress(now + 20, now + 30, now + 50, now + 90, [1.0, 1.5, 1.75], steps=3, batch_size_sum=6)
    progress.prefill_chunks = [Chunk(now + 30, 5, 2, now + 40), Chunk(now + 40, 3, 2, now + 50)]
    progress.prefilled, progress.sampled_steps = True, [link]
    choice = ChoiceRecord(
        progress,
        3,
        "hello",
        finish_reason="length",
        stop_reason="length",
        detokenize_from_ns=now + 95,
        detokenize_to_ns=now + 96,
    )
    fields: dict[str, Any] = {
        "headers": headers,
        "server": ("127.0.0.1", 80),
        "path": "/v1/chat/completions",
        "model": "m",
        "request": request,
        "arrived_ns": now,
        "tokenize_from_ns": now + 5,
        "tokenize_to_ns": now + 10,
        "choices": (choice,),
        "input_tokens": 8,
        "ended_ns": now + 100,
        "info": ModelInfo("m", "e", "float32", "cpu", "sdpa", 5, 100, 50),
        "extra": {"llmtrace.inference.safety.recalled": True},
    }
    return RequestRecord(**(fields | more))


def _by_name(request: ExportTraceServiceRequest) -> dict[str, Any]:
    """The spans without their own ids, in the order of their starts; the resource and the scope."""
    by_name: dict[str, Any] = {}
    for part in request.resource_spans:
        by_name["resource"] = sorted((a.key, a.value.string_value) for a in part.resource.attributes)
        for scope in part.scope_spans:
            by_name["scope"] = scope.scope.name
            server = next((s.span_id for s in scope.spans if s.kind == s.SPAN_KIND_SERVER), b"")
            for span in scope.spans:
                assert len(span.span_id) == 8
                if span.parent_span_id == server:
                    span.parent_span_id = b"theparent"
                if span.trace_id.hex() != TRACE:
                    assert len(span.trace_id) == 16
                    span.trace_id = b"its own"
                span.span_id = b""
                by_name[f"{span.name} {span.start_time_unix_nano}"] = span
    return by_name


def _recorded_by_the_sdk(record: RequestRecord, resource: Resource) -> Sequence[ReadableSpan]:
    """The same spans, started and ended one by one with OpenTelemetry's SDK."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("llmtrace_inference")
    offset = record.arrived_wall_ns - record.arrived_ns
    server = tracer.start_span(
        f"chat {record.model}",
        context=TraceContextTextMapPropagator().extract(record.headers, Context()),
        kind=SpanKind.SERVER,
        attributes=server_attributes(record, capture_content=True),
        links=[Link(context) for choice in record.choices for context in choice.progress.sampled_steps],
        start_time=record.arrived_ns + offset,
    )
    if record.error_type is not None:
        server.set_status(Status(StatusCode.ERROR, record.error_message))
    if server.is_recording():
        inside = set_span_in_context(server)
        for phase in phases_of(record):
            span = tracer.start_span(
                phase.name, inside, attributes=phase.attributes, start_time=phase.start_ns + offset
            )
            span.end(end_time=max(phase.start_ns, min(phase.end_ns, record.ended_ns)) + offset)
    server.end(end_time=record.ended_ns + offset)
    return exporter.get_finished_spans()


@pytest.mark.parametrize("parent", list(PARENTS))
@pytest.mark.parametrize("failed", [False, True])
def test_the_spans_are_those_that_the_sdk_would_send(parent: str, failed: bool) -> None:
    more: dict[str, Any] = {"error_type": "engine_full", "error_message": "full"} if failed else {}
    record = _record(PARENTS[parent], **more)
    resource = service_resource(InferenceSettings(project="p"))
    sdk = _by_name(reference(_recorded_by_the_sdk(record, resource)))
    spans = request_spans(record, resource, capture_content=True)
    ours = _by_name(ExportTraceServiceRequest.FromString(encode_spans(spans, {})))
    assert len(ours) == (0 if parent == "unsampled" else 2 + 10)
    assert ours == sdk


class _Collector(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.bodies.append(gzip.decompress(body))  # type: ignore[attr-defined]
        self.send_response(self.server.status)  # type: ignore[attr-defined]
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


def _listening(port: int = 0) -> Any:
    server: Any = ThreadingHTTPServer(("127.0.0.1", port), _Collector)
    server.bodies, server.status = [], 200
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.fixture
def collector() -> Any:
    server = _listening()
    yield server
    server.shutdown()
    server.server_close()


def _pipeline(port: int, folder: Path, lost: list[int], **more: Any) -> CollectorPipeline:
    settings = InferenceSettings(otlp_endpoint=f"http://127.0.0.1:{port}", data_dir=folder, **more)
    pipeline = CollectorPipeline(settings, lost.append)
    pipeline.start()
    return pipeline


def _spans(collector: Any) -> int:
    requests = [ExportTraceServiceRequest.FromString(body) for body in collector.bodies]
    return sum(len(s.spans) for r in requests for part in r.resource_spans for s in part.scope_spans)


def test_requests_and_sdk_spans_go_out_together_and_the_rest_at_the_end(
    collector: Any, tmp_path: Path
) -> None:
    lost: list[int] = []
    pipeline = _pipeline(collector.server_port, tmp_path, lost)
    for _ in range(200):
        pipeline.put(_record({}))
    pipeline.provider.get_tracer("t").start_span("engine step").end()
    pipeline.close(10)
    assert _spans(collector) == 200 * 10 + 1
    assert len(collector.bodies) >= 3, "several requests of limited size"
    assert lost == []


def test_nothing_is_lost_while_the_collector_is_away(tmp_path: Path) -> None:
    """Spans wait on disk; those that this process leaves there are sent by the next."""
    lost: list[int] = []
    port = free_port()
    pipeline = _pipeline(port, tmp_path, lost)
    for _ in range(300):
        pipeline.put(_record({}))
    assert not pipeline.flush(10)
    collector = _listening(port)
    wait_until(lambda: pipeline.flush(1))
    assert _spans(collector) == 3000
    collector.shutdown()
    collector.server_close()

    for _ in range(50):
        pipeline.put(_record({}))
    pipeline.close(5)
    assert spool_files(tmp_path / "spool")
    collector = _listening(port)
    pipeline = _pipeline(port, tmp_path, lost)
    wait_until(lambda: _spans(collector) == 500)
    pipeline.close(5)
    collector.shutdown()
    collector.server_close()
    assert lost == []
    assert not spool_files(tmp_path / "spool")


def test_what_queue_and_spool_cannot_hold_is_counted(tmp_path: Path) -> None:
    lost: list[int] = []
    pipeline = _pipeline(free_port(), tmp_path, lost, spool_bytes=30_000, span_queue_size=2000)
    for _ in range(400):
        pipeline.put(_record({}))
    pipeline.close(5)
    files = spool_files(tmp_path / "spool")
    spooled = spooled_items(tmp_path / "spool")
    assert spooled > 0
    assert sum(file.stat().st_size for file in files) <= 30_000
    assert spooled + sum(lost) == 400 * 10


def test_nothing_is_lost_while_the_collector_hangs(tmp_path: Path) -> None:
    """It accepts connections and never answers: the disk takes what the queue has no room for meanwhile."""
    lost: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as silent:
        pipeline = _pipeline(silent.getsockname()[1], tmp_path, lost, span_queue_size=1600)
        for _ in range(100):  # 4000 spans in five seconds: the queue alone holds two
            for _ in range(4):
                pipeline.put(_record({}))
            time.sleep(0.05)
        assert lost == []
        # A request whose spans are being built is counted when they are.
        wait_until(lambda: pipeline._worker.stats().generated == 4000)
        stats = pipeline._worker.stats()
        assert stats.spooled + stats.pending == 4000
        assert stats.spooled > 2000
        pipeline.close(0.5)
    assert lost == []
    assert spooled_items(tmp_path / "spool") == 4000


def test_what_waits_on_disk_outlives_a_change_of_the_key(tmp_path: Path) -> None:
    lost: list[int] = []
    port = free_port()
    pipeline = _pipeline(port, tmp_path, lost, otlp_api_key=SecretStr("ingest"))
    pipeline.put(_record({}))
    pipeline.close(0.5)
    assert spool_files(tmp_path / "spool")
    collector = _listening(port)
    pipeline = _pipeline(port, tmp_path, lost, otlp_api_key=SecretStr("service"))
    wait_until(lambda: _spans(collector) == 10)
    pipeline.close(5)
    collector.shutdown()
    collector.server_close()
    assert not spool_files(tmp_path / "spool")


def test_a_refusal_is_not_retried_and_what_follows_is_sent(collector: Any, tmp_path: Path) -> None:
    lost: list[int] = []
    collector.status = 400
    pipeline = _pipeline(collector.server_port, tmp_path, lost)
    pipeline.put(_record({}))
    assert not pipeline.flush(10)
    assert len(collector.bodies) == 1
    assert lost == [10]
    collector.status = 200
    collector.bodies.clear()
    pipeline.put(_record({}))
    pipeline.close(10)
    assert _spans(collector) == 10
    assert lost == [10]


def test_one_request_that_makes_no_spans_does_not_end_the_delivery(collector: Any, tmp_path: Path) -> None:
    lost: list[int] = []
    pipeline = _pipeline(collector.server_port, tmp_path, lost)
    pipeline.put(_record({}, server=("no port",)))
    pipeline.put(_record({}, model="\ud800"))
    assert not pipeline.flush(10)
    assert _spans(collector) == 10
    assert lost == [_record({}).span_count]
    pipeline.close(10)

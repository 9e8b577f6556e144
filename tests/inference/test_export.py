"""Delivery of spans: the bytes are the SDK's, a full queue loses the oldest, and what is lost is counted."""

from __future__ import annotations

import gzip
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext

from llmtrace_inference.engine.interface import Chunk, ModelInfo, Progress
from llmtrace_inference.protocol.requests import ChatRequest
from llmtrace_inference.settings import InferenceSettings
from llmtrace_inference.telemetry import export
from llmtrace_inference.telemetry.export import SpanPipeline, service_resource
from llmtrace_inference.telemetry.otlp_spans import request_of, spans_of
from llmtrace_inference.telemetry.request_record import ChoiceRecord, RequestRecord
from llmtrace_inference.telemetry.spans import RequestTracer
from tests.inference.running import wait_until

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
    choice = ChoiceRecord(progress, 3, "hello", finish_reason="length", stop_reason="length")
    choice.detokenize_from_ns, choice.detokenize_to_ns = now + 95, now + 96
    record = RequestRecord(
        headers, ("127.0.0.1", 80), path="/v1/chat/completions", model="m", request=request
    )
    record.arrived_ns, record.tokenize_from_ns, record.tokenize_to_ns = now, now + 5, now + 10
    record.choices, record.input_tokens, record.ended_ns = [choice], 8, now + 100
    record.info = ModelInfo("m", "e", "float32", "cpu", "sdpa", 5, 100, 50)
    record.extra["llmtrace.inference.safety.recalled"] = True
    for name, value in more.items():
        setattr(record, name, value)
    return record


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


@pytest.mark.parametrize("parent", list(PARENTS))
@pytest.mark.parametrize("failed", [False, True])
def test_the_spans_are_those_that_the_sdk_would_send(parent: str, failed: bool) -> None:
    more: dict[str, Any] = {"error_type": "engine_full", "error_message": "full"} if failed else {}
    record = _record(PARENTS[parent], **more)
    resource = service_resource(InferenceSettings(project="p"))
    exporter = InMemorySpanExporter()
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    RequestTracer(provider, capture_content=True).emit(record)
    sdk = _by_name(encode_spans(exporter.get_finished_spans()))
    ours = _by_name(request_of(spans_of(record, capture_content=True), [], resource))
    if parent == "unsampled":
        assert set(ours) == {"resource", "scope"}
        assert sdk == {}
        return
    assert len(ours) == 2 + 10
    assert ours == sdk


class _Collector(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.bodies.append(gzip.decompress(body))  # type: ignore[attr-defined]
        self.send_response(self.server.status)  # type: ignore[attr-defined]
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def collector() -> Any:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), _Collector)
    server.bodies, server.status = [], 200
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def _pipeline(collector: Any, lost: list[int], **more: Any) -> SpanPipeline:
    url = f"http://127.0.0.1:{collector.server_address[1]}"
    return SpanPipeline(InferenceSettings(otlp_endpoint=url, **more), lost.append)


def _spans(collector: Any) -> int:
    requests = [ExportTraceServiceRequest.FromString(body) for body in collector.bodies]
    return sum(len(s.spans) for r in requests for part in r.resource_spans for s in part.scope_spans)


def test_requests_and_sdk_spans_go_out_together_and_the_rest_at_the_end(collector: Any) -> None:
    lost: list[int] = []
    pipeline = _pipeline(collector, lost)
    for _ in range(200):
        pipeline.put(_record({}))
    pipeline.provider.get_tracer("t").start_span("engine step").end()
    pipeline.close(10)
    assert _spans(collector) == 200 * 10 + 1
    assert len(collector.bodies) >= 3, "several requests of limited size"
    assert lost == []


def test_a_full_queue_loses_its_oldest_and_a_refusal_is_not_retried(
    collector: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "_PAUSE_SECONDS", 0.02)
    lost: list[int] = []
    collector.status = 503
    pipeline = _pipeline(collector, lost, span_queue_size=512)
    for _ in range(60):
        pipeline.put(_record({}))
    wait_until(lambda: len(collector.bodies) >= 3)  # one batch is on its way, again and again
    spans_per_request = _record({}).span_count
    for _ in range(100):
        pipeline.put(_record({}))
    assert 0 < sum(lost) <= 100 * spans_per_request
    collector.status = 400
    wait_until(lambda: pipeline._spans == 0)
    tried = len(collector.bodies)
    wait_until(lambda: sum(lost) >= 1500)
    assert len(collector.bodies) <= tried + 1, "what is refused is not tried again"
    collector.status = 200
    collector.bodies.clear()
    pipeline.put(_record({}))
    pipeline.close(10)
    assert _spans(collector) == 10


def test_a_collector_that_never_answers_holds_nobody_up() -> None:
    lost: list[int] = []
    pipeline = SpanPipeline(InferenceSettings(otlp_endpoint="http://127.0.0.1:9"), lost.append)
    pipeline.put(_record({}))
    pipeline.close(10)
    assert sum(lost) == _record({}).span_count


def test_one_request_that_cannot_be_encoded_does_not_end_the_delivery(
    collector: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "_INTERVAL_SECONDS", 0.02)
    lost: list[int] = []
    pipeline = _pipeline(collector, lost)
    pipeline.put(_record({}, model="\ud800"))
    pipeline.put(_record({}))
    assert pipeline.flush(10)
    assert _spans(collector) == 10
    assert lost == [_record({}).span_count]
    pipeline.close(10)

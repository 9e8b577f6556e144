"""From a finished request's measurements to its spans: one SERVER span, and one INTERNAL span per phase.

Spans are built after the fact with explicit times. What the attributes mean is in docs/inference.md.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation import get_current_span, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from llmtrace.semconv import INFERENCE, PROVIDER_LLMTRACE
from llmtrace_inference.engine.interface import ModelInfo
from llmtrace_inference.protocol.requests import ChatRequest, CompletionRequest

from .phases import phases_of
from .request_record import Attributes, AttributeValue, RequestRecord

SCOPE = "llmtrace_inference"
_MAX_LINKS = 128
_CONTENT_LIMIT = 64 * 1024
"""Characters of one message kept on a span: beginning and end."""


def server_attributes(record: RequestRecord, *, capture_content: bool) -> Attributes:
    """Attributes of the SERVER span: the conventions' names, and ours under `llmtrace.inference.`."""
    out: Attributes = {
        "gen_ai.operation.name": record.operation,
        "gen_ai.provider.name": PROVIDER_LLMTRACE,
        "gen_ai.request.model": record.model,
        "url.path": record.path,
        "http.request.method": "POST",
    }
    if record.server is not None and record.server[1] is not None:  # None: a Unix socket
        out["server.address"], out["server.port"] = record.server
    if record.request is not None:
        _request_attributes(out, record, record.request)
    if record.status is not None:
        out["http.response.status_code"] = record.status
    if record.error_type is not None:
        out["error.type"] = record.error_type
    if record.info is not None:
        _model_attributes(out, record.info)
        if record.choices:
            _generation_attributes(out, record, record.info)
    if capture_content and record.request is not None:
        _content_attributes(out, record, record.request)
    out.update(record.extra)
    return out


def _request_attributes(
    out: Attributes, record: RequestRecord, request: ChatRequest | CompletionRequest
) -> None:
    format_ = request.response_format if isinstance(request, ChatRequest) else None
    optional: dict[str, AttributeValue | None] = {
        "gen_ai.request.max_tokens": record.max_tokens or None,
        "gen_ai.request.temperature": request.temperature,
        "gen_ai.request.top_p": request.top_p,
        "gen_ai.request.top_k": request.top_k,
        "gen_ai.request.presence_penalty": request.presence_penalty,
        "gen_ai.request.frequency_penalty": request.frequency_penalty,
        "gen_ai.request.seed": request.seed,
        "gen_ai.request.choice.count": request.choices if request.choices != 1 else None,
        "gen_ai.request.stop_sequences": request.stop,
        "gen_ai.request.stream": True if request.stream else None,
        "gen_ai.output.type": "json" if format_ is not None and format_.type != "text" else None,
        "user.id": request.user_id,
        "session.id": request.session_id,
    }
    out.update({key: value for key, value in optional.items() if value is not None})


def _model_attributes(out: Attributes, info: ModelInfo) -> None:
    """What answered, or would have: also on refused requests, cached answers and embeddings."""
    out[INFERENCE + "engine"] = info.engine
    out[INFERENCE + "dtype"] = info.dtype
    out[INFERENCE + "quantisation"] = info.quantisation
    out[INFERENCE + "device"] = info.device
    out[INFERENCE + "attention"] = info.attention
    out[INFERENCE + "model.parameters"] = info.parameters
    out[INFERENCE + "model.version"] = info.version
    out[INFERENCE + "model.weights_hash"] = info.weights_hash


def _generation_attributes(out: Attributes, record: RequestRecord, info: ModelInfo) -> None:
    progress = [choice.progress for choice in record.choices]
    steps = sum(p.steps for p in progress)
    out["gen_ai.response.model"] = info.name
    out["gen_ai.response.id"] = record.response_id
    out["gen_ai.response.finish_reasons"] = [_convention(c.finish_reason) for c in record.choices]
    out["gen_ai.usage.input_tokens"] = record.input_tokens or 0
    out["gen_ai.usage.output_tokens"] = record.output_tokens
    out["gen_ai.usage.cache_read.input_tokens"] = record.cached_tokens
    out[INFERENCE + "queue.depth"] = progress[0].queue_depth
    out[INFERENCE + "cached_tokens"] = record.cached_tokens
    out[INFERENCE + "batch_size.mean"] = sum(p.batch_size_sum for p in progress) / steps if steps else 0.0
    out[INFERENCE + "batch_size.max"] = max(p.batch_size_max for p in progress)
    out[INFERENCE + "steps"] = steps
    out[INFERENCE + "engine_seconds"] = sum(p.share_ns for p in progress) / 1e9
    out[INFERENCE + "preemptions"] = sum(p.preemptions for p in progress)
    out[INFERENCE + "kv.blocks_reserved"] = sum(p.kv_blocks_request for p in progress)
    out[INFERENCE + "kv.blocks_used"] = max(p.kv_blocks_used_max for p in progress)
    out[INFERENCE + "kv.blocks_total"] = progress[0].kv_blocks_total
    reasons = [choice.stop_reason for choice in record.choices if choice.stop_reason is not None]
    if reasons:
        out[INFERENCE + "stop_reason"] = reasons[0]
    first, per_token = record.first_token_seconds, record.output_token_seconds
    if first is not None:
        out[INFERENCE + "time_to_first_token"] = first
        if record.request is not None and record.request.stream:
            out["gen_ai.response.time_to_first_chunk"] = first
    if per_token is not None:
        out[INFERENCE + "time_per_output_token"] = per_token
    gaps = sorted(
        later - earlier
        for p in progress
        for earlier, later in zip(p.token_seconds, p.token_seconds[1:], strict=False)
    )
    if gaps:
        out[INFERENCE + "inter_token_latency.p50"] = _quantile(gaps, 0.50)
        out[INFERENCE + "inter_token_latency.p95"] = _quantile(gaps, 0.95)
        out[INFERENCE + "inter_token_latency.max"] = gaps[-1]


def _quantile(ordered: list[float], q: float) -> float:
    """The nearest-rank quantile of values in ascending order."""
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


def _convention(finish_reason: str | None) -> str:
    """The conventions' word for a finish reason of OpenAI's API."""
    return "tool_call" if finish_reason == "tool_calls" else finish_reason or "error"


def _content_attributes(
    out: Attributes, record: RequestRecord, request: ChatRequest | CompletionRequest
) -> None:
    if isinstance(request, ChatRequest):
        messages = []
        for m in request.messages:
            calls = [_call_part(c.id, c.function.name, c.function.arguments) for c in m.tool_calls or ()]
            if m.role == "tool":
                part = {"type": "tool_call_response", "id": m.tool_call_id, "response": _cut(m.text)}
                messages.append({"role": "tool", "parts": [part]})
            else:
                messages.append(_message(m.template_role, m.text, calls))
        if request.tools:
            out["gen_ai.tool.definitions"] = _json(
                [{"type": "function", "name": t.function.name} for t in request.tools]
            )
    else:
        messages = [
            _message("user", p if isinstance(p, str) else f"[{len(p)} tokens]") for p in request.prompts
        ]
    out["gen_ai.input.messages"] = _json(messages)
    answers = [
        _message("assistant", c.text, [_call_part(t.id, t.name, t.arguments) for t in c.tool_calls])
        for c in record.choices
    ]
    if any(answer["parts"] for answer in answers):
        out["gen_ai.output.messages"] = _json(answers)


def _message(role: str, text: str, calls: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
    parts = [{"type": "text", "content": _cut(text)}] if text or not calls else []
    return {"role": role, "parts": [*parts, *calls]}


def _call_part(call_id: str, name: str, arguments: str) -> dict[str, Any]:
    return {"type": "tool_call", "id": call_id, "name": name, "arguments": json.loads(arguments or "{}")}


def _cut(text: str) -> str:
    if len(text) <= _CONTENT_LIMIT:
        return text
    half = _CONTENT_LIMIT // 2
    return f"{text[:half]}…[{len(text) - _CONTENT_LIMIT} characters left out]…{text[-half:]}"


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class SpanRecord:
    """One span before it is one: the SERVER span or a phase. Times are perf_counter_ns."""

    name: str
    start_ns: int
    end_ns: int
    attributes: Attributes
    links: Sequence[SpanContext] = ()
    error: str | None = None
    """Why it failed; None: it did not."""


def span_records(record: RequestRecord, *, capture_content: bool) -> list[SpanRecord]:
    """The spans of a request whose `ended_ns` is set: the SERVER span, then its phases."""
    steps = [step for choice in record.choices for step in choice.progress.sampled_steps]
    server = SpanRecord(
        f"{record.operation} {record.model}" if record.model else record.operation,
        record.arrived_ns,
        record.ended_ns,
        server_attributes(record, capture_content=capture_content),
        [*record.links, *steps][:_MAX_LINKS],
        record.error_message if record.error_type is not None else None,
    )
    spans = [server]
    for phase in phases_of(record):
        end_ns = max(phase.start_ns, min(phase.end_ns, record.ended_ns))
        spans.append(SpanRecord(phase.name, phase.start_ns, end_ns, phase.attributes))
    return spans


@dataclass(frozen=True, slots=True)
class Parent:
    """The span that a request was made in, as its headers say."""

    trace_id: bytes
    span_id: bytes
    trace_state: str
    sampled: bool


_propagator = TraceContextTextMapPropagator()


def parent_of(record: RequestRecord) -> Parent | None:
    """The caller's span; None without a valid traceparent."""
    if "traceparent" not in record.headers:
        return None
    context = get_current_span(_propagator.extract(record.headers, Context())).get_span_context()
    if not context.is_valid:
        return None
    return Parent(
        context.trace_id.to_bytes(16, "big"),
        context.span_id.to_bytes(8, "big"),
        ",".join(f"{key}={value}" for key, value in context.trace_state.items()),
        context.trace_flags.sampled,
    )


class RequestTracer:
    """Hands on a finished request: to `export`, or as SDK spans to `provider`; with neither, to nobody.

    `tracer` is for spans that are not a request's: engine steps and batches.
    """

    def __init__(
        self,
        provider: TracerProvider | None,
        *,
        capture_content: bool,
        export: Callable[[RequestRecord], None] | None = None,
    ) -> None:
        self.tracer = provider.get_tracer(SCOPE) if provider is not None else None
        self.enabled = True
        self._export = export
        self._capture_content = capture_content

    def emit(self, record: RequestRecord) -> None:
        """Take a request whose `ended_ns` is set; its spans stand under the caller's traceparent."""
        if not self.enabled:
            return
        if self._export is not None:
            self._export(record)
        elif self.tracer is not None:
            _emit_with_sdk(self.tracer, record, capture_content=self._capture_content)


def _emit_with_sdk(tracer: Tracer, record: RequestRecord, *, capture_content: bool) -> None:
    """Build and end all spans of a request with the SDK."""
    offset = record.arrived_wall_ns - record.arrived_ns
    server, *children = span_records(record, capture_content=capture_content)
    span = tracer.start_span(
        server.name,
        context=_propagator.extract(record.headers, Context()),
        kind=SpanKind.SERVER,
        attributes=server.attributes,
        links=[Link(context) for context in server.links],
        start_time=server.start_ns + offset,
    )
    if server.error is not None:
        span.set_status(Status(StatusCode.ERROR, server.error))
    if span.is_recording():
        inside = set_span_in_context(span)
        for child in children:
            tracer.start_span(
                child.name,
                context=inside,
                kind=SpanKind.INTERNAL,
                attributes=child.attributes,
                start_time=child.start_ns + offset,
            ).end(end_time=child.end_ns + offset)
    span.end(end_time=server.end_ns + offset)

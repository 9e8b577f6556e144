"""From a finished request's measurements to its spans: one SERVER span, and one INTERNAL span per stage.

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

from .phases import phases
from .request_record import Attributes, AttributeValue, RequestRecord

SCOPE = "llmtrace_inference"
_MOST_LINKS = 128
_CONTENT_LIMIT = 64 * 1024
"""Characters of one message kept on a span: beginning and end."""


def server_attributes(trace: RequestRecord, *, capture_content: bool) -> Attributes:
    """Attributes of the SERVER span: the conventions' names, and ours under `llmtrace.inference.`."""
    out: Attributes = {
        "gen_ai.operation.name": trace.operation,
        "gen_ai.provider.name": PROVIDER_LLMTRACE,
        "gen_ai.request.model": trace.model,
        "url.path": trace.path,
        "http.request.method": "POST",
    }
    if trace.server is not None and trace.server[1] is not None:  # None: a Unix socket
        out["server.address"], out["server.port"] = trace.server
    if trace.request is not None:
        _request_attributes(out, trace, trace.request)
    if trace.status is not None:
        out["http.response.status_code"] = trace.status
    if trace.error_type is not None:
        out["error.type"] = trace.error_type
    if trace.info is not None:
        _model_attributes(out, trace.info)
        if trace.choices:
            _generation_attributes(out, trace, trace.info)
    if capture_content and trace.request is not None:
        _content_attributes(out, trace, trace.request)
    out.update(trace.extra)
    return out


def _request_attributes(
    out: Attributes, trace: RequestRecord, request: ChatRequest | CompletionRequest
) -> None:
    format_ = request.response_format if isinstance(request, ChatRequest) else None
    optional: dict[str, AttributeValue | None] = {
        "gen_ai.request.max_tokens": trace.max_tokens or None,
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


def _generation_attributes(out: Attributes, trace: RequestRecord, info: ModelInfo) -> None:
    progress = [choice.progress for choice in trace.choices]
    steps = sum(p.steps for p in progress)
    out["gen_ai.response.model"] = info.name
    out["gen_ai.response.id"] = trace.response_id
    out["gen_ai.response.finish_reasons"] = [_convention(c.finish_reason) for c in trace.choices]
    out["gen_ai.usage.input_tokens"] = trace.input_tokens or 0
    out["gen_ai.usage.output_tokens"] = trace.output_tokens
    out["gen_ai.usage.cache_read.input_tokens"] = trace.cached_tokens
    out[INFERENCE + "queue.depth"] = progress[0].queue_depth
    out[INFERENCE + "cached_tokens"] = trace.cached_tokens
    out[INFERENCE + "batch_size.mean"] = sum(p.batch_size_sum for p in progress) / steps if steps else 0.0
    out[INFERENCE + "batch_size.max"] = max(p.batch_size_max for p in progress)
    out[INFERENCE + "steps"] = steps
    out[INFERENCE + "engine_seconds"] = sum(p.share_ns for p in progress) / 1e9
    out[INFERENCE + "preemptions"] = sum(p.preemptions for p in progress)
    out[INFERENCE + "kv.blocks_reserved"] = sum(p.kv_blocks_request for p in progress)
    out[INFERENCE + "kv.blocks_used"] = max(p.kv_blocks_used_max for p in progress)
    out[INFERENCE + "kv.blocks_total"] = progress[0].kv_blocks_total
    reasons = [choice.stop_reason for choice in trace.choices if choice.stop_reason is not None]
    if reasons:
        out[INFERENCE + "stop_reason"] = reasons[0]
    first, per_token = trace.first_token_seconds, trace.output_token_seconds
    if first is not None:
        out[INFERENCE + "time_to_first_token"] = first
        if trace.request is not None and trace.request.stream:
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
    out: Attributes, trace: RequestRecord, request: ChatRequest | CompletionRequest
) -> None:
    if isinstance(request, ChatRequest):
        shown = []
        for m in request.messages:
            calls = [_call_part(c.id, c.function.name, c.function.arguments) for c in m.tool_calls or ()]
            if m.role == "tool":
                part = {"type": "tool_call_response", "id": m.tool_call_id, "response": _cut(m.text)}
                shown.append({"role": "tool", "parts": [part]})
            else:
                shown.append(_message(m.template_role, m.text, calls))
        if request.tools:
            out["gen_ai.tool.definitions"] = _json(
                [{"type": "function", "name": t.function.name} for t in request.tools]
            )
    else:
        shown = [_message("user", p if isinstance(p, str) else f"[{len(p)} tokens]") for p in request.prompts]
    out["gen_ai.input.messages"] = _json(shown)
    answers = [
        _message("assistant", c.text, [_call_part(t.id, t.name, t.arguments) for t in c.tool_calls])
        for c in trace.choices
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
    """One span before it is one: the SERVER span or a stage. Times are perf_counter_ns."""

    name: str
    start_ns: int
    end_ns: int
    attributes: Attributes
    links: Sequence[SpanContext] = ()
    error: str | None = None
    """Why it failed; None: it did not."""


def span_records(trace: RequestRecord, *, capture_content: bool) -> list[SpanRecord]:
    """The spans of a request whose `ended_ns` is set: the SERVER span, then its stages."""
    steps = [step for choice in trace.choices for step in choice.progress.sampled_steps]
    server = SpanRecord(
        f"{trace.operation} {trace.model}" if trace.model else trace.operation,
        trace.arrived_ns,
        trace.ended_ns,
        server_attributes(trace, capture_content=capture_content),
        [*trace.links, *steps][:_MOST_LINKS],
        trace.error_message if trace.error_type is not None else None,
    )
    made = [server]
    for stage in phases(trace):
        end_ns = max(stage.start_ns, min(stage.end_ns, trace.ended_ns))
        made.append(SpanRecord(stage.name, stage.start_ns, end_ns, stage.attributes))
    return made


@dataclass(frozen=True, slots=True)
class Parent:
    """The span that a request was made in, as its headers say."""

    trace_id: bytes
    span_id: bytes
    trace_state: str
    sampled: bool


_propagator = TraceContextTextMapPropagator()


def parent_of(trace: RequestRecord) -> Parent | None:
    """The caller's span; None without a valid traceparent."""
    if "traceparent" not in trace.headers:
        return None
    context = get_current_span(_propagator.extract(trace.headers, Context())).get_span_context()
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

    def record(self, trace: RequestRecord) -> None:
        """Take a request whose `ended_ns` is set; its spans stand under the caller's traceparent."""
        if not self.enabled:
            return
        if self._export is not None:
            self._export(trace)
        elif self.tracer is not None:
            _record(self.tracer, trace, capture_content=self._capture_content)


def _record(tracer: Tracer, trace: RequestRecord, *, capture_content: bool) -> None:
    """Build and end all spans of a request with the SDK."""
    offset = trace.arrived_wall_ns - trace.arrived_ns
    server, *children = span_records(trace, capture_content=capture_content)
    span = tracer.start_span(
        server.name,
        context=_propagator.extract(trace.headers, Context()),
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

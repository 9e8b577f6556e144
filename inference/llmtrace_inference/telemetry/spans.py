"""From a finished request's measurements to its spans: one SERVER span, and one INTERNAL span per phase.

Spans are built after the fact with explicit times. What the attributes mean is in docs/inference.md.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Sequence
from typing import Any, Final

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, Tracer
from opentelemetry.trace.propagation import get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from llmtrace import semconv
from llmtrace_inference.engine.interface import ModelInfo
from llmtrace_inference.protocol.requests import ChatRequest, CompletionRequest, EmbeddingRequest

from .phases import phases_of
from .request_record import Attributes, AttributeValue, RequestRecord

SCOPE: Final = "llmtrace_inference"
_INSTRUMENTATION: Final = InstrumentationScope(SCOPE)
_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
_UNSET: Final = Status(StatusCode.UNSET)
_propagator: Final = TraceContextTextMapPropagator()
_MAX_LINKS = 128
_CONTENT_LIMIT = 64 * 1024
"""Characters of one message kept on a span: beginning and end."""


def server_attributes(record: RequestRecord, *, capture_content: bool) -> Attributes:
    """Attributes of the SERVER span: the conventions' names, and ours under `llmtrace.inference.`."""
    out: Attributes = {
        semconv.OPERATION_NAME: record.operation,
        semconv.PROVIDER_NAME: semconv.PROVIDER_LLMTRACE,
        semconv.REQUEST_MODEL: record.model,
        semconv.URL_PATH: record.path,
        semconv.HTTP_REQUEST_METHOD: "POST",
    }
    if record.server is not None and record.server[1] is not None:  # None: a Unix socket
        out[semconv.SERVER_ADDRESS], out[semconv.SERVER_PORT] = record.server
    if record.request is not None and not isinstance(record.request, EmbeddingRequest):
        _request_attributes(out, record, record.request)
    if record.status is not None:
        out[semconv.HTTP_RESPONSE_STATUS_CODE] = record.status
    if (first_byte := record.first_byte_seconds) is not None:
        out[semconv.RESPONSE_TIME_TO_FIRST_BYTE] = first_byte
    if record.error_type is not None:
        out[semconv.ERROR_TYPE] = record.error_type
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
        semconv.REQUEST_MAX_TOKENS: record.max_tokens or None,
        semconv.REQUEST_TEMPERATURE: request.temperature,
        semconv.REQUEST_TOP_P: request.top_p,
        semconv.REQUEST_TOP_K: request.top_k,
        semconv.REQUEST_PRESENCE_PENALTY: request.presence_penalty,
        semconv.REQUEST_FREQUENCY_PENALTY: request.frequency_penalty,
        semconv.REQUEST_SEED: request.seed,
        semconv.REQUEST_CHOICE_COUNT: request.choices if request.choices != 1 else None,
        semconv.REQUEST_STOP_SEQUENCES: request.stop,
        semconv.REQUEST_STREAM: True if request.stream else None,
        semconv.OUTPUT_TYPE: "json" if format_ is not None and format_.type != "text" else None,
        semconv.USER_ID: request.user_id,
        semconv.SESSION_ID: request.session_id,
    }
    out.update({key: value for key, value in optional.items() if value is not None})


def _model_attributes(out: Attributes, info: ModelInfo) -> None:
    """What answered, or would have: also on refused requests, cached answers and embeddings."""
    out[semconv.INFERENCE_ENGINE] = info.engine
    out[semconv.INFERENCE_DTYPE] = info.dtype
    out[semconv.INFERENCE_QUANTISATION] = info.quantisation
    out[semconv.INFERENCE_DEVICE] = info.device
    out[semconv.INFERENCE_ATTENTION] = info.attention
    out[semconv.INFERENCE_MODEL_PARAMETERS] = info.parameters
    out[semconv.INFERENCE_MODEL_VERSION] = info.version
    out[semconv.INFERENCE_MODEL_WEIGHTS_HASH] = info.weights_hash


def _generation_attributes(out: Attributes, record: RequestRecord, info: ModelInfo) -> None:
    progress = [choice.progress for choice in record.choices]
    steps = sum(p.steps for p in progress)
    out[semconv.RESPONSE_MODEL] = info.name
    out[semconv.RESPONSE_ID] = record.response_id
    out[semconv.RESPONSE_FINISH_REASONS] = [_convention(c.finish_reason) for c in record.choices]
    out[semconv.USAGE_INPUT_TOKENS] = record.input_tokens or 0
    out[semconv.USAGE_OUTPUT_TOKENS] = record.output_tokens
    out[semconv.USAGE_CACHE_READ_INPUT_TOKENS] = record.cached_tokens
    out[semconv.INFERENCE_QUEUE_DEPTH] = progress[0].queue_depth
    out[semconv.INFERENCE_CACHED_TOKENS] = record.cached_tokens
    out[semconv.INFERENCE_BATCH_SIZE_MEAN] = sum(p.batch_size_sum for p in progress) / steps if steps else 0.0
    out[semconv.INFERENCE_BATCH_SIZE_MAX] = max(p.batch_size_max for p in progress)
    out[semconv.INFERENCE_STEPS] = steps
    out[semconv.INFERENCE_ENGINE_SECONDS] = sum(p.share_ns for p in progress) / 1e9
    out[semconv.INFERENCE_PREEMPTIONS] = sum(p.preemptions for p in progress)
    out[semconv.INFERENCE_KV_BLOCKS_RESERVED] = sum(p.kv_blocks_request for p in progress)
    out[semconv.INFERENCE_KV_BLOCKS_USED] = max(p.kv_blocks_used_max for p in progress)
    out[semconv.INFERENCE_KV_BLOCKS_TOTAL] = progress[0].kv_blocks_total
    reasons = [choice.stop_reason for choice in record.choices if choice.stop_reason is not None]
    if reasons:
        out[semconv.INFERENCE_STOP_REASON] = reasons[0]
    per_token = record.output_token_seconds
    first, last = record.first_token_seconds, record.last_token_seconds
    if first is not None:
        out[semconv.INFERENCE_TIME_TO_FIRST_TOKEN] = first
    if first is not None and last is not None and record.is_streamed:
        out[semconv.RESPONSE_TIME_TO_FIRST_CHUNK] = first
        out[semconv.RESPONSE_TIME_TO_LAST_TOKEN] = last
    if per_token is not None:
        out[semconv.INFERENCE_TIME_PER_OUTPUT_TOKEN] = per_token
    gaps = sorted(
        later - earlier
        for p in progress
        for earlier, later in zip(p.token_seconds, p.token_seconds[1:], strict=False)
    )
    if gaps:
        out[semconv.INFERENCE_INTER_TOKEN_LATENCY_P50] = _quantile(gaps, 0.50)
        out[semconv.INFERENCE_INTER_TOKEN_LATENCY_P95] = _quantile(gaps, 0.95)
        out[semconv.INFERENCE_INTER_TOKEN_LATENCY_MAX] = gaps[-1]


def _quantile(ordered: list[float], q: float) -> float:
    """The nearest-rank quantile of values in ascending order."""
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


def _convention(finish_reason: str | None) -> str:
    """The conventions' word for a finish reason of OpenAI's API."""
    return "tool_call" if finish_reason == "tool_calls" else finish_reason or "error"


def _content_attributes(
    out: Attributes, record: RequestRecord, request: ChatRequest | CompletionRequest | EmbeddingRequest
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
            out[semconv.TOOL_DEFINITIONS] = _json(
                [{"type": "function", "name": t.function.name} for t in request.tools]
            )
    else:
        messages = [
            _message("user", p if isinstance(p, str) else f"[{len(p)} tokens]") for p in request.prompt_parts
        ]
    out[semconv.INPUT_MESSAGES] = _json(messages)
    answers = [
        _message("assistant", c.text, [_call_part(t.id, t.name, t.arguments) for t in c.tool_calls])
        for c in record.choices
    ]
    if any(answer["parts"] for answer in answers):
        out[semconv.OUTPUT_MESSAGES] = _json(answers)


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


def request_spans(record: RequestRecord, resource: Resource, *, capture_content: bool) -> list[ReadableSpan]:
    """A finished request's SERVER span, then its phases; none where the caller's trace is not sampled."""
    parent = _parent(record)
    if parent is not None and not parent.trace_flags.sampled:
        return []
    trace_id = parent.trace_id if parent is not None else secrets.randbits(128)
    trace_state = parent.trace_state if parent is not None else None
    offset = record.arrived_wall_ns - record.arrived_ns

    def span(
        name: str, parent: SpanContext | None, start_ns: int, end_ns: int, attributes: Attributes, **more: Any
    ) -> ReadableSpan:
        return ReadableSpan(
            name,
            SpanContext(trace_id, secrets.randbits(64), False, _SAMPLED, trace_state),
            parent,
            resource,
            attributes,
            start_time=start_ns + offset,
            end_time=end_ns + offset,
            instrumentation_scope=_INSTRUMENTATION,
            **more,
        )

    steps = [step for choice in record.choices for step in choice.progress.sampled_steps]
    server = span(
        f"{record.operation} {record.model}" if record.model else record.operation,
        parent,
        record.arrived_ns,
        record.ended_ns,
        server_attributes(record, capture_content=capture_content),
        links=[Link(context) for context in [*record.links, *steps][:_MAX_LINKS]],
        kind=SpanKind.SERVER,
        status=_UNSET if record.error_type is None else Status(StatusCode.ERROR, record.error_message),
    )
    phases = [
        span(
            phase.name,
            server.context,
            phase.start_ns,
            max(phase.start_ns, min(phase.end_ns, record.ended_ns)),
            phase.attributes,
        )
        for phase in phases_of(record)
    ]
    return [server, *phases]


def _parent(record: RequestRecord) -> SpanContext | None:
    """The span that the request was made in, as its headers say; None without a valid traceparent."""
    if "traceparent" not in record.headers:
        return None
    context = get_current_span(_propagator.extract(record.headers, Context())).get_span_context()
    return context if context.is_valid else None


class RequestTracer:
    """Hands on finished requests to `export`; without one, to nobody.

    `tracer` is for spans that are not a request's: engine steps and batches.
    """

    def __init__(self, tracer: Tracer | None, export: Callable[[RequestRecord], None] | None) -> None:
        self.tracer = tracer
        self.enabled = True
        self._export = export

    def emit(self, record: RequestRecord) -> None:
        """Take a request whose `ended_ns` is set; its spans stand under the caller's traceparent."""
        if self.enabled and self._export is not None:
            self._export(record)

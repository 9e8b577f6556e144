"""From a finished request's clock readings to spans: one SERVER span and one INTERNAL span per stage.

Spans are built after the fact with explicit times, so tracing costs generation nothing. What the attributes
mean is in docs/inference.md.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation import set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from llmtrace_inference.engine import ModelInfo, Progress
from llmtrace_inference.schema import ChatRequest

AttributeValue = str | bool | int | float | Sequence[str]
Attributes = dict[str, AttributeValue]

PROVIDER = "llmtrace"
OWN = "llmtrace.inference."
_CONTENT_LIMIT = 64 * 1024
"""Characters of one message kept on a span: beginning and end."""


@dataclass(slots=True)
class RequestTrace:
    """What is known of one request, filled in on its way. Times are perf_counter_ns; 0: not reached."""

    headers: Mapping[str, str]
    server: tuple[str, int] | None = None
    """Address and port that the request came in on."""
    model: str = ""
    arrived_ns: int = field(default_factory=time.perf_counter_ns)
    arrived_wall_ns: int = field(default_factory=time.time_ns)
    request: ChatRequest | None = None
    response_id: str = ""
    max_tokens: int = 0
    info: ModelInfo | None = None
    tokenize_from_ns: int = 0
    tokenize_to_ns: int = 0
    progress: Progress | None = None
    input_tokens: int | None = None
    output_tokens: int = 0
    output_text: str = ""
    finish_reason: str | None = None
    stop_reason: str | None = None
    """Why generation ended: eos, length, stop_string, cancelled or error."""
    status: int | None = None
    error_type: str | None = None
    error_message: str = ""
    ended_ns: int = 0

    @property
    def first_token_seconds(self) -> float | None:
        """Arrival to first token."""
        if self.progress is None or not self.progress.first_token_ns:
            return None
        return (self.progress.first_token_ns - self.arrived_ns) / 1e9

    @property
    def output_token_seconds(self) -> float | None:
        """Mean time per token after the first; None with fewer than two tokens."""
        progress = self.progress
        if progress is None or self.output_tokens < 2 or not progress.first_token_ns:
            return None
        return (progress.last_token_ns - progress.first_token_ns) / 1e9 / (self.output_tokens - 1)


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a request; times are perf_counter_ns."""

    name: str
    start_ns: int
    end_ns: int
    attributes: Attributes


def stages(trace: RequestTrace) -> list[Stage]:
    """The stages that were reached, in order. One that was cut short ends with the request."""
    end = trace.ended_ns
    found = [Stage("admission", trace.arrived_ns, trace.tokenize_from_ns or end, {})]
    if trace.tokenize_from_ns:
        counted: Attributes = {} if trace.input_tokens is None else {OWN + "input_tokens": trace.input_tokens}
        found.append(Stage("tokenize", trace.tokenize_from_ns, trace.tokenize_to_ns or end, counted))
    progress = trace.progress
    if progress is None:
        return found
    scheduled, first, last = progress.scheduled_ns, progress.first_token_ns, progress.last_token_ns
    found.append(
        Stage(
            "queue",
            progress.submitted_ns,
            scheduled or end,
            {
                OWN + "queue.depth": progress.queue_depth,
                OWN + "kv.blocks_reserved": progress.kv_blocks_request,
            },
        )
    )
    if scheduled:
        found.append(
            Stage(
                "prefill",
                scheduled,
                first or end,
                {
                    OWN + "prefill.tokens": progress.prefill_tokens,
                    OWN + "prefill.chunks": progress.prefill_chunks,
                    OWN + "cached_tokens": progress.cached_tokens,
                },
            )
        )
    if first:
        found.append(
            Stage(
                "decode",
                first,
                max(last, first),
                {
                    OWN + "output_tokens": trace.output_tokens,
                    OWN + "batch_size.mean": progress.batch_size_mean,
                    OWN + "batch_size.max": progress.batch_size_max,
                },
            )
        )
    return found


def server_attributes(trace: RequestTrace, *, capture_content: bool) -> Attributes:
    """Attributes of the SERVER span: the conventions' names, and ours under `llmtrace.inference.`."""
    out: Attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": PROVIDER,
        "gen_ai.request.model": trace.model,
        "url.path": "/v1/chat/completions",
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
    if trace.progress is not None and trace.info is not None:
        _generation_attributes(out, trace, trace.progress, trace.info)
    if capture_content and trace.request is not None:
        out["gen_ai.input.messages"] = _json(
            [_message(m.template_role, m.text) for m in trace.request.messages]
        )
        if trace.output_text:
            out["gen_ai.output.messages"] = _json([_message("assistant", trace.output_text)])
    return out


def _request_attributes(out: Attributes, trace: RequestTrace, request: ChatRequest) -> None:
    optional: dict[str, AttributeValue | None] = {
        "gen_ai.request.max_tokens": trace.max_tokens or None,
        "gen_ai.request.temperature": request.temperature,
        "gen_ai.request.top_p": request.top_p,
        "gen_ai.request.top_k": request.top_k,
        "gen_ai.request.seed": request.seed,
        "gen_ai.request.stop_sequences": request.stop,
        "gen_ai.request.stream": True if request.stream else None,
        "user.id": request.user_id,
        "session.id": request.session_id,
    }
    out.update({key: value for key, value in optional.items() if value is not None})


def _generation_attributes(out: Attributes, trace: RequestTrace, progress: Progress, info: ModelInfo) -> None:
    out["gen_ai.response.model"] = info.name
    out["gen_ai.response.id"] = trace.response_id
    out["gen_ai.response.finish_reasons"] = [trace.finish_reason or "error"]
    out["gen_ai.usage.input_tokens"] = trace.input_tokens or 0
    out["gen_ai.usage.output_tokens"] = trace.output_tokens
    out["gen_ai.usage.cache_read.input_tokens"] = progress.cached_tokens
    out[OWN + "engine"] = info.engine
    out[OWN + "dtype"] = info.dtype
    out[OWN + "device"] = info.device
    out[OWN + "attention"] = info.attention
    out[OWN + "model.parameters"] = info.parameters
    out[OWN + "queue.depth"] = progress.queue_depth
    out[OWN + "cached_tokens"] = progress.cached_tokens
    out[OWN + "batch_size.mean"] = progress.batch_size_mean
    out[OWN + "batch_size.max"] = progress.batch_size_max
    out[OWN + "steps"] = progress.steps
    out[OWN + "preemptions"] = progress.preemptions
    out[OWN + "kv.blocks_reserved"] = progress.kv_blocks_request
    out[OWN + "kv.blocks_used"] = progress.kv_blocks_used_max
    out[OWN + "kv.blocks_total"] = progress.kv_blocks_total
    if trace.stop_reason is not None:
        out[OWN + "stop_reason"] = trace.stop_reason
    first, per_token = trace.first_token_seconds, trace.output_token_seconds
    if first is not None:
        out[OWN + "time_to_first_token"] = first
        if trace.request is not None and trace.request.stream:
            out["gen_ai.response.time_to_first_chunk"] = first
    if per_token is not None:
        out[OWN + "time_per_output_token"] = per_token


def _message(role: str, text: str) -> dict[str, object]:
    if len(text) > _CONTENT_LIMIT:
        half = _CONTENT_LIMIT // 2
        text = f"{text[:half]}…[{len(text) - _CONTENT_LIMIT} characters left out]…{text[-half:]}"
    return {"role": role, "parts": [{"type": "text", "content": text}]}


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


class RequestTracer:
    """Emits a finished request's spans to a provider; without one, nothing."""

    def __init__(self, provider: TracerProvider | None, *, capture_content: bool) -> None:
        self._tracer = provider.get_tracer("llmtrace_inference") if provider is not None else None
        self._propagator = TraceContextTextMapPropagator()
        self._capture_content = capture_content

    def record(self, trace: RequestTrace) -> None:
        """Build and end all spans of a request whose `ended_ns` is set, under the caller's traceparent."""
        if self._tracer is None:
            return
        offset = trace.arrived_wall_ns - trace.arrived_ns
        attributes = server_attributes(trace, capture_content=self._capture_content)
        span = self._tracer.start_span(
            f"chat {trace.model}" if trace.model else "chat",
            context=self._propagator.extract(trace.headers),
            kind=SpanKind.SERVER,
            attributes=attributes,
            start_time=trace.arrived_ns + offset,
        )
        if trace.error_type is not None:
            span.set_status(Status(StatusCode.ERROR, trace.error_message))
        if span.is_recording():
            inside = set_span_in_context(span)
            for stage in stages(trace):
                child = self._tracer.start_span(
                    stage.name,
                    context=inside,
                    kind=SpanKind.INTERNAL,
                    attributes=stage.attributes,
                    start_time=stage.start_ns + offset,
                )
                child.end(end_time=max(stage.start_ns, min(stage.end_ns, trace.ended_ns)) + offset)
        span.end(end_time=trace.ended_ns + offset)

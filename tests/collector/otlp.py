"""OTLP requests to send: plain spans, realistic LLM spans, scores."""

from __future__ import annotations

import base64
import json
import random
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span

SECOND = 1_000_000_000
DAY = 86_400 * SECOND

CLIENT = Span.SpanKind.SPAN_KIND_CLIENT
SERVER = Span.SpanKind.SPAN_KIND_SERVER
INTERNAL = Span.SpanKind.SPAN_KIND_INTERNAL


def any_value(value: object) -> AnyValue:
    """A Python value as OTLP's; None is the empty value, dictionaries nest."""
    out = AnyValue()
    if isinstance(value, bool):
        out.bool_value = value
    elif isinstance(value, str):
        out.string_value = value
    elif isinstance(value, int):
        out.int_value = value
    elif isinstance(value, float):
        out.double_value = value
    elif isinstance(value, bytes):
        out.bytes_value = value
    elif isinstance(value, Mapping):
        out.kvlist_value.SetInParent()
        out.kvlist_value.values.extend(
            KeyValue(key=key, value=any_value(item)) for key, item in value.items()
        )
    elif isinstance(value, Sequence):
        out.array_value.SetInParent()
        out.array_value.values.extend(any_value(item) for item in value)
    return out


def attributes(values: Mapping[str, object]) -> list[KeyValue]:
    """A mapping as OTLP attributes."""
    return [KeyValue(key=key, value=any_value(value)) for key, value in values.items()]


def span(values: Mapping[str, object] | None = None, **fields: Any) -> Span:
    """A span that began a second ago and took half a second, unless `fields` say otherwise."""
    start = fields.pop("start", time.time_ns() - SECOND)
    duration = fields.pop("duration", SECOND // 2)
    span_fields: dict[str, Any] = {
        "trace_id": secrets.token_bytes(16),
        "span_id": secrets.token_bytes(8),
        "name": "work",
        "kind": INTERNAL,
        "start_time_unix_nano": start,
        "end_time_unix_nano": start + duration,
        **fields,
    }
    return Span(attributes=attributes(values or {}), **span_fields)


def llm(values: Mapping[str, object] | None = None, **fields: Any) -> Span:
    """A chat call of 120 input and 40 output tokens, unless `values` say otherwise."""
    merged: dict[str, object] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
        "gen_ai.usage.input_tokens": 120,
        "gen_ai.usage.output_tokens": 40,
        **(values or {}),
    }
    present = {key: value for key, value in merged.items() if value is not None}
    return span(present, **{"name": "chat gpt-4o-mini", "kind": CLIENT, **fields})


def traces(
    spans: Iterable[Span], resource: Mapping[str, object] | None = None, scope_name: str = "tests"
) -> ExportTraceServiceRequest:
    """A request with one resource and one scope."""
    request = ExportTraceServiceRequest()
    part = request.resource_spans.add()
    part.resource.attributes.extend(attributes(resource or {"service.name": "shop"}))
    scope = part.scope_spans.add()
    scope.scope.name = scope_name
    scope.scope.version = "1"
    scope.spans.extend(spans)
    return request


def logs(
    records: Iterable[LogRecord], resource: Mapping[str, object] | None = None
) -> ExportLogsServiceRequest:
    """A request with one resource and one scope."""
    request = ExportLogsServiceRequest()
    part = request.resource_logs.add()
    part.resource.attributes.extend(attributes(resource or {"service.name": "shop"}))
    part.scope_logs.add().log_records.extend(records)
    return request


def score(values: Mapping[str, object], **fields: Any) -> LogRecord:
    """An evaluation result of now."""
    record_fields: dict[str, Any] = {
        "time_unix_nano": time.time_ns(),
        "trace_id": secrets.token_bytes(16),
        "span_id": secrets.token_bytes(8),
        "event_name": "gen_ai.evaluation.result",
        **fields,
    }
    return LogRecord(attributes=attributes(values), **record_fields)


def as_json(message: Message) -> bytes:
    """A request as OTLP/JSON: protobuf's own JSON, with ids in hexadecimal."""

    def with_ids(value: Any) -> Any:
        if isinstance(value, list):
            return [with_ids(item) for item in value]
        if isinstance(value, dict):
            ids = ("traceId", "spanId", "parentSpanId")
            return {
                key: base64.b64decode(item).hex() if key in ids else with_ids(item)
                for key, item in value.items()
            }
        return value

    return json.dumps(with_ids(MessageToDict(message))).encode()


_WORDS = (
    "the model answered with a summary of quarterly results while customers asked about refunds shipping "
    "latency invoices tokens prompts retrieval embeddings gateways budgets alerts tracing sessions users "
    "deployments regions caches failures retries timeouts evaluation datasets experiments scores reviews"
).split()


def realistic(
    random_source: random.Random, size: int, start: int, prose: Callable[[int], str] | None = None
) -> Span:
    """A chat span of about `size` bytes on the wire, of random words or `prose` of so many characters."""
    text_bytes = max(0, size - 560)

    def random_words(length: int) -> str:
        words: list[str] = []
        used = 0
        while used < length:
            word = random_source.choice(_WORDS)
            if random_source.random() < 0.3:
                word = f"{word}{random_source.randrange(10**6)}"
            words.append(word)
            used += len(word) + 1
        return " ".join(words)

    values: dict[str, object] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": random_source.choice(("openai", "anthropic", "gcp.gemini")),
        "gen_ai.request.model": random_source.choice(("gpt-4o-mini", "gpt-4o", "claude-sonnet-4-5")),
        "gen_ai.response.id": f"chatcmpl-{random_source.getrandbits(96):024x}",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": random_source.randrange(50, 4000),
        "gen_ai.usage.output_tokens": random_source.randrange(5, 900),
        "gen_ai.request.temperature": round(random_source.random(), 2),
        "server.address": "api.openai.com",
        "server.port": 443,
        "user.id": f"user-{random_source.randrange(500)}",
        "session.id": f"session-{random_source.getrandbits(40):010x}",
    }
    if text_bytes:
        prose = prose or random_words
        asked = json.dumps([{"role": "user", "parts": [{"type": "text", "content": prose(text_bytes // 2)}]}])
        answered = json.dumps(
            [{"role": "assistant", "parts": [{"type": "text", "content": prose(text_bytes // 2 - 150)}]}]
        )
        values["gen_ai.input.messages"] = asked
        values["gen_ai.output.messages"] = answered
    return span(
        values,
        trace_id=random_source.randbytes(16),
        span_id=random_source.randbytes(8),
        name="chat gpt-4o-mini",
        kind=CLIENT,
        start=start,
        duration=random_source.randrange(10**8, 10**10),
    )

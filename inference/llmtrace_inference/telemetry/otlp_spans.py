"""Finished requests' spans as OTLP, straight from what was measured.

That costs a third of what the SDK's spans would, and the bytes are those that its exporter would send:
tests/inference/test_export.py compares them.
"""

from __future__ import annotations

import functools
import secrets
from collections.abc import Iterable

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext

from .request_record import Attributes, AttributeValue, RequestRecord
from .spans import SCOPE, Parent, SpanRecord, parent_of, span_records

_SERVER = trace_pb2.Span.SPAN_KIND_SERVER
_INTERNAL = trace_pb2.Span.SPAN_KIND_INTERNAL
_LOCAL = trace_pb2.SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK
_REMOTE = _LOCAL | trace_pb2.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK
_SHORT = 64
"""Characters of texts that are kept encoded; longer ones hardly ever come again."""
_ERROR = trace_pb2.Status.STATUS_CODE_ERROR


def request_of(
    request_spans: Iterable[trace_pb2.Span], sdk_spans: list[ReadableSpan], resource: Resource
) -> ExportTraceServiceRequest:
    """One request with the spans of finished requests, and with the few that the SDK made."""
    out = encode_spans(sdk_spans) if sdk_spans else ExportTraceServiceRequest()
    part = out.resource_spans.add()
    part.resource.attributes.extend(_attributes(dict(resource.attributes)))  # type: ignore[arg-type]
    scope = part.scope_spans.add()
    scope.scope.name = SCOPE
    scope.spans.extend(request_spans)
    return out


def spans_of(record: RequestRecord, *, capture_content: bool) -> list[trace_pb2.Span]:
    """A request's SERVER span and its phases; nothing where the caller's trace is not sampled."""
    parent = parent_of(record)
    if parent is not None and not parent.sampled:
        return []
    trace_id = parent.trace_id if parent is not None else secrets.token_bytes(16)
    offset = record.arrived_wall_ns - record.arrived_ns
    server, *phases = span_records(record, capture_content=capture_content)
    server_id = secrets.token_bytes(8)
    spans = [_span(server, trace_id, server_id, offset, parent)]
    spans += [_span(phase, trace_id, secrets.token_bytes(8), offset, parent, server_id) for phase in phases]
    return spans


def _span(
    span_record: SpanRecord,
    trace_id: bytes,
    span_id: bytes,
    offset: int,
    parent: Parent | None,
    server_id: bytes = b"",
) -> trace_pb2.Span:
    above = server_id or (parent.span_id if parent is not None else b"")
    span = trace_pb2.Span(
        trace_id=trace_id,
        span_id=span_id,
        parent_span_id=above,
        trace_state=parent.trace_state if parent is not None else "",
        name=span_record.name,
        kind=_INTERNAL if server_id else _SERVER,
        start_time_unix_nano=span_record.start_ns + offset,
        end_time_unix_nano=span_record.end_ns + offset,
        attributes=_attributes(span_record.attributes),
        flags=_REMOTE if above and not server_id else _LOCAL,
        status=trace_pb2.Status(),
    )
    if span_record.links:
        span.links.extend(map(_link, span_record.links))
    if span_record.error is not None:
        span.status.code = _ERROR
        span.status.message = span_record.error
    return span


def _link(context: SpanContext) -> trace_pb2.Span.Link:
    return trace_pb2.Span.Link(
        trace_id=context.trace_id.to_bytes(16, "big"),
        span_id=context.span_id.to_bytes(8, "big"),
        flags=_REMOTE if context.is_remote else _LOCAL,
    )


def _attributes(values: Attributes) -> list[KeyValue]:
    return [
        _short(key, value)
        if isinstance(value, str) and len(value) <= _SHORT
        else KeyValue(key=key, value=_value(value))
        for key, value in values.items()
    ]


@functools.lru_cache(1024)
def _short(key: str, value: str) -> KeyValue:
    """Most texts are the same on every span: the model's name, its device, how it is quantised."""
    return KeyValue(key=key, value=AnyValue(string_value=value))


def _value(value: AttributeValue) -> AnyValue:
    if isinstance(value, str):
        return AnyValue(string_value=value)
    if isinstance(value, bool):  # before int, which it is too
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    return AnyValue(array_value=ArrayValue(values=[_value(item) for item in value]))

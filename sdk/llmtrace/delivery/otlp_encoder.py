"""Spans and log records to OTLP protobuf.

The same message that `opentelemetry.exporter.otlp.proto.common` makes, built by filling the protobuf in
place instead of nesting constructors: about a third of the CPU. `tests/sdk/test_otlp_encoder.py` holds the
two equal, but for a link's trace state, which the other leaves out. A value that protobuf refuses (a lone
surrogate, an integer beyond 64 bits) is repaired, so that one odd span never costs its batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord as LogRecordMessage
from opentelemetry.proto.resource.v1.resource_pb2 import Resource as ResourceMessage
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage
from opentelemetry.proto.trace.v1.trace_pb2 import SpanFlags
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope as Scope
from opentelemetry.trace import SpanContext

from .exporter import LogRecord

_HAS_IS_REMOTE: Final = SpanFlags.SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK
_IS_REMOTE: Final = SpanFlags.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK
_INT64_MAX: Final = 2**63 - 1
_UINT64_MAX: Final = 2**64 - 1
_UINT32_MAX: Final = 2**32 - 1
_DEEPEST: Final = 32
"""Levels of a value that is made of others; what lies deeper is left out."""


def encode_spans(spans: Iterable[ReadableSpan], overrides: Mapping[str, str]) -> bytes:
    """Serialized ExportTraceServiceRequest; `overrides` replace resource attributes of the same key."""
    request = ExportTraceServiceRequest()
    # Keyed by identity: hashing a Resource serializes it to JSON. An id is unique while its object lives.
    scopes: dict[tuple[int, int], Any] = {}
    resources: dict[int, Any] = {}
    alive: list[object] = []
    for span in spans:
        resource, scope = span.resource, span.instrumentation_scope
        key = (id(resource), id(scope))
        scope_spans = scopes.get(key)
        if scope_spans is None:
            alive += (resource, scope)
            resource_spans = resources.get(id(resource))
            if resource_spans is None:
                resource_spans = resources[id(resource)] = request.resource_spans.add(
                    schema_url=resource.schema_url
                )
                fill_resource(resource_spans.resource, resource, overrides)
            scope_spans = scopes[key] = resource_spans.scope_spans.add()
            if scope is not None:
                fill_scope(scope_spans.scope, scope)
                scope_spans.schema_url = scope.schema_url or ""
        _fill_span(scope_spans.spans.add(), span)
    return request.SerializeToString()


def encode_logs(
    records: Iterable[LogRecord], resource: Resource, scope: Scope, overrides: Mapping[str, str]
) -> bytes:
    """Serialized ExportLogsServiceRequest; `resource` and `scope` are those of records without their own."""
    request = ExportLogsServiceRequest()
    scopes: dict[tuple[int, int], Any] = {}
    resources: dict[int, Any] = {}
    alive: list[object] = []
    for record in records:
        own_resource, own_scope = record.resource or resource, record.scope or scope
        key = (id(own_resource), id(own_scope))
        scope_logs = scopes.get(key)
        if scope_logs is None:
            alive += (own_resource, own_scope)
            resource_logs = resources.get(id(own_resource))
            if resource_logs is None:
                resource_logs = resources[id(own_resource)] = request.resource_logs.add(
                    schema_url=own_resource.schema_url
                )
                fill_resource(resource_logs.resource, own_resource, overrides)
            scope_logs = scopes[key] = resource_logs.scope_logs.add()
            fill_scope(scope_logs.scope, own_scope)
        _fill_record(scope_logs.log_records.add(), record)
    return request.SerializeToString()


def _fill_record(message: LogRecordMessage, record: LogRecord) -> None:
    message.time_unix_nano = message.observed_time_unix_nano = _within(record.time, _UINT64_MAX)
    message.event_name = _text(record.event_name)
    if record.trace_id:
        message.trace_id = record.trace_id.to_bytes(16, "big")
    if record.span_id:
        message.span_id = record.span_id.to_bytes(8, "big")
    message.flags = _within(record.flags, _UINT32_MAX)
    message.severity_number = record.severity_number  # type: ignore[assignment]  # the enum's are numbers
    message.severity_text = _text(record.severity_text)
    if isinstance(record.body, bytes):
        message.body.bytes_value = record.body
    elif record.body:
        message.body.string_value = _text(record.body)
    fill_attributes(message.attributes, record.attributes)


def fill_resource(
    message: ResourceMessage, resource: Resource, overrides: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Fill a protobuf resource."""
    fill_attributes(message.attributes, {**resource.attributes, **overrides})


def fill_scope(message: InstrumentationScope, scope: Scope) -> None:
    """Fill a protobuf scope."""
    message.name = _text(scope.name)
    message.version = _text(scope.version or "")
    if scope.attributes:
        fill_attributes(message.attributes, scope.attributes)


def _fill_span(message: SpanMessage, span: ReadableSpan) -> None:
    context = span.get_span_context()
    if context is None:
        raise ValueError(f"span {span.name!r} has no context")
    message.trace_id = context.trace_id.to_bytes(16, "big")
    message.span_id = context.span_id.to_bytes(8, "big")
    if context.trace_state:
        message.trace_state = _text(context.trace_state.to_header())
    if span.parent is not None:
        message.parent_span_id = span.parent.span_id.to_bytes(8, "big")
    message.flags = _flags(span.parent)
    message.name = _text(span.name)
    # OTLP counts from UNSPECIFIED = 0, which a span that came in by OTLP may be; OTel's spans never are.
    message.kind = 0 if span.kind is None else span.kind.value + 1  # type: ignore[assignment]
    message.start_time_unix_nano = _within(span.start_time or 0, _UINT64_MAX)
    message.end_time_unix_nano = _within(span.end_time or 0, _UINT64_MAX)
    if span.attributes:
        fill_attributes(message.attributes, span.attributes)
    message.dropped_attributes_count = _within(span.dropped_attributes, _UINT32_MAX)
    for event in span.events:
        entry = message.events.add(
            name=_text(event.name), time_unix_nano=_within(event.timestamp, _UINT64_MAX)
        )
        if event.attributes:
            fill_attributes(entry.attributes, event.attributes)
    message.dropped_events_count = _within(span.dropped_events, _UINT32_MAX)
    for link in span.links:
        pointer = message.links.add(
            trace_id=link.context.trace_id.to_bytes(16, "big"),
            span_id=link.context.span_id.to_bytes(8, "big"),
            flags=_flags(link.context),
        )
        if link.context.trace_state:
            pointer.trace_state = _text(link.context.trace_state.to_header())
        if link.attributes:
            fill_attributes(pointer.attributes, link.attributes)
    message.dropped_links_count = _within(span.dropped_links, _UINT32_MAX)
    message.status.code = span.status.status_code.value  # type: ignore[assignment]
    if span.status.description:
        message.status.message = _text(span.status.description)


def _flags(context: SpanContext | None) -> int:
    return _HAS_IS_REMOTE | _IS_REMOTE if context is not None and context.is_remote else _HAS_IS_REMOTE


def fill_attributes(target: Any, attributes: Mapping[str, Any]) -> None:
    """Append attributes to a message's repeated KeyValue field."""
    # Each access to a field of a message makes an object: hence one `value`, and no keywords.
    add = target.add
    for key, value in attributes.items():
        entry: KeyValue = add()
        holder = entry.value
        kind = type(value)
        try:
            entry.key = key
            if kind is str:
                holder.string_value = value
            elif kind is int:
                holder.int_value = value
            elif kind is float:
                holder.double_value = value
            elif kind is bool:
                holder.bool_value = value
            else:
                _fill_value(holder, value)
        except (ValueError, TypeError):
            entry.key = _text(str(key))
            _fill_value(holder, value)


def _fill_value(target: AnyValue, value: Any, depth: int = 0) -> None:
    if value is None or depth > _DEEPEST:
        return
    if isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, str):
        target.string_value = _text(value)
    elif isinstance(value, int):
        if -_INT64_MAX <= value <= _INT64_MAX:
            target.int_value = value
        else:
            # Python writes no longer ones in decimal.
            target.string_value = str(value) if value.bit_length() < 10_000 else f"{hex(value)[:1000]}…"
    elif isinstance(value, float):
        target.double_value = value
    elif isinstance(value, bytes):
        target.bytes_value = value
    elif isinstance(value, Mapping):
        target.kvlist_value.SetInParent()
        for key, item in value.items():
            entry = target.kvlist_value.values.add(key=_text(str(key)))
            _fill_value(entry.value, item, depth + 1)
    elif isinstance(value, Sequence):
        target.array_value.SetInParent()
        for item in value:
            _fill_value(target.array_value.values.add(), item, depth + 1)
    else:
        target.string_value = _text(repr(value))


def _text(value: str) -> str:
    return value.encode("utf-8", "replace").decode()


def _within(number: int, most: int) -> int:
    """The number, or the nearest one from 0 to `most`."""
    return number if 0 <= number <= most else 0 if number < 0 else most

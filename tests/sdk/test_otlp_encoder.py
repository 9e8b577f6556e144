"""The encoder against the OpenTelemetry exporter's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans as reference
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState
from opentelemetry.util.types import AttributeValue

from llmtrace.delivery.exporter import LogRecord
from llmtrace.delivery.otlp_encoder import encode_logs, encode_spans
from tests.examples import examples

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_INT = st.integers(-(2**63) + 1, 2**63 - 1)
_SCALAR = st.one_of(_TEXT, st.booleans(), _INT, st.floats(allow_nan=False))
_ATTRIBUTES = st.dictionaries(
    _TEXT,
    st.one_of(_SCALAR, st.lists(_TEXT, max_size=3), st.lists(_INT, max_size=3).map(tuple), st.binary()),
    max_size=6,
)
_CONTEXT = st.builds(
    SpanContext,
    st.integers(1, 2**128 - 1),
    st.integers(1, 2**64 - 1),
    st.booleans(),
    st.sampled_from([TraceFlags(0), TraceFlags(1)]),
    st.sampled_from([TraceState(), TraceState([("a", "1"), ("b", "2")])]),
)
_TIME = st.integers(0, 2**63)
_RESOURCES = [Resource({"service.name": "a"}), Resource({"service.name": "b", "n": 1}, "https://schema")]
_SCOPES = [InstrumentationScope("s", "1"), InstrumentationScope("t", None, "https://schema", {"x": 1})]
_SPAN = st.builds(
    ReadableSpan,
    name=_TEXT,
    context=_CONTEXT,
    parent=st.none() | _CONTEXT,
    resource=st.sampled_from(_RESOURCES),
    attributes=_ATTRIBUTES,
    events=st.lists(st.builds(Event, name=_TEXT, attributes=_ATTRIBUTES, timestamp=_TIME), max_size=2),
    links=st.lists(st.builds(Link, _CONTEXT, _ATTRIBUTES), max_size=2),
    kind=st.sampled_from(SpanKind),
    status=st.builds(Status, st.just(StatusCode.ERROR), _TEXT) | st.just(Status(StatusCode.UNSET)),
    start_time=_TIME,
    end_time=_TIME,
    instrumentation_scope=st.sampled_from(_SCOPES),
)


@settings(max_examples=examples(150))
@given(st.lists(_SPAN, max_size=6, unique_by=lambda span: (span.context.trace_id, span.context.span_id)))
def test_equal_to_the_reference(spans: list[ReadableSpan]) -> None:
    expected = reference(spans)
    links = {
        (span.context.trace_id, span.context.span_id, number): link.context.trace_state.to_header()
        for span in spans
        for number, link in enumerate(span.links)
    }
    for span_message in _messages(expected):
        ids = int.from_bytes(span_message.trace_id), int.from_bytes(span_message.span_id)
        for number, link_message in enumerate(span_message.links):
            link_message.trace_state = links[(*ids, number)]
    assert ExportTraceServiceRequest.FromString(encode_spans(spans, {})) == expected


def _messages(request: ExportTraceServiceRequest) -> list[Span]:
    return [
        span
        for resource_spans in request.resource_spans
        for scope_spans in resource_spans.scope_spans
        for span in scope_spans.spans
    ]


def test_log_records_with_their_own_resource_and_scope() -> None:
    shared = _RESOURCES[1]
    records = [
        LogRecord(5, "event", 1, 2, {"a": 1}),
        LogRecord(6, "", 0, 0, {}, "text", "WARN", 13, 1, shared, _SCOPES[0]),
        LogRecord(7, "e\ud800", 0, 3, {}, resource=shared, scope=_SCOPES[1]),
    ]
    request = ExportLogsServiceRequest.FromString(
        encode_logs(records, _RESOURCES[0], _SCOPES[0], {"service.name": "c"})
    )
    own, other = request.resource_logs
    (first,) = own.scope_logs[0].log_records
    assert (first.time_unix_nano, first.observed_time_unix_nano, first.event_name) == (5, 5, "event")
    assert (first.trace_id.hex(), first.span_id.hex()) == ("0" * 31 + "1", "0" * 15 + "2")
    assert {attribute.key: attribute.value.string_value for attribute in other.resource.attributes} == {
        "service.name": "c",
        "n": "",
    }
    (second,), (third,) = (scope_logs.log_records for scope_logs in other.scope_logs)
    assert [scope_logs.scope.name for scope_logs in other.scope_logs] == ["s", "t"]
    assert (second.body.string_value, second.severity_text, second.severity_number) == ("text", "WARN", 13)
    assert (second.flags, second.trace_id, second.HasField("body")) == (1, b"", True)
    assert (third.event_name, third.HasField("body")) == ("e?", False)


def test_resources_that_live_no_longer_than_their_item() -> None:
    """An id may be that of another object by then."""

    def spans() -> Iterator[ReadableSpan]:
        for number in range(50):
            yield ReadableSpan(
                str(number),
                SpanContext(1, number + 1, is_remote=False),
                resource=Resource({"n": str(number)}),
                instrumentation_scope=InstrumentationScope(str(number)),
            )

    def records() -> Iterator[LogRecord]:
        for number in range(50):
            resource, scope = Resource({"n": str(number)}), InstrumentationScope(str(number))
            yield LogRecord(1, str(number), 0, 0, {}, resource=resource, scope=scope)

    expected = [(str(number),) * 3 for number in range(50)]
    traces = ExportTraceServiceRequest.FromString(encode_spans(spans(), {}))
    assert expected == [
        (group.resource.attributes[0].value.string_value, scope.scope.name, span.name)
        for group in traces.resource_spans
        for scope in group.scope_spans
        for span in scope.spans
    ]
    logs = ExportLogsServiceRequest.FromString(encode_logs(records(), _RESOURCES[0], _SCOPES[0], {}))
    assert expected == [
        (group.resource.attributes[0].value.string_value, scope.scope.name, record.event_name)
        for group in logs.resource_logs
        for scope in group.scope_logs
        for record in scope.log_records
    ]


def test_odd_values_are_mended() -> None:
    attributes: dict[str, AttributeValue] = {"surrogate": "a\ud800b", "big": 2**70, "list": ["\udfff"]}
    span = ReadableSpan(
        "n\ud800", SpanContext(1, 2, False), resource=_RESOURCES[0], attributes=attributes, start_time=1
    )
    message = ExportTraceServiceRequest.FromString(encode_spans([span], {"service.name": "c", "new": "d"}))
    (resource_spans,) = message.resource_spans
    assert {
        attribute.key: attribute.value.string_value for attribute in resource_spans.resource.attributes
    } == {
        "service.name": "c",
        "new": "d",
    }
    (encoded,) = resource_spans.scope_spans[0].spans
    values = {attribute.key: attribute.value for attribute in encoded.attributes}
    assert encoded.name == "n?"
    assert values["surrogate"].string_value == "a?b"
    assert values["big"].string_value == str(2**70)
    assert values["list"].array_value.values[0].string_value == "?"


def _nested(levels: int) -> object:
    value: object = "deepest"
    for _ in range(levels):
        value = {"a": [value]}
    return value


@pytest.mark.parametrize(
    "odd",
    [
        {"times": -1}, {"times": 2**70}, {"name": "n\0\ud800"}, {"key": "k\udfff"}, {"value": 10**6000},
        {"value": -(2**63)}, {"value": [2**64, None, "\ud800"]}, {"value": {"\ud800": 2**64}},
        {"value": float("nan")}, {"value": _nested(3000)}, {"value": object()}, {"value": "x" * 3_000_000},
        {"value": b"\xff"}, {"status": "\ud800"}, {"scope": "\ud800"}, {"event": 2**64},
    ],
)  # fmt: skip
def test_no_value_costs_a_span_or_those_beside_it(odd: dict[str, Any]) -> None:
    times = odd.get("times", 1)
    spans = [
        ReadableSpan(
            odd.get("name", "odd"),
            SpanContext(1, 2, False),
            resource=_RESOURCES[0],
            attributes={odd.get("key", "odd"): odd.get("value", 1)},
            events=[Event("e", timestamp=odd.get("event", 1))],
            start_time=times,
            end_time=times,
            status=Status(StatusCode.ERROR, odd.get("status")),
            instrumentation_scope=InstrumentationScope(odd.get("scope", "scope")),
        ),
        ReadableSpan("beside", SpanContext(1, 3, False), resource=_RESOURCES[0]),
    ]
    message = ExportTraceServiceRequest.FromString(encode_spans(spans, {}))
    encoded = [span for r in message.resource_spans for s in r.scope_spans for span in s.spans]
    assert [span.span_id for span in encoded] == [(2).to_bytes(8, "big"), (3).to_bytes(8, "big")]
    assert len(encoded[0].attributes) == 1

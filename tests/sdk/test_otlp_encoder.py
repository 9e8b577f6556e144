"""The encoder against the OpenTelemetry exporter's own."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans as reference
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState
from opentelemetry.util.types import AttributeValue

from llmtrace.delivery.otlp_encoder import encode_spans
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
@given(st.lists(_SPAN, max_size=6))
def test_equal_to_the_reference(spans: list[ReadableSpan]) -> None:
    assert ExportTraceServiceRequest.FromString(encode_spans(spans, {})) == reference(spans)


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

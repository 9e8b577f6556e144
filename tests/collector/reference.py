"""A plain decoder of OTLP requests, row by row in Python: what the engine's view must equal.

Strings are those of the OpenTelemetry Collector's `AsString()`.
"""

from __future__ import annotations

import base64
import json
import math
import struct
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from llmtrace_collector.attributes.fields import TEXTS

_KINDS = ("Unspecified", "Internal", "Server", "Client", "Producer", "Consumer")
_STATUSES = ("Unset", "Ok", "Error")
TEXT_KEYS = {text.keys[0]: text.name for text in TEXTS}


def double_text(number: float) -> str:
    """The shortest digits that give the number, with an exponent below 1e-6 and from 1e21 on, as the
    Collector and JavaScript write them.

    Known difference: the Collector writes infinities and NaN as "json: unsupported value: NaN"; here they
    are nan, inf and -inf.
    """
    if not math.isfinite(number):
        return str(number)
    sign, digits, exponent = Decimal(repr(number)).normalize().as_tuple()
    assert isinstance(exponent, int)
    text = "".join(map(str, digits))
    first = len(text) + exponent - 1  # power of ten of the first digit
    if number == 0:
        text = "0"
    elif first < -6 or first >= 21:
        text = f"{text[0]}.{text[1:]}".rstrip(".") + f"e{first:+d}"
    elif first < 0:
        text = "0." + "0" * (-first - 1) + text
    elif exponent >= 0:
        text += "0" * exponent
    else:
        text = f"{text[: first + 1]}.{text[first + 1 :]}"
    return "-" * sign + text


def as_json(value: AnyValue) -> Any:
    """A value inside an array or map as JSON data."""
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [as_json(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return {item.key: as_json(item.value) for item in value.kvlist_value.values}
    if kind == "bytes_value":
        return base64.b64encode(value.bytes_value).decode()
    if kind == "double_value" and not math.isfinite(value.double_value):
        return str(value.double_value)  # JSON has no number for it
    return getattr(value, kind)


def as_string(value: AnyValue) -> str:
    """The Collector's `AsString()`; JSON values are compact and keep characters as they are."""
    kind = value.WhichOneof("value")
    if kind is None:
        return ""
    if kind == "bool_value":
        return "true" if value.bool_value else "false"
    if kind == "double_value":
        return double_text(value.double_value)
    if kind == "bytes_value":
        return base64.b64encode(value.bytes_value).decode()
    if kind in ("array_value", "kvlist_value"):
        return json.dumps(as_json(value), ensure_ascii=False, separators=(",", ":"))
    return str(getattr(value, kind))


def attribute_map(attributes: Iterable[KeyValue]) -> dict[str, str]:
    """Of a key given twice the last wins."""
    return {item.key: as_string(item.value) for item in attributes}


def signed(nanoseconds: int) -> int:
    """An unsigned time as the engine's signed one."""
    return int(struct.unpack("<q", struct.pack("<Q", nanoseconds))[0])


def rows(request: ExportTraceServiceRequest) -> list[dict[str, Any]]:
    """The exporter's columns and the text columns of every span."""
    decoded = []
    for part in request.resource_spans:
        resource = attribute_map(part.resource.attributes)
        for scope in part.scope_spans:
            for span in scope.spans:
                values = attribute_map(span.attributes)
                texts = {column: values.pop(key, "") for key, column in TEXT_KEYS.items()}
                start, end = span.start_time_unix_nano, span.end_time_unix_nano
                decoded.append(
                    {
                        "Timestamp": start,
                        "TraceId": span.trace_id.hex(),
                        "SpanId": span.span_id.hex(),
                        "ParentSpanId": span.parent_span_id.hex(),
                        "TraceState": span.trace_state,
                        "SpanName": span.name,
                        "SpanKind": _KINDS[span.kind] if 0 <= span.kind < 6 else "Unspecified",
                        "ServiceName": resource.get("service.name", ""),
                        "ResourceAttributes": resource,
                        "ScopeName": scope.scope.name,
                        "ScopeVersion": scope.scope.version,
                        "SpanAttributes": values,
                        "Duration": max(0, end - start),
                        "StatusCode": _STATUSES[span.status.code] if 0 <= span.status.code < 3 else "Unset",
                        "StatusMessage": span.status.message,
                        "EventTimes": [signed(event.time_unix_nano) for event in span.events],
                        "EventNames": [event.name for event in span.events],
                        "EventAttributes": [attribute_map(event.attributes) for event in span.events],
                        "LinkTraces": [link.trace_id.hex() for link in span.links],
                        "LinkSpans": [link.span_id.hex() for link in span.links],
                        "LinkStates": [link.trace_state for link in span.links],
                        "LinkAttributes": [attribute_map(link.attributes) for link in span.links],
                        "Project": resource.get("llmtrace.project") or "default",
                        **texts,
                    }
                )
    return decoded

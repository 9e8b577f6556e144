"""OTLP/JSON, converted to the protobuf form once, on arrival; and answers in either form.

The JSON form is protobuf's own mapping, except that trace and span ids are hexadecimal.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message

from llmtrace.common.http_limits.json_bounds import JsonTooComplex, check_json

from .nested_values import REQUESTS, Malformed

#: Levels of a request: eight down to an attribute's value, and three for each level that one has.
_DEPTH = 100

#: Keys and values of one request; two thousand spans with thirty attributes have as many.
_MEMBERS, _VALUES = 250_000, 500_000

_IDS = ("traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id")

#: Where ids may stand: lists of objects that hold them or hold objects that do. Attribute values are not
#: searched, so that an attribute called traceId stays what it is.
_PARTS = frozenset(
    "resourceSpans scopeSpans spans links resourceLogs scopeLogs logRecords resourceMetrics scopeMetrics "
    "metrics dataPoints exemplars gauge sum histogram exponentialHistogram "
    "resource_spans scope_spans resource_logs scope_logs log_records resource_metrics scope_metrics "
    "data_points exponential_histogram".split()
)


def to_protobuf(signal: str, body: bytes) -> bytes:
    """An OTLP/JSON request as protobuf bytes. Unknown fields are ignored; an id that is no hexadecimal text
    becomes empty, so that its row alone is rejected. Raises Malformed when the body is no such request or
    too complex a one.
    """
    try:
        check_json(body, depth=_DEPTH, members=_MEMBERS, values=_VALUES)
        data = json.loads(body or b"{}")
        if not isinstance(data, dict):
            raise Malformed("the body is not an OTLP JSON request: it should be an object")
        _decode_ids(data)
        request = json_format.ParseDict(data, REQUESTS[signal](), ignore_unknown_fields=True)
        out: bytes = request.SerializeToString()
    except JsonTooComplex as error:
        raise Malformed(f"the body is not an OTLP JSON request to be read: {error}") from error
    except (json_format.ParseError, ValueError, TypeError, AttributeError, RecursionError) as error:
        detail = (str(error).splitlines() or [type(error).__name__])[0][:300]
        raise Malformed(f"the body is not an OTLP JSON request: {detail}") from error
    return out


def to_json(message: Message) -> bytes:
    """A response as JSON."""
    return json_format.MessageToJson(message, indent=None).encode()


def _decode_ids(data: dict[str, Any]) -> None:
    for name in _IDS:
        value = data.get(name)
        if isinstance(value, str):
            data[name] = base64.b64encode(_unhex(value)).decode()
    for name, value in data.items():
        if name not in _PARTS:
            continue
        for part in value if isinstance(value, list) else (value,):
            if isinstance(part, dict):
                _decode_ids(part)


def _unhex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""

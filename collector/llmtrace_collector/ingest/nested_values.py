"""OTLP requests and the attribute values in them that nest, which the engine's columns cannot hold."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable
from itertools import chain
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.logs.v1 import logs_pb2
from opentelemetry.proto.metrics.v1 import metrics_pb2
from opentelemetry.proto.resource.v1 import resource_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

from llmtrace_collector.store.schema.redaction import BYTES_MARK

from .otlp_bounds import MAX_NESTED, Overfull, is_crowded

NO_REQUEST = "the body is not an OTLP protobuf request"


class Malformed(Exception):
    """The body is not an OTLP request."""


REQUESTS: dict[str, type[Any]] = {
    "traces": trace_service_pb2.ExportTraceServiceRequest,
    "logs": logs_service_pb2.ExportLogsServiceRequest,
    "metrics": metrics_service_pb2.ExportMetricsServiceRequest,
}


def _flat_messages() -> dict[str, type[Message]]:
    """The request messages in a world where attribute values do not nest.

    Parsed with these, a nested value is an unknown field; a request without any has the same size after
    unknown fields are dropped, and the comparison runs in C.
    """
    pool = descriptor_pool.DescriptorPool()
    for module in (
        common_pb2,
        resource_pb2,
        trace_pb2,
        logs_pb2,
        metrics_pb2,
        trace_service_pb2,
        logs_service_pb2,
        metrics_service_pb2,
    ):
        file = descriptor_pb2.FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(file)
        if module is common_pb2:
            _forbid_nesting(file)
        pool.Add(file)
    names = {signal: request.DESCRIPTOR.full_name for signal, request in REQUESTS.items()}
    return {
        signal: message_factory.GetMessageClass(pool.FindMessageTypeByName(name))
        for signal, name in names.items()
    }


def _forbid_nesting(file: descriptor_pb2.FileDescriptorProto) -> None:
    messages = {message.name: message for message in file.message_type}
    value = messages["AnyValue"]
    scalar = file.message_type.add()
    scalar.CopyFrom(value)
    scalar.name = "FlatScalar"
    for message, nested in ((scalar, {"array_value", "kvlist_value"}), (value, {"kvlist_value"})):
        remaining_fields = [field for field in message.field if field.name not in nested]
        del message.field[:]
        message.field.extend(remaining_fields)
    for field in messages["ArrayValue"].field:
        if field.name == "values":
            field.type_name = ".opentelemetry.proto.common.v1.FlatScalar"


_FLAT = _flat_messages()


def flat_request(signal: str, body: bytes) -> Any | None:
    """The parsed request when no attribute value in it nests, else None. Raises Malformed."""
    request: Any = _FLAT[signal]()
    try:
        request.ParseFromString(body)
    except DecodeError as error:
        raise Malformed(NO_REQUEST) from error
    request.DiscardUnknownFields()
    if request.ByteSize() == len(body):
        return request
    return None


def whole_request(signal: str, body: bytes) -> Any:
    """The request with its nested values, which may be broken where the flat one was not."""
    request = REQUESTS[signal]()
    try:
        request.ParseFromString(body)
    except DecodeError as error:
        raise Malformed(NO_REQUEST) from error
    return request


def flatten(request: Any, keep_bytes: bool) -> None:
    """Rewrite every nested attribute value of `request` to the JSON text of it, in place; but of rows that
    have too many parts, which are not kept.
    """
    nesting = _Nesting(keep_bytes)
    for resource in first_of(request, "resource_spans", "resource_logs", "resource_metrics"):
        nesting.flatten_all(resource.resource.attributes)
        for scope in first_of(resource, "scope_spans", "scope_logs", "scope_metrics"):
            nesting.flatten_all(scope.scope.attributes)
            for span in getattr(scope, "spans", ()):
                if is_crowded(span):
                    continue
                nesting.flatten_all(span.attributes)
                for part in chain(span.events, span.links):
                    nesting.flatten_all(part.attributes)
            for record in getattr(scope, "log_records", ()):
                if is_crowded(record):
                    continue
                nesting.flatten_all(record.attributes)
                if record.HasField("body"):
                    nesting.flatten_value(record.body)
            for metric in getattr(scope, "metrics", ()):
                _flatten_metric(metric, nesting)


def _flatten_metric(metric: Any, nesting: _Nesting) -> None:
    kind = metric.WhichOneof("data")
    for point in getattr(metric, kind).data_points if kind else ():
        if is_crowded(point):
            continue
        nesting.flatten_all(point.attributes)
        for exemplar in getattr(point, "exemplars", ()):
            nesting.flatten_all(exemplar.filtered_attributes)


def first_of(message: Any, *names: str) -> Any:
    """The list that `message` has under one of `names`."""
    return next(getattr(message, name) for name in names if hasattr(message, name))


class _Nesting:
    """Rewrites nested values, a bounded number of them in one request."""

    def __init__(self, keep_bytes: bool) -> None:
        self._keep_bytes = keep_bytes
        self._remaining = MAX_NESTED

    def flatten_all(self, attributes: Iterable[Any]) -> None:
        """Rewrite the nested values among attributes. Raises Overfull."""
        for attribute in attributes:
            self.flatten_value(attribute.value)

    def flatten_value(self, value: Any) -> None:
        """Rewrite one value when it nests."""
        kind = value.WhichOneof("value")
        if kind == "kvlist_value" or (
            kind == "array_value"
            and any(
                item.WhichOneof("value") in ("kvlist_value", "array_value")
                for item in value.array_value.values
            )
        ):
            plain = self._plain(value)
            value.string_value = json.dumps(plain, ensure_ascii=False, separators=(",", ":"))

    def _plain(self, value: Any) -> Any:
        """A value as JSON data; bytes as base64 text or a mark, infinities and NaN as text."""
        self._remaining -= 1
        if self._remaining < 0:
            raise Overfull(MAX_NESTED, "values in nested attributes")
        kind = value.WhichOneof("value")
        if kind is None:
            return None
        if kind == "array_value":
            return [self._plain(item) for item in value.array_value.values]
        if kind == "kvlist_value":
            return {item.key: self._plain(item.value) for item in value.kvlist_value.values}
        if kind == "bytes_value":
            return base64.b64encode(value.bytes_value).decode() if self._keep_bytes else BYTES_MARK
        if kind == "double_value" and not math.isfinite(value.double_value):
            return str(value.double_value)
        return getattr(value, kind)

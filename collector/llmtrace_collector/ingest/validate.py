"""What may enter the log: OTLP requests whose every row the engine will take.

Parsing runs in C. The only Python loop looks at ids and times; attributes are not walked, except in the rare
request that nests values inside attribute values, which the engine's columns cannot hold: those values are
rewritten to JSON text first.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType
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

from llmtrace import semconv
from llmtrace_collector.store.schema.redaction import BYTES_MARK

#: What can be sent, as in the paths of OTLP/HTTP.
SIGNALS = ("traces", "logs", "metrics")

_SECOND = 1_000_000_000
_DAY = 86_400 * _SECOND

#: A span may be this far ahead of our clock; one far-off date could poison a whole segment.
MAX_FUTURE = 3_600 * _SECOND


class Malformed(Exception):
    """The body is not an OTLP request."""


@dataclass(frozen=True)
class ServiceRows:
    """How many rows of a request are a service's; `project` is what the resource says. `faulty` are accepted
    spans that end before they start.
    """

    project: str
    service: str
    accepted: int
    rejected: int
    faulty: int = 0


@dataclass(frozen=True)
class Checked:
    """A request fit for the log. `accepted` and `rejected` count spans, log records or data points."""

    body: bytes
    accepted: int
    rejected: int
    message: str
    days: frozenset[int]
    services: tuple[ServiceRows, ...] = ()


def check(
    signal: str,
    body: bytes,
    *,
    now: int,
    retention_days: int,
    retention: Mapping[str, int] = MappingProxyType({}),
    project: str = "",
    keep_bytes: bool = True,
) -> Checked:
    """Check one decompressed OTLP protobuf body received at `now` (Unix nanoseconds).

    Rows with bad ids or times outside the retention window or over an hour ahead are taken out and counted.
    The window is the project's in `retention`, else `retention_days`; `project` is the key's, before what
    a resource says. Without `keep_bytes`, bytes within nested values become a mark.
    Raises Malformed when the body does not parse.
    """
    request = _flat_request(signal, body)
    flat = request is not None
    if request is None:
        request = _whole_request(signal, body)
        _flatten(request, keep_bytes)
    newest = now + MAX_FUTURE
    check_row = _FAULTS[signal]
    accepted = rejected = 0
    faults: dict[str, int] = {}
    days: set[int] = set()
    services: list[ServiceRows] = []
    for resource in _resources(request):
        named, service = _owner(resource)
        oldest = now - retention.get(project or named or "default", retention_days) * _DAY
        resource_accepted = faulty = 0
        resource_rejected = _drop_other_kinds(resource, faults) if signal == "metrics" else 0
        for rows in _rows(signal, resource):
            bad: list[int] = []
            for index, row in enumerate(rows):
                fault, at = check_row(row, oldest, newest)
                if fault:
                    bad.append(index)
                    faults[fault] = faults.get(fault, 0) + 1
                else:
                    resource_accepted += 1
                    days.add(at // _DAY)
            resource_rejected += len(bad)
            for index in reversed(bad):
                del rows[index]
            if signal == "traces":
                faulty += sum(row.end_time_unix_nano < row.start_time_unix_nano for row in rows)
        accepted += resource_accepted
        rejected += resource_rejected
        services.append(ServiceRows(named, service, resource_accepted, resource_rejected, faulty))
    if not flat or rejected:
        body = request.SerializeToString()
    message = "; ".join(f"{count} with {fault}" for fault, count in faults.items())
    return Checked(body, accepted, rejected, message, frozenset(days), tuple(services))


_NO_TRACE = bytes(16)
_NO_SPAN = bytes(8)


def _span_fault(span: Any, oldest: int, newest: int) -> tuple[str, int]:
    # Every read of a field makes an object: each is read once.
    at: int = span.start_time_unix_nano
    trace = span.trace_id
    if len(trace) != 16 or trace == _NO_TRACE:
        return "a trace id that is not 16 bytes", at
    own = span.span_id
    if len(own) != 8 or own == _NO_SPAN:
        return "a span id that is not 8 bytes", at
    parent = span.parent_span_id
    if parent and len(parent) != 8:
        return "a parent span id that is not 8 bytes", at
    if oldest <= at <= newest:
        return "", at
    return _time_fault(at, oldest, newest), at


def _log_fault(record: Any, oldest: int, newest: int) -> tuple[str, int]:
    at: int = record.time_unix_nano or record.observed_time_unix_nano
    if len(record.trace_id) not in (0, 16) or len(record.span_id) not in (0, 8):
        return "a trace or span id of the wrong length", at
    return _time_fault(at, oldest, newest), at


def _time_fault(at: int, oldest: int, newest: int) -> str:
    if at < oldest:
        return "a time before the retention window"
    if at > newest:
        return "a time more than an hour ahead"
    return ""


def _point_fault(point: Any, oldest: int, newest: int) -> tuple[str, int]:
    at: int = point.time_unix_nano
    return _time_fault(at, oldest, newest), at


_FAULTS = {"traces": _span_fault, "logs": _log_fault, "metrics": _point_fault}


def _resources(request: Any) -> Iterable[Any]:
    return _first_of(request, "resource_spans", "resource_logs", "resource_metrics")


def _owner(resource: Any) -> tuple[str, str]:
    """Project and service that a resource names."""
    project = service = ""
    for attribute in resource.resource.attributes:
        if attribute.key == semconv.SERVICE_NAME:
            service = attribute.value.string_value
        elif attribute.key == semconv.PROJECT:
            project = attribute.value.string_value
    return project, service


def _rows(signal: str, resource: Any) -> Iterable[Any]:
    """A resource's lists of rows: spans, log records, data points."""
    if signal == "traces":
        return (scope.spans for scope in resource.scope_spans)
    if signal == "logs":
        return (scope.log_records for scope in resource.scope_logs)
    return (
        getattr(metric, kind).data_points
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if (kind := metric.WhichOneof("data")) is not None
    )


def parse(signal: str, body: bytes) -> Message:
    """A checked request; an empty one where the body is none."""
    request: Message = REQUESTS[signal]()
    with suppress(DecodeError):
        request = REQUESTS[signal].FromString(body)
    return request


def row_times(signal: str, request: Message) -> tuple[int, ...]:
    """The times of a request's rows (Unix nanoseconds)."""
    fault = _FAULTS[signal]
    return tuple(
        fault(row, 0, 0)[1]
        for resource in _resources(request)
        for rows in _rows(signal, resource)
        for row in rows
    )


def service_rows(signal: str, request: Message) -> tuple[ServiceRows, ...]:
    """Whose the rows of a request are."""
    return tuple(
        ServiceRows(*_owner(resource), sum(len(rows) for rows in _rows(signal, resource)), 0)
        for resource in _resources(request)
    )


def _drop_other_kinds(resource: Any, faults: dict[str, int]) -> int:
    """Take out metrics of kinds that have no table; the number of their data points."""
    dropped = 0
    for scope in resource.scope_metrics:
        for index in range(len(scope.metrics) - 1, -1, -1):
            kind = scope.metrics[index].WhichOneof("data")
            if kind in ("gauge", "sum", "histogram"):
                continue
            if kind is not None:
                points = len(getattr(scope.metrics[index], kind).data_points)
                fault = f"a kind that is not kept ({kind})"
                faults[fault] = faults.get(fault, 0) + points
                dropped += points
            del scope.metrics[index]
    return dropped


# --- Nested attribute values -------------------------------------------------------------------------

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


def _flat_request(signal: str, body: bytes) -> Any | None:
    """The parsed request when no attribute value in it nests, else None. Raises Malformed."""
    request: Any = _FLAT[signal]()
    try:
        request.ParseFromString(body)
    except DecodeError as error:
        raise Malformed("the body is not an OTLP protobuf request") from error
    request.DiscardUnknownFields()
    if request.ByteSize() == len(body):
        return request
    return None


def _whole_request(signal: str, body: bytes) -> Any:
    """The request with its nested values, which may be broken where the flat one was not."""
    request = REQUESTS[signal]()
    try:
        request.ParseFromString(body)
    except DecodeError as error:
        raise Malformed("the body is not an OTLP protobuf request") from error
    return request


def _flatten(request: Any, keep_bytes: bool) -> None:
    """Rewrite every nested attribute value of `request` to the JSON text of it, in place."""
    for resource in _first_of(request, "resource_spans", "resource_logs", "resource_metrics"):
        _flatten_all(resource.resource.attributes, keep_bytes)
        for scope in _first_of(resource, "scope_spans", "scope_logs", "scope_metrics"):
            _flatten_all(scope.scope.attributes, keep_bytes)
            for span in getattr(scope, "spans", ()):
                _flatten_all(span.attributes, keep_bytes)
                for part in (*span.events, *span.links):
                    _flatten_all(part.attributes, keep_bytes)
            for record in getattr(scope, "log_records", ()):
                _flatten_all(record.attributes, keep_bytes)
                if record.HasField("body"):
                    _flatten_value(record.body, keep_bytes)
            for metric in getattr(scope, "metrics", ()):
                _flatten_metric(metric, keep_bytes)


def _flatten_metric(metric: Any, keep_bytes: bool) -> None:
    kind = metric.WhichOneof("data")
    for point in getattr(metric, kind).data_points if kind else ():
        _flatten_all(point.attributes, keep_bytes)
        for exemplar in getattr(point, "exemplars", ()):
            _flatten_all(exemplar.filtered_attributes, keep_bytes)


def _first_of(message: Any, *names: str) -> Iterable[Any]:
    """The list that `message` has under one of `names`."""
    items: Iterable[Any] = next(getattr(message, name) for name in names if hasattr(message, name))
    return items


def _flatten_all(attributes: Iterable[Any], keep_bytes: bool) -> None:
    for attribute in attributes:
        _flatten_value(attribute.value, keep_bytes)


def _flatten_value(value: Any, keep_bytes: bool) -> None:
    kind = value.WhichOneof("value")
    if kind == "kvlist_value" or (
        kind == "array_value"
        and any(
            item.WhichOneof("value") in ("kvlist_value", "array_value") for item in value.array_value.values
        )
    ):
        value.string_value = json.dumps(_plain(value, keep_bytes), ensure_ascii=False, separators=(",", ":"))


def _plain(value: Any, keep_bytes: bool) -> Any:
    """An attribute value as JSON data; bytes as base64 text or a mark, infinities and NaN as text."""
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [_plain(item, keep_bytes) for item in value.array_value.values]
    if kind == "kvlist_value":
        return {item.key: _plain(item.value, keep_bytes) for item in value.kvlist_value.values}
    if kind == "bytes_value":
        return base64.b64encode(value.bytes_value).decode() if keep_bytes else BYTES_MARK
    if kind == "double_value" and not math.isfinite(value.double_value):
        return str(value.double_value)
    return getattr(value, kind)

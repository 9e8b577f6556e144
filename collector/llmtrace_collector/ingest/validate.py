"""What may enter the log: OTLP requests whose every row the engine will take.

Parsing runs in C. The only Python loop looks at ids and times; attributes are not walked, except in the rare
request that nests values inside attribute values, which the engine's columns cannot hold: those values are
rewritten to JSON text first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from google.protobuf.message import DecodeError, Message

from llmtrace import semconv
from llmtrace_collector.attributes.field import key_of
from llmtrace_collector.attributes.fields import FIELDS, USER_KEYS

from .nested_values import NO_REQUEST, REQUESTS, Malformed, first_of, flat_request, flatten, whole_request
from .otlp_bounds import (
    MAX_ATTRIBUTES,
    MAX_RESOURCES,
    MAX_ROWS,
    MAX_SCOPES,
    UNCROWDED_BYTES,
    BrokenWire,
    Overfull,
    TooManyRows,
    check_size,
    is_crowded,
    shapes_of,
)

#: What can be sent, as in the paths of OTLP/HTTP.
SIGNALS = ("traces", "logs", "metrics")

_SECOND = 1_000_000_000
_DAY = 86_400 * _SECOND

#: A span may be this far ahead of our clock; one far-off date could poison a whole segment.
MAX_FUTURE = 3_600 * _SECOND


_SHAPES = {signal: shapes_of(request.DESCRIPTOR) for signal, request in REQUESTS.items()}

#: Characters of the names of a service and of a project, which are labels of metrics, and stay in memory.
MAX_NAME = 1024

#: Bytes of a value that stands where the store keeps names (of models, users, spans): it groups rows by them,
#: in blocks of thousands. Only rows that are larger are looked into.
MAX_NAME_BYTES = 64 << 10

_NAMES = frozenset(
    key for field in FIELDS if "LowCardinality" in field.type for key in field.sources if key == key_of(key)
).union(USER_KEYS)

#: A resource takes as long as so many rows.
_ROWS_OF_A_RESOURCE = 8

#: A body with nested values takes as long as one so much smaller.
_NESTED_BYTES = 8 << 10

#: Rows that are taken out of a list one by one.
_FEW = 16


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
    rows_at_most: int | None = None,
) -> Checked:
    """Check one decompressed OTLP protobuf body received at `now` (Unix nanoseconds).

    Rows with bad ids, under a service or project whose name is too long, or with times outside the retention
    window or over an hour ahead are taken out and counted.
    The window is the project's in `retention`, else `retention_days`; `project` is the key's, before what
    a resource says. Without `keep_bytes`, bytes within nested values become a mark.
    Raises Malformed when the body does not parse, Overfull when it holds more than a request may, and
    TooManyRows when it takes longer than a request of `rows_at_most` rows.
    """
    try:
        largest = check_size(body, _SHAPES[signal], rows_at_most)
    except BrokenWire as error:
        raise Malformed(NO_REQUEST) from error
    request = flat_request(signal, body)
    flat = request is not None
    if request is None:
        if rows_at_most is not None and len(body) > _NESTED_BYTES:
            raise TooManyRows
        request = whole_request(signal, body)
        _count_rows(signal, request, rows_at_most)
        flatten(request, keep_bytes)
    else:
        _count_rows(signal, request, rows_at_most)
    newest = now + MAX_FUTURE
    may_be_crowded, may_have_long_names = largest > UNCROWDED_BYTES, largest > MAX_NAME_BYTES
    check_row = _FAULTS[signal]
    accepted = rejected = 0
    faults: dict[str, int] = {}
    days: set[int] = set()
    services: list[ServiceRows] = []
    for resource in _resources(request):
        named, service = _owner(resource)
        oldest = now - retention.get(project or named or "default", retention_days) * _DAY
        has_long_name = len(named) > MAX_NAME or len(service) > MAX_NAME or _has_long_name(resource.resource)
        resource_accepted = faulty = 0
        resource_rejected = _drop_other_kinds(resource, faults) if signal == "metrics" else 0
        for rows in _rows(signal, resource):
            bad: list[int] = []
            for index, row in enumerate(rows):
                fault, at = check_row(row, oldest, newest)
                if may_be_crowded and not fault and is_crowded(row):
                    fault = _TOO_MANY
                if has_long_name:
                    fault = _LONG_NAME
                elif may_have_long_names and not fault and _has_long_name(row):
                    fault = _LONG_VALUE
                if fault:
                    bad.append(index)
                    faults[fault] = faults.get(fault, 0) + 1
                else:
                    resource_accepted += 1
                    days.add(at // _DAY)
            resource_rejected += len(bad)
            _take_out(rows, bad)
            if signal == "traces":
                faulty += sum(row.end_time_unix_nano < row.start_time_unix_nano for row in rows)
        if has_long_name:
            resource.resource.Clear()
            named, service = named[:MAX_NAME], service[:MAX_NAME]
        accepted += resource_accepted
        rejected += resource_rejected
        services.append(ServiceRows(named, service, resource_accepted, resource_rejected, faulty))
    if not flat or rejected:
        body = request.SerializeToString()
    message = "; ".join(f"{count} with {fault}" for fault, count in faults.items())
    return Checked(body, accepted, rejected, message, frozenset(days), tuple(services))


def _has_long_name(part: Any) -> bool:
    """Whether a row's or resource's own name, or one among its attributes, is too long to group by."""
    if part.ByteSize() <= MAX_NAME_BYTES:
        return False
    own = [getattr(part, "name", ""), getattr(part, "severity_text", "")]
    own += [event.name for event in getattr(part, "events", ())]
    return max(map(len, own)) > MAX_NAME_BYTES or any(
        max(len(attribute.key), len(attribute.value.string_value) if attribute.key in _NAMES else 0)
        > MAX_NAME_BYTES
        for attribute in part.attributes
    )


def _count_rows(signal: str, request: Any, rows_at_most: int | None) -> None:
    """Raise Overfull or TooManyRows before anything is looked at row by row."""
    resources = _resources(request)
    if len(resources) > MAX_RESOURCES:
        raise Overfull(MAX_RESOURCES, "resources")
    if rows_at_most is not None and len(resources) > rows_at_most // _ROWS_OF_A_RESOURCE:
        raise TooManyRows
    scopes = rows = 0
    for resource in resources:
        if len(resource.resource.attributes) > MAX_ATTRIBUTES:
            raise Overfull(MAX_ATTRIBUTES, "attributes of a resource")
        for of_scope in _rows(signal, resource):
            scopes += 1
            rows += len(of_scope)
            if scopes > MAX_SCOPES:
                raise Overfull(MAX_SCOPES, "scopes or metrics")
        if rows > MAX_ROWS:
            raise Overfull(MAX_ROWS, "spans, log records or data points")


def _take_out(rows: Any, bad: list[int]) -> None:
    """Take rows out of a list, by their ascending indices."""
    if len(bad) == len(rows):
        del rows[:]
    elif len(bad) <= _FEW:
        for index in reversed(bad):
            del rows[index]
    elif bad:
        # Each `del` moves what is behind it: of many rows they would move the list many times.
        indices = set(bad)
        remaining = [row for index, row in enumerate(rows) if index not in indices]
        del rows[:]
        rows.extend(remaining)


_TOO_MANY = f"more than {MAX_ATTRIBUTES:,} attributes, events or links"

_LONG_VALUE = f"a name, of a model or user for one, that is longer than {MAX_NAME_BYTES >> 10} KiB"
_LONG_NAME = f"a service or project whose name is longer than {MAX_NAME:,} characters"

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


def _resources(request: Any) -> Any:
    return first_of(request, "resource_spans", "resource_logs", "resource_metrics")


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
        bad: list[int] = []
        for index, metric in enumerate(scope.metrics):
            kind = metric.WhichOneof("data")
            if kind in ("gauge", "sum", "histogram"):
                continue
            bad.append(index)
            if kind is not None:
                points = len(getattr(metric, kind).data_points)
                fault = f"a kind that is not kept ({kind})"
                faults[fault] = faults.get(fault, 0) + points
                dropped += points
        _take_out(scope.metrics, bad)
    return dropped

"""Stored spans and log records as OTLP requests again, to files or to another collector.

Stored attribute values are texts: they go out as texts, except counts of tokens and finish reasons, which
every reader of the convention expects as numbers and a list. What another collector of ours stores of them is
equal to what this one has.
"""

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import click
import requests
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

#: What is asked of each table that can go out as OTLP; rows in an order that is the same each time.
QUERIES = {
    "otel_traces": """SELECT Project, ResourceAttributes, ScopeName, ScopeVersion, TraceId, SpanId,
    ParentSpanId, TraceState, SpanName, SpanKind, StatusCode, StatusMessage, SpanAttributes, Duration,
    toUnixTimestamp64Nano(Timestamp) AS Start,
    Events.Name AS EventNames, Events.Attributes AS EventAttributes,
    arrayMap(t -> toUnixTimestamp64Nano(t), Events.Timestamp) AS EventTimes,
    Links.TraceId AS LinkTraces, Links.SpanId AS LinkSpans, Links.TraceState AS LinkStates,
    Links.Attributes AS LinkAttributes, {texts}
FROM otel_traces WHERE {where}
ORDER BY Timestamp, TraceId, SpanId FORMAT JSONEachRow""",
    "otel_logs": """SELECT Project, ResourceAttributes, ScopeName, ScopeVersion, TraceId, SpanId, TraceFlags,
    SeverityText, SeverityNumber, Body, LogAttributes, EventName, toUnixTimestamp64Nano(Timestamp) AS Start
FROM otel_logs WHERE {where}
ORDER BY Timestamp, TraceId, SpanId, EventName, Body FORMAT JSONEachRow""",
}

PATHS = {"otel_traces": "/v1/traces", "otel_logs": "/v1/logs"}

#: One request is about this large at most (bytes), far within what OTLP endpoints accept.
_REQUEST_BYTES = 4 << 20

_KINDS = {
    "Internal": Span.SPAN_KIND_INTERNAL,
    "Server": Span.SPAN_KIND_SERVER,
    "Client": Span.SPAN_KIND_CLIENT,
    "Producer": Span.SPAN_KIND_PRODUCER,
    "Consumer": Span.SPAN_KIND_CONSUMER,
}
_STATUSES = {"Ok": Status.STATUS_CODE_OK, "Error": Status.STATUS_CODE_ERROR}

_PROJECT_KEY = "llmtrace.project"
_COUNTS = "gen_ai.usage."
_LIST = "gen_ai.response.finish_reasons"

_WAITS = (1, 2, 5, 10, 20, 30, 60)

Row = Mapping[str, Any]
Request = ExportTraceServiceRequest | ExportLogsServiceRequest


def query(table: str, where: str, texts: Mapping[str, str]) -> str:
    """The SELECT of a table's rows; `texts` is column → attribute of what is kept outside of the map."""
    return QUERIES[table].format(where=where, texts=", ".join(texts) or "1")


def requests_of(table: str, lines: Iterable[bytes], texts: Mapping[str, str]) -> Iterator[tuple[bytes, int]]:
    """Serialised requests, each with the number of its rows, of the lines of a query's answer."""
    request: Request = _empty(table)
    size = count = 0
    for line in lines:
        if not line:
            continue
        if size + len(line) > _REQUEST_BYTES and count:
            yield request.SerializeToString(deterministic=True), count
            request, size, count = _empty(table), 0, 0
        row = json.loads(line)
        if isinstance(request, ExportTraceServiceRequest):
            _add_span(request, row, texts)
        else:
            _add_record(request, row)
        size += len(line)
        count += 1
    if count:
        yield request.SerializeToString(deterministic=True), count


def send(url: str, key: str, table: str, body: bytes) -> int:
    """Send one request; returns how many rows the other side rejected for good.

    It is asked again while it says that it has no room. Raises click.ClickException when it does not take it.
    """
    headers = {"content-type": "application/x-protobuf"}
    if key:
        headers["authorization"] = f"Bearer {key}"
    with requests.Session() as session:
        session.trust_env = False
        for wait in (*_WAITS, None):
            try:
                response = session.post(
                    url.rstrip("/") + PATHS[table], data=body, headers=headers, timeout=60
                )
            except requests.RequestException as error:
                problem = f"{url} does not answer ({type(error).__name__})"
            else:
                if response.status_code == 200:
                    return _rejected(table, response.content)
                problem = f"{url} answered {response.status_code}"
                if response.status_code not in (429, 502, 503, 504):
                    break
            if wait is not None:
                time.sleep(wait)
    raise click.ClickException(
        f"{problem}: run the same command again once it is repaired, what arrived is not stored twice"
    )


def _rejected(table: str, content: bytes) -> int:
    if table == "otel_traces":
        return ExportTraceServiceResponse.FromString(content).partial_success.rejected_spans
    return ExportLogsServiceResponse.FromString(content).partial_success.rejected_log_records


def _empty(table: str) -> Request:
    return ExportTraceServiceRequest() if table == "otel_traces" else ExportLogsServiceRequest()


def _resource(row: Row) -> Resource:
    attributes = dict(row["ResourceAttributes"])
    if row["Project"] != (attributes.get(_PROJECT_KEY) or "default"):
        # The key that it came in with said the project.
        attributes[_PROJECT_KEY] = row["Project"]
    return Resource(attributes=_attributes(attributes))


def _scope(row: Row) -> InstrumentationScope:
    return InstrumentationScope(name=row["ScopeName"], version=row["ScopeVersion"])


def _add_span(request: ExportTraceServiceRequest, row: Row, texts: Mapping[str, str]) -> None:
    resource, scope = _resource(row), _scope(row)
    last = request.resource_spans[-1] if request.resource_spans else None
    if last is None or last.resource != resource:
        last = request.resource_spans.add(resource=resource)
    if not last.scope_spans or last.scope_spans[-1].scope != scope:
        last.scope_spans.add(scope=scope)
    last.scope_spans[-1].spans.append(_span(row, texts))


def _span(row: Row, texts: Mapping[str, str]) -> Span:
    start = int(row["Start"])
    column_attributes = {attribute: row[column] for column, attribute in texts.items() if row[column]}
    span = Span(
        trace_id=bytes.fromhex(row["TraceId"]),
        span_id=bytes.fromhex(row["SpanId"]),
        parent_span_id=bytes.fromhex(row["ParentSpanId"]),
        trace_state=row["TraceState"],
        name=row["SpanName"],
        kind=_KINDS.get(row["SpanKind"], Span.SPAN_KIND_UNSPECIFIED),
        start_time_unix_nano=start,
        end_time_unix_nano=start + int(row["Duration"]),
        attributes=_attributes({**row["SpanAttributes"], **column_attributes}),
        status=Status(
            code=_STATUSES.get(row["StatusCode"], Status.STATUS_CODE_UNSET), message=row["StatusMessage"]
        ),
    )
    for name, at, attributes in zip(
        row["EventNames"], row["EventTimes"], row["EventAttributes"], strict=True
    ):
        span.events.add(name=name, time_unix_nano=int(at), attributes=_attributes(attributes))
    links = zip(row["LinkTraces"], row["LinkSpans"], row["LinkStates"], row["LinkAttributes"], strict=True)
    for trace, other, state, attributes in links:
        span.links.add(
            trace_id=bytes.fromhex(trace),
            span_id=bytes.fromhex(other),
            trace_state=state,
            attributes=_attributes(attributes),
        )
    return span


def _add_record(request: ExportLogsServiceRequest, row: Row) -> None:
    resource, scope = _resource(row), _scope(row)
    last = request.resource_logs[-1] if request.resource_logs else None
    if last is None or last.resource != resource:
        last = request.resource_logs.add(resource=resource)
    if not last.scope_logs or last.scope_logs[-1].scope != scope:
        last.scope_logs.add(scope=scope)
    record = LogRecord(
        time_unix_nano=int(row["Start"]),
        severity_number=row["SeverityNumber"],
        severity_text=row["SeverityText"],
        attributes=_attributes(row["LogAttributes"]),
        flags=row["TraceFlags"],
        trace_id=bytes.fromhex(row["TraceId"]),
        span_id=bytes.fromhex(row["SpanId"]),
        event_name=row["EventName"],
    )
    if row["Body"]:
        record.body.string_value = row["Body"]
    last.scope_logs[-1].log_records.append(record)


def _attributes(values: Mapping[str, str]) -> list[KeyValue]:
    return [_attribute(key, value) for key, value in values.items()]


def _attribute(key: str, value: str) -> KeyValue:
    attribute = KeyValue(key=key)
    if key.startswith(_COUNTS) and value.isdecimal() and str(int(value)) == value and int(value) < 1 << 63:
        attribute.value.int_value = int(value)
    elif key == _LIST and (items := _texts(value)) is not None:
        attribute.value.array_value.SetInParent()
        for item in items:
            attribute.value.array_value.values.add(string_value=item)
    else:
        attribute.value.string_value = value
    return attribute


def _texts(value: str) -> list[str] | None:
    """The texts in a JSON list, where it would be written the same way again."""
    if not value.startswith("["):
        return None
    try:
        items = json.loads(value)
    except ValueError:
        return None
    plain = all(isinstance(item, str) and item.isascii() and item.isalpha() for item in items)
    return items if plain and json.dumps(items, separators=(",", ":")) == value else None

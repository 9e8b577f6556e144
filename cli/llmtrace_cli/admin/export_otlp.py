"""Stored spans and log records as OTLP requests again, to files or to another collector.

Stored attribute values are texts: they go out as texts, except counts of tokens and finish reasons, which
every reader of the convention expects as numbers and a list. What another collector of ours stores of them is
equal to what this one has. Equal rows make equal bytes, by which it knows what it has already.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Final, Literal

import click
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceState

from llmtrace import semconv
from llmtrace.delivery import (
    DeliveryCounters,
    DeliverySettings,
    LogRecord,
    OtlpHttpExporter,
    Sender,
    TlsFiles,
    encode_logs,
    encode_spans,
    packed,
)
from llmtrace_cli.terminal import say

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

SIGNALS: Final[Mapping[str, Literal["traces", "logs"]]] = {"otel_traces": "traces", "otel_logs": "logs"}

#: One request is about this large at most (bytes), far within what OTLP endpoints accept.
_REQUEST_BYTES = 4 << 20

_KINDS = {kind.name.capitalize(): kind for kind in SpanKind}
_STATUSES = {"Ok": StatusCode.OK, "Error": StatusCode.ERROR}

_RETRY_SECONDS = 180.0

Row = Mapping[str, Any]


def query(table: str, where: str, texts: Mapping[str, str]) -> str:
    """The SELECT of a table's rows; `texts` is column → attribute of what is kept outside of the map."""
    return QUERIES[table].format(where=where, texts=", ".join(texts) or "1")


def requests_of(table: str, lines: Iterable[bytes], texts: Mapping[str, str]) -> Iterator[tuple[bytes, int]]:
    """Serialised requests, each with the number of its rows, of the lines of a query's answer."""
    rows: list[Row] = []
    size = 0
    for line in lines:
        if not line:
            continue
        if size + len(line) > _REQUEST_BYTES and rows:
            yield _request(table, rows, texts), len(rows)
            rows, size = [], 0
        rows.append(json.loads(line))
        size += len(line)
    if rows:
        yield _request(table, rows, texts), len(rows)


class Destination:
    """Another collector, which is asked again while it does not answer or says that it has no room."""

    def __init__(self, url: str, key: str, tls: TlsFiles) -> None:
        """`tls`: files to trust and to present; what it leaves open is looked up in the environment."""
        self.url = url
        settings = DeliverySettings.for_collector(
            url,
            tls=tls,
            environ=os.environ,
            headers={"authorization": f"Bearer {key}"} if key else {},
            use_proxies=False,
            retry_for=_RETRY_SECONDS,
            request_timeout=60.0,
        )
        self._sender = Sender(
            settings,
            lambda: OtlpHttpExporter(settings, Resource.get_empty(), InstrumentationScope("llmtrace")),
            DeliveryCounters(),
            spool=None,
            warn=_once(),
        )

    def send(self, table: str, count: int, body: bytes) -> int:
        """Send one request of `count` rows; returns how many the other side rejected for good.

        Raises click.ClickException when it does not take it.
        """
        result = self._sender.deliver(packed(SIGNALS[table], count, body))
        if result is not None and result.kind == "acknowledged":
            return result.rejected
        problem = result.detail if result is not None else "nothing was sent"
        raise click.ClickException(
            f"{self.url} took no request ({problem}): run the same command again once it is repaired, what "
            "arrived is not stored twice"
        )

    def close(self) -> None:
        """Release the connection."""
        self._sender.close()


def _once() -> Callable[..., None]:
    """Say on standard error, once, why nothing goes on; a refusal ends the command, which says it then.

    A certificate that is refused ends it too: here nobody mends it meanwhile.
    """
    kinds: set[str] = set()

    def warn(kind: str, message: str, *arguments: object) -> None:
        if kind == "certificate":
            raise click.ClickException(str(arguments[0]))
        if kind == "unreachable" and kind not in kinds:
            kinds.add(kind)
            say(message % arguments, err=True)

    return warn


def _request(table: str, rows: Iterable[Row], texts: Mapping[str, str]) -> bytes:
    # Resources and scopes are told apart by identity: equal ones must be one object within a request.
    scope = lru_cache(None)(InstrumentationScope)
    resource = lru_cache(None)(lambda items: Resource(dict(items)))

    def owner(row: Row) -> tuple[Resource, InstrumentationScope]:
        return resource(tuple(_resource_attributes(row).items())), scope(
            row["ScopeName"], row["ScopeVersion"]
        )

    if table == "otel_traces":
        return encode_spans((_span(row, texts, *owner(row)) for row in rows), {})
    records = [_record(row, *owner(row)) for row in rows]
    return encode_logs(records, Resource.get_empty(), InstrumentationScope(""), {})


def _resource_attributes(row: Row) -> dict[str, str]:
    attributes = dict(row["ResourceAttributes"])
    if row["Project"] != (attributes.get(semconv.PROJECT) or "default"):
        # The key that it came in with said the project.
        attributes[semconv.PROJECT] = row["Project"]
    return attributes


def _span(
    row: Row, texts: Mapping[str, str], resource: Resource, scope: InstrumentationScope
) -> ReadableSpan:
    start = int(row["Start"])
    column_attributes = {attribute: row[column] for column, attribute in texts.items() if row[column]}
    events = zip(row["EventNames"], row["EventTimes"], row["EventAttributes"], strict=True)
    links = zip(row["LinkTraces"], row["LinkSpans"], row["LinkStates"], row["LinkAttributes"], strict=True)
    return ReadableSpan(
        row["SpanName"],
        _context(row["TraceId"], row["SpanId"], row["TraceState"]),
        _context(row["TraceId"], row["ParentSpanId"]) if row["ParentSpanId"] else None,
        resource,
        _values({**row["SpanAttributes"], **column_attributes}),
        events=[Event(name, _values(attributes), int(at)) for name, at, attributes in events],
        links=[
            Link(_context(trace, other, state), _values(attributes))
            for trace, other, state, attributes in links
        ],
        kind=_KINDS.get(row["SpanKind"]),  # type: ignore[arg-type]  # None: unspecified
        status=_StoredStatus(_STATUSES.get(row["StatusCode"], StatusCode.UNSET), row["StatusMessage"]),
        start_time=start,
        end_time=start + int(row["Duration"]),
        instrumentation_scope=scope,
    )


def _record(row: Row, resource: Resource, scope: InstrumentationScope) -> LogRecord:
    return LogRecord(
        int(row["Start"]),
        row["EventName"],
        int(row["TraceId"] or "0", 16),
        int(row["SpanId"] or "0", 16),
        _values(row["LogAttributes"]),
        body=row["Body"],
        severity_text=row["SeverityText"],
        severity_number=row["SeverityNumber"],
        flags=row["TraceFlags"],
        resource=resource,
        scope=scope,
    )


def _context(trace_id: str, span_id: str, state: str = "") -> SpanContext:
    trace_state = _StoredState(state) if state else None
    return SpanContext(int(trace_id, 16), int(span_id, 16), False, trace_state=trace_state)


class _StoredStatus(Status):
    """A status as it is stored: OTel's own drops the message of any but an error."""

    def __init__(self, code: StatusCode, message: str) -> None:
        super().__init__(code)
        self._message = message

    @property
    def description(self) -> str:
        return self._message


class _StoredState(TraceState):
    """A trace state as it is stored: OTel's own drops what is not valid."""

    def __init__(self, header: str) -> None:
        super().__init__()
        self._header = header

    def __len__(self) -> int:
        return 1

    def to_header(self) -> str:
        return self._header


def _values(attributes: Mapping[str, str]) -> dict[str, str | int | list[str]]:
    return {key: _value(key, text) for key, text in attributes.items()}


def _value(key: str, text: str) -> str | int | list[str]:
    counted = key.startswith(semconv.USAGE) and text.isdecimal() and str(int(text)) == text
    if counted and int(text) < 1 << 63:
        return int(text)
    if key == semconv.RESPONSE_FINISH_REASONS and (items := _texts(text)) is not None:
        return items
    return text


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

"""A whole trace with what every span says: messages, arguments, errors; to do it again elsewhere."""

# Texts are put together from constants alone; values are bound.
# ruff: noqa: S608

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from clickhouse_connect.driver.client import Client

from llmtrace import semconv

from .scope import rows
from .traces import MAX_SPANS, OF_TRACES, of_traces

_SPANS = f"""SELECT
    SpanId AS span_id,
    ParentSpanId AS parent_id,
    SpanName AS name,
    ServiceName AS service,
    StatusCode AS status,
    StatusMessage AS status_message,
    toUnixTimestamp64Nano(Timestamp) AS start_ns,
    IsLlm AS is_llm,
    Uncounted AS uncounted,
    Operation AS `{semconv.OPERATION_NAME}`,
    Provider AS `{semconv.PROVIDER_NAME}`,
    RequestModel AS `{semconv.REQUEST_MODEL}`,
    ResponseModel AS `{semconv.RESPONSE_MODEL}`,
    ResponseId AS `{semconv.RESPONSE_ID}`,
    FinishReasons AS `{semconv.RESPONSE_FINISH_REASONS}`,
    InputTokens AS `{semconv.USAGE_INPUT_TOKENS}`,
    OutputTokens AS `{semconv.USAGE_OUTPUT_TOKENS}`,
    ErrorType AS `{semconv.ERROR_TYPE}`,
    Estimated AS estimated,
    SpanAttributes AS attributes
FROM otel_traces
WHERE {OF_TRACES}
ORDER BY Timestamp, SpanId
LIMIT {{limit:UInt32}}"""

_TEXTS = f"""SystemInstructions AS `{semconv.SYSTEM_INSTRUCTIONS}`,
    InputMessages AS `{semconv.INPUT_MESSAGES}`,
    OutputMessages AS `{semconv.OUTPUT_MESSAGES}`,
    ToolDefinitions AS `{semconv.TOOL_DEFINITIONS}`"""

_SPAN_TEXTS = f"SELECT SpanId AS span_id, {_TEXTS}\nFROM span_texts\nWHERE {OF_TRACES}"

# Messages that came as log records.
_SPAN_MESSAGES = f"""SELECT SpanId AS span_id, {_TEXTS}
FROM span_messages
WHERE TraceId IN {{trace_ids:Array(String)}}"""

#: Columns that say the same as attributes, for every emitter alike.
_CANONICAL = (
    *(semconv.OPERATION_NAME, semconv.PROVIDER_NAME, semconv.REQUEST_MODEL, semconv.RESPONSE_MODEL),
    *(semconv.RESPONSE_ID, semconv.RESPONSE_FINISH_REASONS, semconv.ERROR_TYPE),
)
_COUNTS = (semconv.USAGE_INPUT_TOKENS, semconv.USAGE_OUTPUT_TOKENS)


@dataclass(frozen=True)
class RecordedSpan:
    """One span; `attributes` has its texts and counts under the conventions' names, whoever recorded it.

    is_call: whether it is a request that was sent to a model. is_attempt: whether it was repeated since.
    """

    span_id: str
    parent_id: str
    name: str
    service: str
    has_failed: bool
    status_message: str
    start_ns: int
    is_call: bool
    is_attempt: bool
    attributes: dict[str, Any]


def recorded_trace(client: Client, trace_id: str) -> Sequence[RecordedSpan]:
    """The spans of a trace by start time, none where there is no such trace; at most MAX_SPANS."""
    params = of_traces(client, [trace_id])
    texts: dict[str, dict[str, str]] = defaultdict(dict)
    for sql in (_SPAN_TEXTS, _SPAN_MESSAGES):
        for row in rows(client, sql, params):
            of_span = texts[row.pop("span_id")]
            of_span.update({name: text for name, text in row.items() if text and name not in of_span})
    spans = rows(client, _SPANS, {**params, "limit": MAX_SPANS})
    return [_span(row, texts.get(row["span_id"], {})) for row in spans]


def _span(row: dict[str, Any], texts: dict[str, str]) -> RecordedSpan:
    values = {key: row[key] for key in _CANONICAL if row[key]}
    if not row["estimated"]:
        values |= {key: row[key] for key in _COUNTS if row[key] is not None}
    attributes = {**row["attributes"], **values, **texts}
    # What stands for another span's call was not sent itself, nor was what a provider called inside a call.
    is_request = row["uncounted"] in {"", "retry"} and semconv.INNER_CALL not in attributes
    return RecordedSpan(
        span_id=row["span_id"],
        parent_id=row["parent_id"],
        name=row["name"],
        service=row["service"],
        has_failed=row["status"] == "Error",
        status_message=row["status_message"],
        start_ns=row["start_ns"],
        is_attempt=row["uncounted"] == "retry",
        is_call=bool(row["is_llm"]) and is_request,
        attributes=attributes,
    )

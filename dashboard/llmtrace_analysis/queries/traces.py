"""Traces: which ones match, one page of them, and one of them with all its spans."""

# Texts are put together from constants alone; values are bound.
# ruff: noqa: S608

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from clickhouse_connect.driver.client import Client

from .scope import SPAN_SCOPE, Scope, frame, rows, with_times

#: Spans read of one trace; beyond it the page says that the rest is not shown.
MAX_SPANS = 10_000

# Text is searched as it is and as JSON writes it, since messages are stored as JSON.
_MATCHING = f"""SELECT
    TraceId AS trace_id,
    min(toUnixTimestamp64Milli(Timestamp)) AS started,
    max(StatusCode = 'Error') AS failed
FROM otel_traces
WHERE {SPAN_SCOPE}
    AND ({{session:String}} = '' OR SessionId = {{session:String}})
    AND ({{experiment:String}} = '' OR Experiment = {{experiment:String}})
    AND ({{provider:String}} = '' OR Provider = {{provider:String}})
    AND ({{prompt:String}} = '' OR PromptName = {{prompt:String}})
    AND ({{tag:String}} = '' OR has(Tags, {{tag:String}}))
    AND ({{text:String}} = ''
        OR positionCaseInsensitiveUTF8(SpanName, {{text:String}}) > 0
        OR positionCaseInsensitiveUTF8(InputMessages, {{text:String}}) > 0
        OR positionCaseInsensitiveUTF8(OutputMessages, {{text:String}}) > 0
        OR positionCaseInsensitiveUTF8(InputMessages, {{text_json:String}}) > 0
        OR positionCaseInsensitiveUTF8(OutputMessages, {{text_json:String}}) > 0)
GROUP BY trace_id
HAVING ({{status:String}} = '' OR failed = ({{status:String}} = 'error'))
    AND max(Duration) >= {{min_duration:UInt64}}"""

TRACES_PAGE = f"""{_MATCHING}
ORDER BY started DESC, trace_id
LIMIT {{limit:UInt32}} OFFSET {{offset:UInt32}}"""

TRACES_OVER_TIME = f"""SELECT
    intDiv(started, {{step:UInt32}} * 1000) * {{step:UInt32}} AS bucket,
    count() AS calls,
    sum(failed) AS errors
FROM ({_MATCHING})
GROUP BY bucket
ORDER BY bucket"""

# The lookup table says when the traces ran, so that only those days are read. Not `<`: the engine takes a
# DateTime for whole seconds when it looks for parts, and would leave out those of the last second.
_OF_TRACES = """has({trace_ids:Array(String)}, TraceId)
    AND Timestamp >= (
        SELECT min(Start) FROM otel_traces_trace_id_ts WHERE TraceId IN {trace_ids:Array(String)}
    )
    AND Timestamp <= (
        SELECT max(End) + 1 FROM otel_traces_trace_id_ts WHERE TraceId IN {trace_ids:Array(String)}
    )"""

TRACE_SUMMARIES = f"""SELECT
    TraceId AS trace_id,
    argMin(SpanName, (ParentSpanId != '', Timestamp)) AS name,
    argMin(ServiceName, (ParentSpanId != '', Timestamp)) AS service,
    argMin(Project, (ParentSpanId != '', Timestamp)) AS project,
    min(toUnixTimestamp64Nano(Timestamp)) AS start_ns,
    max(toUnixTimestamp64Nano(Timestamp) + toInt64(Duration)) AS end_ns,
    count() AS spans,
    countIf(Counted) AS calls,
    countIf(StatusCode = 'Error') AS errors,
    groupUniqArray(ServiceName) AS services,
    groupUniqArrayIf(Model, Counted AND Model != '') AS models,
    anyIf(UserId, UserId != '') AS user,
    anyIf(SessionId, SessionId != '') AS session,
    anyIf(Experiment, Experiment != '') AS experiment,
    anyIf(RunId, RunId != '') AS run,
    max(Purpose = 'simulated') AS simulated,
    sumIf(ifNull(InputTokens, 0), Counted) AS input_tokens,
    sumIf(ifNull(OutputTokens, 0), Counted) AS output_tokens,
    sumIf(CacheReadTokens, Counted) AS cache_read_tokens,
    sumIf(ReasoningTokens, Counted) AS reasoning_tokens,
    countIf(Counted AND InputTokens IS NULL AND OutputTokens IS NULL) AS without_tokens,
    argMinIf(TimeToFirstToken, Timestamp, Counted AND TimeToFirstToken IS NOT NULL) AS ttft,
    argMinIf(
        leftUTF8(JSONExtractString(InputMessages, -1, 'parts', -1, 'content'), 160), Timestamp,
        InputMessages != ''
    ) AS preview
FROM otel_traces
WHERE {_OF_TRACES}
GROUP BY trace_id"""

TRACE_COSTS = f"""SELECT
    TraceId AS trace_id,
    sum(Cost) AS cost,
    countIf(NOT Priced) AS unpriced
FROM span_cost
WHERE {_OF_TRACES}
GROUP BY trace_id"""

TRACE_SPANS = f"""SELECT
    SpanId AS span_id,
    ParentSpanId AS parent_id,
    SpanName AS name,
    SpanKind AS kind,
    ServiceName AS service,
    toUnixTimestamp64Nano(Timestamp) AS start_ns,
    Duration AS duration_ns,
    StatusCode AS status,
    Operation AS operation,
    Model AS model,
    TimeToFirstToken AS ttft,
    InputTokens AS input_tokens,
    OutputTokens AS output_tokens,
    IsLlm AS is_llm
FROM otel_traces
WHERE {_OF_TRACES}
ORDER BY Timestamp, SpanId
LIMIT {{limit:UInt32}}"""

SPAN_DETAIL = f"""SELECT
    SpanName AS name,
    SpanKind AS kind,
    ServiceName AS service,
    ScopeName AS scope,
    StatusCode AS status,
    StatusMessage AS status_message,
    ErrorType AS error_type,
    toUnixTimestamp64Nano(Timestamp) AS start_ns,
    Duration AS duration_ns,
    Operation AS operation,
    Provider AS provider,
    RequestModel AS request_model,
    ResponseModel AS response_model,
    ResponseId AS response_id,
    FinishReasons AS finish_reasons,
    UserId AS user,
    SessionId AS session,
    InputTokens AS input_tokens,
    OutputTokens AS output_tokens,
    CacheReadTokens AS cache_read_tokens,
    CacheWriteTokens AS cache_write_tokens,
    ReasoningTokens AS reasoning_tokens,
    TimeToFirstToken AS ttft,
    IsLlm AS is_llm,
    Counted AS counted,
    SystemInstructions AS system_instructions,
    InputMessages AS input_messages,
    OutputMessages AS output_messages,
    ToolDefinitions AS tool_definitions,
    SpanAttributes AS attributes,
    ResourceAttributes AS resource,
    arrayMap(t -> toUnixTimestamp64Nano(t), Events.Timestamp) AS event_times,
    Events.Name AS event_names,
    Events.Attributes AS event_attributes,
    Links.TraceId AS link_traces,
    Links.SpanId AS link_spans
FROM otel_traces
WHERE SpanId = {{span_id:String}} AND {_OF_TRACES}
LIMIT 1"""

# Messages that came as log records; the view puts those of a span together.
SPAN_MESSAGES = """SELECT
    SystemInstructions AS system_instructions,
    InputMessages AS input_messages,
    OutputMessages AS output_messages,
    ToolDefinitions AS tool_definitions
FROM span_messages
WHERE TraceId IN {trace_ids:Array(String)} AND SpanId = {span_id:String}
LIMIT 1"""

SPAN_COST = f"""SELECT Cost AS cost, Priced AS priced
FROM span_cost
WHERE SpanId = {{span_id:String}} AND {_OF_TRACES}
LIMIT 1"""

TRACE_SCORES = """SELECT
    toUnixTimestamp64Milli(Timestamp) AS at,
    SpanId AS span_id,
    Name AS name,
    Value AS value,
    Label AS label,
    Explanation AS explanation,
    ServiceName AS service
FROM scores
WHERE TraceId = {trace_id:String}
ORDER BY at, name
LIMIT 500"""


@dataclass(frozen=True)
class TraceFilter:
    """Filters of the traces page beside its scope; a trace matches when one of its spans does.

    `status` is '', 'ok' or 'error'; `min_duration` is in seconds and asks for one span of that length.
    """

    session: str = ""
    experiment: str = ""
    provider: str = ""
    prompt: str = ""
    tag: str = ""
    text: str = ""
    status: str = ""
    min_duration: float = 0.0

    def params(self) -> dict[str, Any]:
        """The values of this filter's placeholders."""
        return {
            "session": self.session,
            "experiment": self.experiment,
            "provider": self.provider,
            "prompt": self.prompt,
            "tag": self.tag,
            "text": self.text,
            "text_json": json.dumps(self.text)[1:-1],
            "status": self.status,
            "min_duration": int(self.min_duration * 1e9),
        }


@dataclass(frozen=True)
class TraceSummary:
    """One trace. Times in nanoseconds since 1970, `ttft` in seconds, `cost` in USD (None: unpriced)."""

    trace_id: str
    name: str
    service: str
    project: str
    start_ns: int
    end_ns: int
    spans: int
    calls: int
    errors: int
    services: tuple[str, ...]
    models: tuple[str, ...]
    user: str
    session: str
    experiment: str
    run: str
    simulated: bool
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    reasoning_tokens: int
    without_tokens: int
    ttft: float | None
    preview: str
    cost: float | None = None
    unpriced: int = 0

    @property
    def seconds(self) -> float:
        """From the first span's start to the last span's end."""
        return (self.end_ns - self.start_ns) / 1e9


@dataclass(frozen=True)
class SpanDetail:
    """One span with everything that it carries; `values` holds the columns of `SPAN_DETAIL`."""

    values: dict[str, Any]
    cost: float | None
    priced: bool | None
    scores: tuple[dict[str, Any], ...] = field(default=())


def traces_over_time(client: Client, scope: Scope, trace_filter: TraceFilter) -> pd.DataFrame:
    """Traces per bucket of `scope.step` seconds: `time` (UTC), `calls` (traces), `errors` (failed ones)."""
    data = frame(client, TRACES_OVER_TIME, {**scope.params(), **trace_filter.params(), "step": scope.step})
    return with_times(data, scope, scope.step)


def traces_page(
    client: Client, scope: Scope, trace_filter: TraceFilter, limit: int, offset: int
) -> list[TraceSummary]:
    """One page of matching traces, newest first."""
    params = {**scope.params(), **trace_filter.params(), "limit": limit, "offset": offset}
    ids = [row["trace_id"] for row in rows(client, TRACES_PAGE, params)]
    by_id = summaries(client, ids)
    return [by_id[trace_id] for trace_id in ids if trace_id in by_id]


def summaries(client: Client, trace_ids: list[str]) -> dict[str, TraceSummary]:
    """Whole traces, all their spans taken together, by id; unknown ids are left out."""
    if not trace_ids:
        return {}
    params = {"trace_ids": trace_ids}
    costs = {row["trace_id"]: row for row in rows(client, TRACE_COSTS, params)}
    by_id = {}
    for row in rows(client, TRACE_SUMMARIES, params):
        cost = costs.get(row["trace_id"], {"cost": None, "unpriced": 0})
        row["services"] = tuple(sorted(row["services"]))
        row["models"] = tuple(sorted(row["models"]))
        row["simulated"] = bool(row["simulated"])
        by_id[row["trace_id"]] = TraceSummary(**row, cost=cost["cost"], unpriced=cost["unpriced"])
    return by_id


def trace_spans(client: Client, trace_id: str, limit: int = MAX_SPANS) -> list[dict[str, Any]]:
    """The spans of a trace by start time, without messages and attributes; columns of `TRACE_SPANS`."""
    return rows(client, TRACE_SPANS, {"trace_ids": [trace_id], "limit": limit})


def span_detail(client: Client, trace_id: str, span_id: str) -> SpanDetail | None:
    """One span, its cost and its scores; None when the store has no such span. What it does not say itself of
    its messages is what log records say of them.
    """
    params = {"trace_ids": [trace_id], "span_id": span_id}
    spans = rows(client, SPAN_DETAIL, params)
    if not spans:
        return None
    values = spans[0]
    if not values["input_messages"] or not values["output_messages"]:
        for logged in rows(client, SPAN_MESSAGES, params):
            values.update({name: text for name, text in logged.items() if not values[name]})
    cost = rows(client, SPAN_COST, params)
    return SpanDetail(
        values=values,
        cost=cost[0]["cost"] if cost else None,
        priced=bool(cost[0]["priced"]) if cost else None,
        scores=tuple(row for row in trace_scores(client, trace_id) if row["span_id"] in ("", span_id)),
    )


def trace_scores(client: Client, trace_id: str) -> list[dict[str, Any]]:
    """Scores given to the trace or its spans, oldest first."""
    return rows(client, TRACE_SCORES, {"trace_id": trace_id})

"""Traces: what is known of some of them, and one with all its spans."""

# Texts are put together from constants alone; values are bound.
# ruff: noqa: S608

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from clickhouse_connect.driver.client import Client

from llmtrace import semconv
from llmtrace_collector.store.search.span_terms import MESSAGES_LOGGED

from .scope import rows

#: Spans read of one trace; beyond it the page says that the rest is not shown.
MAX_SPANS = 10_000

TRACE_TIMES = """SELECT toUnixTimestamp(min(Start)) AS begin, toUnixTimestamp(max(End)) + 1 AS end
FROM trace_times
WHERE TraceId IN {trace_ids:Array(String)}"""

# Only the days on which the traces ran are read. Not `<`: the engine takes a DateTime for whole seconds when
# it looks for parts, and would leave out those of the last second.
OF_TRACES = """has({trace_ids:Array(String)}, TraceId)
    AND Timestamp >= toDateTime({begin:UInt32})
    AND Timestamp <= toDateTime({end:UInt32})"""

# A trace of several projects has a row for each.
TRACE_SUMMARIES = """SELECT
    TraceId AS trace_id,
    argMin(RootName, (NOT HasRoot, Start)) AS name,
    argMin(RootService, (NOT HasRoot, Start)) AS service,
    argMin(Project, (NOT HasRoot, Start)) AS project,
    argMin(Purpose, (NOT HasRoot, Start)) AS purpose,
    multiIf(
        argMin(Status, (NOT HasRoot, Start)) = 'failed', 'failed', sum(FailedSteps) > 0, 'recovered', 'ok'
    ) AS status,
    min(toUnixTimestamp64Nano(Start)) AS start_ns,
    max(toUnixTimestamp64Nano(End)) AS end_ns,
    sum(Spans) AS spans,
    sum(Calls) AS calls,
    sum(FailedSteps) AS failed_steps,
    sum(Retries) AS retries,
    groupUniqArrayArray(Services) AS services,
    groupUniqArrayArray(Models) AS models,
    anyIf(UserId, UserId != '') AS user,
    anyIf(SessionId, SessionId != '') AS session,
    anyIf(Experiment, Experiment != '') AS experiment,
    anyIf(RunId, RunId != '') AS run,
    sum(InputTokens) AS input_tokens,
    sum(OutputTokens) AS output_tokens,
    sum(CacheReadTokens) AS cache_read_tokens,
    sum(ReasoningTokens) AS reasoning_tokens,
    sum(UnknownUsage) AS without_tokens,
    argMinIf(TimeToFirstToken, Start, TimeToFirstToken IS NOT NULL) AS ttft
FROM traces
WHERE TraceId IN {trace_ids:Array(String)}
    AND Start >= toDateTime({begin:UInt32})
    AND Start <= toDateTime({end:UInt32})
GROUP BY trace_id"""

TRACE_PREVIEWS = f"""SELECT
    TraceId AS trace_id,
    argMin(leftUTF8(JSONExtractString(InputMessages, -1, 'parts', -1, 'content'), 160), Timestamp) AS preview
FROM span_texts
WHERE InputMessages != '' AND {OF_TRACES}
GROUP BY trace_id"""

TRACE_COSTS = f"""SELECT
    TraceId AS trace_id,
    sum(Cost) AS cost,
    ifNull(sumIf(Cost, Stated), 0) AS stated,
    countIf(Estimated != '') AS estimated,
    countIf(NOT Priced) AS unpriced
FROM span_cost
WHERE {OF_TRACES}
GROUP BY trace_id"""

# Asked alone, which is faster than to ask for the times before.
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
    Estimated AS estimated,
    IsLlm AS is_llm,
    SpanAttributes['{semconv.APPROVAL_DECISION}'] AS decision,
    SpanAttributes['{semconv.APPROVAL_PERSON}'] AS person
FROM otel_traces
WHERE has({{trace_ids:Array(String)}}, TraceId)
    AND Timestamp >= toDateTime(tupleElement(({TRACE_TIMES}), 1))
    AND Timestamp <= toDateTime(tupleElement(({TRACE_TIMES}), 2))
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
    ReportedProvider AS reported_provider,
    ProviderSource AS provider_source,
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
    Estimated AS estimated,
    TimeToFirstByte AS first_byte,
    TimeToFirstToken AS ttft,
    TimeToLastToken AS last_token,
    TimePerOutputToken AS tpot,
    TpotEstimated AS tpot_estimated,
    IsLlm AS is_llm,
    Counted AS counted,
    Uncounted AS uncounted,
    SpanAttributes AS attributes,
    ResourceAttributes AS resource,
    arrayMap(t -> toUnixTimestamp64Nano(t), Events.Timestamp) AS event_times,
    Events.Name AS event_names,
    Events.Attributes AS event_attributes,
    Links.TraceId AS link_traces,
    Links.SpanId AS link_spans
FROM otel_traces
WHERE SpanId = {{span_id:String}} AND {OF_TRACES}
LIMIT 1"""

_TEXTS = """SystemInstructions AS system_instructions,
    InputMessages AS input_messages,
    OutputMessages AS output_messages,
    ToolDefinitions AS tool_definitions"""

_NO_TEXTS = dict.fromkeys(
    ("system_instructions", "input_messages", "output_messages", "tool_definitions"), ""
)

SPAN_TEXTS = f"""SELECT
    {_TEXTS}
FROM span_texts
WHERE SpanId = {{span_id:String}} AND {OF_TRACES}
LIMIT 1"""

# Messages that came as log records; the view puts those of a span together.
SPAN_MESSAGES = f"""SELECT
    {_TEXTS}
FROM span_messages
WHERE TraceId IN {{trace_ids:Array(String)}} AND SpanId = {{span_id:String}}
LIMIT 1"""

SPAN_COST = f"""SELECT
    Cost AS cost,
    Priced AS priced,
    ComputedCost AS computed,
    if(Stated, StatedBy, '') AS stated_by
FROM span_cost
WHERE SpanId = {{span_id:String}} AND {OF_TRACES}
LIMIT 1"""

# Of a span's decisions the newest holds.
ATTEMPT_OF = """SELECT RecordTraceId AS trace, RecordSpanId AS span
FROM (
    SELECT Decision, RecordTraceId, RecordSpanId
    FROM call_evidence
    WHERE has({trace_ids:Array(String)}, TraceId) AND SpanId = {span_id:String}
    ORDER BY DecidedAt DESC
    LIMIT 1
)
WHERE Decision = 'retry'"""

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


# What is a message of a call is shown with the call.
TRACE_LOGS = f"""SELECT
    toUnixTimestamp64Nano(Timestamp) AS at_ns,
    SpanId AS span_id,
    SeverityText AS severity,
    SeverityNumber AS severity_number,
    leftUTF8(Body, 8000) AS body,
    ScopeName AS logger,
    ServiceName AS service,
    LogAttributes AS attributes
FROM otel_logs
WHERE TraceId = {{trace_id:String}} AND EventName = '' AND NOT ({MESSAGES_LOGGED})
    AND Timestamp >= toDateTime({{begin:UInt32}}) - 60 AND Timestamp <= toDateTime({{end:UInt32}}) + 60
ORDER BY Timestamp
LIMIT {{limit:UInt32}}"""

#: Log records read of one trace.
MAX_LOGS = 500


@dataclass(frozen=True)
class TraceSummary:
    """One trace. Times in nanoseconds since 1970, `ttft` in seconds, `cost` in USD (None: unpriced).

    `status` is failed (its root failed), recovered (a step failed, its root did not) or ok; a retry is an
    attempt that failed and was repeated, and no failed step.
    """

    trace_id: str
    name: str
    service: str
    project: str
    status: str
    start_ns: int
    end_ns: int
    spans: int
    calls: int
    failed_steps: int
    retries: int
    services: tuple[str, ...]
    models: tuple[str, ...]
    user: str
    session: str
    experiment: str
    run: str
    purpose: str
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    reasoning_tokens: int
    without_tokens: int
    ttft: float | None
    preview: str
    cost: float | None = None
    #: What of the cost answers state.
    stated: float = 0.0
    #: Calls, and retried attempts, whose tokens are estimated from text.
    estimated: int = 0
    unpriced: int = 0

    @property
    def seconds(self) -> float:
        """From the first span's start to the last span's end."""
        return (self.end_ns - self.start_ns) / 1e9


@dataclass(frozen=True)
class SpanDetail:
    """One span with everything that it carries; `values` holds the columns of `SPAN_DETAIL` and its texts."""

    values: dict[str, Any]
    cost: float | None
    priced: bool | None
    #: Who states the cost, empty where it is computed; and what it would be by the price book.
    stated_by: str = ""
    computed: float | None = None
    #: Trace and span of the last attempt, where this is an earlier one of the same call.
    attempt_of: tuple[str, str] | None = None
    scores: tuple[dict[str, Any], ...] = field(default=())


#: What `TRACE_COSTS` says of a trace.
_COSTS = ("cost", "stated", "estimated", "unpriced")


def summaries(client: Client, trace_ids: list[str]) -> dict[str, TraceSummary]:
    """Whole traces, all their spans taken together, by id; unknown ids are left out."""
    if not trace_ids:
        return {}
    params = of_traces(client, trace_ids)
    costs = {row["trace_id"]: row for row in rows(client, TRACE_COSTS, params)}
    previews = {row["trace_id"]: row["preview"] for row in rows(client, TRACE_PREVIEWS, params)}
    by_id = {}
    for row in rows(client, TRACE_SUMMARIES, params):
        cost = costs.get(row["trace_id"], {"cost": None, "stated": 0.0, "estimated": 0, "unpriced": 0})
        row["preview"] = previews.get(row["trace_id"], "")
        row["services"] = tuple(sorted(row["services"]))
        row["models"] = tuple(sorted(row["models"]))
        by_id[row["trace_id"]] = TraceSummary(**row, **{name: cost[name] for name in _COSTS})
    return by_id


def trace_spans(client: Client, trace_id: str, limit: int = MAX_SPANS) -> list[dict[str, Any]]:
    """The spans of a trace by start time, without messages and attributes; columns of `TRACE_SPANS`."""
    return rows(client, TRACE_SPANS, {"trace_ids": [trace_id], "limit": limit})


def span_detail(client: Client, trace_id: str, span_id: str) -> SpanDetail | None:
    """One span, its cost and its scores; None when the store has no such span. What it does not say itself of
    its messages is what log records say of them.
    """
    params = {**of_traces(client, [trace_id]), "span_id": span_id}
    spans = rows(client, SPAN_DETAIL, params)
    if not spans:
        return None
    values = {**_NO_TEXTS, **spans[0]}
    for texts in rows(client, SPAN_TEXTS, params):
        values.update(texts)
    if not values["input_messages"] or not values["output_messages"]:
        for logged in rows(client, SPAN_MESSAGES, params):
            values.update({name: text for name, text in logged.items() if not values[name]})
    cost = rows(client, SPAN_COST, params)
    last = rows(client, ATTEMPT_OF, params) if values["uncounted"] in ("retry", "sender") else []
    return SpanDetail(
        values=values,
        cost=cost[0]["cost"] if cost else None,
        priced=bool(cost[0]["priced"]) if cost else None,
        stated_by=str(cost[0]["stated_by"]) if cost else "",
        computed=cost[0]["computed"] if cost else None,
        attempt_of=(last[0]["trace"], last[0]["span"]) if last else None,
        scores=tuple(row for row in trace_scores(client, trace_id) if row["span_id"] in ("", span_id)),
    )


def trace_scores(client: Client, trace_id: str) -> list[dict[str, Any]]:
    """Scores given to the trace or its spans, oldest first."""
    return rows(client, TRACE_SCORES, {"trace_id": trace_id})


def trace_logs(client: Client, trace_id: str, limit: int = MAX_LOGS) -> list[dict[str, Any]]:
    """The log records of programs within a trace, oldest first; columns of `TRACE_LOGS`."""
    params = of_traces(client, [trace_id])
    return rows(client, TRACE_LOGS, {**params, "trace_id": trace_id, "limit": limit})


def of_traces(client: Client, trace_ids: list[str]) -> dict[str, Any]:
    """What the queries of traces say of them: their ids, and when the first began and the last ended."""
    (times,) = rows(client, TRACE_TIMES, {"trace_ids": trace_ids})
    return {"trace_ids": trace_ids, **times}

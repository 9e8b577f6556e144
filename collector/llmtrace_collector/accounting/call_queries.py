"""What call dedup asks the store, as SQL; `{spans}`, `{services}` and `{pairs}` are lists of literals,
`{process}` is what tells the processes of a project apart."""

from __future__ import annotations

from llmtrace.semconv import (
    CONVERSATION_ID,
    HOST_NAME,
    HTTP_RESPONSE_STATUS_CODE,
    INNER_CALL,
    LINK,
    OPENAI_API_TYPE,
    PROCESS_PID,
    RATE_LIMIT,
    SERVICE_INSTANCE_ID,
)
from llmtrace_collector.attributes.counts import COUNTS
from llmtrace_collector.attributes.stated_costs import BILLERS
from llmtrace_collector.sql_values import literal, literals

from .stored_call import DECIDED

#: Spans that one pass pairs by evidence: what is beyond waits for its traces or ids to say it.
MOST_CANDIDATES = 60_000
#: Calls that last longer are paired by their ids and traces alone.
LONGEST_SECONDS = 900
#: Spans whose tokens nobody knows are held against others that start so many seconds before or after.
_NEAR_SECONDS = 3

_KNOWN = " + ".join(f"(ifNull({count.name}, 0) > 0)" for count in COUNTS)

# A bill is worth more than a bucket; what a framework estimates is worth none.
_BILLED = f"2 * (StatedCost IS NOT NULL AND StatedBy IN ({literals(BILLERS)}))"

#: What the tier of a result of a batch begins with.
BATCH = "batch"

#: What tells a row from all others, copies of its span too; short, for lists of many rows.
ROW_HASH = "cityHash64(Project, TraceId, SpanId, ReceivedAt)"

# The requests that a span says it repeats: trace and span of each.
_REPEATED = f"""arrayFilter(
        (place, attributes) -> attributes[{literal(LINK)}] = 'repeats',
        arrayZip(`Links.TraceId`, `Links.SpanId`), `Links.Attributes`
    )"""

# Nobody said what was estimated: it is no evidence.
_INPUT, _OUTPUT = (f"if(Estimated = '', {name}, NULL)" for name in ("InputTokens", "OutputTokens"))

_INSTANCE, _PID, _HOST = (
    f"ResourceAttributes[{literal(key)}]" for key in (SERVICE_INSTANCE_ID, PROCESS_PID, HOST_NAME)
)

#: What a decision needs of a span. An instance is what the resource says of its process.
_COLUMNS = f"""Project, ServiceName, TraceId, SpanId, ParentSpanId, ResponseId, Uncounted,
    ScopeName, Operation,
    toUnixTimestamp64Nano(Timestamp) AS Start,
    toUnixTimestamp64Nano(Timestamp) + Duration AS End, toUnixTimestamp64Milli(ReceivedAt) AS Received,
    if({_INSTANCE} != '', {_INSTANCE},
        if({_PID} = '', '', concat({_HOST}, '/', {_PID}))) AS Instance,
    [RequestModel, ResponseModel] AS Models, {_INPUT} AS InputTokens, {_OUTPUT} AS OutputTokens,
    CacheReadTokens + CacheWriteTokens AS Cached, if(Estimated = '', {_KNOWN}, 0) + {_BILLED} AS Known,
    StatusCode = 'Error' AS Failed, SpanAttributes[{literal(INNER_CALL)}] != '' AS IsInner,
    if(TimeToFirstToken IS NULL, 0, Start + toInt64(TimeToFirstToken * 1e9)) AS FirstToken, RetentionDays,
    {ROW_HASH} AS RowHash, PromptHash AS Request, {_REPEATED} AS Repeated,
    toUInt16OrZero(SpanAttributes[{literal(HTTP_RESPONSE_STATUS_CODE)}]) AS HttpStatus, ErrorType,
    toFloat64OrZero(SpanAttributes[{literal(f"{RATE_LIMIT}.retry_after")}]) AS RequestedWait,
    if(SpanAttributes[{literal(OPENAI_API_TYPE)}] = 'realtime',
        SpanAttributes[{literal(CONVERSATION_ID)}], '') AS RealtimeSession"""

_ELIGIBLE = f"Uncounted IN ({literals(DECIDED)})"

# Results of batches that came.
_FRESH_RESULTS = f"""FROM otel_traces
WHERE IsLlm AND StoredAt >= toDateTime64({{since:String}}, 3) - INTERVAL 1 SECOND
    AND startsWith(ServiceTier, {literal(BATCH)})"""

# Whether there is any: the view of times is asked for nothing less.
ANY_RESULTS = f"SELECT 1 AS Any {_FRESH_RESULTS} LIMIT 1"

# When their traces were: whoever reads a batch again makes the same spans, but may know less of when it ran.
BATCH_TIMES = f"""SELECT toUnixTimestamp(min(Start)) AS Earliest, toUnixTimestamp(max(End)) AS Latest
FROM trace_times
WHERE TraceId IN (SELECT TraceId {_FRESH_RESULTS})
HAVING count() > 0"""  # noqa: S608, words of ours

# Calls of the traces and responses that gained spans, where there are at least two.
TOGETHER = f"""WITH fresh AS (
    SELECT Project, TraceId, ResponseId, Timestamp FROM otel_traces
    WHERE StoredAt >= toDateTime64({{since:String}}, 3) - INTERVAL 1 SECOND
)
SELECT Project, TraceId, SpanId, toUnixTimestamp(Timestamp) AS Second
FROM otel_traces
WHERE IsLlm
    AND Timestamp >= least((SELECT min(Timestamp) FROM fresh), toDateTime({{earliest:Int64}}))
        - INTERVAL {LONGEST_SECONDS} SECOND
    AND Timestamp <= greatest((SELECT max(Timestamp) FROM fresh), toDateTime({{latest:Int64}}))
        + INTERVAL {LONGEST_SECONDS} SECOND
    AND ((Project, TraceId) IN (SELECT Project, TraceId FROM fresh)
        OR (ResponseId != '' AND (Project, ResponseId) IN (SELECT Project, ResponseId FROM fresh)))
QUALIFY count() OVER (PARTITION BY Project, TraceId) > 1
    OR (ResponseId != '' AND count() OVER (PARTITION BY Project, ResponseId) > 1)"""  # noqa: S608

# Requests that say what they repeat, and failed ones that may have been repeated in another trace.
FRESH_ATTEMPTS = f"""SELECT Project, TraceId, SpanId, toUnixTimestamp(Timestamp) AS Second,
    {_REPEATED} AS Repeated, StatusCode = 'Error' AND ParentSpanId = '' AS Failed
FROM otel_traces
WHERE IsLlm AND StoredAt >= toDateTime64({{since:String}}, 3) - INTERVAL 1 SECOND
    AND (notEmpty(`Links.SpanId`) OR (StatusCode = 'Error' AND ParentSpanId = ''))"""  # noqa: S608, ours

# Those that repeat one of some spans.
REPEATING = f"""SELECT Project, TraceId, SpanId FROM otel_traces
WHERE IsLlm AND notEmpty(`Links.SpanId`)
    AND Timestamp >= toDateTime({{{{from:Int64}}}}) AND Timestamp <= toDateTime({{{{to:Int64}}}})
    AND arrayExists(place -> (Project, place.1, place.2) IN ({{spans}}), {_REPEATED})"""  # noqa: S608, ours

# The instrumentations of the services whose calls came: of columns that are small.
SCOPES = f"""SELECT Project, ServiceName, groupUniqArray(ScopeName) AS Scopes,
    groupUniqArrayIf(
        toUnixTimestamp(toStartOfMinute(Timestamp)),
        StoredAt >= toDateTime64({{since:String}}, 3) - INTERVAL 1 SECOND
    ) AS Minutes
FROM otel_traces
WHERE IsLlm AND {_ELIGIBLE}
    AND StoredAt >= toDateTime64({{since:String}}, 3) - toIntervalSecond({{back:UInt32}})
GROUP BY Project, ServiceName"""  # noqa: S608, words of ours

# Calls that may be one by their figures, of a service with two instrumentations, or of a project whose
# services are not all named: of several scopes, at least one of them new. What is old and was merged is read
# again: a new span may be the better half of a pair.
CANDIDATES = f"""WITH
    toDateTime64({{{{since:String}}}}, 3) - INTERVAL 1 SECOND AS edge,
    fresh AS (
        SELECT min(Timestamp) AS Earliest, max(Timestamp + toIntervalNanosecond(Duration)) AS Last
        FROM otel_traces
        WHERE IsLlm AND StoredAt >= edge AND (Project, {{process}}) IN ({{services}})
            -- Below whole seconds the engine leaves out parts that lie in the last second before.
            AND Timestamp >= toDateTime({{{{from:Int64}}}}) AND Timestamp < toDateTime64({{{{to:Int64}}}}, 9)
    ),
    near_fresh AS (
        SELECT Project, {{process}} AS Process, ScopeName, TraceId, SpanId, Timestamp,
            -- An embedding has no output, which some tell as 0.
            {_INPUT} AS InputTokens, if(Operation = 'embeddings', 0, {_OUTPUT}) AS OutputTokens,
            CacheReadTokens + CacheWriteTokens AS Cached, StatusCode = 'Error' AS Failed,
            StoredAt >= edge AS IsNew,
            -- A multiple of both figures is in the same window: some add up what several choices repeat.
            if(
                ifNull(InputTokens * OutputTokens, 0) = 0, 1,
                -- The engine computes this of every row, and there is none of a 0.
                gcd(greatest(ifNull(InputTokens, 1), 1), greatest(ifNull(OutputTokens, 1), 1))
            ) AS Divisor
        FROM otel_traces
        WHERE IsLlm AND {_ELIGIBLE} AND (Project, {{process}}) IN ({{services}})
            AND Timestamp >= (SELECT Earliest FROM fresh) - INTERVAL {LONGEST_SECONDS} SECOND
            AND Timestamp <= (SELECT Last FROM fresh)
            AND Timestamp + toIntervalNanosecond(Duration) >= (SELECT Earliest FROM fresh)
    ),
    alike AS (
        SELECT Project, TraceId, SpanId
        FROM near_fresh
        WINDOW
            figures AS (
                PARTITION BY Project, Process, Failed, intDiv(InputTokens, Divisor),
                    intDiv(OutputTokens, Divisor)
            ),
            cached AS (PARTITION BY Project, Process, OutputTokens, Cached),
            near AS (
                PARTITION BY Project, Process ORDER BY toUnixTimestamp(Timestamp)
                RANGE BETWEEN {_NEAR_SECONDS} PRECEDING AND {_NEAR_SECONDS} FOLLOWING
            )
        QUALIFY (
                min(ScopeName) OVER figures != max(ScopeName) OVER figures AND max(IsNew) OVER figures
            ) OR (
                Cached > 0 AND min(ScopeName) OVER cached != max(ScopeName) OVER cached
                AND max(IsNew) OVER cached
            ) OR (
                max(InputTokens IS NULL AND OutputTokens IS NULL AND NOT Failed) OVER near
                AND min(ScopeName) OVER near != max(ScopeName) OVER near AND max(IsNew) OVER near
            )
        LIMIT {MOST_CANDIDATES}
    )
SELECT {_COLUMNS}
FROM otel_traces
WHERE IsLlm AND (Project, TraceId, SpanId) IN (SELECT Project, TraceId, SpanId FROM alike)
    AND Timestamp >= (SELECT Earliest FROM fresh) - INTERVAL {LONGEST_SECONDS} SECOND
    AND Timestamp <= (SELECT Last FROM fresh)
LIMIT {MOST_CANDIDATES}"""  # noqa: S608, words and numbers of ours

BY_KEY = f"""SELECT {_COLUMNS} FROM otel_traces
WHERE IsLlm AND (Project, TraceId, SpanId) IN ({{spans}})
    AND Timestamp >= toDateTime({{{{from:Int64}}}}) AND Timestamp <= toDateTime({{{{to:Int64}}}})"""  # noqa: S608

DECIDED_BEFORE = """SELECT
    Project, TraceId, SpanId, Decision, RecordTraceId, RecordSpanId, Evidence, Candidates
FROM call_evidence FINAL
WHERE Decision != '' AND (Project, TraceId, SpanId) IN ({spans})
    AND Timestamp >= toDateTime({{from:Int64}}) AND Timestamp <= toDateTime({{to:Int64}})"""

# Texts of messages as the conventions write them, of every tracer the same but for what surrounds them.
DIGESTS = """WITH
    'Array(Tuple(role String, parts Array(Tuple(type String, content String, id String))))' AS form,
    JSONExtract(InputMessages, form) AS questions,
    arrayFlatten(arrayMap(m -> m.parts, JSONExtract(OutputMessages, form))) AS answer_parts,
    arrayStringConcat(arrayMap(p -> if(p.type = 'text', trimBoth(p.content), ''), answer_parts)) AS said,
    if(said != '', said, arrayStringConcat(arrayMap(p -> p.id, answer_parts))) AS answered,
    arrayStringConcat(arrayMap(
        p -> if(p.type = 'text', trimBoth(p.content), ''), if(empty(questions), [], questions[-1].parts)
    )) AS asked
SELECT Project, TraceId, SpanId, if(answered = '', 0, cityHash64(answered)) AS Answered,
    if(asked = '', 0, cityHash64(asked)) AS Asked
FROM span_texts
WHERE (Project, TraceId, SpanId) IN ({spans})
    AND Timestamp >= toDateTime({{from:Int64}}) AND Timestamp <= toDateTime({{to:Int64}})"""

LINKS = """SELECT Project, TraceId, SpanId, ParentSpanId FROM otel_traces
WHERE NOT IsLlm AND Operation = ''
    AND Timestamp >= toDateTime({{from:Int64}}) AND Timestamp <= toDateTime({{to:Int64}})
    AND (Project, TraceId, SpanId) IN ({pairs})"""

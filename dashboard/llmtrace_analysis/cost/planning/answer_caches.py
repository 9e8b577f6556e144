"""Caches of whole answers: how often each one answers, and what that saves in money, time and calls."""

# Texts are put together from constants alone; values are bound.
# ruff: noqa: S608

from __future__ import annotations

from typing import Final

import pandas as pd
from clickhouse_connect.driver.client import Client

from llmtrace import semconv
from llmtrace_analysis.queries.scope import SPAN_SCOPE, Scope, frame
from llmtrace_collector.attributes.names import RESPONSE_CACHE
from llmtrace_collector.pricing import charges
from llmtrace_collector.sql_values import literal, literals

#: How a cache is called that says that it answered and not which it is.
UNNAMED: Final = "(unnamed)"

#: What was stored so many days before the period is known where a hit of the period has it.
STORED_DAYS: Final = 30


def _attribute(name: str) -> str:
    return f"SpanAttributes[{literal(name)}]"


_NAME = _attribute(semconv.CACHE_NAME)
_RESULT = _attribute(semconv.CACHE_RESULT)
_ENTRY = _attribute(semconv.CACHE_ENTRY)
_HITS = literals((semconv.CACHE_HIT, semconv.CACHE_SEMANTIC))
_ANSWERED = f"ServiceTier = {literal(RESPONSE_CACHE)}"
_CALLED = f"if({_NAME} = '', {literal(UNNAMED)}, {_NAME})"

# Counts of calls that went by a cache, and of the look-ups that programs tell of by themselves.
_LOOKUPS = f"""SELECT
    {_CALLED} AS cache,
    sumIf(Weight, {_ANSWERED}) AS hits,
    sumIf(Weight, {_ANSWERED} AND {_RESULT} = {literal(semconv.CACHE_SEMANTIC)}) AS semantic_hits,
    sumIf(Weight, {_RESULT} = {literal(semconv.CACHE_MISS)}) AS misses,
    sumIf(Weight, startsWith(SpanName, 'cache_lookup ')) AS lookups
FROM otel_traces
WHERE {SPAN_SCOPE} AND (
    (Counted AND ({_ANSWERED} OR {_RESULT} = {literal(semconv.CACHE_MISS)}))
    OR startsWith(SpanName, 'cache_lookup ')
)
GROUP BY cache"""

_SINCE_STORED = f"""Timestamp >= fromUnixTimestamp64Milli({{since:Int64}}) - INTERVAL {STORED_DAYS} DAY
            AND Timestamp < fromUnixTimestamp64Milli({{until:Int64}})
            AND ({{project:String}} = '' OR Project = {{project:String}})"""

_STORED = f"""SELECT cache, entry, arrayJoin(sources) AS span
    FROM (
        SELECT
            {_NAME} AS cache,
            {_ENTRY} AS entry,
            argMax(JSONExtract({_attribute(semconv.CACHE_SOURCES)}, 'Array(String)'), Timestamp) AS sources
        FROM otel_traces
        WHERE startsWith(SpanName, 'cache_store ') AND {_ENTRY} != '' AND {_SINCE_STORED}
        GROUP BY cache, entry
    ) AS stored"""
# Of each entry the calls that it was made of; of what was stored again, those of the last time.
_ENTRIES = f"""SELECT
    cache,
    entry,
    sum(made.Cost) AS cost,
    sum(made.Duration) / 1e9 AS seconds,
    count() AS calls
FROM ({_STORED}) AS sources
INNER JOIN (
    SELECT SpanId, Cost, Duration
    FROM call_cost
    WHERE {_SINCE_STORED} AND SpanId IN (SELECT span FROM ({_STORED}) AS spans)
) AS made ON sources.span = made.SpanId
GROUP BY cache, entry"""

# Hits as they would have been charged in the standard tier.
_USAGE = ", ".join(
    (
        *("Project", "Time", "TraceId", "SpanId", "Provider", "Model", "ResponseModel", "ContextClass"),
        *("DayClass", "Calls", "UnknownUsage", "StatedCost", *charges.COUNTS),
    )
)
# Within, the tier is still the hit's.
_AS_STANDARD = (
    f"(SELECT {_USAGE}, '' AS ServiceTier, '' AS StatedBy"
    f" FROM (SELECT * FROM call_cost WHERE {SPAN_SCOPE} AND {_ANSWERED}) AS hits)"
)
_WOULD_COST = f"""SELECT usage.TraceId AS TraceId, usage.SpanId AS SpanId, {charges.cost()}
FROM {charges.priced(_AS_STANDARD)}"""

_TYPICAL = f"""SELECT Provider, Model, quantile(0.5)(Duration) / 1e9 AS seconds
FROM call_cost
WHERE {SPAN_SCOPE} AND NOT {_ANSWERED} AND Errors = 0
GROUP BY Provider, Model"""

# The first that is known: what the hit itself says, what its entry was made of, what its tokens would cost
# and how long calls of its model usually take.
_SAVED = f"""SELECT
    hit.cache AS cache,
    sum(hit.Weight * hit.tokens) AS tokens,
    sumIf(hit.Weight * hit.tokens, hit.saved IS NULL) AS unpriced_tokens,
    sumIf(hit.Weight, hit.saved IS NULL) AS unpriced_hits,
    sum(hit.Weight * hit.saved) AS saved,
    sum(hit.Weight * greatest(hit.took - hit.seconds, 0)) AS saved_seconds,
    sum(hit.Weight * hit.calls) AS saved_calls
FROM (
    SELECT
        calls.cache AS cache,
        calls.Weight AS Weight,
        calls.tokens AS tokens,
        calls.seconds AS seconds,
        multiIf(
            calls.said_cost IS NOT NULL, calls.said_cost,
            entries.calls > 0, entries.cost,
            calls.tokens > 0, would_cost.Cost,
            NULL
        ) AS saved,
        multiIf(
            calls.said_seconds IS NOT NULL, calls.said_seconds,
            entries.calls > 0, entries.seconds,
            typical.seconds > 0, typical.seconds,
            NULL
        ) AS took,
        toFloat64(
            multiIf(calls.said_calls > 0, calls.said_calls, entries.calls > 0, entries.calls, 1)
        ) AS calls
    FROM (
        SELECT
            {_CALLED} AS cache,
            {_ENTRY} AS entry,
            TraceId,
            SpanId,
            Provider,
            Model,
            Weight,
            ifNull(InputTokens, 0) + ifNull(OutputTokens, 0) AS tokens,
            Duration / 1e9 AS seconds,
            toFloat64OrNull({_attribute(semconv.CACHE_SAVED_COST)}) AS said_cost,
            toFloat64OrNull({_attribute(semconv.CACHE_SAVED_SECONDS)}) AS said_seconds,
            toUInt64OrZero({_attribute(semconv.CACHE_SAVED_CALLS)}) AS said_calls
        FROM otel_traces
        WHERE {SPAN_SCOPE} AND Counted AND {_ANSWERED}
    ) AS calls
    LEFT JOIN ({_ENTRIES}) AS entries ON calls.cache = entries.cache AND calls.entry = entries.entry
    LEFT JOIN ({_WOULD_COST}) AS would_cost
        ON calls.TraceId = would_cost.TraceId AND calls.SpanId = would_cost.SpanId
    LEFT JOIN ({_TYPICAL}) AS typical ON calls.Provider = typical.Provider AND calls.Model = typical.Model
) AS hit
GROUP BY cache"""

# What looking things up took: embeddings that name a cache and are no answer of one.
_EMBEDDED = f"""SELECT spans.cache AS cache, sum(calls.Weight * calls.Cost) AS embedding_cost
FROM (SELECT * FROM call_cost WHERE {SPAN_SCOPE} AND Operation = 'embeddings') AS calls
INNER JOIN (
    SELECT TraceId, SpanId, {_NAME} AS cache
    FROM otel_traces
    WHERE {SPAN_SCOPE} AND Counted AND Operation = 'embeddings' AND {_NAME} != '' AND {_RESULT} = ''
) AS spans ON calls.TraceId = spans.TraceId AND calls.SpanId = spans.SpanId
GROUP BY cache"""

COLUMNS: Final = (
    "cache",
    "lookups",
    "hits",
    "semantic_hits",
    "hit_rate",
    "tokens",
    "unpriced_tokens",
    "unpriced_hits",
    "saved",
    "embedding_cost",
    "net",
    "saved_seconds",
    "saved_calls",
)


def caches(client: Client, scope: Scope) -> pd.DataFrame:
    """One row per cache of answers, the greatest net saving first; see COLUMNS.

    `lookups` is NaN, and so is `hit_rate`, where a cache tells of its hits alone. `saved`: USD that the
    calls would have cost which the hits stood in for; those of `unpriced_hits` are in no sum.
    `embedding_cost`: USD of the embeddings that looking things up took; `net`: `saved` less that.
    `saved_seconds`: what the calls would have taken, less what the hits took. `saved_calls`: how many.
    """
    counted, saved, embedded = (
        frame(client, text, scope.params()).set_index("cache") for text in (_LOOKUPS, _SAVED, _EMBEDDED)
    )
    data = counted.join(saved, how="outer").join(embedded, how="outer")
    for name in data.columns:
        data[name] = pd.to_numeric(data[name], errors="coerce").astype("float64")
    data = data.fillna({"hits": 0, "semantic_hits": 0, "misses": 0, "lookups": 0, "embedding_cost": 0})
    data = data.fillna({"tokens": 0, "unpriced_tokens": 0, "unpriced_hits": 0, "saved": 0, "saved_calls": 0})
    # A look-up that a program tells of has its hits as calls of their own; a gateway's call is the look-up.
    of_gateways = (data["hits"] + data["misses"]).where(data["misses"] > 0)
    lookups = data["lookups"].where(data["lookups"] >= data["hits"]).where(data["lookups"] > 0)
    data["lookups"] = lookups.fillna(of_gateways)
    data["hit_rate"] = data["hits"] / data["lookups"]
    data["saved_seconds"] = data["saved_seconds"].fillna(0.0)
    data["net"] = data["saved"] - data["embedding_cost"]
    for name in ("hits", "semantic_hits", "tokens", "unpriced_tokens", "unpriced_hits", "saved_calls"):
        data[name] = data[name].round().astype("int64")
    ordered = data.sort_values("net", ascending=False, kind="stable").reset_index(names="cache")
    return ordered[list(COLUMNS)]

"""What would make calls cheaper: rules over what was measured, each with what it would save and the calls."""

# Texts are put together from constants alone; values are bound.
# ruff: noqa: S608

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import pandas as pd
from clickhouse_connect.driver.client import Client

from llmtrace import semconv
from llmtrace_analysis.queries.scope import SPAN_SCOPE, Scope, frame
from llmtrace_collector.attributes.names import RESPONSE_CACHE
from llmtrace_collector.sql_values import literal, literals

#: So many calls of one sort are needed before anything is said of them.
LEAST_CALLS: Final = 20

#: An output limit of more than so many times the longest answer is one that is never near.
ROOM: Final = 2

#: So many equal requests with a score of both models are needed, and the smaller one's mean score may be
#: lower by this.
LEAST_PAIRS: Final = 5
EQUAL_SCORES: Final = 0.02

#: A session of at least so many calls whose input grows by this factor from the first to the last.
LEAST_TURNS: Final = 4
GROWTH: Final = 2.0

#: Less than this part of the input read from a cache is none.
HARDLY_READ: Final = 0.1

#: As many traces a row names.
_TRACES = 5

#: Prompts shorter than this many tokens no provider keeps in its cache.
SHORTEST_CACHED: Final = 1024

#: As many traces a row names.
_TRACES = 5

#: Rule → what it looks for, in words.
RULES: Mapping[str, str] = MappingProxyType(
    {
        "output_limit": (
            f"{LEAST_CALLS} calls or more had an output limit (max_tokens), and none came to 1/{ROOM} of it: "
            f"with {ROOM} times the longest answer as the limit, rate limits and reserved capacity, which "
            "count the limit, hold back fewer tokens; the bill stays"
        ),
        "stop_sequences": f"{LEAST_CALLS} calls or more had stop sequences, and no answer ended at one (of "
        "providers that say so): what they should cut off is paid, and more of it the more answers run into "
        "the output limit",
        "smaller_model": f"a cheaper model answered {LEAST_PAIRS} or more of the same requests, and the mean "
        f"of each score is at most {EQUAL_SCORES:g} lower: the other model's calls at its share of the cost",
        "unread_context": f"sessions of {LEAST_TURNS} calls or more send their history again and again, "
        f"{GROWTH:g} times as long in the end, and less than {HARDLY_READ:.0%} of it is read from a prompt "
        "cache: each call's repeated part at the price of cache reads",
    }
)

COLUMNS: Final = (
    "rule",
    "project",
    "service",
    "prompt_name",
    "model",
    "instead",
    "calls",
    "saves_usd",
    "saves_tokens",
    "why",
    "traces",
)

_GROUP = """toString(Project) AS project,
    toString(ServiceName) AS service,
    toString(PromptName) AS prompt_name,
    concat(toString(Provider), '/', toString(Model)) AS model"""
_BY_GROUP = "GROUP BY project, service, prompt_name, model"
_LISTED = f"arraySort(groupUniqArray({_TRACES})(TraceId)) AS traces"
_ANSWERED = f"{SPAN_SCOPE} AND Counted AND StatusCode != 'Error' AND ServiceTier != {literal(RESPONSE_CACHE)}"


def _attribute(name: str) -> str:
    return f"SpanAttributes[{literal(name)}]"


_LIMIT = f"toUInt64OrZero({_attribute(semconv.REQUEST_MAX_TOKENS)})"

_OUTPUT_LIMITS = f"""SELECT
    {_GROUP},
    sum(Weight) AS calls,
    max(ifNull(OutputTokens, 0)) AS longest,
    min({_LIMIT}) AS least_limit,
    sum(Weight * {_LIMIT}) - {ROOM} * longest * calls AS saves_tokens,
    {_LISTED}
FROM otel_traces
WHERE {_ANSWERED} AND {_LIMIT} > 0 AND OutputTokens > 0
{_BY_GROUP}
HAVING count() >= {LEAST_CALLS} AND countIf(has(FinishReasons, 'length')) = 0
    AND least_limit > {ROOM} * longest"""

_STOPS = f"{_attribute(semconv.REQUEST_STOP_SEQUENCES)} NOT IN ('', '[]')"
_STOPPED = _attribute(semconv.RESPONSE_STOP_SEQUENCE)

#: Whose answers say at what they stopped, and what reads it of them.
_SAYING = f"Provider IN ({literals(('anthropic', semconv.PROVIDER_AWS_BEDROCK))})"
_TELLING = f"{_SAYING} AND startsWith(ScopeName, 'llmtrace')"

_STOP_SEQUENCES = f"""SELECT
    {_GROUP},
    sum(Weight) AS calls,
    countIf(has(FinishReasons, 'length')) / count() AS limited,
    {_LISTED}
FROM otel_traces
WHERE {_ANSWERED} AND {_STOPS} AND {_TELLING}
{_BY_GROUP}
HAVING count() >= {LEAST_CALLS} AND countIf({_STOPPED} = 'true') = 0"""

# Of each request and score, what each model's answers cost and how they were judged: by a score of the call,
# or of its trace where that is the only call in it.
_JUDGED = f"""SELECT
    toString(calls.Project) AS project,
    toString(calls.ServiceName) AS service,
    toString(calls.PromptName) AS prompt_name,
    cityHash64(texts.InputMessages, texts.SystemInstructions, texts.ToolDefinitions) AS request,
    concat(toString(calls.Provider), '/', toString(calls.Model)) AS model,
    toString(judged.Name) AS score_name,
    avg(judged.MeanValue) AS score,
    avg(calls.Cost) AS cost,
    any(calls.TraceId) AS trace
FROM (
    SELECT *, count() OVER (PARTITION BY Project, TraceId) AS CallsOfTrace
    FROM call_cost
    WHERE {SPAN_SCOPE} AND Errors = 0 AND ServiceTier != {literal(RESPONSE_CACHE)} AND PromptHash != 0
) AS calls
INNER JOIN (
    SELECT Project, TraceId, SpanId, Name, avg(Value) AS MeanValue
    FROM scores
    WHERE Value IS NOT NULL
    GROUP BY Project, TraceId, SpanId, Name
) AS judged ON calls.Project = judged.Project AND calls.TraceId = judged.TraceId
INNER JOIN (
    SELECT TraceId, SpanId, InputMessages, SystemInstructions, ToolDefinitions
    FROM span_texts
    WHERE Timestamp >= fromUnixTimestamp64Milli({{since:Int64}})
        AND Timestamp < fromUnixTimestamp64Milli({{until:Int64}}) AND InputMessages != ''
) AS texts ON calls.TraceId = texts.TraceId AND calls.SpanId = texts.SpanId
WHERE judged.SpanId = calls.SpanId OR calls.CallsOfTrace = 1
GROUP BY project, service, prompt_name, request, model, score_name
HAVING cost > 0"""

_COSTS = f"""SELECT
    {_GROUP},
    sum(Weight) AS calls,
    sum(Weight * Cost) AS cost
FROM call_cost
WHERE {SPAN_SCOPE} AND Errors = 0 AND ServiceTier != {literal(RESPONSE_CACHE)}
{_BY_GROUP}"""

_UNREAD_CONTEXT = f"""SELECT
    {_GROUP},
    sum(Calls) AS calls,
    count() AS sessions,
    sum(Saved) AS saves_usd,
    arraySort(groupUniqArray({_TRACES})(TraceId)) AS traces
FROM (
    SELECT
        Project,
        ServiceName,
        PromptName,
        Provider,
        Model,
        SessionId,
        sum(Weight) AS Calls,
        sum(
            Weight * Repeated * (InputPrice - CacheReadPrice) * if(ListCost > 0, ComputedCost / ListCost, 1)
        ) AS Saved,
        argMax(TraceId, Timestamp) AS TraceId
    FROM (
        SELECT
            *,
            ifNull(lagInFrame(InputTokens) OVER session, 0) AS Before,
            greatest(toInt64(Before) - toInt64(CacheReadTokens), 0) AS Repeated
        FROM call_cost
        WHERE {SPAN_SCOPE} AND Errors = 0 AND ServiceTier != {literal(RESPONSE_CACHE)} AND SessionId != ''
            AND Operation NOT IN ('embeddings', 'rerank') AND InputTokens > 0
        WINDOW session AS (
            PARTITION BY Project, ServiceName, PromptName, Provider, Model, SessionId
            ORDER BY Timestamp, SpanId
        )
    ) AS turns
    GROUP BY Project, ServiceName, PromptName, Provider, Model, SessionId
    HAVING count() >= {LEAST_TURNS} AND countIf(InputTokens < Before) = 0
        AND max(InputTokens) >= {GROWTH} * min(InputTokens) AND max(Before) >= {SHORTEST_CACHED}
        AND sum(CacheReadTokens) < {HARDLY_READ} * sum(InputTokens) AND Saved > 0
) AS sessions
{_BY_GROUP}"""


def advice(client: Client, scope: Scope) -> pd.DataFrame:
    """A row for each of RULES and group of calls (project, service, prompt's name, model) that it fits, what
    would save most first; see COLUMNS.

    `calls`: those that the rule is about. `instead`: the model to try, where it is one. `saves_usd`: in the
    period, by its real calls; NaN where no money follows by itself. `saves_tokens`: of rate limits and
    reserved capacity. `why`: what was measured; RULES has the rule. `traces`: of some of the calls, with
    commas between.
    """
    data = pd.concat(
        [
            _of_output_limits(client, scope),
            _of_stop_sequences(client, scope),
            _of_smaller_models(client, scope),
            _of_unread_context(client, scope),
        ]
    )
    data = data.reindex(columns=list(COLUMNS))
    for name in ("saves_usd", "saves_tokens"):
        data[name] = pd.to_numeric(data[name], errors="coerce").astype("float64")
    data["calls"] = pd.to_numeric(data["calls"]).fillna(0).round().astype("int64")
    data["traces"] = [", ".join(traces) for traces in data["traces"]]
    for name in ("instead", "why"):
        data[name] = data[name].fillna("")
    data = data.sort_values(["saves_usd", "saves_tokens"], ascending=False, na_position="last", kind="stable")
    return data.reset_index(drop=True)


def _of_output_limits(client: Client, scope: Scope) -> pd.DataFrame:
    data = frame(client, _OUTPUT_LIMITS, scope.params())
    data.insert(0, "rule", "output_limit")
    data["why"] = [
        f"longest answer {longest:,} tokens, least limit {limit:,}"
        for longest, limit in zip(data["longest"], data["least_limit"], strict=True)
    ]
    return data


def _of_stop_sequences(client: Client, scope: Scope) -> pd.DataFrame:
    data = frame(client, _STOP_SEQUENCES, scope.params())
    data.insert(0, "rule", "stop_sequences")
    data["why"] = [f"none ended at one, {share:.0%} ran into the output limit" for share in data["limited"]]
    return data


def _of_smaller_models(client: Client, scope: Scope) -> pd.DataFrame:
    judged = frame(client, _JUDGED, scope.params())
    pairs = judged.merge(judged, on=["project", "request", "score_name"], suffixes=("", "_instead"))
    pairs = pairs[pairs["model"] != pairs["model_instead"]]
    groups = ["project", "service", "prompt_name", "model", "model_instead"]
    by_score = pairs.groupby([*groups, "score_name"], as_index=False).agg(
        requests=("request", "nunique"),
        cost=("cost", "sum"),
        cost_instead=("cost_instead", "sum"),
        score=("score", "mean"),
        score_instead=("score_instead", "mean"),
        traces=("trace_instead", lambda traces: sorted(set(traces))[:_TRACES]),
    )
    by_score["share"] = by_score["cost_instead"] / by_score["cost"]
    by_score["better_by"] = by_score["score_instead"] - by_score["score"]
    # Every score has to say so.
    data = by_score.groupby(groups, as_index=False).agg(
        requests=("requests", "min"),
        share=("share", "max"),
        better_by=("better_by", "min"),
        traces=("traces", "first"),
    )
    fits = (data["requests"] >= LEAST_PAIRS) & (data["share"] < 1) & (data["better_by"] >= -EQUAL_SCORES)
    data = data[fits].rename(columns={"model_instead": "instead"})
    data.insert(0, "rule", "smaller_model")
    if data.empty:
        return data
    costs = frame(client, _COSTS, scope.params())
    data = data.merge(costs, how="left", on=["project", "service", "prompt_name", "model"])
    data["saves_usd"] = pd.to_numeric(data["cost"], errors="coerce") * (1 - data["share"])
    data["why"] = [
        f"{requests} equal requests at {share:.0%} of the cost, scores {better:+.3f}"
        for requests, share, better in zip(data["requests"], data["share"], data["better_by"], strict=True)
    ]
    return data


def _of_unread_context(client: Client, scope: Scope) -> pd.DataFrame:
    data = frame(client, _UNREAD_CONTEXT, scope.params())
    data.insert(0, "rule", "unread_context")
    data["why"] = [
        "in one session" if sessions == 1 else f"in {sessions} sessions" for sessions in data["sessions"]
    ]
    return data

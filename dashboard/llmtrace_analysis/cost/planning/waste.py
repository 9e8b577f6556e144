"""Money that bought nothing, call by call: what each kind cost, and which calls they are."""

# Texts are put together from constants alone; values are bound.
# ruff: noqa: S608

from __future__ import annotations

from datetime import timedelta

import pandas as pd
from clickhouse_connect.driver.client import Client

from llmtrace_analysis.queries.scope import SPAN_SCOPE, Scope, frame
from llmtrace_collector.attributes.evidence import RETRY_FAULTS
from llmtrace_collector.attributes.names import RESPONSE_CACHE
from llmtrace_collector.sql_values import literal

#: Kinds of waste; a call is of the first that fits.
KINDS = (
    "failed",
    "retry",
    *(f"retry_{fault}" for fault in RETRY_FAULTS),
    "abandoned",
    "duplicate",
    "long_context",
)

#: A kind that is no waste: what a cache of answers would have kept.
CACHEABLE = "cacheable"

#: From how many input tokens on a call is examined for unused context, and the least share of them that its
#: answer is long.
LONG_INPUT = 20_000
LEAST_ANSWER = 0.005

#: A request that is sent again within this time, with nothing else asked in between, did not use the answer.
AGAIN_WITHIN = timedelta(minutes=5)

#: How long a cache would keep an answer that nobody asks for, where nobody says.
LIFETIME = timedelta(hours=24)

#: As many calls are listed at most.
MOST_CALLS = 1000

_START = "toUnixTimestamp64Nano(Timestamp)"
_IN_TIME = """Timestamp >= fromUnixTimestamp64Milli({since:Int64})
        AND Timestamp < fromUnixTimestamp64Milli({until:Int64})
        AND ({project:String} = '' OR Project = {project:String})"""
_NANOSECONDS = 1_000_000_000

# Equal requests to one model, and the requests of one session, each answered in full; what a cache answered
# and what is no call of its own (`Calls` 0) stand for nothing here. All of a session is looked through before
# it is narrowed to a user or a model.
_IN_ORDER = f"""SELECT
    *,
    Errors = 0 AND Abandoned = 0 AND Calls = 1 AS Answered,
    {_START} AS Start,
    {_START} + Duration AS End,
    if(SessionId = '', TraceId, SessionId) AS Session,
    lagInFrame(PromptHash) OVER session AS HashBefore,
    lagInFrame(End) OVER session AS EndBefore,
    row_number() OVER equal AS EqualNumber,
    min(End) OVER equal_before AS FirstAnswered,
    lagInFrame(Start) OVER equal AS EqualBefore
FROM call_cost
WHERE {_IN_TIME} AND ServiceTier != {literal(RESPONSE_CACHE)}
WINDOW
    session AS (PARTITION BY Project, Session, Operation, Answered ORDER BY Timestamp, SpanId),
    equal AS (PARTITION BY Project, PromptHash, Answered ORDER BY Timestamp, SpanId),
    equal_before AS (
        PARTITION BY Project, PromptHash, Answered ORDER BY Timestamp, SpanId
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    )"""

_OF_CALLS = """Timestamp, TraceId, SpanId, Project, ServiceName, UserId, SessionId, Provider, Model,
    PromptHash, Weight, Priced, Estimated, InputTokens, OutputTokens"""

# `EndBefore` is of the same session and kind of operation; an answer that was on its way yet was not there.
_CALLS = f"""SELECT
    multiIf(
        Calls = 0, '',
        Errors = 1 AND InputTokens + OutputTokens > 0, 'failed',
        Errors = 1, '',
        Abandoned = 1, 'abandoned',
        NOT Answered, '',
        PromptHash != 0 AND HashBefore = PromptHash AND EndBefore <= Start
            AND Start - EndBefore <= {int(AGAIN_WITHIN.total_seconds()) * _NANOSECONDS}, 'duplicate',
        Operation NOT IN ('embeddings', 'rerank') AND InputTokens > {LONG_INPUT}
            AND OutputTokens < InputTokens * {LEAST_ANSWER}, 'long_context',
        PromptHash != 0 AND EqualNumber > 1 AND FirstAnswered <= Start
            AND Start - EqualBefore < {{lifetime:UInt64}} * {_NANOSECONDS}, {literal(CACHEABLE)},
        ''
    ) AS kind,
    {_OF_CALLS},
    if(kind = 'long_context', ifNull(InputCost, Cost) * (1 - {LONG_INPUT} / InputTokens), Cost) AS Wasted
FROM ({_IN_ORDER}) AS calls
WHERE {SPAN_SCOPE}"""

# What call deduplication noted of each attempt says what was wrong with trying again. Nobody bills a request
# that was refused.
_FAULTY = ", ".join(f"has(Faults, {literal(fault)}), 'retry_{fault}'" for fault in RETRY_FAULTS)
_ATTEMPTS = f"""SELECT
    multiIf({_FAULTY}, 'retry') AS kind,
    {_OF_CALLS},
    if(UnknownUsage, 0, Cost) AS Wasted
FROM (SELECT * FROM attempt_cost WHERE {SPAN_SCOPE}) AS attempt
LEFT JOIN (
    SELECT Project, TraceId, SpanId, argMax(Evidence, DecidedAt) AS Faults
    FROM call_evidence
    WHERE {_IN_TIME}
    GROUP BY Project, TraceId, SpanId
) AS decided USING (Project, TraceId, SpanId)"""

#: SELECT of single calls, each with its `kind` and what of its cost was `Wasted`; what is of no kind has ''.
OF_KINDS = f"{_CALLS}\nUNION ALL\n{_ATTEMPTS}"

_BY_KIND = f"""SELECT
    kind,
    sum(Weight) AS calls,
    uniqExact(Project, PromptHash) AS prompts,
    sumIf(Weight, NOT Priced) AS unpriced_calls,
    sumIf(Weight, Estimated != '') AS estimated_calls,
    sum(Weight * InputTokens) AS input_tokens,
    sum(Weight * OutputTokens) AS output_tokens,
    sum(Weight * Wasted) AS cost
FROM ({OF_KINDS}) AS calls
WHERE kind != ''
GROUP BY kind"""

_LISTED = f"""SELECT
    formatDateTime(calls.Timestamp, '%Y-%m-%d %H:%i:%S', {{zone:String}}) AS time,
    toString(Project) AS project,
    toString(ServiceName) AS service,
    UserId AS user,
    SessionId AS session,
    toString(Provider) AS provider,
    toString(Model) AS model,
    if(PromptHash = 0, '', lower(hex(PromptHash))) AS prompt,
    TraceId AS trace,
    SpanId AS span,
    InputTokens AS input_tokens,
    OutputTokens AS output_tokens,
    toString(Estimated) AS estimated,
    Wasted AS cost
FROM ({OF_KINDS}) AS calls
WHERE kind = {{kind:String}} AND ({{prompt:String}} = '' OR prompt = {{prompt:String}})
ORDER BY cost DESC NULLS LAST, calls.Timestamp, span
LIMIT {MOST_CALLS}"""

_NUMBERS = ("calls", "prompts", "unpriced_calls", "estimated_calls", "input_tokens", "output_tokens")


def seconds(lifetime: timedelta) -> int:
    """The parameter `lifetime` of `OF_KINDS`."""
    return int(lifetime.total_seconds())


def by_kind(client: Client, scope: Scope, lifetime: timedelta = LIFETIME) -> pd.DataFrame:
    """One row for each of KINDS and for CACHEABLE, which is none: `kind`, `calls`, `prompts` (different
    requests), `unpriced_calls`, `estimated_calls` (tokens estimated from text), `input_tokens`,
    `output_tokens`, `cost`.

    `failed`: calls that ended in an error although tokens were billed; `retry`: earlier attempts, with a cost
    where they were billed, and of these apart `retry_cannot_help`, `retry_no_backoff` and `retry_excess`
    (`RETRY_FAULTS`); `abandoned`: streams that the application left before their end; `duplicate`: a request
    that the same session (or trace, where it names none) sends again within AGAIN_WITHIN of its answer, with
    nothing else asked in between; `long_context`: what goes beyond LONG_INPUT in calls whose answer is next
    to nothing; `cacheable`: equal to an earlier request, of anybody, that a cache would still have answered
    which keeps an answer for `lifetime` after it was last asked for. Read from single calls, so only as far
    back as these are kept; sampled calls count as often as they stand for.
    """
    data = frame(client, _BY_KIND, {**scope.params(), "lifetime": seconds(lifetime)}).set_index("kind")
    data["cost"] = pd.to_numeric(data["cost"], errors="coerce")
    full = data.reindex([*KINDS, CACHEABLE])
    for column in _NUMBERS:
        full[column] = pd.to_numeric(full[column]).fillna(0).round().astype("int64")
    full.loc[full["calls"] == 0, "cost"] = 0.0
    return full.reset_index()


def waste(client: Client, scope: Scope) -> pd.DataFrame:
    """The rows of `by_kind` that are waste."""
    data = by_kind(client, scope)
    return data[data["kind"] != CACHEABLE].reset_index(drop=True)


def calls_of_kind(
    client: Client, scope: Scope, kind: str, prompt: str = "", lifetime: timedelta = LIFETIME
) -> pd.DataFrame:
    """The calls of one of KINDS, or of CACHEABLE, dearest first, MOST_CALLS at most: `time` (of the scope's
    zone), `project`, `service`, `user`, `session`, `provider`, `model`, `prompt` (a hash in hexadecimal
    digits, equal for equal requests to one model), `trace`, `span`, tokens, which of them are `estimated`,
    and `cost` in USD of what was wasted (NaN where unpriced).

    prompt: only this request. lifetime: of the cache, for CACHEABLE.
    """
    parameters = {**scope.params(), "kind": kind, "prompt": prompt, "lifetime": seconds(lifetime)}
    data = frame(client, _LISTED, parameters)
    data["cost"] = pd.to_numeric(data["cost"], errors="coerce")
    return data

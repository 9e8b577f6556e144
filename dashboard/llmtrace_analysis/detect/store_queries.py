"""What detection asks the store. Times are Unix seconds (milliseconds where a name ends in `_ms`).

`purposes` are what the calls were for that may open an incident. Simulated calls are history besides: they
say how much values vary, and how much others send. All others are left out, so that a load test or an
evaluation is neither an incident nor what is usual.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from clickhouse_connect.driver.client import Client

from llmtrace.semconv import PURPOSE_SIMULATED
from llmtrace_collector.store.incident import Incident

from .abuse.access_events import AccessCount
from .abuse.request_flood import MinuteCounts
from .detectors.series import Series, SeriesKey, to_series

_LIVE = "has({purposes:Array(String)}, Purpose)"
_LIVE_OR_HISTORY = "has({history:Array(String)}, Purpose)"

_USAGE = f"""SELECT
    toString(Project) AS project,
    toString(Provider) AS provider,
    toString(Model) AS model,
    intDiv(toUnixTimestamp(Time), {{bucket:UInt32}}) * {{bucket:UInt32}} AS bucket,
    sum(Calls) AS calls,
    sumIf(Calls, {_LIVE}) AS live_calls,
    sum(Errors) AS errors,
    sum(Calls) - sum(UnknownUsage) AS known_usage,
    sum(InputTokens) + sum(OutputTokens) AS tokens,
    sum(Cost) AS cost,
    quantilesTDigestMerge(0.5, 0.95, 0.99)(LatencyDigest)[1] AS p50,
    quantilesTDigestMerge(0.5, 0.95, 0.99)(LatencyDigest)[2] AS p95
FROM usage_cost
WHERE Time >= toDateTime({{since:UInt32}}) AND {_LIVE_OR_HISTORY}
GROUP BY project, provider, model, bucket
ORDER BY project, provider, model, bucket"""  # noqa: S608, conditions of ours


def usage(client: Client, since: int, bucket_seconds: int, purposes: Sequence[str]) -> list[Series]:
    """Every model's series from `since` on, which is the start of a bucket."""
    return to_series(_rows(client, _USAGE, bucket=bucket_seconds, since=since, **_purposes(purposes)))


_INCIDENTS = f"""SELECT
    {Incident.select_list()}
FROM incidents
WHERE State != 'resolved' OR UpdatedAt >= fromUnixTimestamp64Milli({{since_ms:Int64}})
ORDER BY OpenedAt"""  # noqa: S608, the list is of constants


def incidents(client: Client, since: float) -> list[Incident]:
    """The incidents that are not resolved and those that changed since then, oldest first."""
    result = client.query(_INCIDENTS, parameters={"since_ms": int(since * 1000)})
    return [Incident.from_row(row) for row in result.named_results()]


_EVIDENCE = f"""SELECT TraceId, max(ErrorType) AS error_type
FROM otel_traces
WHERE Project = {{project:String}} AND Provider = {{provider:String}} AND Model = {{model:String}}
    AND Counted AND {_LIVE} AND TraceId != ''
    AND Timestamp >= toDateTime64({{since:UInt32}}, 9) AND Timestamp < toDateTime64({{until:UInt32}}, 9)
    AND ({{metric:String}} != 'error_rate' OR StatusCode = 'Error')
GROUP BY TraceId
ORDER BY max(multiIf(
    {{metric:String}} = 'latency', toFloat64(Duration),
    {{metric:String}} = 'error_rate', toFloat64(toUnixTimestamp64Milli(Timestamp)),
    toFloat64(ifNull(InputTokens, 0) + ifNull(OutputTokens, 0))
)) DESC
LIMIT 10"""  # noqa: S608, conditions of ours


class Evidence(NamedTuple):
    """A trace that shows the anomaly, and what its failed call reported."""

    trace_id: str
    error_type: str


def anomaly_evidence(
    client: Client, key: SeriesKey, metric: str, since: int, until: int, purposes: Sequence[str]
) -> list[Evidence]:
    """The traces that show an anomaly most clearly: slowest, failed last, most tokens."""
    window = {"since": since, "until": until}
    rows = _rows(client, _EVIDENCE, **key._asdict(), metric=metric, **window, **_purposes(purposes))
    return [Evidence(*row) for row in rows]


_BUSY_USERS = f"""SELECT toString(Project) AS project, UserId, sum(Calls) AS live_calls
FROM usage_10s
WHERE UserId != '' AND Time >= toDateTime({{since:UInt32}}) AND Time < toDateTime({{until:UInt32}})
    AND {_LIVE}
GROUP BY project, UserId
HAVING live_calls >= {{calls:UInt32}}
ORDER BY live_calls DESC
LIMIT 1000"""  # noqa: S608, conditions of ours


def busy_users(
    client: Client, since: int, until: int, calls: int, purposes: Sequence[str]
) -> list[tuple[str, str, int]]:
    """(project, user, calls) of each user with at least that many calls."""
    window = {"since": since, "until": until}
    return [tuple(row) for row in _rows(client, _BUSY_USERS, **window, calls=calls, **_purposes(purposes))]


_MINUTE_COUNTS = f"""SELECT project, who, calls, count() AS times, uniqExact(user) AS users
FROM (
    SELECT
        toString(Project) AS project,
        UserId AS user,
        if(has({{users:Array(String)}}, UserId), UserId, '') AS who,
        intDiv({{until:UInt32}} - 1 - toUnixTimestamp(Time), {{window:UInt32}}) AS slot,
        sum(Calls) AS calls
    FROM usage_10s
    WHERE UserId != '' AND Time >= toDateTime({{since:UInt32}}) AND Time < toDateTime({{until:UInt32}})
        AND {_LIVE_OR_HISTORY}
    GROUP BY project, user, who, slot
)
GROUP BY project, who, calls"""  # noqa: S608, conditions of ours


def minute_counts(
    client: Client, users: Sequence[str], since: int, until: int, window: int, purposes: Sequence[str]
) -> list[MinuteCounts]:
    """How often users sent how many calls in a stretch of `window` seconds: `users` by name, others together.

    Stretches in which a user sent nothing are left out.
    """
    window_of = {"since": since, "until": until, "window": window}
    rows = _rows(client, _MINUTE_COUNTS, users=list(users), **window_of, **_purposes(purposes))
    return [MinuteCounts(*row) for row in rows]


_USER_TRACES = f"""SELECT TraceId
FROM otel_traces
WHERE Project = {{project:String}} AND UserId = {{user:String}} AND Counted AND {_LIVE} AND TraceId != ''
    AND Timestamp >= toDateTime64({{since:UInt32}}, 9)
GROUP BY TraceId
ORDER BY max(Timestamp) DESC
LIMIT 10"""  # noqa: S608, conditions of ours


def user_traces(client: Client, project: str, user: str, since: int, purposes: Sequence[str]) -> list[str]:
    """A user's newest traces."""
    whose = {"project": project, "user": user}
    return [str(row[0]) for row in _rows(client, _USER_TRACES, **whose, since=since, **_purposes(purposes))]


#: Of a longer conversation, this many bytes of the end are read: that is where the newest messages are.
TEXT_BYTES = 65_536

_CALLS_WITH_MESSAGES = """SELECT
    toString(Project) AS project,
    UserId,
    TraceId,
    SpanId,
    toUnixTimestamp64Milli(Timestamp) / 1000 AS at,
    toUnixTimestamp64Milli(ReceivedAt) AS received_ms
FROM otel_traces
WHERE Counted AND has({purposes:Array(String)}, Purpose) AND PromptHash != 0
    AND Timestamp >= toDateTime64({since:UInt32}, 9)
    AND (received_ms, SpanId) > ({received_ms:Int64}, {span_id:String})
ORDER BY received_ms, SpanId
LIMIT {rows:UInt32}"""

# The calls are chosen before a text is read: mostly there is none that was not read before.
_MESSAGES = f"""SELECT
    TraceId,
    SpanId,
    right(InputMessages, {{limit:UInt32}}) AS text,
    length(InputMessages) > {{limit:UInt32}} AS cut
FROM span_texts
WHERE Timestamp >= toDateTime64({{since:UInt32}}, 9)
    AND (TraceId, SpanId) IN (SELECT TraceId, SpanId FROM ({_CALLS_WITH_MESSAGES}))"""  # noqa: S608, texts of ours


class MessageRow(NamedTuple):
    """The messages that one call sent."""

    project: str
    user: str
    trace_id: str
    span_id: str
    at: float
    received_ms: int
    text: str
    """JSON, or its end when `cut`."""
    cut: bool


def messages(
    client: Client, since: int, purposes: Sequence[str], after: tuple[int, str] = (0, ""), rows: int = 500
) -> list[MessageRow]:
    """What calls since then sent, in the order received, from after (`received_ms`, `span_id`) on."""
    window = {"received_ms": after[0], "span_id": after[1], "since": since, "rows": rows}
    calls = _rows(client, _CALLS_WITH_MESSAGES, **window, purposes=list(purposes))
    if not calls:
        return []
    message_rows = _rows(client, _MESSAGES, **window, purposes=list(purposes), limit=TEXT_BYTES)
    texts = {(trace, span): (text, cut) for trace, span, text, cut in message_rows}
    messages_of_calls = []
    for project, user, trace, span, at, received_ms in calls:
        text, cut = texts.get((trace, span), ("", False))
        messages_of_calls.append(MessageRow(project, user, trace, span, at, received_ms, text, cut))
    return messages_of_calls


_ACCESS = """SELECT
    toString(Kind) AS kind,
    KeyId AS key_id,
    Address AS address,
    sum(Count) AS events,
    toUnixTimestamp64Milli(max(Timestamp)) / 1000 AS last_at
FROM security_events
WHERE Timestamp >= toDateTime64({since:UInt32}, 3)
    AND Kind IN ('key_refused', 'read_denied', 'key_new_address')
GROUP BY kind, key_id, address
ORDER BY events DESC
LIMIT 1000"""


def access_counts(client: Client, since: int) -> list[AccessCount]:
    """Refused keys, denied reads and keys in new places since then: for keys of every project alone."""
    return [AccessCount(*row) for row in _rows(client, _ACCESS, since=since)]


_DELIVERIES = """SELECT DeliveryId, max(Ok) AS ok, max(Attempt) AS attempts
FROM webhook_deliveries
WHERE At >= fromUnixTimestamp64Milli({since_ms:Int64})
GROUP BY DeliveryId"""


def deliveries(client: Client, since: float) -> dict[str, tuple[bool, int]]:
    """Delivery id → (delivered, number of attempts), of the attempts since then."""
    rows = _rows(client, _DELIVERIES, since_ms=int(since * 1000))
    return {str(row[0]): (bool(row[1]), int(row[2])) for row in rows}


def _purposes(purposes: Sequence[str]) -> dict[str, list[str]]:
    return {"purposes": list(purposes), "history": [*purposes, PURPOSE_SIMULATED]}


def _rows(client: Client, sql: str, **parameters: Any) -> Sequence[Sequence[Any]]:
    rows: Sequence[Sequence[Any]] = client.query(sql, parameters=parameters).result_rows
    return rows

"""What detection asks the store. Times are Unix seconds (milliseconds where a name ends in `_ms`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from clickhouse_connect.driver.client import Client

from llmtrace_collector.store.incident import Incident

from .abuse.request_flood import MinuteCounts
from .detectors.series import Series, SeriesKey, to_series

_USAGE = """SELECT
    toString(Project) AS project,
    toString(Provider) AS provider,
    toString(Model) AS model,
    intDiv(toUnixTimestamp(Time), {bucket:UInt32}) * {bucket:UInt32} AS bucket,
    sum(Calls) AS calls,
    sumIf(Calls, Purpose != 'simulated') AS live_calls,
    sum(Errors) AS errors,
    sum(Calls) - sum(UnknownUsage) AS known_usage,
    sum(InputTokens) + sum(OutputTokens) AS tokens,
    sum(Cost) AS cost,
    quantilesTDigestMerge(0.5, 0.95, 0.99)(LatencyDigest)[1] AS p50,
    quantilesTDigestMerge(0.5, 0.95, 0.99)(LatencyDigest)[2] AS p95
FROM usage_cost
WHERE Time >= toDateTime({since:UInt32})
GROUP BY project, provider, model, bucket
ORDER BY project, provider, model, bucket"""


def usage(client: Client, since: int, bucket_seconds: int) -> list[Series]:
    """Every model's series from `since` on, which is the start of a bucket."""
    return to_series(_rows(client, _USAGE, bucket=bucket_seconds, since=since))


_INCIDENTS = f"""SELECT
    {Incident.select_list()}
FROM incidents
WHERE State != 'resolved' OR UpdatedAt >= fromUnixTimestamp64Milli({{since_ms:Int64}})
ORDER BY OpenedAt"""  # noqa: S608, the list is of constants


def incidents(client: Client, since: float) -> list[Incident]:
    """The incidents that are not resolved and those that changed since then, oldest first."""
    result = client.query(_INCIDENTS, parameters={"since_ms": int(since * 1000)})
    return [Incident.from_row(row) for row in result.named_results()]


_EVIDENCE = """SELECT TraceId, max(ErrorType) AS error_type
FROM otel_traces
WHERE Project = {project:String} AND Provider = {provider:String} AND Model = {model:String}
    AND Counted AND Purpose != 'simulated' AND TraceId != ''
    AND Timestamp >= toDateTime64({since:UInt32}, 9) AND Timestamp < toDateTime64({until:UInt32}, 9)
    AND ({metric:String} != 'error_rate' OR StatusCode = 'Error')
GROUP BY TraceId
ORDER BY max(multiIf(
    {metric:String} = 'latency', toFloat64(Duration),
    {metric:String} = 'error_rate', toFloat64(toUnixTimestamp64Milli(Timestamp)),
    toFloat64(ifNull(InputTokens, 0) + ifNull(OutputTokens, 0))
)) DESC
LIMIT 10"""


class Evidence(NamedTuple):
    """A trace that shows the anomaly, and what its failed call reported."""

    trace_id: str
    error_type: str


def anomaly_evidence(client: Client, key: SeriesKey, metric: str, since: int, until: int) -> list[Evidence]:
    """The traces that show an anomaly most clearly: slowest, failed last, most tokens."""
    rows = _rows(client, _EVIDENCE, **key._asdict(), metric=metric, since=since, until=until)
    return [Evidence(*row) for row in rows]


_BUSY_USERS = """SELECT toString(Project) AS project, UserId, sumIf(Calls, Purpose != 'simulated') AS live_calls
FROM usage_10s
WHERE UserId != '' AND Time >= toDateTime({since:UInt32}) AND Time < toDateTime({until:UInt32})
GROUP BY project, UserId
HAVING live_calls >= {calls:UInt32}
ORDER BY live_calls DESC
LIMIT 1000"""


def busy_users(client: Client, since: int, until: int, calls: int) -> list[tuple[str, str, int]]:
    """(project, user, calls) of each user with at least that many calls, simulated ones aside."""
    return [tuple(row) for row in _rows(client, _BUSY_USERS, since=since, until=until, calls=calls)]


_MINUTE_COUNTS = """SELECT project, who, calls, count() AS times, uniqExact(user) AS users
FROM (
    SELECT
        toString(Project) AS project,
        UserId AS user,
        if(has({users:Array(String)}, UserId), UserId, '') AS who,
        intDiv({until:UInt32} - 1 - toUnixTimestamp(Time), {window:UInt32}) AS slot,
        sum(Calls) AS calls
    FROM usage_10s
    WHERE UserId != '' AND Time >= toDateTime({since:UInt32}) AND Time < toDateTime({until:UInt32})
    GROUP BY project, user, who, slot
)
GROUP BY project, who, calls"""


def minute_counts(
    client: Client, users: Sequence[str], since: int, until: int, window: int
) -> list[MinuteCounts]:
    """How often users sent how many calls in a stretch of `window` seconds: `users` by name, others together.

    Stretches in which a user sent nothing are left out.
    """
    rows = _rows(client, _MINUTE_COUNTS, users=list(users), since=since, until=until, window=window)
    return [MinuteCounts(*row) for row in rows]


_USER_TRACES = """SELECT TraceId
FROM otel_traces
WHERE Project = {project:String} AND UserId = {user:String} AND Counted AND Purpose != 'simulated' AND TraceId != ''
    AND Timestamp >= toDateTime64({since:UInt32}, 9)
GROUP BY TraceId
ORDER BY max(Timestamp) DESC
LIMIT 10"""


def user_traces(client: Client, project: str, user: str, since: int) -> list[str]:
    """A user's newest traces."""
    return [str(row[0]) for row in _rows(client, _USER_TRACES, project=project, user=user, since=since)]


#: Of a longer conversation, this many bytes of the end are read: that is where the newest messages are.
TEXT_BYTES = 65_536

_MESSAGES = """SELECT
    toString(Project) AS project,
    UserId,
    TraceId,
    SpanId,
    toUnixTimestamp64Milli(Timestamp) / 1000 AS at,
    toUnixTimestamp64Milli(ReceivedAt) AS received_ms,
    right(InputMessages, {limit:UInt32}) AS text,
    length(InputMessages) > {limit:UInt32} AS cut
FROM otel_traces
WHERE Counted AND Purpose != 'simulated' AND InputMessages != ''
    AND Timestamp >= toDateTime64({since:UInt32}, 9)
    AND (received_ms, SpanId) > ({received_ms:Int64}, {span_id:String})
ORDER BY received_ms, SpanId
LIMIT {rows:UInt32}"""


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
    client: Client, since: int, after: tuple[int, str] = (0, ""), rows: int = 500
) -> list[MessageRow]:
    """What calls since then sent, in the order received, from after (`received_ms`, `span_id`) on."""
    calls = _rows(
        client, _MESSAGES, since=since, received_ms=after[0], span_id=after[1], rows=rows, limit=TEXT_BYTES
    )
    return [MessageRow(*call) for call in calls]


_DELIVERIES = """SELECT DeliveryId, max(Ok) AS ok, max(Attempt) AS attempts
FROM webhook_deliveries
WHERE At >= fromUnixTimestamp64Milli({since_ms:Int64})
GROUP BY DeliveryId"""


def deliveries(client: Client, since: float) -> dict[str, tuple[bool, int]]:
    """Delivery id → (delivered, number of attempts), of the attempts since then."""
    rows = _rows(client, _DELIVERIES, since_ms=int(since * 1000))
    return {str(row[0]): (bool(row[1]), int(row[2])) for row in rows}


def _rows(client: Client, sql: str, **parameters: Any) -> Sequence[Sequence[Any]]:
    rows: Sequence[Sequence[Any]] = client.query(sql, parameters=parameters).result_rows
    return rows

"""What detection asks the store. Times are Unix seconds (milliseconds where a name ends in `_ms`).

`purposes` are what the calls were for that may open an incident. Simulated calls are history besides: they
say how much values vary, and how much others send. All others are left out, so that a load test or an
evaluation is neither an incident nor what is usual.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from clickhouse_connect.driver.client import Client

from llmtrace.semconv import PURPOSE_SIMULATED
from llmtrace_collector.store.incident import Incident

from .abuse.access_events import AccessCount
from .abuse.prefilter import expressions
from .abuse.request_flood import MinuteCounts
from .detectors.series import BucketRow, SeriesKey
from .labels import Labelled

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
WHERE Time >= toDateTime({{since:UInt32}}) AND Time < toDateTime({{until:UInt32}}) AND {_LIVE_OR_HISTORY}
GROUP BY project, provider, model, bucket
ORDER BY project, provider, model, bucket"""  # noqa: S608, conditions of ours


#: Past all times that the store's rollups hold.
_NEVER = 2**32 - 1


def usage(
    client: Client, since: int, bucket_seconds: int, purposes: Sequence[str], until: int = _NEVER
) -> list[BucketRow]:
    """Every model's buckets from `since` on, which is the start of one, to `until`, the start of another."""
    window = {"since": since, "until": until}
    rows = _rows(client, _USAGE, bucket=bucket_seconds, **window, **_purposes(purposes))
    return [BucketRow._make(row) for row in rows]


_INCIDENTS = f"""SELECT
    {Incident.select_list()}
FROM incidents
WHERE State != 'resolved' OR UpdatedAt >= fromUnixTimestamp64Milli({{since_ms:Int64}})
ORDER BY OpenedAt"""  # noqa: S608, the list is of constants


def incidents(client: Client, since: float) -> list[Incident]:
    """The incidents that are not resolved and those that changed since then, oldest first."""
    result = client.query(_INCIDENTS, parameters={"since_ms": int(since * 1000)})
    return [Incident.from_row(row) for row in result.named_results()]


_PAST_INCIDENTS = f"""SELECT
    {Incident.select_list()}
FROM incidents
WHERE Kind = 'anomaly' AND OpenedAt < fromUnixTimestamp64Milli({{until_ms:Int64}})
    AND (State != 'resolved' OR ResolvedAt >= fromUnixTimestamp64Milli({{since_ms:Int64}}))
ORDER BY OpenedAt"""  # noqa: S608, the list is of constants


def past_anomalies(client: Client, since: float, until: float) -> list[Incident]:
    """The anomalies that were open at some time between, oldest first."""
    window = {"since_ms": int(since * 1000), "until_ms": int(until * 1000)}
    result = client.query(_PAST_INCIDENTS, parameters=window)
    return [Incident.from_row(row) for row in result.named_results()]


_LABELS = """SELECT Fingerprint, Rule, Label, toUnixTimestamp64Milli(LabelledAt) / 1000 AS at
FROM incidents
WHERE Label != '' AND LabelledAt >= fromUnixTimestamp64Milli({since_ms:Int64})
ORDER BY at"""


def labels(client: Client, since: float) -> list[Labelled]:
    """What people labelled since then, oldest first."""
    return [Labelled(*row) for row in _rows(client, _LABELS, since_ms=int(since * 1000))]


# Each call is compared with the times of its own model: `number` is the place of that in the arrays.
_EVIDENCE = f"""SELECT
    indexOf(
        arrayZip({{projects:Array(String)}}, {{providers:Array(String)}}, {{models:Array(String)}}),
        (toString(Project), toString(Provider), toString(Model))
    ) AS number,
    TraceId,
    max(ErrorType) AS error_type
FROM otel_traces
WHERE Counted AND {_LIVE} AND TraceId != ''
    AND Timestamp >= toDateTime64({{first:UInt32}}, 9) AND Timestamp < toDateTime64({{last:UInt32}}, 9)
    AND ({{metric:String}} != 'error_rate' OR StatusCode = 'Error')
    AND number > 0
    AND toUnixTimestamp(Timestamp) >= {{since:Array(UInt32)}}[number]
    AND toUnixTimestamp(Timestamp) < {{until:Array(UInt32)}}[number]
GROUP BY number, TraceId
ORDER BY max(multiIf(
    {{metric:String}} = 'latency', toFloat64(Duration),
    {{metric:String}} = 'error_rate', toFloat64(toUnixTimestamp64Milli(Timestamp)),
    toFloat64(ifNull(InputTokens, 0) + ifNull(OutputTokens, 0))
)) DESC
LIMIT 10 BY number"""  # noqa: S608, conditions of ours


class Evidence(NamedTuple):
    """A trace that shows the anomaly, and what its failed call reported."""

    trace_id: str
    error_type: str


class Stretch(NamedTuple):
    """A model's time from `since` to `until`."""

    key: SeriesKey
    since: int
    until: int


def anomaly_evidence(
    client: Client, metric: str, stretches: Sequence[Stretch], purposes: Sequence[str]
) -> dict[SeriesKey, list[Evidence]]:
    """The traces that show anomalies of a metric most clearly: slowest, failed last, most tokens. One stretch
    of each model at most.
    """
    if not stretches:
        return {}
    since, until = [stretch.since for stretch in stretches], [stretch.until for stretch in stretches]
    arrays = {
        "projects": [stretch.key.project for stretch in stretches],
        "providers": [stretch.key.provider for stretch in stretches],
        "models": [stretch.key.model for stretch in stretches],
        "since": since,
        "until": until,
    }
    whole = {"first": min(since), "last": max(until)}
    evidence: dict[SeriesKey, list[Evidence]] = {stretch.key: [] for stretch in stretches}
    for number, *of in _rows(client, _EVIDENCE, metric=metric, **arrays, **whole, **_purposes(purposes)):
        evidence[stretches[number - 1].key].append(Evidence(*of))
    return evidence


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


_NEWEST_COUNTS = f"""SELECT project, who, calls, count() AS times, uniqExact(user) AS users
FROM (
    SELECT
        toString(Project) AS project,
        UserId AS user,
        if(has({{users:Array(String)}}, UserId), UserId, '') AS who,
        toUInt64(round(sum(Calls) * {{steps:UInt32}} / uniqExact(Time))) AS calls
    FROM usage_10s
    WHERE UserId != '' AND Time >= toDateTime({{since:UInt32}}) AND Time < toDateTime({{until:UInt32}})
        AND {_LIVE_OR_HISTORY}
    GROUP BY project, user, who
)
GROUP BY project, who, calls"""  # noqa: S608, conditions of ours


def newest_counts(
    client: Client, users: Sequence[str], since: int, until: int, purposes: Sequence[str]
) -> list[MinuteCounts]:
    """How many users sent how many calls in the one stretch from `since` to `until`: `users` by name, others
    together, each as if it had sent all along as in those ten seconds in which it did.
    """
    stretch = {"since": since, "until": until, "steps": (until - since) // 10}
    rows = _rows(client, _NEWEST_COUNTS, users=list(users), **stretch, **_purposes(purposes))
    return [MinuteCounts(*row) for row in rows]


_KNOWN_PROJECTS = """SELECT toString(Project) AS project
FROM usage_10s
WHERE has({projects:Array(String)}, Project)
    AND Time >= toDateTime({since:UInt32}) AND Time < toDateTime({until:UInt32})
GROUP BY project"""


def known_projects(client: Client, projects: Sequence[str], since: int, until: int) -> set[str]:
    """Those of the projects in which anybody called in that time."""
    rows = _rows(client, _KNOWN_PROJECTS, projects=list(projects), since=since, until=until)
    return {str(row[0]) for row in rows}


_USER_TRACES = f"""SELECT toString(Project) AS project, UserId, TraceId
FROM otel_traces
WHERE has({{users:Array(String)}}, UserId) AND Counted AND {_LIVE} AND TraceId != ''
    AND Timestamp >= toDateTime64({{since:UInt32}}, 9)
GROUP BY project, UserId, TraceId
ORDER BY max(Timestamp) DESC
LIMIT 10 BY project, UserId"""  # noqa: S608, conditions of ours


def user_traces(
    client: Client, users: Sequence[str], since: int, purposes: Sequence[str]
) -> dict[tuple[str, str], list[str]]:
    """(project, user) → the newest traces of these users in every project where they called."""
    traces: dict[tuple[str, str], list[str]] = {}
    if users:
        rows = _rows(client, _USER_TRACES, users=list(users), since=since, **_purposes(purposes))
        for project, user, trace in rows:
            traces.setdefault((project, user), []).append(trace)
    return traces


#: Of a longer conversation, this many bytes of the end are read: that is where the newest messages are.
TEXT_BYTES = 65_536

#: Rows of `span_texts` that somebody said something in which may open an incident.
_SAID = f"Counted AND {_LIVE} AND PromptHash != 0"

_STORE_NOW = "SELECT toUnixTimestamp64Milli(now64(3))"

_ARRIVALS = f"""SELECT toUnixTimestamp64Milli(StoredAt) AS stamp, count()
FROM span_texts
WHERE StoredAt >= fromUnixTimestamp64Milli({{since:Int64}}) AND {_SAID}
GROUP BY stamp"""  # noqa: S608, conditions of ours


def store_now_ms(client: Client) -> int:
    """The clock by which the store stamps what arrives, milliseconds."""
    return int(_rows(client, _STORE_NOW)[0][0])


def arrivals(client: Client, since_ms: int, purposes: Sequence[str]) -> dict[int, int]:
    """Stamp → number of calls with messages that the store stamped so, from `since_ms` on (milliseconds)."""
    return {
        int(stamp): int(calls)
        for stamp, calls in _rows(client, _ARRIVALS, since=since_ms, purposes=list(purposes))
    }


# A text is cut at its beginning, perhaps through a character.
_SUSPECTS = f"""SELECT
    toString(Project) AS project,
    UserId,
    TraceId,
    SpanId,
    toUnixTimestamp64Milli(StoredAt) AS stamp,
    length(InputMessages) > {TEXT_BYTES} AS cut,
    if(cut, toValidUTF8(right(InputMessages, {TEXT_BYTES})), InputMessages) AS text
FROM span_texts
WHERE StoredAt >= fromUnixTimestamp64Milli({{first:Int64}})
    AND StoredAt <= fromUnixTimestamp64Milli({{last:Int64}})
    AND has({{stamps:Array(Int64)}}, toUnixTimestamp64Milli(StoredAt)) AND {_SAID}
    AND multiMatchAny(text, {{expressions:Array(String)}})
    AND cityHash64(SpanId) % {{parts:UInt32}} = {{part:UInt32}}"""  # noqa: S608, conditions of ours


class MessageRow(NamedTuple):
    """The messages that one call sent."""

    project: str
    user: str
    trace_id: str
    span_id: str
    stamp: int
    """When the store stamped it, milliseconds of its clock."""
    cut: bool
    text: str
    """JSON, or its end when `cut`."""


def suspects(
    client: Client, stamps: Sequence[int], purposes: Sequence[str], parts: int = 1, part: int = 0
) -> Iterator[MessageRow]:
    """Calls of these stamps in whose messages an injection pattern may hit; of so many equal `parts` one."""
    window = {"first": min(stamps), "last": max(stamps), "stamps": list(stamps), "parts": parts, "part": part}
    with client.query_row_block_stream(
        _SUSPECTS, parameters={**window, "purposes": list(purposes), "expressions": list(expressions())}
    ) as blocks:
        for block in blocks:
            for row in block:
                yield MessageRow(*row)


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


_DELIVERIES = """SELECT DeliveryId, max(Ok) OR min(Attempt) = 0 AS settled, max(Attempt) AS attempts
FROM webhook_deliveries
WHERE IncidentId IN (
    SELECT IncidentId
    FROM incidents
    WHERE State != 'resolved' OR UpdatedAt >= fromUnixTimestamp64Milli({since_ms:Int64})
)
GROUP BY DeliveryId"""


def deliveries(client: Client, since: float) -> dict[str, tuple[bool, int]]:
    """Delivery id → (delivered or given up, number of attempts), of what `incidents` returns for then."""
    rows = _rows(client, _DELIVERIES, since_ms=int(since * 1000))
    return {str(row[0]): (bool(row[1]), int(row[2])) for row in rows}


def _purposes(purposes: Sequence[str]) -> dict[str, list[str]]:
    return {"purposes": list(purposes), "history": [*purposes, PURPOSE_SIMULATED]}


def _rows(client: Client, sql: str, **parameters: Any) -> Sequence[Sequence[Any]]:
    rows: Sequence[Sequence[Any]] = client.query(sql, parameters=parameters).result_rows
    return rows

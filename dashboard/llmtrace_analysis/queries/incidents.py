"""Incidents: the list, one with its history and deliveries, and the metric around it."""

# Texts are put together from constants alone; values are bound.
# ruff: noqa: S608

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
from clickhouse_connect.driver.client import Client

from .scope import STEPS, frame, millis, moment, rows

_COLUMNS = """Project AS project,
    IncidentId AS incident_id,
    Kind AS kind,
    Rule AS rule,
    Severity AS severity,
    State AS state,
    Title AS title,
    Summary AS summary,
    Metric AS metric,
    Dimensions AS dimensions,
    Observed AS observed,
    ExpectedLow AS expected_low,
    ExpectedHigh AS expected_high,
    Unit AS unit,
    toUnixTimestamp64Milli(OpenedAt) AS opened_at,
    toUnixTimestamp64Milli(LastSeenAt) AS last_seen_at,
    toUnixTimestamp64Milli(AcknowledgedAt) AS acknowledged_at,
    AcknowledgedBy AS acknowledged_by,
    toUnixTimestamp64Milli(ResolvedAt) AS resolved_at,
    Evidence AS evidence,
    Count AS seen"""

INCIDENT_LIST = f"""SELECT
    {_COLUMNS}
FROM incidents
WHERE ({{project:String}} = '' OR Project = {{project:String}})
    AND (empty({{states:Array(String)}}) OR has({{states:Array(String)}}, State))
ORDER BY State = 'resolved', Severity = 'critical' DESC, opened_at DESC
LIMIT {{limit:UInt32}}"""

INCIDENT_COUNTS = """SELECT State AS state, count() AS incidents
FROM incidents
WHERE {project:String} = '' OR Project = {project:String}
GROUP BY state"""

INCIDENT = f"""SELECT
    {_COLUMNS}
FROM incidents
WHERE IncidentId = {{incident_id:String}}
LIMIT 1"""

INCIDENT_HISTORY = """SELECT
    toUnixTimestamp64Milli(At) AS at,
    Action AS action,
    Actor AS actor,
    Note AS note
FROM incident_history
WHERE IncidentId = {incident_id:String}
ORDER BY at DESC
LIMIT 200"""

DELIVERIES = """SELECT
    toUnixTimestamp64Milli(At) AS at,
    Event AS event,
    Url AS url,
    Attempt AS attempt,
    StatusCode AS status_code,
    Ok AS ok,
    Error AS error,
    DurationMs AS duration_ms
FROM webhook_deliveries
WHERE IncidentId = {incident_id:String}
ORDER BY at DESC, attempt DESC
LIMIT 100"""

INCIDENT_SERIES = """SELECT
    intDiv(toUnixTimestamp(Time), {step:UInt32}) * {step:UInt32} AS bucket,
    sum(Calls) AS calls,
    sum(Errors) AS errors,
    sum(UnknownUsage) AS without_tokens,
    sum(InputTokens) AS input_tokens,
    sum(OutputTokens) AS output_tokens,
    sum(InputTokens) + sum(OutputTokens) AS tokens,
    quantilesTDigestMerge(0.5, 0.95, 0.99)(LatencyDigest) AS latency,
    quantilesTDigestMerge(0.5, 0.95, 0.99)(TtftDigest) AS ttft,
    sum(Cost) AS cost
FROM usage_cost
WHERE Time >= fromUnixTimestamp64Milli({since:Int64}) AND Time < fromUnixTimestamp64Milli({until:Int64})
    AND Project = {project:String}
    AND ({model:String} = '' OR Model = {model:String})
    AND ({provider:String} = '' OR Provider = {provider:String})
    AND ({service:String} = '' OR ServiceName = {service:String})
    AND ({user:String} = '' OR UserId = {user:String})
GROUP BY bucket
ORDER BY bucket"""


@dataclass(frozen=True)
class Incident:
    """One incident, newest version. Times are aware UTC; observed and expected are in `unit`."""

    project: str
    incident_id: str
    kind: str
    rule: str
    severity: str
    state: str
    title: str
    summary: str
    metric: str
    dimensions: Mapping[str, str]
    observed: float | None
    expected_low: float | None
    expected_high: float | None
    unit: str
    opened_at: datetime
    last_seen_at: datetime
    acknowledged_at: datetime | None
    acknowledged_by: str
    resolved_at: datetime | None
    evidence: tuple[str, ...]
    seen: int

    @property
    def ended(self) -> datetime:
        """When it was resolved, else when it was last seen."""
        return self.resolved_at or self.last_seen_at


def incident_list(
    client: Client, project: str, states: tuple[str, ...] = (), limit: int = 100
) -> list[Incident]:
    """Incidents of a project ('' for all) in the given states (() for all): unresolved and critical first."""
    params = {"project": project, "states": list(states), "limit": limit}
    return [_incident(row) for row in rows(client, INCIDENT_LIST, params)]


def incident_counts(client: Client, project: str) -> dict[str, int]:
    """State → number of incidents."""
    return {
        row["state"]: int(row["incidents"]) for row in rows(client, INCIDENT_COUNTS, {"project": project})
    }


def incident(client: Client, incident_id: str) -> Incident | None:
    """One incident by its id."""
    matches = rows(client, INCIDENT, {"incident_id": incident_id})
    return _incident(matches[0]) if matches else None


def history(client: Client, incident_id: str) -> list[dict[str, Any]]:
    """What happened to it, newest first: at (ms), action, actor, note."""
    return rows(client, INCIDENT_HISTORY, {"incident_id": incident_id})


def deliveries(client: Client, incident_id: str) -> list[dict[str, Any]]:
    """Webhook attempts, newest first; columns of `DELIVERIES`, `at` in ms."""
    return rows(client, DELIVERIES, {"incident_id": incident_id})


def chart_window(incident: Incident) -> tuple[datetime, datetime, int]:
    """Start, end and bucket width in seconds of the chart around an incident."""
    length = incident.ended - incident.opened_at
    margin = min(max(length, timedelta(minutes=15)), timedelta(hours=12))
    since, until = incident.opened_at - margin, incident.ended + margin / 2
    seconds = (until - since).total_seconds()
    # Floods are counted over a minute, everything else in the store's ten seconds.
    least = 60 if incident.metric == "calls" else STEPS[0]
    step = next((step for step in STEPS if step >= least and seconds / step <= 180), STEPS[-1])
    return since, min(until, datetime.now(UTC)), step


def around(client: Client, incident: Incident) -> pd.DataFrame:
    """The rollup around an incident under its own dimensions.

    Columns: `time` (UTC), calls, errors, error_rate, tokens_per_call, cost_per_10_s (USD), calls_per_minute,
    and p50, p95, p99, ttft_p50, ttft_p95 in seconds.
    """
    since, until, step = chart_window(incident)
    dimensions = {name.lower(): value for name, value in incident.dimensions.items()}
    params = {
        "since": millis(since),
        "until": millis(until),
        "step": step,
        "project": incident.project,
        "model": dimensions.get("model", ""),
        "provider": dimensions.get("provider", ""),
        "service": dimensions.get("service", dimensions.get("service_name", "")),
        "user": dimensions.get("user", dimensions.get("user_id", "")),
    }
    data = frame(client, INCIDENT_SERIES, params)
    start, end = millis(since) // 1000 // step * step, millis(until) // 1000
    data = pd.DataFrame({"bucket": range(start, end, step)}).merge(data, on="bucket", how="left")
    for column in ("calls", "errors", "tokens", "without_tokens", "input_tokens", "output_tokens"):
        data[column] = data[column].fillna(0).astype("int64")
    for source, names in (("latency", ("p50", "p95", "p99")), ("ttft", ("ttft_p50", "ttft_p95", "ttft_p99"))):
        for index, name in enumerate(names):
            data[name] = [
                float(value[index]) if isinstance(value, list | tuple) else None for value in data[source]
            ]
    data["cost"] = pd.to_numeric(data["cost"], errors="coerce")
    counted = data["calls"] - data["without_tokens"]
    data["tokens_per_call"] = data["tokens"] / counted.where(counted > 0)
    data["cost_per_10_s"] = data["cost"] * 10 / step
    data["calls_per_minute"] = data["calls"] * 60 / step
    data["error_rate"] = (data["errors"] / data["calls"].where(data["calls"] > 0)).astype("float64")
    data["time"] = pd.to_datetime(data["bucket"], unit="s", utc=True)
    return data.drop(columns=["latency", "ttft"])


def _incident(row: dict[str, Any]) -> Incident:
    for name in ("opened_at", "last_seen_at", "acknowledged_at", "resolved_at"):
        value = row[name]
        row[name] = None if value is None else moment(value)
    row["evidence"] = tuple(row["evidence"])
    return Incident(**row)

"""Incidents: the list, one with its history and deliveries, and the metric around it."""

# Texts are put together from constants alone; values are bound.
# ruff: noqa: S608

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pandas as pd
from clickhouse_connect.driver.client import Client

from llmtrace.semconv import PURPOSE_SIMULATED
from llmtrace_collector.store.incident import AlertDelivery, HistoryEntry, Incident, Label

from .scope import STEPS, USUAL_PURPOSES, frame, millis, rows, utc

INCIDENT_LIST = f"""SELECT
    {Incident.select_list()}
FROM incidents
WHERE ({{project:String}} = '' OR Project = {{project:String}})
    AND (empty({{states:Array(String)}}) OR has({{states:Array(String)}}, State))
ORDER BY State = 'resolved', Severity = 'critical' DESC, opened_at DESC
LIMIT {{limit:UInt32}}"""

INCIDENT_COUNTS = """SELECT State AS state, count() AS incidents
FROM incidents
WHERE {project:String} = '' OR Project = {project:String}
GROUP BY state"""

LABEL_COUNTS = """SELECT Rule AS rule, Label AS label, count() AS incidents
FROM incidents
WHERE {project:String} = '' OR Project = {project:String}
GROUP BY rule, label"""

INCIDENT = f"""SELECT
    {Incident.select_list()}
FROM incidents
WHERE IncidentId = {{incident_id:String}}
LIMIT 1"""

INCIDENT_HISTORY = f"""SELECT
    {HistoryEntry.select_list()}
FROM incident_history
WHERE IncidentId = {{incident_id:String}}
ORDER BY at DESC
LIMIT 200"""

DELIVERIES = f"""SELECT
    {AlertDelivery.select_list()}
FROM webhook_deliveries
WHERE IncidentId = {{incident_id:String}}
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
    AND (empty({purposes:Array(String)}) OR has({purposes:Array(String)}, Purpose))
GROUP BY bucket
ORDER BY bucket"""


WATCH_REPORT = """SELECT
    toUnixTimestamp64Milli(now64(3)) / 1000 - toUnixTimestamp64Milli(At) / 1000 AS age_seconds,
    EvaluationSeconds AS evaluation_seconds,
    ScanLagSeconds AS scan_lag_seconds,
    Scanned AS scanned,
    Unread AS unread,
    GivenUp AS given_up
FROM watch_reports
ORDER BY At DESC
LIMIT 1"""


@dataclass(frozen=True)
class WatchReport:
    """What `llmtrace watch` last said of itself; counts are since its start."""

    age_seconds: float
    """How long ago it said so."""
    evaluation_seconds: float
    """How long it took to evaluate its rules."""
    scan_lag_seconds: float
    """How long the oldest call whose messages may not have been scanned had been in the store."""
    scanned: int
    unread: int
    given_up: int

    @property
    def share(self) -> float:
        """Calls whose messages were scanned, of those that arrived, 0 to 1."""
        arrived = self.scanned + self.unread + self.given_up
        return self.scanned / arrived if arrived else 1.0


def watch_report(client: Client) -> WatchReport | None:
    """The newest report of a week; None without one."""
    newest = rows(client, WATCH_REPORT, {})
    return WatchReport(**newest[0]) if newest else None


def incident_list(
    client: Client, project: str, states: tuple[str, ...] = (), limit: int = 100
) -> list[Incident]:
    """Incidents of a project ('' for all) in the given states (() for all): unresolved and critical first."""
    params = {"project": project, "states": list(states), "limit": limit}
    return [Incident.from_row(row) for row in rows(client, INCIDENT_LIST, params)]


def incident_counts(client: Client, project: str) -> dict[str, int]:
    """State → number of incidents."""
    return {
        row["state"]: int(row["incidents"]) for row in rows(client, INCIDENT_COUNTS, {"project": project})
    }


def label_counts(client: Client, project: str) -> dict[tuple[str, Label], int]:
    """(rule, label) → number of incidents; the empty label stands for those that nobody labelled."""
    return {
        (row["rule"], row["label"]): int(row["incidents"])
        for row in rows(client, LABEL_COUNTS, {"project": project})
    }


def incident(client: Client, incident_id: str) -> Incident | None:
    """One incident by its id."""
    matches = rows(client, INCIDENT, {"incident_id": incident_id})
    return Incident.from_row(matches[0]) if matches else None


def history(client: Client, incident_id: str) -> list[HistoryEntry]:
    """What happened to it, newest first."""
    return [
        HistoryEntry.from_row(row) for row in rows(client, INCIDENT_HISTORY, {"incident_id": incident_id})
    ]


def deliveries(client: Client, incident_id: str) -> list[AlertDelivery]:
    """Webhook attempts, newest first."""
    return [AlertDelivery.from_row(row) for row in rows(client, DELIVERIES, {"incident_id": incident_id})]


def chart_window(incident: Incident) -> tuple[datetime, datetime, int]:
    """Start, end and bucket width in seconds of the chart around an incident."""
    opened, ended = utc(incident.opened_at), utc(incident.ended_at)
    margin = min(max(ended - opened, timedelta(minutes=15)), timedelta(hours=12))
    since, until = opened - margin, ended + margin / 2
    seconds = (until - since).total_seconds()
    # Floods are counted over a minute, everything else in the store's ten seconds.
    least = 60 if incident.metric == "calls" else STEPS[0]
    step = next((step for step in STEPS if step >= least and seconds / step <= 180), STEPS[-1])
    return since, min(until, datetime.now(UTC)), step


def around(client: Client, incident: Incident, purposes: tuple[str, ...] = USUAL_PURPOSES) -> pd.DataFrame:
    """The rollup around an incident under its own dimensions, of calls for these purposes (empty: all).

    Simulated calls are in it too: detection takes them for history.

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
        "purposes": [*purposes, PURPOSE_SIMULATED] if purposes else [],
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

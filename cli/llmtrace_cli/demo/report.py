"""What arrived where: questions to ClickHouse and MLflow, checks, and the page that the demo prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import httpx
from clickhouse_connect.driver.client import Client
from rich import box
from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from llmtrace.common.escaping import visible

from .traffic import EXPERIMENT, SERVICE
from .webhook_sink import ReceivedWebhook

_OVERALL = """SELECT
    sum(Calls) AS calls,
    sum(Errors) AS errors,
    sum(InputTokens) AS input_tokens,
    sum(OutputTokens) AS output_tokens,
    sum(CacheReadTokens) AS cached_tokens,
    sum(Cost) AS cost,
    sumIf(Calls, NOT Priced) AS unpriced,
    quantilesTDigestMerge(0.5, 0.95, 0.99)(LatencyDigest) AS latency,
    quantilesTDigestMerge(0.5, 0.95, 0.99)(TtftDigest) AS ttft
FROM usage_cost
WHERE ServiceName = {service:String} AND Purpose = 'product'"""

_SPANS = """SELECT
    countIf(ServiceName = {service:String} AND Counted) AS calls,
    uniqExactIf(SpanId, ServiceName = {service:String} AND Counted) AS distinct_calls,
    countIf(ServiceName = 'llmtrace-inference' AND SpanKind = 'Server') AS served,
    countIf(Purpose = 'simulated') AS simulated
FROM otel_traces"""

_WHOLE_TRACES = """SELECT count() AS traces FROM (
    SELECT TraceId FROM otel_traces WHERE Purpose = 'product' GROUP BY TraceId
    HAVING countIf(ServiceName = {service:String} AND Counted) > 0
        AND countIf(ServiceName = 'llmtrace-inference' AND SpanName = 'decode') > 0
)"""

_INCIDENTS = """SELECT IncidentId, Kind, Rule, Severity, State, Title, Observed, ExpectedHigh, Unit,
    toUnixTimestamp64Milli(OpenedAt) / 1000 AS OpenedAt, length(Evidence) AS Traces
FROM incidents ORDER BY OpenedAt"""

_EXAMPLE_TRACE = """SELECT TraceId FROM otel_traces
WHERE ServiceName = {service:String} AND Counted AND TimeToFirstToken IS NOT NULL AND StatusCode != 'Error'
ORDER BY Timestamp DESC LIMIT 1"""


@dataclass(frozen=True)
class Run:
    """An MLflow run of the experiment and where to look at it."""

    name: str
    url: str
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Check:
    """One thing that must hold for the demo to have worked."""

    name: str
    holds: bool
    seen: str


@dataclass(frozen=True)
class Report:
    """Everything that the demo found out."""

    generated: int
    failed: int
    stored: Mapping[str, Any]
    spans: Mapping[str, Any]
    whole_traces: int
    incidents: Sequence[Mapping[str, Any]]
    calm_incidents: int
    deliveries: Sequence[ReceivedWebhook]
    runs: Sequence[Run]
    simulated: int
    example_trace: str
    seconds: float
    urls: Mapping[str, str]

    def checks(self) -> list[Check]:
        """What must hold."""
        kinds = [incident["Kind"] for incident in self.incidents]
        verified = [delivery for delivery in self.deliveries if delivery.verified]
        # A span that is sent again, because the collector died before its answer, is a copy: it counts once.
        stored = int(self.stored["calls"])
        distinct = int(self.spans["distinct_calls"])
        return [
            Check(
                "calls generated = calls stored",
                self.generated == stored == distinct,
                f"{self.generated} = {stored}",
            ),
            Check(
                "errors generated = errors stored",
                self.failed == int(self.stored["errors"]),
                f"{self.failed} = {self.stored['errors']}",
            ),
            Check(
                "client and service in one trace",
                self.whole_traces == self.generated - self.failed,
                f"{self.whole_traces} of {self.generated - self.failed} answered calls",
            ),
            Check("no call without a price", int(self.stored["unpriced"]) == 0, str(self.stored["unpriced"])),
            Check("no incident in the calm part", self.calm_incidents == 0, str(self.calm_incidents)),
            Check("an anomaly was raised", "anomaly" in kinds, str(kinds.count("anomaly"))),
            Check("abuse was raised", "abuse" in kinds, str(kinds.count("abuse"))),
            Check(
                "webhooks delivered, signatures verified",
                bool(verified)
                and len(verified) == len(self.deliveries)
                and {incident["IncidentId"] for incident in self.incidents}
                <= {
                    str(delivery.incident.get("incident_id", delivery.incident.get("id")))
                    for delivery in verified
                },
                f"{len(verified)} of {len(self.deliveries)}",
            ),
            Check(
                "two MLflow runs with metrics", len(_complete(self.runs)) == 2, str(len(_complete(self.runs)))
            ),
        ]

    def as_json(self) -> dict[str, Any]:
        """The report as plain data."""
        plain = asdict(self)
        plain["checks"] = [asdict(check) for check in self.checks()]
        return plain


def ask(client: Client, sql: str) -> dict[str, Any]:
    """The first row of a question about the demo's service."""
    result = client.query(sql, parameters={"service": SERVICE})
    row = result.first_row
    return dict(zip(result.column_names, row, strict=True)) if row else {}


def spans(client: Client) -> dict[str, Any]:
    """Spans of the demo's calls, of the service behind them, and simulated ones."""
    return ask(client, _SPANS)


def incidents(client: Client) -> list[dict[str, Any]]:
    """Every incident, oldest first; OpenedAt in Unix seconds."""
    result = client.query(_INCIDENTS)
    return [dict(zip(result.column_names, row, strict=True)) for row in result.result_rows]


def overall(client: Client) -> dict[str, Any]:
    """Calls, errors, tokens, cost (USD) and percentiles (seconds) of the demo's calls."""
    return ask(client, _OVERALL)


def whole_traces(client: Client) -> int:
    """Traces that hold a call of the demo and the service's decode of its answer."""
    return int(ask(client, _WHOLE_TRACES)["traces"])


def example_trace(client: Client) -> str:
    """The id of a good streamed call's trace."""
    return str(ask(client, _EXAMPLE_TRACE).get("TraceId", ""))


def runs(mlflow_url: str) -> list[Run]:
    """The experiment's runs as MLflow's REST interface has them; none while it is not there yet."""
    with httpx.Client(base_url=mlflow_url, timeout=10.0) as client:
        experiment_response = client.get(
            "/api/2.0/mlflow/experiments/get-by-name", params={"experiment_name": EXPERIMENT}
        )
        if experiment_response.status_code != 200:
            return []
        experiment = experiment_response.json()["experiment"]["experiment_id"]
        search_response = client.post(
            "/api/2.0/mlflow/runs/search", json={"experiment_ids": [experiment], "max_results": 10}
        )
        search_response.raise_for_status()
    return sorted(
        (
            Run(
                name=run["info"]["run_name"],
                url=f"{mlflow_url}/#/experiments/{experiment}/runs/{run['info']['run_id']}",
                metrics={metric["key"]: metric["value"] for metric in run["data"].get("metrics", [])},
            )
            for run in search_response.json().get("runs", [])
        ),
        key=lambda run: run.name,
    )


def _complete(mlflow_runs: Sequence[Run]) -> list[Run]:
    return [run for run in mlflow_runs if run.metrics.get("calls", 0) > 0 and "latency/p95_ms" in run.metrics]


def show(report: Report, console: Console) -> None:
    """Print the report."""
    stored = report.stored
    totals_table = Table.grid(padding=(0, 3))
    latency, ttft = stored["latency"], stored["ttft"]
    totals_table.add_row("calls generated", f"{report.generated}", "calls stored", f"{report.spans['calls']}")
    totals_table.add_row(
        "errors", f"{stored['errors']}", "traces with service spans", f"{report.whole_traces}"
    )
    totals_table.add_row(
        "input tokens", f"{stored['input_tokens']:,}", "output tokens", f"{stored['output_tokens']:,}"
    )
    totals_table.add_row("of them cached", f"{stored['cached_tokens']:,}", "cost", f"${stored['cost']:.6f}")
    totals_table.add_row(
        "latency p50 / p95",
        f"{latency[0] * 1000:.0f} / {latency[1] * 1000:.0f} ms",
        "first token p95",
        f"{ttft[1] * 1000:.0f} ms",
    )
    totals_table.add_row(
        "simulated history", f"{report.simulated:,} calls, apart", "took", f"{report.seconds:.0f} s"
    )

    incident_table = Table(box=box.SIMPLE, pad_edge=False)
    for column in ("incident", "kind", "state", "observed", "expected up to", "traces"):
        incident_table.add_column(column)
    for incident in report.incidents:
        incident_table.add_row(
            _text(incident["Title"]),
            _text(incident["Kind"]),
            _text(incident["State"]),
            _text(_quantity(incident["Observed"], incident["Unit"])),
            _text(_quantity(incident["ExpectedHigh"], incident["Unit"])),
            str(incident["Traces"]),
        )

    webhook_table = Table(box=box.SIMPLE, pad_edge=False)
    for column in ("webhook", "signature", "incident"):
        webhook_table.add_column(column)
    for delivery in report.deliveries:
        webhook_table.add_row(
            _text(delivery.type),
            "[green]verified[/green]" if delivery.verified else "[red]wrong[/red]",
            _text(delivery.incident.get("title", "")),
        )

    run_table = Table(box=box.SIMPLE, pad_edge=False)
    for column in ("MLflow run", "calls", "p95", "output tokens", "distinct words"):
        run_table.add_column(column)
    for run in report.runs:
        metrics = run.metrics
        run_table.add_row(
            _text(run.name),
            f"{metrics.get('calls', 0):.0f}",
            f"{metrics.get('latency/p95_ms', 0):.0f} ms",
            f"{metrics.get('tokens/output', 0):.0f}",
            f"{metrics.get('scores/distinct_words', 0):.2f}",
        )

    check_table = Table.grid(padding=(0, 2))
    for check in report.checks():
        mark = "[green]✓[/green]" if check.holds else "[red]✗[/red]"
        check_table.add_row(mark, check.name, _text(check.seen))
    link_table = Table.grid(padding=(0, 2))
    run_links = {run.name: run.url for run in report.runs}
    for name, url in {**report.urls, **run_links}.items():
        link_table.add_row(_text(name), _text(url))
    console.print(
        Panel(
            Group(totals_table, incident_table, webhook_table, run_table, check_table, Text(), link_table),
            title="What arrived (asked from ClickHouse and MLflow)",
            border_style="green" if all(check.holds for check in report.checks()) else "red",
        )
    )


def _text(value: object) -> Text:
    """What was stored, without markup of rich's and without what would steer the terminal."""
    return Text(visible(str(value)))


def _quantity(value: float | None, unit: str) -> str:
    if value is None:
        return "–"
    if unit == "s":
        return f"{value * 1000:.0f} ms"
    if unit == "ratio":
        return f"{value:.1%}"
    return f"{value:.3g} {unit}".strip()

"""Traces that show what a rule of one's own says."""

# Texts are put together from constants and from a search's condition; values are bound.
# ruff: noqa: S608

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from clickhouse_connect.driver.client import Client

from llmtrace.semconv import PURPOSE_PRODUCT
from llmtrace_analysis.detect.incident_lifecycle import Finding
from llmtrace_analysis.rule_settings import AlertRule, Group
from llmtrace_collector.store.search import Period, parse

from .readings import window_of

#: Of a long window, examples are looked for in its last hours, seconds.
_LATEST: Final = 6 * 3600

_FIELDS: dict[Group, str] = {
    "user": "user",
    "tag": "tag",
    "model": "model",
    "provider": "provider",
    "service": "service",
    "project": "project",
    "prompt": "prompt",
}


def example_traces(client: Client, rule: AlertRule, finding: Finding, now: int) -> Finding:
    """The finding with ten traces of its window that show it most clearly."""
    since, until = window_of(rule, now)
    since = max(since, until - _LATEST)
    search = parse(rule.search)
    if not search.mentions("purpose"):
        search = search.only(purpose=PURPOSE_PRODUCT)
    if rule.by is not None and (group := finding.dimensions.get(rule.by)) and rule.by in _FIELDS:
        search = search.only(**{_FIELDS[rule.by]: group})
    if rule.objective is not None:
        search = search.without(parse(rule.good))
    period = Period(datetime.fromtimestamp(since, UTC), datetime.fromtimestamp(until, UTC))
    condition = search.condition("spans", period)
    sql = f"""SELECT TraceId FROM otel_traces
WHERE TraceId != '' AND {_only(rule)} AND {condition.sql}
GROUP BY TraceId
ORDER BY {_order(rule)}
LIMIT 10"""
    rows = client.query(sql, parameters=dict(condition.params)).result_rows
    return replace(finding, evidence=tuple(str(row[0]) for row in rows))


def _only(rule: AlertRule) -> str:
    chosen = "Counted" if rule.over == "calls" else "1"
    return f"{chosen} AND StatusCode = 'Error'" if rule.metric in ("errors", "error_rate") else chosen


def _order(rule: AlertRule) -> str:
    descending = "ASC" if rule.below is not None or rule.warn_below is not None else "DESC"
    if rule.metric.startswith("latency"):
        return f"max(Duration) {descending}"
    if rule.metric.startswith(("ttft", "tpot")):
        column = "TimeToFirstToken" if rule.metric.startswith("ttft") else "TimePerOutputToken"
        return f"max({column}) {descending}"
    if "tokens" in rule.metric or "cost" in rule.metric:
        return f"sum(ifNull(InputTokens, 0) + ifNull(OutputTokens, 0)) {descending}"
    return "max(Timestamp) DESC"

"""Where a rule's numbers come from: the rollup where it has all that the search asks, else calls, spans,
traces or scores.
"""

# Texts are put together from constants and from a search's condition; values are bound.
# ruff: noqa: S608

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from llmtrace.semconv import PURPOSE_PRODUCT
from llmtrace_analysis.rule_settings import AlertRule, Group
from llmtrace_collector.sql_values import QueryValue
from llmtrace_collector.store.search import Condition, Period, Search, parse

#: Fields whose terms ask for columns that `usage_10s` has under the same names.
_ROLLUP_FIELDS = frozenset(
    {
        *("model", "provider", "operation", "service", "project", "user", "run", "experiment", "prompt"),
        *("tag", "purpose"),
    }
)
_NOT_IN_ROLLUP = frozenset({"ttft.mean", "tpot.mean", "tpot.p50", "tpot.p95", "tpot.p99"})
_DIGESTS = ("p50", "p95", "p99")


@dataclass(frozen=True)
class Source:
    """A SELECT's parts: rows of a period, the time of each, and what is counted of them."""

    table: str
    time: str
    """Column by which a row belongs to a window."""
    where: str
    count: str
    """How many calls, spans, traces or scores the rows are."""
    value: str
    group: str
    """What a row is told apart by; '' for everything together."""
    unit: str
    params: Mapping[str, QueryValue] = field(default_factory=dict)


def source_of(rule: AlertRule, period: Period) -> Source:
    """Where the rule's numbers come from. `period` bounds what a search's terms look at besides the row."""
    search = _search(rule.search)
    if rule.score_name:
        return _of_scores(rule, search, period)
    if rule.over == "traces":
        return _of_traces(rule, search.condition("traces", period))
    if rule.over == "spans":
        return _of_spans(rule, search.condition("spans", period))
    if rule.metric not in _NOT_IN_ROLLUP and search.asks_only(_ROLLUP_FIELDS):
        return _of_rollup(rule, Search(search.tree).condition("spans"))
    return _of_calls(rule, search.condition("spans", period))


def _search(text: str) -> Search:
    """The search; calls of the product alone, unless it asks for others."""
    search = parse(text)
    if search.mentions("purpose") or search.names_an_id:
        return search
    return search.only(purpose=PURPOSE_PRODUCT)


_ROLLUP_SUMS: Mapping[str, str] = MappingProxyType(
    {
        "calls": "toFloat64(sum(Calls))",
        "errors": "toFloat64(sum(Errors))",
        "error_rate": "sum(Errors) / sum(Calls)",
        "users": "toFloat64(uniqExactIf(UserId, UserId != ''))",
        "cost": "sum(Cost)",
        "cost_per_call": "sum(Cost) / sumIf(Calls, Priced)",
        "tokens": "toFloat64(sum(InputTokens) + sum(OutputTokens))",
        "tokens_per_call": "(sum(InputTokens) + sum(OutputTokens)) / (sum(Calls) - sum(UnknownUsage))",
        "input_tokens": "toFloat64(sum(InputTokens))",
        "output_tokens": "toFloat64(sum(OutputTokens))",
        "cached_tokens": "toFloat64(sum(CacheReadTokens))",
        "reasoning_tokens": "toFloat64(sum(ReasoningTokens))",
        "latency.mean": "sum(DurationSum) / 1e9 / sum(Calls)",
    }
)
_CALL_SUMS: Mapping[str, str] = MappingProxyType(
    {
        "calls": "sum(Weight)",
        "errors": "sum(Weight * Errors)",
        "error_rate": "sum(Weight * Errors) / sum(Weight)",
        "users": "toFloat64(uniqExactIf(UserId, UserId != ''))",
        "cost": "sum(Weight * Cost)",
        "cost_per_call": "sum(Weight * Cost) / sumIf(Weight, Priced)",
        "tokens": "sum(Weight * (ifNull(InputTokens, 0) + ifNull(OutputTokens, 0)))",
        "tokens_per_call": "sum(Weight * (ifNull(InputTokens, 0) + ifNull(OutputTokens, 0)))"
        " / sumIf(Weight, NOT UnknownUsage)",
        "input_tokens": "sum(Weight * ifNull(InputTokens, 0))",
        "output_tokens": "sum(Weight * ifNull(OutputTokens, 0))",
        "cached_tokens": "sum(Weight * ifNull(CacheReadTokens, 0))",
        "reasoning_tokens": "sum(Weight * ifNull(ReasoningTokens, 0))",
    }
)
_FAILED = "(StatusCode = 'Error' AND Uncounted NOT IN ('retry', 'sender'))"
_SPAN_SUMS: Mapping[str, str] = MappingProxyType(
    {
        "calls": "sum(Weight)",
        "errors": f"sumIf(Weight, {_FAILED})",
        "error_rate": f"sumIf(Weight, {_FAILED}) / sum(Weight)",
        "users": "toFloat64(uniqExactIf(UserId, UserId != ''))",
        "tokens": "sum(Weight * (ifNull(InputTokens, 0) + ifNull(OutputTokens, 0)))",
        "tokens_per_call": "sum(Weight * (ifNull(InputTokens, 0) + ifNull(OutputTokens, 0)))"
        " / sumIf(Weight, InputTokens IS NOT NULL OR OutputTokens IS NOT NULL)",
        "input_tokens": "sum(Weight * ifNull(InputTokens, 0))",
        "output_tokens": "sum(Weight * ifNull(OutputTokens, 0))",
        "cached_tokens": "sum(Weight * ifNull(CacheReadTokens, 0))",
        "reasoning_tokens": "sum(Weight * ifNull(ReasoningTokens, 0))",
    }
)
_TRACE_SUMS: Mapping[str, str] = MappingProxyType(
    {
        "calls": "sum(Weight)",
        "errors": "sumIf(Weight, Status = 'failed')",
        "error_rate": "sumIf(Weight, Status = 'failed') / sum(Weight)",
        "tokens": "sum(Weight * (InputTokens + OutputTokens))",
        "tokens_per_call": "sum(Weight * (InputTokens + OutputTokens)) / sum(Weight)",
        "input_tokens": "sum(Weight * InputTokens)",
        "output_tokens": "sum(Weight * OutputTokens)",
        "cached_tokens": "sum(Weight * CacheReadTokens)",
        "reasoning_tokens": "sum(Weight * ReasoningTokens)",
    }
)

_UNITS: Mapping[str, str] = MappingProxyType(
    {
        "errors": "errors",
        "error_rate": "ratio",
        "users": "users",
        "cost": "USD",
        "cost_per_call": "USD",
        "tokens": "tokens",
        "tokens_per_call": "tokens",
        "input_tokens": "tokens",
        "output_tokens": "tokens",
        "cached_tokens": "tokens",
        "reasoning_tokens": "tokens",
    }
)
_OF_CALLS: Mapping[Group, str] = MappingProxyType(
    {
        "user": "UserId",
        "key": "toString(Account)",
        "tag": "arrayJoin(Tags)",
        "model": "toString(Model)",
        "provider": "toString(Provider)",
        "service": "toString(ServiceName)",
        "project": "toString(Project)",
        "prompt": "concat(PromptName, '@', PromptVersion)",
    }
)
_OF_TRACES: Mapping[Group, str] = MappingProxyType(
    {
        **_OF_CALLS,
        "tag": "arrayJoin(Tags)",
        "service": "toString(RootService)",
    }
)


def _unit(rule: AlertRule) -> str:
    if rule.score_name:
        return "ratio" if rule.statistic == "share" else "score"
    if rule.statistic:
        return "s"
    return _UNITS.get(rule.metric, rule.over)


def _group(rule: AlertRule, columns: Mapping[Group, str]) -> str:
    return "" if rule.by is None else columns[rule.by]


def _of_rollup(rule: AlertRule, condition: Condition) -> Source:
    name, statistic = rule.metric.partition(".")[0], rule.statistic
    if statistic in _DIGESTS:
        digest = {"latency": "LatencyDigest", "ttft": "TtftDigest"}[name]
        value = f"quantilesTDigestMerge(0.5, 0.95, 0.99)({digest})[{_DIGESTS.index(statistic) + 1}]"
    else:
        value = _ROLLUP_SUMS[rule.metric]
    return Source(
        table="usage_cost",
        time="toUnixTimestamp(Time)",
        where=f"Time >= toDateTime({{from:UInt32}}) AND Time < toDateTime({{to:UInt32}}) AND {condition.sql}",
        count="sum(TtftCount)" if name == "ttft" else "sum(Calls)",
        value=value,
        group=_group(rule, _OF_CALLS),
        unit=_unit(rule),
        params=condition.params,
    )


def _distribution(rule: AlertRule, columns: Mapping[str, str], sums: Mapping[str, str]) -> tuple[str, str]:
    """The value of rows of single calls, spans or traces, and how many there are of it."""
    if not rule.statistic:
        return sums[rule.metric], "sum(Weight)"
    column = columns[rule.metric.partition(".")[0]]
    known = f"{column} IS NOT NULL"
    count = f"sumIf(Weight, {known})"
    if rule.statistic == "mean":
        return f"sum(Weight * {column}) / {count}", count
    level = int(rule.statistic[1:]) / 100
    # Of each span, as the rollup's digests are: what a sampled one stands for took about as long.
    return f"quantileExactIf({level})({column}, {known})", count


def _of_calls(rule: AlertRule, condition: Condition) -> Source:
    value, count = _distribution(
        rule,
        {"latency": "(Duration / 1e9)", "ttft": "TimeToFirstToken", "tpot": "TimePerOutputToken"},
        _CALL_SUMS,
    )
    if rule.metric.startswith("tpot"):
        return _of_spans(rule, condition, counted=True)
    within = _within("Timestamp")
    return Source(
        table="call_cost",
        time="toUnixTimestamp(Timestamp)",
        where=f"{within} AND (TraceId, SpanId) IN ("
        f"SELECT TraceId, SpanId FROM otel_traces WHERE {within} AND Counted AND {condition.sql})",
        count=count,
        value=value,
        group=_group(rule, _OF_CALLS),
        unit=_unit(rule),
        params=condition.params,
    )


def _of_spans(rule: AlertRule, condition: Condition, *, counted: bool = False) -> Source:
    value, count = _distribution(
        rule,
        {"latency": "(Duration / 1e9)", "ttft": "TimeToFirstToken", "tpot": "TimePerOutputToken"},
        _SPAN_SUMS,
    )
    chosen = " AND Counted" if counted else ""
    return Source(
        table="otel_traces",
        time="toUnixTimestamp(Timestamp)",
        where=f"{_within('Timestamp')}{chosen} AND {condition.sql}",
        count=count,
        value=value,
        group=_group(rule, _OF_CALLS),
        unit=_unit(rule),
        params=condition.params,
    )


def _of_traces(rule: AlertRule, condition: Condition) -> Source:
    value, count = _distribution(
        rule, {"latency": "(Duration / 1e9)", "ttft": "TimeToFirstToken"}, {**_TRACE_SUMS, **_TRACE_COSTS}
    )
    table = condition.source
    if rule.metric in _TRACE_COSTS:
        table = f"({_COSTED})"
    return Source(
        table=table,
        time="toUnixTimestamp(Start)",
        where=f"{_within('Start')} AND {condition.sql}",
        count=count,
        value=value,
        group=_group(rule, _OF_TRACES),
        unit=_unit(rule),
        params=condition.params,
    )


_TRACE_COSTS: Mapping[str, str] = MappingProxyType(
    {
        "cost": "sum(Weight * Cost)",
        "cost_per_call": "sum(Weight * Cost) / sumIf(Weight, Cost IS NOT NULL)",
    }
)


def _within(column: str) -> str:
    return f"{column} >= toDateTime64({{from:UInt32}}, 9) AND {column} < toDateTime64({{to:UInt32}}, 9)"


#: Traces with what their calls cost: a trace of which no price is known costs NULL.
_COSTED = f"""SELECT * FROM (SELECT * FROM traces WHERE {_within("Start")}) AS t
LEFT JOIN (
    SELECT TraceId, sumOrNull(Cost) AS Cost FROM span_cost
    WHERE Timestamp >= toDateTime64({{from:UInt32}}, 9) AND Timestamp < toDateTime64({{to:UInt32}} + 3600, 9)
    GROUP BY TraceId
) AS c USING (TraceId)"""


def _of_scores(rule: AlertRule, search: Search, period: Period) -> Source:
    traces = search.condition("traces", period)
    value = {
        "mean": "avg(Value)",
        "min": "min(Value)",
        "share": "countIf(Value >= {score_from:Float64}) / count()",
    }[rule.statistic]
    within = _within("Timestamp")
    group = _group(rule, _OF_TRACES)
    table, where = "scores", f"{within} AND Name = {{score_name:String}} AND Value IS NOT NULL"
    if rule.search or group:
        # What was scored may be a good deal older than its score.
        columns = {"user": "UserId", "service": "toString(RootService)", "project": "toString(Project)"}
        name = columns.get(rule.by or "", "''")
        table = f"""(SELECT * FROM (
            SELECT TraceId, Timestamp, Name, Value FROM scores WHERE {where} AND TraceId != ''
        ) AS s INNER JOIN (
            SELECT TraceId, any({name}) AS Of FROM traces WHERE {traces.sql} GROUP BY TraceId
        ) AS t USING (TraceId))"""
        group = "Of" if group else ""
    return Source(
        table=table,
        time="toUnixTimestamp(Timestamp)",
        where=where,
        count="toFloat64(count())",
        value=value,
        group=group,
        unit=_unit(rule),
        params={**traces.params, "score_name": rule.score_name, "score_from": rule.score_from},
    )

"""The traces that show an event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from clickhouse_connect.driver.client import Client

from llmtrace import semconv

from .kind_bank import Opened
from .sources import LONGEST_SECONDS

_MOST = 10

_STEP_NAMES = str([semconv.TOOL_NAME, semconv.DATA_SOURCE_ID, semconv.AGENT_NAME])

#: Dimension → the condition for its value, {0} being its parameter.
_CONDITIONS: Mapping[str, str] = MappingProxyType(
    {
        "provider": "Provider = {0}",
        "model": "Model = {0}",
        "service": "ServiceName = {0}",
        "user": "UserId = {0}",
        "account": "Account = {0}",
        "prompt": "PromptName = {0}",
        "trace": "ParentSpanId = '' AND SpanName = {0}",
        "operation": "Operation = {0}",
        "step": f"(SpanName = {{0}} OR arrayExists(name -> SpanAttributes[name] = {{0}}, {_STEP_NAMES}))",
        "agent": f"{{0}} IN (SpanAttributes['{semconv.AGENT_NAME}'], "
        f"ResourceAttributes['{semconv.AGENT_NAME}'])",
    }
)
_TOKENS = "ifNull(InputTokens, 0) + ifNull(OutputTokens, 0)"

#: Measure → what shows it more the larger it is; for all others the newest.
_ORDERS: Mapping[str, str] = MappingProxyType(
    {
        "latency": "Duration",
        "ttft": "ifNull(TimeToFirstToken, 0)",
        "tpot": "ifNull(TimePerOutputToken, 0)",
        "tokens": _TOKENS,
        "cost": _TOKENS,
        "input_tokens": "ifNull(InputTokens, 0)",
        "output_tokens": "ifNull(OutputTokens, 0)",
        "reasoning_tokens": "ReasoningTokens",
        "cached_tokens": "CacheReadTokens",
        "errors": "(StatusCode = 'Error', toUnixTimestamp64Milli(Timestamp))",
        "truncated": "(hasAny(FinishReasons, ['length', 'max_tokens']), toUnixTimestamp64Milli(Timestamp))",
    }
)


def evidence(client: Client, opened: Opened, purposes: Sequence[str]) -> tuple[str, ...]:
    """Ids of up to ten traces, those first that show it most; none of what did not come. Raises what
    the store does.
    """
    event, series = opened.event, opened.series
    is_absence = event.measure == "calls" and event.direction == "down"
    if is_absence or series.kind in ("ingest", "score"):
        return ()
    conditions, values = [], {}
    for number, (name, value) in enumerate(series.dimensions.items()):
        # The version of a prompt is a column, that of an agent is not worth a search.
        is_prompts = (series.kind, name) == ("prompt", "version")
        condition = "PromptVersion = {0}" if is_prompts else _CONDITIONS.get(name)
        if condition is not None:
            conditions.append(condition.replace("{0}", f"{{value_{number}:String}}"))
            values[f"value_{number}"] = value
    if series.kind in ("call", "user", "key", "prompt"):
        conditions.append("Counted")
    shown_by = _ORDERS.get(event.measure, "Timestamp")
    order = f"min({shown_by}) ASC" if event.direction == "down" else f"max({shown_by}) DESC"
    since = 60 * event.start
    query = f"""SELECT TraceId FROM otel_traces
        WHERE Project = {{project:String}} AND has({{purposes:Array(String)}}, Purpose) AND TraceId != ''
            AND Timestamp >= toDateTime64({{since:UInt32}} - {LONGEST_SECONDS}, 9)
            AND Timestamp < toDateTime64({{until:UInt32}}, 9)
            AND toUnixTimestamp64Nano(Timestamp) + Duration >= {{since:UInt32}} * 1000000000
            AND {" AND ".join(conditions)}
        GROUP BY TraceId ORDER BY {order} LIMIT {_MOST}"""  # noqa: S608, conditions of ours
    parameters = {
        "project": series.project,
        "purposes": list(purposes),
        "since": since,
        "until": 60 * (event.opened + 1),
        **values,
    }
    return tuple(str(row[0]) for row in client.query(query, parameters=parameters).result_rows)

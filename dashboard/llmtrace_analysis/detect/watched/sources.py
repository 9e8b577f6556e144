"""SQL of the minutes of watched series: sums by minute and key, of which those of parts add up to the whole.

Only what is for the watched purposes counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

#: A span counts in the minute it ended in, as it is reported then. What lasts longer than this (an hour) is
#: not watched: each minute would have to look so far back.
LONGEST_SECONDS = 3600

#: Costs are looked for so far back, as their view cannot tell what was stored when.
_LONGEST_PRICED_SECONDS = 600

#: A span is stored after its end; clocks of senders may be so far ahead of the store's, seconds.
_AHEAD_SECONDS = 600

_PURPOSE = "has({purposes:Array(String)}, Purpose)"

#: The minute in which a span ended.
_ENDED = "toUInt32(intDiv(toUnixTimestamp64Nano(Timestamp) + Duration, 60000000000))"


def _ended(longest: int) -> str:
    return (
        f"Timestamp >= toDateTime64({{since:UInt32}} * 60 - {longest}, 9) "
        f"AND Timestamp < toDateTime64({{until:UInt32}} * 60, 9) AND Duration <= {longest}000000000 "
        "AND minute >= {since:UInt32} AND minute < {until:UInt32}"
    )


# The index of StoredAt leaves out what had ended before.
_IN_TIME = (
    f"{_ended(LONGEST_SECONDS)} AND StoredAt >= toDateTime64({{since:UInt32}} * 60 - {_AHEAD_SECONDS}, 3)"
)
_STARTED = "toUInt32(intDiv(toUnixTimestamp(Time), 60))"
_STEP_TIME = "Time >= toDateTime({since:UInt32} * 60) AND Time < toDateTime({until:UInt32} * 60)"

_CALL = "Uncounted = ''"
_OK = f"{_CALL} AND StatusCode != 'Error'"
_USED = f"{_CALL} AND (InputTokens IS NOT NULL OR OutputTokens IS NOT NULL)"
_FINISHED = f"{_CALL} AND notEmpty(FinishReasons)"
_REFUSED = "['refusal', 'content_filter', 'safety', 'prohibited_content', 'blocklist', 'recitation']"
_CUT = "['length', 'max_tokens']"


def _logarithms(name: str, value: str) -> dict[str, str]:
    known = f"{_OK} AND ifNull({value}, 0) > 0"
    return {
        f"{name}_calls": f"sumIf(Weight, {known})",
        name: f"sumIf(Weight * log(ifNull({value}, 1)), {known})",
    }


#: Name of a sum → its SQL over spans of calls. `latency_calls` is of how many `latency` is a sum, and so on.
_OF_CALLS = {
    "calls": f"sumIf(Weight, {_CALL})",
    "errors": f"sumIf(Weight, {_CALL} AND StatusCode = 'Error')",
    **_logarithms("latency", "Duration / 1e9"),
    **_logarithms("output", "OutputTokens"),
    **_logarithms("ttft", "TimeToFirstToken"),
    **_logarithms("tpot", "TimePerOutputToken"),
    "usage_calls": f"sumIf(Weight, {_USED})",
    "input_tokens": f"sumIf(Weight * ifNull(InputTokens, 0), {_USED})",
    "output_tokens": f"sumIf(Weight * ifNull(OutputTokens, 0), {_USED})",
    "cached_tokens": f"sumIf(Weight * CacheReadTokens, {_USED})",
    "reasoning_tokens": f"sumIf(Weight * ReasoningTokens, {_USED})",
    "finished_calls": f"sumIf(Weight, {_FINISHED})",
    "refusals": f"sumIf(Weight, {_FINISHED} AND hasAny(arrayMap(r -> lower(r), FinishReasons), {_REFUSED}))",
    "truncated": f"sumIf(Weight, {_FINISHED} AND hasAny(FinishReasons, {_CUT}))",
    "retries": "sumIf(Weight, Uncounted = 'retry')",
    "cache_hits": f"sumIf(Weight, {_CALL} AND (CacheReadTokens > 0 OR ServiceTier = 'response_cache'))",
}
_OF_ROOTS = {
    "calls": "sum(Weight)",
    "errors": "sumIf(Weight, StatusCode = 'Error')",
    "latency_calls": "sumIf(Weight, StatusCode != 'Error' AND Duration > 0)",
    "latency": "sumIf(Weight * log(Duration / 1e9), StatusCode != 'Error' AND Duration > 0)",
}
#: Attempts that were repeated are no steps that failed. The logarithm is that of the mean: the rollup has no
#: mean of logarithms.
_STEPS_OK = "sumIf(Steps, Status = 'ok')"
_OF_STEPS = {
    "calls": "sumIf(Steps, Status != 'retried')",
    "errors": "sum(Errors)",
    "latency_calls": _STEPS_OK,
    "latency": (
        f"{_STEPS_OK} * log(greatest(sumIf(DurationSum, Status = 'ok') / greatest({_STEPS_OK}, 1), 1) / 1e9)"
    ),
    "seconds": "sumIf(DurationSum, Status != 'retried') / 1e9",
}
_OF_SCORES = {"calls": "count()", "score": "sum(ifNull(Value, 0))"}
_OF_COSTS = {"cost_calls": "sumIf(Weight, Cost IS NOT NULL)", "cost": "sum(ifNull(Cost, 0))"}

_PRICED = f"{_PURPOSE} AND {_ended(_LONGEST_PRICED_SECONDS)}"
_CALLS = f"IsLlm AND (Counted OR Uncounted = 'retry') AND {_PURPOSE} AND {_IN_TIME}"


_LISTED = (
    "has(arrayZip({{projects:Array(String)}}, {{keys:Array(String)}}), (toString(Project), toString({0})))"
)


@dataclass(frozen=True, eq=False)
class Source:
    """A table that minutes are read from."""

    table: str
    minute: str
    columns: tuple[str, ...]
    """Of a key, after the project."""
    sums: Mapping[str, str]
    where: str
    listed: bool = False
    """Whether only keys in {projects:Array(String)} and {keys:Array(String)} are read."""

    @property
    def sql(self) -> str:
        """Rows of minute, project, the other columns of the key, and the sums."""
        names = [f"key_{number}" for number in range(1 + len(self.columns))]
        columns = ("Project", *self.columns)
        keys = [f"toString({column}) AS {name}" for column, name in zip(columns, names, strict=True)]
        sums = [f"{sql} AS sum_{name}" for name, sql in self.sums.items()]
        listed = f" AND {_LISTED.format(*self.columns)}" if self.listed else ""
        return (
            f"SELECT {self.minute} AS minute, {', '.join([*keys, *sums])} FROM {self.table} "  # noqa: S608
            f"WHERE {self.where}{listed} GROUP BY minute, {', '.join(names)}"
        )

    @property
    def busy_sql(self) -> str:
        """Rows of hour, key and calls, by hours: of each the {most:UInt32} keys with the most calls, of those
        with {least:UInt32} or more.
        """
        names = [f"key_{number}" for number in range(1 + len(self.columns))]
        columns = ("Project", *self.columns)
        keys = [f"toString({column}) AS {name}" for column, name in zip(columns, names, strict=True)]
        return (
            f"SELECT intDiv({self.minute}, 60) AS hour, {', '.join(keys)}, {self.sums['calls']} AS number "  # noqa: S608
            f"FROM {self.table} WHERE {self.where.replace('minute ', self.minute + ' ')} "
            f"GROUP BY hour, {', '.join(names)} HAVING number >= {{least:UInt32}} "
            "ORDER BY hour, number DESC LIMIT {most:UInt32} BY hour"
        )


def _of_calls(columns: tuple[str, ...], condition: str, *, listed: bool = False) -> Source:
    return Source("otel_traces", _ENDED, columns, _OF_CALLS, f"{condition} AND {_CALLS}", listed)


_SERVICE_COLUMNS = ("ServiceName", "Provider", "Model")

CALLS = (
    _of_calls(_SERVICE_COLUMNS, "Model != ''"),
    Source("call_cost", _ENDED, _SERVICE_COLUMNS, _OF_COSTS, _PRICED),
)
USERS = (_of_calls(("UserId",), "UserId != ''", listed=True),)
ACCOUNTS = (_of_calls(("Account",), "Account != ''"),)
PROMPTS = (_of_calls(("PromptName", "PromptVersion"), "PromptName != ''"),)
ROOTS = (
    Source(
        "otel_traces",
        _ENDED,
        ("ServiceName", "SpanName"),
        _OF_ROOTS,
        f"ParentSpanId = '' AND NOT IsLlm AND {_PURPOSE} AND {_IN_TIME}",
    ),
)
STEPS = (
    Source(
        "steps",
        _STARTED,
        ("ServiceName", "StepKind", "StepName"),
        _OF_STEPS,
        f"StepKind IN ('execute_tool', 'retrieval') AND {_PURPOSE} AND {_STEP_TIME}",
    ),
)
AGENTS = (
    Source(
        "steps",
        _STARTED,
        ("ServiceName", "Agent", "AgentVersion"),
        _OF_STEPS,
        f"StepKind = 'invoke_agent' AND Agent != '' AND {_PURPOSE} AND {_STEP_TIME}",
    ),
)
SCORES = (
    Source(
        "scores",
        "toUInt32(intDiv(toUnixTimestamp64Nano(Timestamp), 60000000000))",
        ("Name",),
        _OF_SCORES,
        "Value IS NOT NULL AND Timestamp >= toDateTime64({since:UInt32} * 60, 9) "
        "AND Timestamp < toDateTime64({until:UInt32} * 60, 9)",
    ),
)
#: By the minute of their storing, as the only index by arrival is of that. Spans come in batches: what counts
#: is in how many quarters of a minute some came. So few are judged by silence alone; how many came is seen by
#: calls and traces.
_STORED = (
    "StoredAt >= toDateTime64({since:UInt32} * 60, 3) AND StoredAt < toDateTime64({until:UInt32} * 60, 3)"
)
_OF_ARRIVALS = {"calls": "uniqExact(intDiv(toUnixTimestamp64Milli(StoredAt), 15000))"}
_STORED_MINUTE = "toUInt32(intDiv(toUnixTimestamp64Milli(StoredAt), 60000))"
ARRIVALS = (Source("otel_traces", _STORED_MINUTE, ("ServiceName",), _OF_ARRIVALS, _STORED),)

#: Minutes in which the collector was up, and whether watch says so: whatever was stored, it took.
EVIDENCE = f"""SELECT minute, max(reported) FROM (
    SELECT toUInt32(intDiv(toUnixTimestamp64Milli(At), 60000)) AS minute, 1 AS reported FROM watch_reports
    WHERE At >= toDateTime64({{since:UInt32}} * 60, 3) AND At < toDateTime64({{until:UInt32}} * 60, 3)
    UNION ALL
    SELECT {_STORED_MINUTE} AS minute, 0 AS reported FROM otel_traces WHERE {_STORED}
    UNION ALL
    SELECT toUInt32(intDiv(toUnixTimestamp64Milli(ReceivedAt), 60000)) AS minute, 0 AS reported FROM otel_logs
    WHERE Timestamp >= toDateTime64({{since:UInt32}} * 60 - {LONGEST_SECONDS}, 9)
        AND Timestamp < toDateTime64({{until:UInt32}} * 60 + {LONGEST_SECONDS}, 9)
        AND ReceivedAt >= toDateTime64({{since:UInt32}} * 60, 3)
        AND ReceivedAt < toDateTime64({{until:UInt32}} * 60, 3)
)
GROUP BY minute"""  # noqa: S608, constants of ours

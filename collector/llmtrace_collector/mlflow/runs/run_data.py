"""What the store knows of experiment runs: which ones changed, and the data of one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from llmtrace import semconv
from llmtrace_collector.sql_values import QueryParams, QueryValue, literal

#: One SELECT and its parameters in, dictionaries out: `Store.rows`.
Rows = Callable[[str, QueryParams | None], list[dict[str, Any]]]

#: Calls in a run's sample table. The earliest ones, so that runs over the same inputs line up.
SAMPLES = 50

#: Characters of a message column that are read for a sample; longer ones are shown cut.
MESSAGE_CHARACTERS = 1 << 18

#: Score names per run that become metrics; MLflow takes 1,000 metrics at a time.
SCORE_NAMES = 200

#: Run parameter → the expression whose distinct values it lists.
PARAMETERS: Mapping[str, str] = {
    "model": "Model",
    "response_model": "ResponseModel",
    "provider": "Provider",
    "service": "ServiceName",
    "operation": "Operation",
    "prompt_name": "PromptName",
    "prompt_version": "PromptVersion",
    **{
        name: f"SpanAttributes[{literal(key)}]"
        for name, key in {
            "temperature": semconv.REQUEST_TEMPERATURE,
            "top_p": semconv.REQUEST_TOP_P,
            "top_k": semconv.REQUEST_TOP_K,
            "max_tokens": semconv.REQUEST_MAX_TOKENS,
            "seed": semconv.REQUEST_SEED,
            "frequency_penalty": semconv.REQUEST_FREQUENCY_PENALTY,
            "presence_penalty": semconv.REQUEST_PRESENCE_PENALTY,
        }.items()
    },
}


@dataclass(frozen=True, order=True)
class RunKey:
    """Which run: one per project, experiment and run name."""

    project: str
    experiment: str
    run: str


@dataclass(frozen=True)
class Score:
    """One score's name with the mean of its values and how many there are."""

    name: str
    mean: float
    count: int


@dataclass(frozen=True)
class Sample:
    """One call of the sample table. `input` and `output` are message JSON, cut at MESSAGE_CHARACTERS."""

    trace_id: str
    span_id: str
    started_ms: int
    model: str
    user_id: str
    input: str
    input_characters: int
    output: str
    output_characters: int
    latency_ms: float
    ttft_ms: float | None
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None
    error: str
    scores: Mapping[str, float | str]


@dataclass(frozen=True)
class RunData:
    """Everything about one run, over its counted calls. Times are Unix milliseconds, latencies too."""

    key: RunKey
    calls: int
    errors: int
    unknown_usage: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    latency_ms: tuple[float, float]
    ttft_ms: tuple[float, float] | None
    cost_usd: float | None
    unpriced_calls: int
    started_ms: int
    ended_ms: int
    received_ms: int
    first_trace: str
    last_trace: str
    slowest_trace: str
    error_traces: tuple[str, ...]
    parameters: Mapping[str, tuple[str, ...]]
    scores: tuple[Score, ...]
    samples: tuple[Sample, ...]


# Whatever the calls were for: who names a run asks for it.
_OF_A_RUN = "Experiment != '' AND RunId != ''"
_THE_RUN = "Project = {project:String} AND Experiment = {experiment:String} AND RunId = {run:String}"
_CALLS = (
    f"Counted AND {_THE_RUN} AND Timestamp >= fromUnixTimestamp64Milli({{start:Int64}}) "
    "AND Timestamp < fromUnixTimestamp64Milli({end:Int64})"
)

# Sums grow with every call and the cost moves with the price book: what changes a run changes this.
_USAGE_CHANGES = """
SELECT Project, Experiment, RunId,
    concat(
        toString(sum(Calls)), ':', toString(sum(Errors)), ':', toString(sum(InputTokens)), ':',
        toString(sum(OutputTokens)), ':', toString(sumIf(Calls, NOT Priced)), ':',
        toString(round(sum(ifNull(Cost, 0)) * 1e9))
    ) AS Fingerprint
FROM usage_cost
WHERE {of_a_run} AND Time >= toDateTime({{since:UInt32}})
GROUP BY Project, Experiment, RunId
"""

# A score names a trace, a response or both; whichever of them belongs to a run's call counts. It may be
# given a day after its call before only a full pass finds it.
_SCORE_CHANGES = """
SELECT Project, Experiment, RunId, concat(toString(count()), '@', toString(max(Timestamp))) AS Fingerprint
FROM (
    SELECT Project, Timestamp, arrayJoin(arrayFilter(r -> r != '', [TraceId, ResponseId])) AS Ref
    FROM scores
    WHERE Timestamp >= toDateTime({{since:UInt32}})
) AS score
INNER JOIN (
    SELECT DISTINCT Project, Experiment, RunId,
        arrayJoin(arrayFilter(r -> r != '', [TraceId, ResponseId])) AS Ref
    FROM otel_traces
    WHERE Counted AND {of_a_run}
        AND Timestamp >= toDateTime(greatest(toInt64({{since:UInt32}}) - 86400, 0))
) AS run USING (Project, Ref)
GROUP BY Project, Experiment, RunId
"""

_USAGE = """
SELECT
    sum(Calls) AS calls,
    sumIf(Calls, NOT Priced) AS unpriced,
    sumIf(toInt64(Calls) - if(Stated, 0, toInt64(UnknownUsage)), Priced) AS priced,
    sum(Cost) AS cost,
    toInt64(toUnixTimestamp(min(Time))) * 1000 AS start_ms,
    (toInt64(toUnixTimestamp(max(Time))) + 10) * 1000 AS end_ms
FROM usage_cost
WHERE {the_run}
"""

# Whatever the order in which the engine reads, the answer is the same: another one would be logged anew.
_CALL_SUMS = """
SELECT
    count() AS calls,
    countIf(StatusCode = 'Error') AS errors,
    countIf(InputTokens IS NULL AND OutputTokens IS NULL) AS unknown_usage,
    sum(ifNull(InputTokens, 0)) AS input_tokens,
    sum(ifNull(OutputTokens, 0)) AS output_tokens,
    sum(CacheReadTokens) AS cached_tokens,
    quantilesExactInclusive(0.5, 0.95)(Duration / 1e6) AS latency,
    countIf(TimeToFirstToken IS NOT NULL) AS streamed,
    quantilesExactInclusiveIf(0.5, 0.95)(
        ifNull(TimeToFirstToken, 0) * 1e3, TimeToFirstToken IS NOT NULL
    ) AS ttft,
    toUnixTimestamp64Milli(min(Timestamp)) AS started,
    max(intDiv(toUnixTimestamp64Nano(Timestamp) + toInt64(Duration), 1000000)) AS ended,
    toUnixTimestamp64Milli(max(ReceivedAt)) AS received,
    argMin(TraceId, (Timestamp, TraceId)) AS first_trace,
    argMax(TraceId, (Timestamp, TraceId)) AS last_trace,
    argMax(TraceId, (Duration, TraceId)) AS slowest_trace,
    arrayDistinct(arrayMap(
        call -> call.2, groupArraySortedIf(5)((Timestamp, TraceId), StatusCode = 'Error')
    )) AS error_traces,
    {parameters}
FROM otel_traces
WHERE {calls}
"""

_FIRST_CALLS = """
SELECT Timestamp, TraceId, SpanId, ResponseId FROM otel_traces
WHERE {calls} ORDER BY Timestamp, SpanId LIMIT {limit}
"""

_SAMPLES = """
SELECT TraceId, SpanId, ResponseId, toUnixTimestamp64Milli(Timestamp) AS started, Model, UserId,
    Duration / 1e6 AS latency, TimeToFirstToken * 1e3 AS ttft, InputTokens, OutputTokens,
    if(StatusCode = 'Error', concat(ErrorType, if(StatusMessage != '', ': ', ''), StatusMessage), '') AS error
FROM otel_traces
WHERE {calls} AND (Timestamp, TraceId, SpanId) IN (SELECT Timestamp, TraceId, SpanId FROM ({first_calls}))
ORDER BY Timestamp, SpanId
"""

_SAMPLE_TEXTS = """
SELECT TraceId, SpanId,
    leftUTF8(InputMessages, {characters}) AS input, lengthUTF8(InputMessages) AS input_characters,
    leftUTF8(OutputMessages, {characters}) AS output, lengthUTF8(OutputMessages) AS output_characters
FROM span_texts
WHERE Project = {{project:String}} AND Timestamp >= fromUnixTimestamp64Milli({{start:Int64}})
    AND Timestamp < fromUnixTimestamp64Milli({{end:Int64}})
    AND (TraceId, SpanId) IN (SELECT TraceId, SpanId FROM ({first_calls}))
"""

_NO_TEXT: Mapping[str, Any] = {"input": "", "input_characters": 0, "output": "", "output_characters": 0}

_SAMPLE_COSTS = """
SELECT TraceId, SpanId, Cost FROM span_cost
WHERE Project = {{project:String}} AND Timestamp >= fromUnixTimestamp64Milli({{start:Int64}})
    AND Timestamp < fromUnixTimestamp64Milli({{end:Int64}})
    AND (TraceId, SpanId) IN (SELECT TraceId, SpanId FROM ({first_calls}))
"""

# By its span, else by its response; a score on a span outside any run (a trace's root) counts for the runs
# that have calls in that trace.
_SCORES_OF_THE_RUN = """
Project = {{project:String}} AND (
    (TraceId, SpanId) IN (SELECT TraceId, SpanId FROM otel_traces WHERE {calls})
    OR (ResponseId != '' AND ResponseId IN (SELECT ResponseId FROM otel_traces WHERE {calls}))
    OR (
        TraceId IN (SELECT TraceId FROM otel_traces WHERE {calls})
        AND (TraceId, SpanId) NOT IN (
            SELECT TraceId, SpanId FROM otel_traces
            WHERE Project = {{project:String}} AND Experiment != '' AND RunId != ''
                AND NOT (Experiment = {{experiment:String}} AND RunId = {{run:String}})
                AND TraceId IN (SELECT TraceId FROM otel_traces WHERE {calls})
        )
    )
)
"""

_SCORES = """
SELECT Name AS name, avg(Value) AS mean, count() AS amount
FROM scores
WHERE Value IS NOT NULL AND isFinite(Value) AND Name != '' AND {scores_of_the_run}
GROUP BY Name
ORDER BY amount DESC, name
LIMIT {limit}
"""

_SAMPLE_SCORES = """
SELECT TraceId, SpanId, ResponseId, Name, Value, Label
FROM scores
WHERE Project = {{project:String}} AND Name != '' AND (
    TraceId IN (SELECT TraceId FROM ({first_calls}))
    OR (ResponseId != '' AND ResponseId IN (SELECT ResponseId FROM ({first_calls})))
)
ORDER BY Timestamp, SpanId, Name, Value, Label
"""


class RunReader:
    """Reads experiment runs through SELECTs alone."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def usage_changes(self, since: int) -> dict[RunKey, str]:
        """A fingerprint of each run's calls and their cost, over buckets from Unix second `since` on.

        Two equal fingerprints of one run, taken with the same `since`, mean that nothing changed.
        """
        return self._fingerprints(_USAGE_CHANGES, since)

    def score_changes(self, since: int) -> dict[RunKey, str]:
        """The same over the scores given from Unix second `since` on."""
        return self._fingerprints(_SCORE_CHANGES, since)

    def _fingerprints(self, template: str, since: int) -> dict[RunKey, str]:
        rows = self._rows(template.format(of_a_run=_OF_A_RUN), {"since": since})
        return {RunKey(row["Project"], row["Experiment"], row["RunId"]): row["Fingerprint"] for row in rows}

    def scores_stored(self) -> int:
        """How many scores there are: cheap, and enough to know whether to look for new ones."""
        return int(self._rows("SELECT count() AS amount FROM scores", None)[0]["amount"])

    def run_data(self, key: RunKey) -> RunData | None:
        """The data of one run; None when its spans are gone, in whole or in part (retention)."""
        params: dict[str, QueryValue] = {
            "project": key.project,
            "experiment": key.experiment,
            "run": key.run,
        }
        usage = self._rows(_USAGE.format(the_run=_THE_RUN), params)[0]
        if not usage["calls"]:
            return None
        params |= {"start": usage["start_ms"], "end": usage["end_ms"]}
        listed = ",\n    ".join(
            f"arraySort(groupUniqArrayIf(100)(toString({expression}), toString({expression}) != '')) "
            f"AS param_{name}"
            for name, expression in PARAMETERS.items()
        )
        calls = self._rows(_CALL_SUMS.format(calls=_CALLS, parameters=listed), params)[0]
        if calls["calls"] < usage["calls"]:
            return None
        scores = self._rows(
            _SCORES.format(scores_of_the_run=_SCORES_OF_THE_RUN.format(calls=_CALLS), limit=SCORE_NAMES),
            params,
        )
        return RunData(
            key=key,
            calls=calls["calls"],
            errors=calls["errors"],
            unknown_usage=calls["unknown_usage"],
            input_tokens=calls["input_tokens"],
            output_tokens=calls["output_tokens"],
            cached_tokens=calls["cached_tokens"],
            latency_ms=(calls["latency"][0], calls["latency"][1]),
            ttft_ms=(calls["ttft"][0], calls["ttft"][1]) if calls["streamed"] else None,
            # Calls that nobody knows the price or the tokens of are missing from a sum, not free.
            cost_usd=usage["cost"] if usage["priced"] > 0 else None,
            unpriced_calls=usage["unpriced"],
            started_ms=calls["started"],
            ended_ms=calls["ended"],
            received_ms=calls["received"],
            first_trace=calls["first_trace"],
            last_trace=calls["last_trace"],
            slowest_trace=calls["slowest_trace"],
            error_traces=tuple(calls["error_traces"]),
            parameters={name: tuple(calls[f"param_{name}"]) for name in PARAMETERS if calls[f"param_{name}"]},
            scores=tuple(Score(row["name"], row["mean"], row["amount"]) for row in scores),
            samples=self._samples(params),
        )

    def _samples(self, params: QueryParams) -> tuple[Sample, ...]:
        first_calls = _FIRST_CALLS.format(calls=_CALLS, limit=SAMPLES)
        rows = self._rows(_SAMPLES.format(calls=_CALLS, first_calls=first_calls), params)
        texts = {
            (row["TraceId"], row["SpanId"]): row
            for row in self._rows(
                _SAMPLE_TEXTS.format(first_calls=first_calls, characters=MESSAGE_CHARACTERS), params
            )
        }
        costs = {
            (row["TraceId"], row["SpanId"]): row["Cost"]
            for row in self._rows(_SAMPLE_COSTS.format(first_calls=first_calls), params)
        }
        scores = self._rows(_SAMPLE_SCORES.format(first_calls=first_calls), params)
        spans = {(row["TraceId"], row["SpanId"]) for row in rows}
        samples = []
        for row in rows:
            key = (row["TraceId"], row["SpanId"])
            text = texts.get(key, _NO_TEXT)
            samples.append(
                Sample(
                    trace_id=row["TraceId"],
                    span_id=row["SpanId"],
                    started_ms=row["started"],
                    model=row["Model"],
                    user_id=row["UserId"],
                    input=text["input"],
                    input_characters=text["input_characters"],
                    output=text["output"],
                    output_characters=text["output_characters"],
                    latency_ms=row["latency"],
                    ttft_ms=row["ttft"],
                    input_tokens=row["InputTokens"],
                    output_tokens=row["OutputTokens"],
                    cost_usd=costs.get(key),
                    error=row["error"],
                    scores=_scores_of(row, scores, spans),
                )
            )
        return tuple(samples)


def _scores_of(
    call: Mapping[str, Any], scores: list[dict[str, Any]], spans: set[tuple[str, str]]
) -> dict[str, float | str]:
    """The newest score of each name that was given to a call, its trace's among them."""
    newest: dict[str, float | str] = {}
    for score in scores:
        span = (score["TraceId"], score["SpanId"])
        same_span = span == (call["TraceId"], call["SpanId"])
        same_response = score["ResponseId"] != "" and score["ResponseId"] == call["ResponseId"]
        same_trace = score["TraceId"] == call["TraceId"] and span not in spans and not score["ResponseId"]
        if same_span or same_response or same_trace:
            newest[score["Name"]] = score["Label"] if score["Value"] is None else score["Value"]
    return newest

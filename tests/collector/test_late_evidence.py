"""Usage that is reported twice, by the real collector: whatever comes first and in whichever batch, each call
is counted once within a minute, and what was wrong is kept, flagged and counted.
"""

from __future__ import annotations

import itertools
from collections import Counter

from .otlp import llm, traces
from .running import Served, until
from .test_call_dedup import family, of_two_scopes, splits

#: How long a rollup may be wrong after the last piece of evidence.
MINUTE = 60.0


def sums(served: Served) -> dict[str, tuple[int, int, int]]:
    """Calls, input and output tokens of each project in the rollup."""
    rows = served.rows(
        "SELECT Project, sum(Calls) AS a, sum(InputTokens) AS b, sum(OutputTokens) AS c "
        "FROM usage_10s GROUP BY Project"
    )
    return {row["Project"]: (int(row["a"]), int(row["b"]), int(row["c"])) for row in rows}


def test_every_order_and_split_is_counted_once_within_a_minute(served: Served) -> None:
    names = ("parent", "child", "duplicate")
    cases = [batches for order in itertools.permutations(names) for batches in splits(order)]
    families = {f"order-{number}": family() for number in range(len(cases))}
    # One round for each batch: the first batch of every case is stored before any second one is sent.
    for round_number in range(len(names)):
        for (project, spans), batches in zip(families.items(), cases, strict=True):
            if round_number >= len(batches):
                continue
            batch = [spans[name] for name in batches[round_number]]
            if round_number == len(batches) - 1:
                batch.append(spans["function"])
            resource: dict[str, object] = {"service.name": "repeated", "llmtrace.project": project}
            assert served.post(of_two_scopes(batch, resource)).status_code == 200
        served.stored()

    until(
        lambda: all(sums(served).get(project) == (1, 120, 40) for project in families),
        MINUTE,
        "the corrected rollup of every order and split",
    )
    rows = served.rows("SELECT SpanName, Uncounted, count() AS c FROM otel_traces WHERE IsLlm GROUP BY 1, 2")
    span_counts = {(row["SpanName"], row["Uncounted"]): int(row["c"]) for row in rows}
    reasons: Counter[str] = Counter()
    for (_, reason), count in span_counts.items():
        reasons[reason] += count
    assert reasons == {"": len(cases), "repeats": len(cases), "duplicate": len(cases)}
    assert span_counts["parent", "repeats"] == len(cases)

    (row,) = served.rows(
        "SELECT sum(Received) AS a, sum(Stored) AS b, sum(UsageRepeated) AS c, sum(UsageToldTwice) AS d "
        "FROM completeness WHERE ServiceName = 'repeated'"
    )
    assert [int(row[name]) for name in "bcd"] == [4 * len(cases), len(cases), len(cases)]
    for flag in ("repeats", "duplicate"):
        labels = {"service": "repeated", "flag": flag}
        until(lambda: served.metric("llmtrace_flagged_calls_total", **labels) >= len(cases), MINUTE)  # noqa: B023


def test_usage_that_contradicts_itself_is_kept_flagged_and_counted(served: Served) -> None:
    wrong = {
        "cache exceeds input": [
            llm({"gen_ai.usage.cache_read.input_tokens": 121}),
            llm(
                {
                    "gen_ai.usage.cache_read.input_tokens": 100,
                    "gen_ai.usage.cache_creation.input_tokens": 21,
                }
            ),
        ],
        "reasoning exceeds output": [llm({"gen_ai.usage.reasoning.output_tokens": 41})],
    }
    right = llm(
        {
            "gen_ai.usage.cache_read.input_tokens": 100,
            "gen_ai.usage.cache_creation.input_tokens": 20,
            "gen_ai.usage.reasoning.output_tokens": 40,
        }
    )
    resource = {"service.name": "doubtful", "llmtrace.project": "doubtful"}
    spans = [span for calls in wrong.values() for span in calls]
    assert served.post(traces([*spans, right], resource)).status_code == 200
    served.stored()
    rows = served.rows("SELECT SpanId, UsageFault FROM otel_traces WHERE Project = 'doubtful'")
    expected = {span.span_id.hex(): fault for fault, calls in wrong.items() for span in calls}
    assert {row["SpanId"]: row["UsageFault"] for row in rows} == {**expected, right.span_id.hex(): ""}
    assert served.value("SELECT sum(UsageFaults) FROM usage_10s WHERE Project = 'doubtful'") == "3"
    assert served.value("SELECT sum(UsageFaults) FROM completeness WHERE ServiceName = 'doubtful'") == "3"
    for fault, calls in wrong.items():
        labels = {"service": "doubtful", "flag": fault}
        until(lambda: served.metric("llmtrace_flagged_calls_total", **labels) == len(calls), MINUTE)  # noqa: B023

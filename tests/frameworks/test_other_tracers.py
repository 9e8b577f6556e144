"""With other tracers of the same calls: one span of a call counts, and nothing else changes.

Both send to the same collector, as they do where it has replaced another back end, or runs with one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from llmtrace.testing import Received, ReplayServer
from llmtrace_collector.store.store import Store
from tests.sdk.test_recordings import answer_of

from .running import Collector, events, exchange, needs, run
from .test_emitters import CALLS, expected_record

pytestmark = needs("emitters")


@dataclass(frozen=True)
class CombinedRun:
    """What one emitter and llmtrace left together."""

    emitter: str
    order: str
    kind: str
    answers: list[list[Any]]
    requests: list[Received]
    sent: list[Received]
    rows: list[dict[str, Any]]


PAIRS = [
    *((emitter, "after") for emitter in (
        "openllmetry openai",
        "openllmetry anthropic",
        "openinference openai",
        "openinference anthropic",
        "otel openai",
        "otel anthropic",
        "logfire openai",
        "logfire anthropic",
        "langfuse openai",
        "sentry openai",
        "anthropic native",
    )),
    *((emitter, "before") for emitter in (
        "openllmetry openai",
        "langfuse openai",
        "anthropic native",
    )),
]  # fmt: skip


@pytest.fixture(scope="module", params=PAIRS, ids=["-".join(pair) for pair in PAIRS])
def combined_run(
    request: pytest.FixtureRequest, store: Store, tmp_path_factory: pytest.TempPathFactory
) -> CombinedRun:
    emitter, order = request.param
    kind = "anthropic" if "anthropic" in emitter else "openai"
    calls = [exchange(CALLS[kind, streamed]) for streamed in (False, True)]
    with (
        ReplayServer(*map(answer_of, calls)) as provider,
        Collector(store, tmp_path_factory.mktemp("segments")) as collector,
    ):
        requests_json = json.dumps([json.loads(call.sent) for call in calls])
        answers = json.loads(
            run("emitters", "emit.py", emitter, provider.url, collector.url, order, stdin=requests_json)
        )
        sent = list(collector.requests)
        return CombinedRun(emitter, order, kind, answers, provider.requests, sent, collector.rows())


def test_each_call_is_counted_once_and_from_the_wire(combined_run: CombinedRun) -> None:
    counted = [row for row in combined_run.rows if row["Counted"] and row["Operation"] == "chat"]
    assert [row["ScopeName"] for row in counted] == ["llmtrace", "llmtrace"]
    for streamed, row in enumerate(counted):
        expected = expected_record(combined_run.kind, exchange(CALLS[combined_run.kind, bool(streamed)]))
        assert {key: row[key] for key in ("Provider", "RequestModel", "ResponseModel", "FinishReasons")} == {
            key: expected[key] for key in ("Provider", "RequestModel", "ResponseModel", "FinishReasons")
        }
        assert (int(row["InputTokens"]), int(row["OutputTokens"])) == (
            expected["InputTokens"],
            expected["OutputTokens"],
        )


def test_the_sums_are_those_of_the_calls(combined_run: CombinedRun) -> None:
    """Whatever the spans of the other library are called and hold."""
    expected = [
        expected_record(combined_run.kind, exchange(CALLS[combined_run.kind, streamed]))
        for streamed in (False, True)
    ]
    for column in ("InputTokens", "OutputTokens"):
        counted = sum(int(row[column] or 0) for row in combined_run.rows if row["Counted"])
        assert counted == sum(record[column] for record in expected)


def test_the_other_library_still_tells_what_it_told(combined_run: CombinedRun) -> None:
    """Its spans arrive too, marked; Sentry's go where Sentry's go."""
    if combined_run.emitter.startswith("sentry"):
        envelopes = [request for request in combined_run.sent if request.path.endswith("/envelope/")]
        assert len(envelopes) >= 2
        return
    theirs = [row for row in combined_run.rows if row["ScopeName"] != "llmtrace" and row["IsLlm"]]
    assert len({row["SpanId"] for row in theirs}) >= 2
    assert not any(row["Counted"] for row in theirs)


def test_the_program_gets_what_the_provider_sent(combined_run: CombinedRun) -> None:
    assert len(combined_run.requests) == 2
    for streamed, answer in enumerate(combined_run.answers):
        recorded = events(exchange(CALLS[combined_run.kind, bool(streamed)]))
        assert len(answer) == len([part for part in recorded if part.get("type") != "ping"])
        assert [event.get("id") for event in answer] == [
            part.get("id") for part in recorded if part.get("type") != "ping"
        ]

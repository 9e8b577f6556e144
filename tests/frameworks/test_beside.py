"""Beside other libraries that trace the same calls: one span of a call counts, and nothing else changes.

Both send to the same collector, as they do where it has replaced another back end, or stands beside one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from llmtrace.testing import Received, ReplayServer
from llmtrace_collector.store.store import Store
from tests.sdk.test_recordings import answer_of

from .running import Collector, events, needs, needs_recordings, recording, run
from .test_emitters import CALLS, told

pytestmark = [needs("emitters"), needs_recordings]


@dataclass(frozen=True)
class Beside:
    """What one emitter and llmtrace left together."""

    emitter: str
    order: str
    kind: str
    got: list[list[Any]]
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


#: One pair of each library; the others are long.
_FIRST = {
    ("openllmetry openai", "after"),
    ("openinference openai", "after"),
    ("logfire openai", "after"),
    ("langfuse openai", "after"),
    ("sentry openai", "after"),
    ("anthropic native", "after"),
    ("anthropic native", "before"),
}


def _params() -> list[object]:
    return [pytest.param(each, marks=() if each in _FIRST else pytest.mark.long) for each in PAIRS]


@pytest.fixture(scope="module", params=_params(), ids=["-".join(pair) for pair in PAIRS])
def beside(request: pytest.FixtureRequest, store: Store, tmp_path_factory: pytest.TempPathFactory) -> Beside:
    emitter, order = request.param
    kind = "anthropic" if "anthropic" in emitter else "openai"
    calls = [recording(CALLS[kind, streamed]) for streamed in (False, True)]
    with (
        ReplayServer(*map(answer_of, calls)) as provider,
        Collector(store, tmp_path_factory.mktemp("segments")) as collector,
    ):
        said = json.dumps([json.loads(each.sent) for each in calls])
        got = json.loads(run("emitters", "emit.py", emitter, provider.url, collector.url, order, said=said))
        sent = list(collector.requests)
        return Beside(emitter, order, kind, got, provider.requests, sent, collector.rows())


def test_each_call_is_counted_once_and_from_the_wire(beside: Beside) -> None:
    counted = [row for row in beside.rows if row["Counted"] and row["Operation"] == "chat"]
    assert [row["ScopeName"] for row in counted] == ["llmtrace", "llmtrace"]
    for streamed, row in enumerate(counted):
        expected = told(beside.kind, recording(CALLS[beside.kind, bool(streamed)]))
        assert {key: row[key] for key in ("Provider", "RequestModel", "ResponseModel", "FinishReasons")} == {
            key: expected[key] for key in ("Provider", "RequestModel", "ResponseModel", "FinishReasons")
        }
        assert (int(row["InputTokens"]), int(row["OutputTokens"])) == (
            expected["InputTokens"],
            expected["OutputTokens"],
        )


def test_the_sums_are_those_of_the_calls(beside: Beside) -> None:
    """Whatever the spans of the other library are called and hold."""
    expected = [told(beside.kind, recording(CALLS[beside.kind, streamed])) for streamed in (False, True)]
    for column in ("InputTokens", "OutputTokens"):
        counted = sum(int(row[column] or 0) for row in beside.rows if row["Counted"])
        assert counted == sum(each[column] for each in expected)


def test_the_other_library_still_tells_what_it_told(beside: Beside) -> None:
    """Its spans arrive too, marked; Sentry's go where Sentry's go."""
    if beside.emitter.startswith("sentry"):
        envelopes = [request for request in beside.sent if request.path.endswith("/envelope/")]
        assert len(envelopes) >= 2
        return
    theirs = [row for row in beside.rows if row["ScopeName"] != "llmtrace" and row["IsLlm"]]
    assert len({row["SpanId"] for row in theirs}) >= 2
    assert not any(row["Counted"] for row in theirs)


def test_the_program_gets_what_the_provider_sent(beside: Beside) -> None:
    assert len(beside.requests) == 2
    for streamed, answer in enumerate(beside.got):
        recorded = events(recording(CALLS[beside.kind, bool(streamed)]))
        assert len(answer) == len([part for part in recorded if part.get("type") != "ping"])
        assert [each.get("id") for each in answer] == [
            part.get("id") for part in recorded if part.get("type") != "ping"
        ]

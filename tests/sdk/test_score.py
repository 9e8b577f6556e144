"""Scores find the span they are about."""

from __future__ import annotations

import asyncio

import httpx
import openai
import pytest

import llmtrace
from llmtrace.testing import Captured, ReplayServer, capture

from .chat import PLAIN, REQUEST


def _ask(url: str) -> str:
    client = openai.OpenAI(base_url=url + "/v1", api_key="k")
    return str(client.chat.completions.create(**REQUEST).id)


def test_the_call_just_made(traces: Captured) -> None:
    with ReplayServer(PLAIN) as server:
        _ask(server.url)
        llmtrace.score("helpful", 1, label="yes", explanation="it answered")
        assert llmtrace.current_trace_id() is not None
        (span,), (score,) = traces.spans(), traces.scores()
    context = span.get_span_context()
    assert context is not None
    assert (score.trace_id, score.span_id) == (context.trace_id, context.span_id)
    assert llmtrace.current_trace_id() == f"{context.trace_id:032x}"
    assert score.event_name == "gen_ai.evaluation.result"
    assert score.attributes == {
        "gen_ai.evaluation.name": "helpful",
        "gen_ai.evaluation.score.value": 1.0,
        "gen_ai.evaluation.score.label": "yes",
        "gen_ai.evaluation.explanation": "it answered",
        "gen_ai.response.id": "chatcmpl-7",
    }


def test_the_active_span_inside_one(traces: Captured) -> None:
    @llmtrace.observe(name="answer")
    def answer(url: str) -> None:
        _ask(url)
        llmtrace.score("good", False)

    with ReplayServer(PLAIN) as server:
        answer(server.url)
        (score,) = traces.scores()
    spans = {span.name: span.get_span_context() for span in traces.spans()}
    answered = spans["answer"]
    assert answered is not None
    assert (score.trace_id, score.span_id) == (answered.trace_id, answered.span_id)
    assert score.attributes["gen_ai.evaluation.score.value"] == 0.0


def test_by_response_id_and_by_hexadecimal_ids(traces: Captured) -> None:
    with ReplayServer(PLAIN) as server:
        response_id = _ask(server.url)
        llmtrace.score("by response", 0.5, response_id=response_id)
        llmtrace.score("unknown", 0.5, response_id="never seen")
        llmtrace.score("by ids", label="ok", trace_id="0a" * 16, span_id="0b" * 8)
        by_response, unknown, by_ids = traces.scores()
        (span,) = traces.spans()
    context = span.get_span_context()
    assert context is not None
    assert (by_response.trace_id, by_response.span_id) == (context.trace_id, context.span_id)
    assert (unknown.trace_id, unknown.span_id) == (0, 0)
    assert (by_ids.trace_id, by_ids.span_id) == (int("0a" * 16, 16), int("0b" * 8, 16))
    assert "gen_ai.evaluation.score.value" not in by_ids.attributes


def test_tasks_score_their_own_call(traces: Captured) -> None:
    async def ask_and_score(url: str, name: str) -> str | None:
        async with httpx.AsyncClient() as client:
            await client.post(url + "/v1/chat/completions", json=REQUEST)
        await asyncio.sleep(0.01)
        llmtrace.score(name, 1)
        return llmtrace.current_trace_id()

    async def run(url: str) -> list[str | None]:
        return list(await asyncio.gather(ask_and_score(url, "a"), ask_and_score(url, "b")))

    with ReplayServer(PLAIN) as server:
        expected = asyncio.run(run(server.url))
        scores = {str(record.attributes["gen_ai.evaluation.name"]): record for record in traces.scores()}
    assert [f"{scores[name].trace_id:032x}" for name in ("a", "b")] == expected
    assert expected[0] != expected[1]


@pytest.mark.parametrize(
    "ids",
    [{"trace_id": "ab" * 20}, {"trace_id": -1}, {"trace_id": "-1"}, {"span_id": 2**64}, {"span_id": "no id"}],
)
def test_an_id_that_is_none_costs_no_other_score(
    ids: dict[str, str | int], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("LLMTRACE_STRICT")
    with capture() as traces:
        llmtrace.score("good", 1, trace_id="AB" * 16, span_id=2**64 - 1)
        llmtrace.score("bad", 1, **ids)  # type: ignore[arg-type]
        assert [score.trace_id for score in traces.scores()] == [int("ab" * 16, 16)]
    assert f"{next(iter(ids))} is {next(iter(ids.values()))!r}; use up to" in caplog.text

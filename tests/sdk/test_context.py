"""Attributes of the surroundings, and spans of functions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Generator
from typing import Any

import httpx
import pytest
from opentelemetry import trace

import llmtrace
from llmtrace import semconv
from llmtrace.testing import Captured, ReplayServer, capture

from .chat import PLAIN, REQUEST


def _ask(url: str) -> None:
    httpx.post(url + "/v1/chat/completions", json={**REQUEST, "user": "from-the-request"})


def _by_name(traces: Captured) -> dict[str, Any]:
    return {span["name"]: span["attributes"] for span in traces.snapshot()}


def test_context_reaches_every_kind_of_span(traces: Captured) -> None:
    @llmtrace.observe(name="step")
    def step(url: str) -> None:
        _ask(url)

    with (
        ReplayServer(PLAIN) as server,
        llmtrace.context(user_id="u-1", session_id=7, tags=["a", "b"], experiment="e"),
        llmtrace.context(user_id="u-2", tags="c", run="r", prompt_name="p", prompt_version=3),
    ):
        step(server.url)
        trace.get_tracer("elsewhere").start_span("other").end()
    outside = trace.get_tracer("elsewhere").start_span("outside")
    outside.end()
    spans = _by_name(traces)
    expected = {
        "user.id": "u-2",
        "session.id": "7",
        "llmtrace.tags": ["a", "b", "c"],
        "llmtrace.experiment": "e",
        "llmtrace.run": "r",
        "gen_ai.prompt.name": "p",
        "gen_ai.prompt.version": "3",
    }
    for name in ("chat gpt-4o-mini", "step", "other"):
        assert expected.items() <= spans[name].items(), name
    assert not expected.keys() & spans["outside"].keys()


@pytest.mark.parametrize("purpose", semconv.PURPOSES)
def test_each_purpose_is_on_what_is_within(traces: Captured, purpose: str) -> None:
    with ReplayServer(PLAIN) as server, llmtrace.context(purpose="judge"):
        with llmtrace.context(purpose=purpose):
            _ask(server.url)
        trace.get_tracer("elsewhere").start_span("outer").end()
    spans = _by_name(traces)
    assert spans["chat gpt-4o-mini"]["llmtrace.purpose"] == purpose
    assert spans["outer"]["llmtrace.purpose"] == "judge"


@pytest.mark.parametrize("purpose", ["Bench", "load test", 7, ["bench"]])
def test_what_is_no_purpose_is_left_out_with_a_warning(
    traces: Captured, caplog: pytest.LogCaptureFixture, purpose: Any
) -> None:
    with ReplayServer(PLAIN) as server, llmtrace.context(purpose=purpose, user_id="u"):
        _ask(server.url)
    attributes = _by_name(traces)["chat gpt-4o-mini"]
    assert attributes["user.id"] == "u"
    assert "llmtrace.purpose" not in attributes
    (warning,) = (text for text in caplog.messages if f"context(purpose={purpose!r})" in text)
    assert "playground" in warning


def test_the_requests_user_counts_where_no_context_names_one(traces: Captured) -> None:
    with ReplayServer(PLAIN) as server:
        _ask(server.url)
    assert _by_name(traces)["chat gpt-4o-mini"]["user.id"] == "from-the-request"


def test_tasks_do_not_share_a_context(traces: Captured) -> None:
    async def make_span(user: str) -> None:
        async with llmtrace.context(user_id=user):
            await asyncio.sleep(0.01)
            trace.get_tracer("t").start_span(user).end()

    async def run() -> None:
        await asyncio.gather(*(make_span(f"u{index}") for index in range(5)))

    asyncio.run(run())
    assert {name: span["user.id"] for name, span in _by_name(traces).items()} == {
        f"u{index}": f"u{index}" for index in range(5)
    }


def _active() -> int:
    return trace.get_current_span().get_span_context().span_id


def test_observe_makes_parents(traces: Captured) -> None:
    @llmtrace.observe
    def outer(url: str) -> int:
        """Docstring."""
        inner(url)
        return 5

    @llmtrace.observe
    def inner(url: str) -> None:
        _ask(url)

    with ReplayServer(PLAIN) as server:
        assert outer(server.url) == 5
    assert outer.__doc__ == "Docstring."
    chat, second, first = traces.spans()  # in the order of their ends
    assert [span.name.rpartition(".")[2] for span in (second, first)] == ["inner", "outer"]
    assert first.parent is None
    assert second.parent == first.get_span_context()
    assert chat.parent == second.get_span_context()
    assert _active() == 0


def test_observe_async_and_errors(traces: Captured) -> None:
    @llmtrace.observe(name="failing", capture_args=True, capture_result=True)
    async def failing(number: int, *, text: str = "t") -> int:
        await asyncio.sleep(0)
        if number:
            raise LookupError("not there")
        return 9

    assert asyncio.run(failing(0)) == 9
    with pytest.raises(LookupError, match="not there"):
        asyncio.run(failing(1, text="x"))
    good, bad = traces.snapshot()
    assert json.loads(good["attributes"]["llmtrace.function.arguments"]) == {"number": 0}
    assert good["attributes"]["llmtrace.function.result"] == "9"
    assert bad["attributes"]["error.type"] == "LookupError"
    assert bad["status"] == ("ERROR", "LookupError: not there")
    assert bad["events"] == ["exception"]


def test_arguments_are_content() -> None:
    with capture(capture_content=False) as traces, ReplayServer(PLAIN) as server:

        @llmtrace.observe(name="f", capture_args=True, capture_result=True)
        def function(secret: str) -> str:
            return secret

        function("hidden")
        _ask(server.url)
        assert "hidden" not in str(traces.snapshot())
        assert "Bonn" not in str(traces.snapshot())
        assert traces.snapshot()[1]["attributes"]["gen_ai.usage.input_tokens"] == 30


def test_a_generator_is_active_only_while_it_runs(traces: Captured) -> None:
    seen: list[int] = []

    @llmtrace.observe(name="numbers")
    def numbers() -> Generator[int, str, str]:
        seen.append(_active())
        with llmtrace.context(user_id="inside"):
            answer = yield 1
            seen.append(_active())
            trace.get_tracer("t").start_span("child").end()
            try:
                yield len(answer)
            except KeyError:
                yield 3
        return "end"

    generator = numbers()
    assert next(generator) == 1
    assert _active() == 0
    trace.get_tracer("t").start_span("between").end()
    assert generator.send("four") == 4
    assert _active() == 0
    assert generator.throw(KeyError()) == 3
    with pytest.raises(StopIteration) as stop:
        next(generator)
    assert stop.value.value == "end"
    assert seen[0] == seen[1] != 0
    spans = {span.name: span for span in traces.spans()}
    assert spans["child"].parent == spans["numbers"].get_span_context()
    assert spans["between"].parent is None
    attributes = _by_name(traces)
    assert attributes["child"]["user.id"] == "inside"
    assert "user.id" not in attributes["between"]


def test_generators_closed_and_failing(traces: Captured) -> None:
    cleaned: list[str] = []

    @llmtrace.observe(name="endless")
    def endless() -> Generator[int, None, None]:
        try:
            while True:
                yield 1
        finally:
            cleaned.append("closed")

    @llmtrace.observe(name="broken")
    def broken() -> Generator[int, None, None]:
        yield 1
        raise LookupError("gone")

    for _ in endless():
        break
    with pytest.raises(LookupError, match="gone"):
        list(broken())
    assert cleaned == ["closed"]
    endless_span, broken_span = traces.snapshot()
    assert endless_span["status"] == ("UNSET", None)
    assert broken_span["status"] == ("ERROR", "LookupError: gone")


def test_async_generators(traces: Captured) -> None:
    @llmtrace.observe(name="ticks")
    async def ticks() -> AsyncGenerator[int, None]:
        for index in range(3):
            await asyncio.sleep(0)
            trace.get_tracer("t").start_span(f"tick {index}").end()
            yield index

    async def run() -> None:
        received = []
        async for item in ticks():
            assert _active() == 0
            received.append(item)
        assert received == [0, 1, 2]
        closing = ticks()
        assert await anext(closing) == 0
        await closing.aclose()

    asyncio.run(run())
    spans = traces.spans()
    parents = [span for span in spans if span.name == "ticks"]
    assert len(parents) == 2
    assert all(
        span.parent in [parent.get_span_context() for parent in parents]
        for span in spans
        if span.name != "ticks"
    )


def test_without_init_nothing_happens() -> None:
    @llmtrace.observe
    def function() -> int:
        return _active()

    @llmtrace.observe
    def generator() -> Generator[int, None, None]:
        yield _active()

    assert function() == 0
    assert list(generator()) == [0]

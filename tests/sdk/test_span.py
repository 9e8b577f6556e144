"""`with llmtrace.span(...)`: what is recorded of a block, and that the block runs as it would without."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Iterator
from typing import Any, assert_type

import httpx
import pytest
from opentelemetry import trace

import llmtrace
from llmtrace.testing import Captured, ReplayServer, capture

from .chat import PLAIN, REQUEST


def _attributes(traces: Captured) -> dict[str, dict[str, Any]]:
    return {span["name"]: span["attributes"] for span in traces.snapshot()}


def test_a_block_is_the_parent_of_what_happens_inside(traces: Captured) -> None:
    @llmtrace.observe(name="inner")
    def inner() -> None:
        """Nothing."""

    with ReplayServer(PLAIN) as server, llmtrace.span("outer", attributes={"shop.cart": 3}) as span:
        assert_type(span, llmtrace.Span)
        httpx.post(server.url + "/v1/chat/completions", json=REQUEST)
        inner()
        assert llmtrace.current_trace_id() == span.trace_id
        span.set_attribute("shop.vip", True)
    spans = {span.name: span for span in traces.spans()}
    outer = spans["outer"].get_span_context()
    assert outer is not None
    assert (span.trace_id, span.span_id) == (f"{outer.trace_id:032x}", f"{outer.span_id:016x}")
    assert [spans[name].parent for name in ("chat gpt-4o-mini", "inner")] == [outer, outer]
    assert _attributes(traces)["outer"] == {"shop.cart": 3, "shop.vip": True}
    assert not trace.get_current_span().get_span_context().is_valid


def test_kinds_are_those_of_the_decorators(traces: Captured) -> None:
    with llmtrace.span("planner", kind="agent") as agent:
        agent.set_input("a trip to Bonn")
        with llmtrace.span("weather", kind="tool") as tool:
            tool.set_input({"city": "Bonn"})
            tool.set_output({"degrees": 7})
        with llmtrace.span("kb-1", kind="retrieval") as search:
            search.set_input({"query": "sights", "top_k": 2})
            search.set_output([{"id": "a", "score": 0.5, "text": "long"}])
        with llmtrace.span("kb-2", kind="retrieval") as search:
            search.set_input("museums")
    attributes = _attributes(traces)

    @llmtrace.tool(name="weather")
    def decorated(city: str) -> dict[str, int]:
        return {"degrees": 7}

    @llmtrace.agent(name="planner")
    def plan() -> None:
        decorated("Bonn")

    with capture() as again:
        plan()
        from_decorators = _attributes(again)
    for name in ("execute_tool weather", "invoke_agent planner"):
        del from_decorators[name]["code.function.name"]
    assert attributes["execute_tool weather"] == from_decorators["execute_tool weather"]
    assert attributes["invoke_agent planner"] == {
        **from_decorators["invoke_agent planner"],
        "llmtrace.function.arguments": '"a trip to Bonn"',
    }
    search_attributes = attributes["retrieval kb-1"]
    assert search_attributes["gen_ai.operation.name"] == "retrieval"
    assert search_attributes["gen_ai.retrieval.query.text"] == "sights"
    assert search_attributes["gen_ai.retrieval.top_k"] == 2
    assert json.loads(search_attributes["gen_ai.retrieval.documents"]) == [{"id": "a", "score": 0.5}]
    assert attributes["retrieval kb-2"]["gen_ai.retrieval.query.text"] == "museums"
    assert {span["gen_ai.agent.name"] for span in attributes.values()} == {"planner"}


def test_attributes_of_any_type(traces: Captured) -> None:
    with llmtrace.span("block") as span:
        span.set_attributes(
            {"text": "t", "list": ["a", "b"], "mixed": [1, "a"], "nested": {"a": [1]}, "none": None}
        )
        span.set_attribute("object", ValueError("x"))
    assert _attributes(traces)["block"] == {
        "text": "t",
        "list": ["a", "b"],
        "mixed": '[1, "a"]',
        "nested": '{"a": [1]}',
        "object": "\"ValueError('x')\"",
    }


@pytest.mark.parametrize("error", [LookupError("not there"), KeyboardInterrupt(), asyncio.CancelledError()])
def test_an_exception_is_recorded_and_raised(traces: Captured, error: BaseException) -> None:
    with pytest.raises(type(error)) as raised, llmtrace.span("failing"):
        raise error
    assert raised.value is error
    assert error.__context__ is None
    (span,) = traces.snapshot()
    kind = type(error).__name__
    assert span["status"] == ("ERROR", f"{kind}: {error}")
    assert span["attributes"] == {"error.type": kind}
    assert span["events"] == ["exception"]


def test_a_handled_exception_may_be_recorded(traces: Captured) -> None:
    with llmtrace.span("careful") as span:
        try:
            _ = dict[str, int]()["not there"]
        except KeyError as error:
            span.record_exception(error)
    assert traces.snapshot()[0]["status"] == ("ERROR", "KeyError: 'not there'")


def test_a_generator_that_is_closed_has_not_failed(traces: Captured) -> None:
    def numbers() -> Iterator[int]:
        with llmtrace.span("counting"):
            yield 1

    running = numbers()
    next(running)
    running.close()  # type: ignore[attr-defined]
    assert traces.snapshot()[0]["status"][0] == "UNSET"


def test_async_blocks_do_not_mix(traces: Captured) -> None:
    async def step(number: int) -> None:
        async with llmtrace.span(f"step {number}") as span:
            await asyncio.sleep(0.01)
            span.set_output(number)
            trace.get_tracer("t").start_span(f"child {number}").end()

    async def run() -> None:
        await asyncio.gather(*(step(number) for number in range(5)))

    asyncio.run(run())
    spans = {span.name: span for span in traces.spans()}
    for number in range(5):
        assert spans[f"child {number}"].parent == spans[f"step {number}"].get_span_context()
        assert (spans[f"step {number}"].attributes or {})["llmtrace.function.result"] == str(number)


def test_one_object_entered_again(traces: Captured) -> None:
    block = llmtrace.span("again")
    with block as outer, block as inner:
        assert outer is not inner
    with block:
        pass
    spans = traces.spans()
    assert [span.name for span in spans] == ["again"] * 3
    assert sorted(span.parent is None for span in spans) == [False, True, True]


def test_one_object_entered_by_tasks_at_once(traces: Captured, caplog: pytest.LogCaptureFixture) -> None:
    block = llmtrace.span("shared")

    async def step(number: int, pause: float) -> None:
        async with block as span:
            span.set_output(number)
            await asyncio.sleep(pause)
            trace.get_tracer("t").start_span(f"child {number}").end()

    async def run() -> None:
        await asyncio.gather(step(0, 0.01), step(1, 0.05), step(2, 0.03))
        assert not trace.get_current_span().get_span_context().is_valid

    with caplog.at_level(logging.WARNING):
        asyncio.run(run())
    assert not caplog.records
    spans = traces.spans()
    shared = {(span.attributes or {}).get("llmtrace.function.result"): span for span in spans}
    for number in range(3):
        (child,) = (span for span in spans if span.name == f"child {number}")
        own = shared[str(number)]
        assert child.parent == own.get_span_context()
        assert (own.end_time or 0) >= (child.end_time or 0), "no other task ended it"


def test_content_is_left_out_and_redacted() -> None:
    key = "sk-proj-" + "a1B2" * 12
    with capture() as traces:
        with llmtrace.span("open") as span:
            span.set_input({"key": key})
        with llmtrace.context(capture_content=False), llmtrace.span("closed", kind="tool") as span:
            span.set_input("hidden")
            span.set_output("hidden")
        text = str(traces.snapshot())
        assert "[redacted:key]" in text
        assert key not in text
        assert "hidden" not in text
    with capture(capture_content=False) as traces:
        with llmtrace.span("kb", kind="retrieval") as span:
            span.set_input({"query": "hidden"})
        assert "hidden" not in str(traces.snapshot())


def test_without_tracing_nothing_happens() -> None:
    """Before `init`, after `shutdown`: the same program, and nothing recorded."""
    with llmtrace.span("off", kind="agent", attributes={"a": 1}) as span:
        span.set_attribute("a", object())
        span.set_input(1)
        span.set_output(2)
        span.record_exception(ValueError())
        assert (span.trace_id, span.span_id, span.records_content) == (None, None, False)
    with pytest.raises(LookupError), llmtrace.span("off"):
        raise LookupError


def test_init_and_shutdown_within_a_block() -> None:
    with llmtrace.span("before") as span, capture() as traces:
        span.set_output(1)
        assert not traces.spans()
    with capture() as traces:
        block = llmtrace.span("after")
        block.__enter__().set_output(1)
        llmtrace.shutdown()
        block.__exit__(None, None, None)
    assert not trace.get_current_span().get_span_context().is_valid


def test_a_word_that_is_no_kind(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("LLMTRACE_STRICT", "0")
    with capture() as traces:
        with caplog.at_level(logging.ERROR, "llmtrace"), llmtrace.span("step", kind="chain"):  # type: ignore[arg-type]
            pass
        assert [span["name"] for span in traces.snapshot()] == ["step"]
    assert "use 'agent', 'tool', 'retrieval' or None" in caplog.text


def test_blocks_in_threads(traces: Captured) -> None:
    def work(number: int) -> None:
        for step in range(50):
            with llmtrace.span(f"{number}.{step}") as span:
                span.set_output(step)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert {span.name for span in traces.spans()} == {f"{n}.{step}" for n in range(4) for step in range(50)}
    assert all(span.parent is None for span in traces.spans())

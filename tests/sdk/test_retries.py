"""Retries by a loop of the program's own: which requests are attempts of one call, and what stays a call."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anthropic
import httpx
import openai
import pytest
import requests
import tenacity

import llmtrace
from llmtrace import clock
from llmtrace.capture.said_calls import SaidRequest
from llmtrace.spans import retries
from llmtrace.spans.finished_spans import SCOPE
from llmtrace.testing import Answer, Captured, ReplayServer, sse

from .chat import EVENTS, PLAIN, REQUEST, STREAM

BUSY = Answer.json({"error": {"message": "busy", "code": "server_error"}}, 503)
BAD = Answer.json({"error": {"message": "no", "code": "invalid_request_error"}}, 400)
MESSAGE = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4",
    "stop_reason": "end_turn", "content": [{"type": "text", "text": "Hi"}],
    "usage": {"input_tokens": 9, "output_tokens": 2},
}  # fmt: skip

ATTEMPTS = tenacity.retry(stop=tenacity.stop_after_attempt(3), wait=tenacity.wait_fixed(0.01), reraise=True)


def openai_call(url: str) -> Any:
    client = openai.OpenAI(base_url=url + "/v1", api_key="k", max_retries=0)
    return client.chat.completions.create(**REQUEST)


def anthropic_call(url: str) -> Any:
    client = anthropic.Anthropic(base_url=url, api_key="k", max_retries=0)
    return client.messages.create(
        model="claude-sonnet-4", max_tokens=9, messages=[{"role": "user", "content": "Hi"}]
    )


def httpx_call(url: str) -> Any:
    return httpx.post(url + "/v1/chat/completions", json=REQUEST).raise_for_status()


def requests_call(url: str) -> Any:
    requests.post(url + "/v1/chat/completions", json=REQUEST, timeout=5).raise_for_status()


CLIENTS: dict[str, tuple[Callable[[str], Any], Answer]] = {
    "openai": (openai_call, PLAIN),
    "anthropic": (anthropic_call, Answer.json(MESSAGE)),
    "httpx": (httpx_call, PLAIN),
    "requests": (requests_call, PLAIN),
}


def links(traces: Captured) -> list[tuple[int, int]]:
    """Which of our spans repeats which, by their places; Anthropic's client makes spans of its own."""
    spans = [span for span in traces.spans() if getattr(span.instrumentation_scope, "name", "") == SCOPE]
    places = {span.context.span_id: place for place, span in enumerate(spans)}
    for span in spans:
        assert all(dict(link.attributes or {}) == {"llmtrace.link": "repeats"} for link in span.links)
    return [(place, places[link.context.span_id]) for place, span in enumerate(spans) for link in span.links]


def counted(traces: Captured) -> list[bool]:
    return [span["attributes"].get("llmtrace.counted", True) for span in traces.snapshot()]


@pytest.mark.parametrize("around", [True, False], ids=["below a span", "alone"])
@pytest.mark.parametrize("client", CLIENTS)
def test_tenacitys_attempts_are_linked(traces: Captured, client: str, around: bool) -> None:
    ask, answer = CLIENTS[client]
    asking: Callable[[str], Any] = llmtrace.observe(ATTEMPTS(ask)) if around else ATTEMPTS(ask)
    with ReplayServer(BUSY, BUSY, answer) as server:
        asking(server.url)
        assert links(traces)[:2] == [(1, 0), (2, 1)]


def test_async_attempts_and_an_async_loop(traces: Captured) -> None:
    async def run(url: str) -> None:
        client = openai.AsyncOpenAI(base_url=url + "/v1", api_key="k", max_retries=0)
        async for attempt in tenacity.AsyncRetrying(stop=tenacity.stop_after_attempt(3)):
            with attempt:
                await client.chat.completions.create(**REQUEST)

    with ReplayServer(BUSY, PLAIN) as server:
        asyncio.run(run(server.url))
        assert links(traces) == [(1, 0)]


def test_the_clients_own_attempts_and_the_loops_are_one_chain(traces: Captured) -> None:
    quick = Answer.json({"error": {"message": "busy"}}, 503, **{"retry-after-ms": "1"})
    with ReplayServer(quick, quick, quick, PLAIN) as server:
        client = openai.OpenAI(base_url=server.url + "/v1", api_key="k", max_retries=1)
        ATTEMPTS(client.chat.completions.create)(**REQUEST)
        assert links(traces) == [(1, 0), (2, 1), (3, 2)]


def test_errors_that_clients_do_not_repeat_are_repeated_by_loops(traces: Captured) -> None:
    with ReplayServer(BAD, BAD, BAD) as server:
        with pytest.raises(openai.BadRequestError):
            ATTEMPTS(openai_call)(server.url)
        assert links(traces) == [(1, 0), (2, 1)]


def test_an_error_in_the_middle_of_a_stream(traces: Captured) -> None:
    """What failed is known when its answer is read: later than the next attempt begins."""
    failing = sse([EVENTS[1], {"error": {"message": "overloaded", "code": "server_error"}}], done=False)

    def ask(url: str) -> None:
        client = openai.OpenAI(base_url=url + "/v1", api_key="k", max_retries=0)
        list(client.chat.completions.create(**REQUEST, stream=True))

    with ReplayServer(failing, STREAM) as server:
        ATTEMPTS(ask)(server.url)
        assert links(traces) == [(1, 0)]
    # Something was received, and paid for: the collector counts its tokens, though it is no call.
    assert counted(traces) == [True, True]
    assert "llmtrace.usage.estimated.output_tokens" in traces.snapshot()[0]["attributes"]


def test_an_attempt_that_is_still_here_is_marked(traces: Captured) -> None:
    """The client says that it sends the first time: its failed requests are held for a moment."""
    with ReplayServer(BUSY, PLAIN) as server:
        ATTEMPTS(openai_call)(server.url)
    assert counted(traces) == [False, True]


def _after_a_success(url: str) -> None:
    for _ in range(2):
        httpx_call(url)


def _other_parents(url: str) -> None:
    for _ in range(2):
        with llmtrace.span("step"):
            httpx.post(url + "/v1/chat/completions", json=REQUEST)


def _another_request(url: str) -> None:
    httpx.post(url + "/v1/chat/completions", json=REQUEST)
    httpx.post(url + "/v1/chat/completions", json={**REQUEST, "temperature": 1})


def _another_address(url: str) -> None:
    httpx.post(url + "/v1/chat/completions", json=REQUEST)
    httpx.post(url + "/other/v1/chat/completions", json=REQUEST)


def _side_by_side(url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: httpx.post(url + "/v1/chat/completions", json=REQUEST), range(4)))


def _samples_of_a_task(url: str) -> None:
    async def run() -> None:
        async with httpx.AsyncClient() as client:
            sent = [client.post(url + "/v1/chat/completions", json=REQUEST) for _ in range(5)]
            await asyncio.gather(*sent)

    asyncio.run(run())


def _much_later(url: str) -> None:
    httpx.post(url + "/v1/chat/completions", json=REQUEST)
    last = retries.last.get()
    assert last is not None
    last.ended_at -= 121 * 10**9
    httpx.post(url + "/v1/chat/completions", json=REQUEST)


@pytest.mark.parametrize(
    ("ask", "answers"),
    [
        (_after_a_success, (PLAIN, PLAIN)),
        (_other_parents, (BUSY, PLAIN)),
        (_another_request, (BUSY, PLAIN)),
        (_another_address, (BUSY, PLAIN)),
        (_side_by_side, (BUSY,)),
        (_samples_of_a_task, (BUSY,)),
        (_much_later, (BUSY, PLAIN)),
    ],
)
def test_what_merely_looks_alike_stays_a_call(
    traces: Captured, ask: Callable[[str], None], answers: tuple[Answer, ...]
) -> None:
    with ReplayServer(*answers) as server:
        ask(server.url)
        assert links(traces) == []
        assert all(counted(traces))


def test_what_noting_a_predecessor_costs(traces: Captured) -> None:
    """A request after one that succeeded is not hashed, and the one before is not kept."""
    now = clock.time_ns()
    before = retries.Retry(traces_context(), None, now)
    before.ended_at = clock.time_ns()
    retries.last.set(before)
    body = json.dumps(REQUEST).encode() * 20_000
    started = time.perf_counter()
    for _ in range(1000):
        retry = retries.Retry(traces_context(), None, now)
        assert retries.repeated(retry, SaidRequest("/v1/chat/completions", body)) is before
    assert (time.perf_counter() - started) / 1000 < 1e-4
    assert not hasattr(before, "__dict__")


def traces_context() -> Any:
    """The context of some span."""
    from opentelemetry.trace import SpanContext

    return SpanContext(1, 2, is_remote=False)

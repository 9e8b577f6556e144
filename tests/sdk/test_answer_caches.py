"""Caches of whole answers: what gateways say in headers, and what programs say of their own caches."""

from __future__ import annotations

import asyncio
import json
import threading
from contextvars import copy_context
from typing import Any

import httpx
import pytest

import llmtrace
from llmtrace.testing import Answer, Captured, ReplayServer

from .chat import PLAIN, REQUEST

FREE = "llmtrace.response.cache_hit"
BODY = {**json.loads(PLAIN.body), "usage": {"prompt_tokens": 5, "completion_tokens": 3}}

#: Headers → the cache, what it said.
RESULTS: dict[str, tuple[dict[str, str], str | None, str | None]] = {
    "ours": ({"x-llmtrace-cache": "hit"}, "llmtrace", "hit"),
    "ours, semantic": ({"x-llmtrace-cache": "semantic"}, "llmtrace", "semantic"),
    "ours, miss": ({"x-llmtrace-cache": "miss"}, "llmtrace", "miss"),
    "cloudflare": ({"cf-aig-cache-status": "HIT"}, "cloudflare", "hit"),
    "cloudflare, miss": ({"cf-aig-cache-status": "MISS"}, "cloudflare", "miss"),
    "helicone": ({"Helicone-Cache": "HIT", "Helicone-Cache-Latency": "1234"}, "helicone", "hit"),
    "helicone, miss": ({"Helicone-Cache": "MISS"}, "helicone", "miss"),
    "portkey": ({"x-portkey-cache-status": "HIT"}, "portkey", "hit"),
    "portkey, semantic": ({"x-portkey-cache-status": "SEMANTIC HIT"}, "portkey", "semantic"),
    "portkey, semantic miss": ({"x-portkey-cache-status": "SEMANTIC MISS"}, "portkey", "miss"),
    "portkey, off": ({"x-portkey-cache-status": "DISABLED"}, None, None),
    "portkey, made anew": ({"x-portkey-cache-status": "REFRESH"}, None, None),
    "litellm": ({"x-litellm-cache-key": "586bf3f3"}, "litellm", "hit"),
    "litellm, newer": ({"x-litellm-cache-hit": "True", "x-litellm-cache-key": "58"}, "litellm", "hit"),
    "litellm, newer, miss": ({"x-litellm-cache-hit": "False"}, "litellm", "miss"),
    "openrouter": ({"X-OpenRouter-Cache-Status": "HIT"}, "openrouter", "hit"),
    "openrouter, miss": ({"X-OpenRouter-Cache-Status": "MISS"}, "openrouter", "miss"),
    "a web server's": ({"x-cache": "HIT", "cf-cache-status": "HIT"}, None, None),
    "none": ({}, None, None),
}


def _post(answer: Answer) -> None:
    with ReplayServer(answer) as server:
        httpx.post(server.url + "/v1/chat/completions", json=REQUEST)


def _attributes(traces: Captured) -> list[dict[str, Any]]:
    return [dict(span.attributes or {}) for span in traces.spans()]


@pytest.mark.parametrize("name", RESULTS)
def test_what_a_gateway_says_is_on_the_call(traces: Captured, name: str) -> None:
    headers, cache, result = RESULTS[name]
    _post(Answer(json.dumps(BODY).encode(), 200, {"content-type": "application/json", **headers}))
    (attributes,) = _attributes(traces)
    assert (attributes.get("llmtrace.cache.name"), attributes.get("llmtrace.cache.result")) == (cache, result)
    assert attributes.get(FREE, False) == (result in ("hit", "semantic"))
    seconds = 1.234 if name == "helicone" else None
    assert attributes.get("llmtrace.cache.saved_seconds") == seconds


@pytest.mark.parametrize(("status", "cost"), [("HIT", None), ("MISS", 0.25)])
def test_the_bill_in_an_old_answer_is_not_paid_again(
    traces: Captured, status: str, cost: float | None
) -> None:
    body = {**BODY, "usage": {**BODY["usage"], "cost": 0.25, "is_byok": False}}
    headers = {"content-type": "application/json", "x-portkey-cache-status": status}
    _post(Answer(json.dumps(body).encode(), 200, headers))
    (attributes,) = _attributes(traces)
    assert attributes.get("llmtrace.usage.stated_cost") == cost
    assert attributes.get("llmtrace.cache.saved_cost") == (0.25 if cost is None else None)


class Shop:
    """A program with a cache in front of a model, as docs/cost.md has it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.stored: dict[str, str] = {}

    def ask(self) -> str:
        return str(httpx.post(self.url + "/v1/chat/completions", json=REQUEST).json()["id"])

    def answer(self, question: str, calls: int = 1) -> str:
        with llmtrace.cache_lookup("answers", question) as lookup:
            answer = self.stored.get(question)
            if answer is not None:
                lookup.hit()
        if answer is None:
            answer = [self.ask() for _ in range(calls)][-1]
            self.stored[question] = answer
            llmtrace.cache_store("answers", question)
        return answer


def _of_cache(traces: Captured, name: str) -> list[dict[str, Any]]:
    return [dict(span.attributes or {}) for span in traces.spans() if span.name == name]


def test_a_hit_is_a_call_for_nothing_and_names_the_calls_it_stands_for(traces: Captured) -> None:
    with ReplayServer(PLAIN) as server:
        shop = Shop(server.url)
        for question in ("Rain?", "Rain?", "Snow?", "Rain?"):
            shop.answer(question, calls=2)
    assert len(_of_cache(traces, "cache_lookup answers")) == 4
    rain, snow = _of_cache(traces, "cache_store answers")
    calls = [f"{span.context.span_id:016x}" for span in traces.spans() if span.name == "chat gpt-4o-mini"]
    assert [list(stored["llmtrace.cache.sources"]) for stored in (rain, snow)] == [calls[:2], calls[2:]]
    hits = _of_cache(traces, "chat")
    assert [hit["llmtrace.cache.entry"] for hit in hits] == [rain["llmtrace.cache.entry"]] * 2
    for hit in hits:
        assert (hit[FREE], hit["llmtrace.cache.result"]) == (True, "hit")
        assert "gen_ai.usage.input_tokens" not in hit
    assert rain["llmtrace.cache.entry"] != snow["llmtrace.cache.entry"]
    assert "Rain" not in str([_attributes(traces)]).replace("Weather", "")


def test_what_is_known_of_a_hit_is_told(traces: Captured) -> None:
    with llmtrace.context(user_id="ann"), llmtrace.cache_lookup("answers", ("a", 1)) as lookup:
        lookup.hit(
            key=("b", 2), model="gpt-4o", provider="openai", input_tokens=812, output_tokens=96,
            seconds=1.9, calls=3, semantic=True, score=0.93,
        )  # fmt: skip
    llmtrace.cache_hit("other")
    asked, hit, bare = traces.spans()[-1], *traces.spans()[:2]
    if asked.name != "cache_lookup answers":  # in the order in which they end
        hit, asked, bare = traces.spans()
    attributes = dict(hit.attributes or {})
    entry = attributes.pop("llmtrace.cache.entry")
    assert hit.name == "chat gpt-4o"
    assert attributes == {
        "user.id": "ann", "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o", "gen_ai.usage.input_tokens": 812, "gen_ai.usage.output_tokens": 96,
        FREE: True, "llmtrace.cache.name": "answers", "llmtrace.cache.result": "semantic",
        "llmtrace.cache.score": 0.93, "llmtrace.cache.saved_seconds": 1.9, "llmtrace.cache.saved_calls": 3,
    }  # fmt: skip
    assert len(str(entry)) == 16
    assert hit.parent == asked.get_span_context()
    assert (asked.start_time or 0) <= (hit.end_time or 0) <= (asked.end_time or 0)
    assert dict(bare.attributes or {}) == {
        "gen_ai.operation.name": "chat", FREE: True, "llmtrace.cache.name": "other",
        "llmtrace.cache.result": "hit",
    }  # fmt: skip


def test_embeddings_of_a_look_up_say_whose_they_are(traces: Captured) -> None:
    vector = {"object": "list", "model": "e", "data": [{"embedding": [0.1]}], "usage": {"prompt_tokens": 4}}
    with ReplayServer(Answer.json(vector)) as server:

        def embed() -> None:
            httpx.post(server.url + "/v1/embeddings", json={"model": "e", "input": "Rain?"})

        with llmtrace.cache_lookup("answers", "Rain?"):
            embed()
        embed()
    names = [of_span.get("llmtrace.cache.name") for of_span in _of_cache(traces, "embeddings e")]
    assert names == ["answers", None]


def test_calls_are_noted_in_threads_and_tasks_and_for_their_own_entry(traces: Captured) -> None:
    with ReplayServer(PLAIN) as server:
        shop = Shop(server.url)
        with llmtrace.cache_lookup("answers", "a"):
            pass
        thread = threading.Thread(target=copy_context().run, args=(shop.ask,))
        thread.start()
        thread.join()
        llmtrace.cache_store("answers", "a")

        async def in_task(question: str) -> None:
            async with llmtrace.cache_lookup("answers", question):
                await asyncio.sleep(0.01)
            async with httpx.AsyncClient() as client:
                await client.post(server.url + "/v1/chat/completions", json=REQUEST)
            llmtrace.cache_store("answers", question)

        async def both() -> None:
            await asyncio.gather(in_task("b"), in_task("c"))

        asyncio.run(both())
        shop.ask()
        llmtrace.cache_store("answers", "never looked up")
    stored = [list(of_span["llmtrace.cache.sources"]) for of_span in _of_cache(traces, "cache_store answers")]
    calls = {f"{span.context.span_id:016x}" for span in traces.spans() if span.name == "chat gpt-4o-mini"}
    assert [len(sources) for sources in stored] == [1, 1, 1, 1]
    assert {source for sources in stored for source in sources} == calls


def test_a_failed_look_up_is_the_programs_and_no_miss(traces: Captured) -> None:
    with pytest.raises(RuntimeError, match="down"), llmtrace.cache_lookup("answers", "a"):
        raise RuntimeError("down")
    with ReplayServer(PLAIN) as server:
        Shop(server.url).ask()
        Shop(server.url).ask()
    llmtrace.cache_store("answers", "a")
    (stored,) = _of_cache(traces, "cache_store answers")
    assert len(stored["llmtrace.cache.sources"]) == 1, "the last call, for no look-up missed"


def test_off_it_does_nothing() -> None:
    with llmtrace.cache_lookup("answers", "a") as lookup:
        lookup.hit(model="m")
    llmtrace.cache_hit("answers", "a", model="m")
    llmtrace.cache_store("answers", "a")
    assert llmtrace.stats().generated == 0

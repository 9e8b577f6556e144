"""Adapters on objects with the methods of RedisVL's caches, whose Redis has to search vectors; the other
libraries are tried as they are (tests/frameworks/test_caches.py)."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from llmtrace.adapters import redisvl
from llmtrace.adapters.methods import replace
from llmtrace.testing import Answer, Captured, ReplayServer

from .chat import PLAIN, REQUEST

VECTOR = Answer.json(
    {"object": "list", "model": "e", "data": [{"embedding": [0.1]}], "usage": {"prompt_tokens": 4}}
)


class SemanticCache:
    """As RedisVL's: asks for a vector at each look-up and entry, and finds the only entry near enough."""

    name = "answers"

    def __init__(self, embeddings: str) -> None:
        self._embeddings = embeddings
        self._entries: list[dict[str, Any]] = []

    def _embed(self) -> None:
        httpx.post(self._embeddings + "/v1/embeddings", json={"model": "e", "input": "x"})

    def check(self, prompt: str | None = None, num_results: int = 1) -> list[dict[str, Any]]:
        self._embed()
        return [{**entry, "vector_distance": 0.02} for entry in self._entries[:num_results]]

    def store(self, prompt: str, response: str, ttl: int | None = None) -> str:
        self._embed()
        self._entries.append({"prompt": prompt, "response": response, "ttl": ttl})
        return f"{self.name}:{len(self._entries)}"

    async def acheck(self, prompt: str | None = None, num_results: int = 1) -> list[dict[str, Any]]:
        return self.check(prompt, num_results)

    async def astore(self, prompt: str, response: str, ttl: int | None = None) -> str:
        return self.store(prompt, response, ttl)


def _of_caches(traces: Captured) -> list[tuple[str, dict[str, Any]]]:
    """Each span's name and what it says of caches, in the order of their starts."""
    spans = sorted(traces.spans(), key=lambda span: span.start_time or 0)
    return [
        (
            span.name.partition(" ")[0],
            {
                key.removeprefix("llmtrace.cache."): value
                for key, value in (span.attributes or {}).items()
                if key.startswith("llmtrace.cache.")
            },
        )
        for span in spans
    ]


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_redisvl(traces: Captured, asynchronous: bool) -> None:
    with ReplayServer(VECTOR) as embeddings, ReplayServer(PLAIN) as provider:
        cache = redisvl.traced(redisvl.traced(SemanticCache(embeddings.url)))  # twice is once

        async def answer(prompt: str) -> str:
            hits = await cache.acheck(prompt) if asynchronous else cache.check(prompt=prompt)
            if hits:
                return str(hits[0]["response"])
            async with httpx.AsyncClient() as client:
                await client.post(provider.url + "/v1/chat/completions", json=REQUEST)
            stored = (
                await cache.astore(prompt, "yes", ttl=9)
                if asynchronous
                else cache.store(prompt, "yes", ttl=9)
            )
            assert stored == "answers:1"
            return "yes"

        async def ask() -> list[str]:
            return [await answer(prompt) for prompt in ("Will it rain?", "Will it rain?", "Is rain coming?")]

        assert asyncio.run(ask()) == ["yes"] * 3
    marked = _of_caches(traces)
    lookups = [of_span for name, of_span in marked if name == "cache_lookup"]
    assert lookups == [{"name": "answers", "step": "lookup"}] * 3
    assert [of_span for name, of_span in marked if name == "embeddings"] == [{"name": "answers"}] * 4
    (stored,) = (of_span for name, of_span in marked if name == "cache_store")
    (call,) = (span for span in traces.spans() if span.name == "chat gpt-4o-mini")
    assert list(stored["sources"]) == [f"{call.context.span_id:016x}"], "not the embedding of what is stored"
    hits = [of_span for name, of_span in marked if name == "chat" and of_span]
    assert [hit["result"] for hit in hits] == ["hit", "semantic"]
    assert {hit["entry"] for hit in hits} == {stored["entry"]}
    assert all(hit["score"] == pytest.approx(0.98) for hit in hits)


def test_what_the_library_raises_is_the_programs(traces: Captured) -> None:
    class Broken(SemanticCache):
        def check(self, prompt: str | None = None, num_results: int = 1) -> list[dict[str, Any]]:
            raise ConnectionError("no Redis")

        def store(self, prompt: str, response: str, ttl: int | None = None) -> str:
            raise ConnectionError("no Redis")

    cache = redisvl.traced(Broken("http://127.0.0.1:9"))
    with pytest.raises(ConnectionError, match="no Redis"):
        cache.check("a")
    with pytest.raises(ConnectionError, match="no Redis"):
        cache.store("a", "b")
    assert [name for name, _ in _of_caches(traces)] == ["cache_lookup"], "and nothing was stored"


def test_methods_that_call_each_other_are_seen_once() -> None:
    seen: list[str] = []

    class Library:
        def outer(self) -> int:
            return self.inner() + 1

        def inner(self) -> int:
            return 1

    library = Library()

    def around(call: Any) -> Any:
        seen.append("around")
        return call()

    for name in ("outer", "inner", "missing"):
        replace(library, name, around)
    assert (library.outer(), seen) == (2, ["around"])
    assert (library.inner(), seen) == (1, ["around"] * 2)
    assert Library().outer() == 2

"""The response cache: same and similar requests, whose they are, what makes room, what it says of itself."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from opentelemetry.trace import SpanKind
from pydantic import SecretStr

from llmtrace_inference.engine.interface import Generation, Submission
from llmtrace_inference.serving.answer_cache import (
    AnswerCache,
    CacheKey,
    Eviction,
    StoredAnswer,
    StoredChoice,
    open_cache,
)
from llmtrace_inference.serving.callables import load_callable
from llmtrace_inference.settings import InferenceSettings
from tests.inference.fakes import FakeEngine
from tests.inference.running import Running, serving, wait_until


@dataclass
class _Counting(FakeEngine):
    """Counts what it has to generate."""

    prompts: list[str] = field(default_factory=list)

    def submit(self, generation: Generation) -> Submission:
        self.prompts.append("".join(map(chr, generation.prompt_ids)))
        return super().submit(generation)


def embed(text: str) -> list[float]:
    """A stand-in for a model: questions about the same thing point the same way."""
    return [float("weather" in text), float("price" in text), 0.1]


def _servers(running: Running) -> list[dict[str, Any]]:
    spans = [s for s in running.exporter.get_finished_spans() if s.kind is SpanKind.SERVER]
    return [dict(s.attributes or {}) for s in spans]


def test_exact_and_similar_requests_are_answered_from_memory() -> None:
    settings = InferenceSettings(
        models={"fake": "x"},
        api_keys=(SecretStr("k1"), SecretStr("k2")),
        response_cache="semantic",
        semantic_embedder="tests.inference.test_answer_cache:embed",
    )
    engine = _Counting()
    outcomes: list[str | None] = []
    with serving(settings, load=lambda *_: engine) as running:

        def ask(text: str, key: str = "k1", headers: Any = None, **more: Any) -> httpx.Response:
            body = {"model": "fake", "messages": [{"role": "user", "content": text}], **more}
            authorized_headers = {"Authorization": f"Bearer {key}", **(headers or {})}
            response = httpx.post(f"{running.url}/v1/chat/completions", json=body, headers=authorized_headers)
            outcomes.append(response.headers.get("x-llmtrace-cache"))
            return response

        first = ask("How is the weather?").json()
        again = ask("How is the weather?", user="someone").json()
        assert again["choices"] == first["choices"]
        assert again["usage"] == first["usage"]
        assert again["id"] != first["id"]
        streamed = ask("How is the weather?", stream=True).text
        assert '"hello"' in streamed
        assert streamed.rstrip().endswith("[DONE]")
        assert engine.prompts == ["How is the weather?"]

        similar = ask("What is the weather like?").json()
        assert similar["choices"] == first["choices"]
        assert len(engine.prompts) == 1
        ask("What is the price?")
        ask("How is the weather?", temperature=0.3)
        ask("How is the weather?", key="k2")
        ask("How is the weather?", headers={"Cache-Control": "no-cache"})
        assert engine.prompts[1:] == ["What is the price?", *["How is the weather?"] * 3]

        wait_until(lambda: len(_servers(running)) == 8)
        assert outcomes == ["miss", "hit", "hit", "semantic", "miss", "miss", "miss", None]
        assert [s.get("llmtrace.cache.result") for s in _servers(running)] == outcomes
        free = [s.get("llmtrace.response.cache_hit", False) for s in _servers(running)]
        assert free == [word in ("hit", "semantic") for word in outcomes]
        results = [s.get("llmtrace.inference.cache.result") for s in _servers(running)]
        assert results == ["miss", "exact", "exact", "semantic", "miss", "miss", "miss", None]
        semantic = _servers(running)[3]
        assert 0.99 < semantic["llmtrace.inference.cache.score"] <= 1.0001
        assert semantic["llmtrace.inference.cache.saved_tokens"] == first["usage"]["total_tokens"]
        hit = next(s for s in running.exporter.get_finished_spans() if s.name == "chat fake" and
                   (s.attributes or {}).get("llmtrace.inference.cache.result") == "exact")  # fmt: skip
        phases = [s.name for s in running.exporter.get_finished_spans()
                  if s.parent is not None and s.parent.span_id == hit.context.span_id]  # fmt: skip
        assert phases == ["admission", "cache", "respond"]
        metrics = httpx.get(f"{running.url}/metrics").text
        assert 'llmtrace_inference_cache_requests_total{model="fake",result="exact"} 2.0' in metrics
        assert 'llmtrace_inference_cache_requests_total{model="fake",result="semantic"} 1.0' in metrics
        saved = 3 * first["usage"]["total_tokens"]
        assert f'llmtrace_inference_cache_saved_tokens_total{{model="fake"}} {saved:.1f}' in metrics
        tokens = 5 * first["usage"]["completion_tokens"]
        assert f'llmtrace_inference_tokens_total{{kind="output",model="fake"}} {tokens:.1f}' in metrics


@pytest.mark.parametrize(("eviction", "gone"), [("fifo", "a"), ("lru", "b"), ("lfu", "c")])
def test_what_makes_room_and_what_expires(eviction: Eviction, gone: str) -> None:
    now = 0.0
    cache = AnswerCache(
        entries=3, ttl_seconds=10, eviction=eviction, threshold=0.9, embed=None, clock=lambda: now
    )
    answer = StoredAnswer(1, (StoredChoice("x", (), (), "stop", 1),))

    def has(key: str) -> bool:
        return asyncio.run(cache.find(CacheKey(key, "", ""))) is not None

    for key in "abc":
        cache.put(CacheKey(key, "", ""), answer)
    for key in "abbca" if eviction != "lru" else "bcca":  # c is used least; under LRU b is longest ago
        assert has(key)
    cache.put(CacheKey("d", "", ""), answer)
    assert len(cache) == 3
    assert [key for key in "abcd" if not has(key)] == [gone]
    now = 10.0
    assert not any(map(has, "abcd"))
    assert len(cache) == 0


def test_the_settings_choose_what_makes_room() -> None:
    settings = InferenceSettings(response_cache="exact", cache_entries=2, cache_eviction="fifo")
    cache = open_cache(settings)
    assert cache is not None
    answer = StoredAnswer(1, (StoredChoice("x", (), (), "stop", 1),))
    a, b, c = (CacheKey(key, "", "") for key in "abc")
    cache.put(a, answer)
    cache.put(b, answer)
    assert asyncio.run(cache.find(a)) is not None, "used last: by `lru`, the default, b would make room"
    cache.put(c, answer)
    assert [asyncio.run(cache.find(key)) is not None for key in (a, b, c)] == [False, True, True]


def test_an_embedder_that_is_not_there_is_said_at_the_start() -> None:
    for path in ("nowhere:embed", "math:nothing", "math"):
        with pytest.raises(RuntimeError, match="give module:function"):
            load_callable(path, "semantic_embedder")

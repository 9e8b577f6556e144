"""GPTCache's `Cache`, whichever of its adapters asks it."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, TypeVar

from llmtrace.api.caches import cache_hit, cache_lookup, cache_store
from llmtrace.spans import context_attributes

from .methods import replace

Cache = TypeVar("Cache")
_question: ContextVar[object] = ContextVar("llmtrace-gptcache-question", default=None)


def traced(cache: Cache, name: str = "gptcache") -> Cache:
    """The same cache after its `init`, whose look-ups, hits and entries are recorded.

        cache.init(…)
        gptcache.traced(cache)

    Hits are known from its report, so they are not where its configuration has `disable_report=True`.
    name: its name in reports.
    """

    def embed(call: Any, data: Any, *args: Any, **kwargs: Any) -> Any:
        _question.set(data)
        with context_attributes.of_cache(name):
            return call(data, *args, **kwargs)

    def search(call: Any, *args: Any, **kwargs: Any) -> Any:
        with cache_lookup(name, _question.get()):
            return call(*args, **kwargs)

    def report(call: Any, asked: str, kept_question: str, kept_id: Any, answer: str, similarity: Any,
               *args: Any) -> Any:  # fmt: skip
        cache_hit(name, kept_question, semantic=asked != kept_question, score=similarity)
        return call(asked, kept_question, kept_id, answer, similarity, *args)

    def save(call: Any, question: Any, *args: Any, **kwargs: Any) -> Any:
        result = call(question, *args, **kwargs)
        cache_store(name, getattr(question, "content", question))
        return result

    replace(cache, "embedding_func", embed)
    manager = getattr(cache, "data_manager", None)
    for method, around in (("search", search), ("report_cache", report), ("save", save)):
        replace(manager, method, around)
    return cache

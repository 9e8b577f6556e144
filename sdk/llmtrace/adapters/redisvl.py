"""RedisVL's caches of answers: `SemanticCache`, `LangCacheSemanticCache`."""

from __future__ import annotations

from typing import Any, Final, TypeVar

from llmtrace.api.caches import cache_lookup, cache_store
from llmtrace.internal_errors import swallow
from llmtrace.spans import context_attributes

from .methods import replace

Cache = TypeVar("Cache")
_READING: Final = swallow("reading what RedisVL's cache holds")


def traced(cache: Cache, name: str | None = None) -> Cache:
    """The same cache, whose look-ups (`check`) and entries (`store`) are recorded, async ones too.

        cache = redisvl.traced(SemanticCache(name="answers", redis_url=…))

    name: its name in reports, by default its own.
    """
    label = name or str(getattr(cache, "name", "") or "redisvl")

    def check(call: Any, prompt: str | None = None, *args: Any, **kwargs: Any) -> Any:
        with cache_lookup(label, prompt) as lookup:
            results = call(prompt, *args, **kwargs)
            if results:
                lookup.hit(**_entry(results[0], prompt))
        return results

    async def acheck(call: Any, prompt: str | None = None, *args: Any, **kwargs: Any) -> Any:
        async with cache_lookup(label, prompt) as lookup:
            results = await call(prompt, *args, **kwargs)
            if results:
                lookup.hit(**_entry(results[0], prompt))
        return results

    def store(call: Any, prompt: str, *args: Any, **kwargs: Any) -> Any:
        with context_attributes.of_cache(label):
            key = call(prompt, *args, **kwargs)
        cache_store(label, prompt)
        return key

    async def astore(call: Any, prompt: str, *args: Any, **kwargs: Any) -> Any:
        with context_attributes.of_cache(label):
            key = await call(prompt, *args, **kwargs)
        cache_store(label, prompt)
        return key

    for method, around in (("check", check), ("acheck", acheck), ("store", store), ("astore", astore)):
        replace(cache, method, around)
    return cache


def _entry(result: Any, asked: str | None) -> dict[str, Any]:
    """The entry that answered: its prompt, and how near it is, 1 for the same (1 − cosine distance)."""
    entry: dict[str, Any] = {}
    with _READING:
        entry["key"] = result.get("prompt", asked)
        entry["semantic"] = entry["key"] != asked
        if (distance := result.get("vector_distance")) is not None:
            entry["score"] = 1 - float(distance)
    return entry

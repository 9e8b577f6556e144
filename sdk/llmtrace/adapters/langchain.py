"""LangChain's caches of answers (`set_llm_cache`, `ChatOpenAI(cache=…)`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeVar

from llmtrace.api.caches import cache_lookup, cache_store
from llmtrace.internal_errors import swallow
from llmtrace.spans import context_attributes

from .methods import replace

Cache = TypeVar("Cache")
_READING: Final = swallow("reading what LangChain's cache holds")


def traced(cache: Cache, name: str = "langchain") -> Cache:
    """The same cache (any `BaseCache`), whose look-ups and entries are recorded.

        set_llm_cache(langchain.traced(InMemoryCache()))

    name: its name in reports.
    """

    def lookup(call: Any, prompt: str, llm_string: str) -> Any:
        with cache_lookup(name, (prompt, llm_string)) as in_cache:
            generations = call(prompt, llm_string)
            if generations is not None:
                in_cache.hit(**_saved(generations))
        return generations

    async def alookup(call: Any, prompt: str, llm_string: str) -> Any:
        async with cache_lookup(name, (prompt, llm_string)) as in_cache:
            generations = await call(prompt, llm_string)
            if generations is not None:
                in_cache.hit(**_saved(generations))
        return generations

    def update(call: Any, prompt: str, llm_string: str, return_val: Any) -> None:
        with context_attributes.of_cache(name):
            call(prompt, llm_string, return_val)
        cache_store(name, (prompt, llm_string))

    async def aupdate(call: Any, prompt: str, llm_string: str, return_val: Any) -> None:
        with context_attributes.of_cache(name):
            await call(prompt, llm_string, return_val)
        cache_store(name, (prompt, llm_string))

    for method, around in (
        ("lookup", lookup),
        ("alookup", alookup),
        ("update", update),
        ("aupdate", aupdate),
    ):
        replace(cache, method, around)
    return cache


def _saved(generations: Any) -> dict[str, Any]:
    """Model and tokens of the message that is kept; nothing of a plain completion's text."""
    saved: dict[str, Any] = {}
    with _READING:
        messages = [
            message for item in generations if (message := getattr(item, "message", None)) is not None
        ]
        usages = [usage for message in messages if isinstance(usage := _usage(message), Mapping)]
        if usages:
            for argument in ("input_tokens", "output_tokens"):
                saved[argument] = sum(int(usage.get(argument, 0)) for usage in usages)
        for message in messages[:1]:
            metadata = getattr(message, "response_metadata", None) or {}
            saved["model"] = metadata.get("model_name") or metadata.get("model")
            saved["provider"] = metadata.get("model_provider")
    return saved


def _usage(message: Any) -> Any:
    return getattr(message, "usage_metadata", None)

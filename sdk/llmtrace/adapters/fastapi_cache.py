"""fastapi-cache: whole answers of endpoints and functions, below `@cache()`."""

from __future__ import annotations

from typing import Any, TypeVar

from llmtrace.api.caches import cache_lookup, cache_store

from .methods import replace

Backend = TypeVar("Backend")


def traced(backend: Backend, name: str = "fastapi-cache") -> Backend:
    """The same backend, whose look-ups and entries are recorded; what a hit saved is all the LLM calls that
    the endpoint made when it was last run.

        FastAPICache.init(fastapi_cache.traced(RedisBackend(redis)))

    name: its name in reports.
    """

    async def get_with_ttl(call: Any, key: str) -> Any:
        async with cache_lookup(name, key) as lookup:
            ttl, value = await call(key)
            if value is not None:
                lookup.hit(key=key)
        return ttl, value

    async def set_value(call: Any, key: str, *args: Any, **kwargs: Any) -> Any:
        result = await call(key, *args, **kwargs)
        cache_store(name, key)
        return result

    replace(backend, "get_with_ttl", get_with_ttl)
    replace(backend, "set", set_value)
    return backend

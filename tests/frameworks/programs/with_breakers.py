"""A model behind a circuit breaker, with a loop that tries again and an answer in its place.

python with_breakers.py API_URL pybreaker|purgatory|purgatory-async
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import llmtrace

llmtrace.init()

import openai  # noqa: E402  # after init, as in most programs
import tenacity  # noqa: E402

from llmtrace.adapters import tenacity as tenacity_adapter  # noqa: E402

API = sys.argv[1] + "/v1"
QUESTION: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Rain?"}]}
SORRY = "Please try again later."
#: Two questions fail, three attempts each; the third one is let through, for the breaker waits no time.
QUESTIONS = 3


def with_pybreaker() -> None:
    import pybreaker

    from llmtrace.adapters import pybreaker as adapter

    breaker = pybreaker.CircuitBreaker(
        name="openai", fail_max=3, reset_timeout=0, listeners=[adapter.Listener()]
    )
    client = openai.OpenAI(base_url=API, api_key="k", max_retries=0)

    def ask() -> Any:
        return breaker.call(client.chat.completions.create, **QUESTION)

    for _ in range(QUESTIONS):
        _answer(ask)


def with_purgatory() -> None:
    from purgatory import SyncCircuitBreakerFactory

    from llmtrace.adapters import purgatory as adapter

    factory = SyncCircuitBreakerFactory(default_threshold=3, default_ttl=0)
    factory.add_listener(adapter.listener)
    client = openai.OpenAI(base_url=API, api_key="k", max_retries=0)

    def ask() -> Any:
        with factory.get_breaker("openai"):
            return client.chat.completions.create(**QUESTION)

    for _ in range(QUESTIONS):
        _answer(ask)


def _answer(ask: Callable[[], Any]) -> Any:
    with llmtrace.span("answer"):
        loop = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(3),
            wait=tenacity.wait_exponential(multiplier=0.02),
            retry_error_callback=tenacity_adapter.fallback("preset", lambda state: SORRY),
        )
        return loop(ask)


def with_purgatory_async() -> None:
    asyncio.run(_purgatory())


async def _purgatory() -> None:
    from purgatory import AsyncCircuitBreakerFactory

    from llmtrace.adapters import purgatory as adapter

    factory = AsyncCircuitBreakerFactory(default_threshold=3, default_ttl=0)
    factory.add_listener(adapter.listener)
    client = openai.AsyncOpenAI(base_url=API, api_key="k", max_retries=0)

    async def ask() -> Any:
        async with await factory.get_breaker("openai"):
            return await client.chat.completions.create(**QUESTION)

    for _ in range(QUESTIONS):
        with llmtrace.span("answer"):
            loop = tenacity.AsyncRetrying(
                stop=tenacity.stop_after_attempt(3),
                wait=tenacity.wait_exponential(multiplier=0.02),
                retry_error_callback=tenacity_adapter.fallback("preset", lambda state: SORRY),
            )
            await loop(ask)


WITH = {
    "pybreaker": with_pybreaker,
    "purgatory": with_purgatory,
    "purgatory-async": with_purgatory_async,
}

if __name__ == "__main__":
    WITH[sys.argv[2]]()
    llmtrace.shutdown()

"""Caches of answers in front of a model, as their libraries are used; prints what each answered.

python with_caches.py API_URL fastapi-cache|gptcache|langchain FOLDER
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llmtrace

llmtrace.init()

from openai import AsyncOpenAI, OpenAI  # noqa: E402  # after init, as in most programs

API = sys.argv[1] + "/v1"
MODEL = "gpt-4o-mini"
QUESTIONS = ("Rain?", "Rain?", "Snow?", "Rain?")


def ask(question: str) -> str:
    client = OpenAI(base_url=API, api_key="k", max_retries=0)
    completion = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": question}])
    return str(completion.choices[0].message.content)


def with_fastapi_cache() -> None:
    import httpx
    from fastapi import FastAPI
    from fastapi_cache import FastAPICache
    from fastapi_cache.backends.inmemory import InMemoryBackend
    from fastapi_cache.decorator import cache

    from llmtrace.adapters import fastapi_cache

    app = FastAPI()
    client = AsyncOpenAI(base_url=API, api_key="k", max_retries=0)

    async def answer(question: str) -> list[str]:
        completions = [
            await client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": text}])
            for text in (question, f"{question} Really?")
        ]
        return [str(completion.choices[0].message.content) for completion in completions]

    def threaded(question: str) -> str:
        return ask(question)

    for path, endpoint in (("/answer", answer), ("/threaded", threaded)):
        app.get(path)(cache(expire=60)(endpoint))

    async def visit() -> None:
        FastAPICache.init(fastapi_cache.traced(InMemoryBackend()))
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as browser:
            for path in ("/answer", "/threaded"):
                for question in QUESTIONS:
                    print((await browser.get(path, params={"question": question})).json())

    asyncio.run(visit())


def with_gptcache() -> None:
    from gptcache import Cache
    from gptcache.adapter.adapter import adapt
    from gptcache.adapter.api import get, put
    from gptcache.manager import get_data_manager
    from gptcache.processor.pre import get_prompt

    from llmtrace.adapters import gptcache

    cache = Cache()
    # Written at exit, by default where the program runs.
    data_manager = get_data_manager(data_path=str(Path(sys.argv[3]) / "answers"))
    cache.init(pre_embedding_func=get_prompt, data_manager=data_manager)
    gptcache.traced(cache)

    def save(answer: str, update: Callable[[str], None], *_: Any, **__: Any) -> str:
        update(answer)
        return answer

    for question in QUESTIONS:
        print(adapt(lambda prompt: ask(prompt), str, save, cache_obj=cache, prompt=question))
    if (answer := get("Hail?", cache_obj=cache)) is None:
        put("Hail?", answer := ask("Hail?"), cache_obj=cache)
    print(answer, get("Hail?", cache_obj=cache))


def with_langchain() -> None:
    from langchain_core.caches import InMemoryCache
    from langchain_core.globals import set_llm_cache
    from langchain_openai import ChatOpenAI

    from llmtrace.adapters import langchain

    set_llm_cache(langchain.traced(InMemoryCache()))
    model = ChatOpenAI(model=MODEL, base_url=API, api_key="k", max_retries=0)

    async def in_a_loop() -> None:
        for question in QUESTIONS:
            print((await model.ainvoke(question)).content)

    for question in QUESTIONS:
        print(model.invoke(question).content)
    asyncio.run(in_a_loop())


{"fastapi-cache": with_fastapi_cache, "gptcache": with_gptcache, "langchain": with_langchain}[sys.argv[2]]()

"""pydantic-ai's agents on OpenAI, with the spans that it makes itself."""

from __future__ import annotations

import base64
from typing import Any

from program import gathered, in_threads, run
from pydantic_ai import Agent, BinaryContent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from questions import (
    CHAT_MODEL,
    PICTURE,
    PICTURE_TYPE,
    QUESTION,
    REASONING_MODEL,
    SYSTEM,
    TOOL_QUESTION,
    bridge_length,
)
from tracers import exporting_provider


def agent(url: str, name: str = CHAT_MODEL, *, retries: int = 0, **more: Any) -> Any:
    """The agent of a cell, with a client of its own."""
    from openai import AsyncOpenAI

    client: Any = AsyncOpenAI(base_url=f"{url}/v1", api_key="k", max_retries=retries)
    model = OpenAIChatModel(name, provider=OpenAIProvider(openai_client=client))
    return Agent(model, system_prompt=SYSTEM, **more)


async def plain(url: str) -> None:
    await agent(url).run(QUESTION)


async def stream(url: str) -> None:
    async with agent(url).run_stream(QUESTION) as result:
        async for _ in result.stream_text(delta=True):
            pass


async def tools(url: str) -> None:
    await agent(url, tools=[bridge_length]).run(TOOL_QUESTION)


async def images(url: str) -> None:
    picture = BinaryContent(base64.b64decode(PICTURE), media_type=PICTURE_TYPE)
    await agent(url).run([QUESTION, picture])


async def reasoning(url: str) -> None:
    await agent(url, REASONING_MODEL).run(QUESTION)


async def retry(url: str) -> None:
    await agent(url, retries=2).run(QUESTION)


def in_a_thread(url: str) -> None:
    agent(url).run_sync(QUESTION)


def switch_on(tracer: str, otlp: str) -> Any:
    """Its own instrumentation, of the version that follows `v` in the tracer's name, if one does."""
    provider = exporting_provider(otlp)
    version = tracer.rpartition(" v")[2]
    if version.isdigit():
        from pydantic_ai.models.instrumented import InstrumentationSettings

        settings: Any = {"tracer_provider": provider, "version": int(version)}
        Agent.instrument_all(InstrumentationSettings(**settings))
    else:
        Agent.instrument_all()
    return provider.shutdown


if __name__ == "__main__":
    run(
        {
            "plain": plain,
            "stream": stream,
            "tools": tools,
            "parallel_tools": tools,
            "images": images,
            "reasoning": reasoning,
            "cached": plain,
            "error": plain,
            "retry": retry,
            "async": plain,
            "thread": in_threads(in_a_thread),
            "batch": gathered(plain),
        },
        switch_on=switch_on,
    )

"""AutoGen's agents on OpenAI: what its tracers see."""

from __future__ import annotations

import asyncio
from typing import Any

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.messages import MultiModalMessage
from autogen_core import Image
from autogen_ext.models.openai import OpenAIChatCompletionClient
from program import gathered, in_threads, run
from questions import (
    CHAT_MODEL,
    PICTURE,
    QUESTION,
    REASONING_MODEL,
    SYSTEM,
    TOOL_QUESTION,
    bridge_length,
)


def agent(url: str, *, name: str = CHAT_MODEL, retries: int = 0, **more: Any) -> Any:
    """The agent of a cell."""
    options: dict[str, Any] = {"model": name, "base_url": f"{url}/v1", "api_key": "k", "max_retries": retries}
    if more.get("model_client_stream"):
        options["stream_options"] = {"include_usage": True}
    client = OpenAIChatCompletionClient(**options)
    return AssistantAgent("assistant", client, system_message=SYSTEM, **more)


async def plain(url: str) -> None:
    await agent(url).run(task=QUESTION)


async def stream(url: str) -> None:
    async for _ in agent(url, model_client_stream=True).run_stream(task=QUESTION):
        pass


async def tools(url: str) -> None:
    await agent(url, tools=[bridge_length], reflect_on_tool_use=True).run(task=TOOL_QUESTION)


async def images(url: str) -> None:
    question = MultiModalMessage(content=[QUESTION, Image.from_base64(PICTURE)], source="user")
    await agent(url).run(task=question)


async def reasoning(url: str) -> None:
    await agent(url, name=REASONING_MODEL).run(task=QUESTION)


async def retry(url: str) -> None:
    await agent(url, retries=2).run(task=QUESTION)


def in_a_loop(url: str) -> None:
    asyncio.run(plain(url))


CALLS = {
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
    "thread": in_threads(in_a_loop),
    "batch": gathered(plain),
}

if __name__ == "__main__":
    run(CALLS)

"""OpenAI Agents on the Responses API and on chat completions: run, streamed, with a tool.

python with_openai_agents.py API_URL
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import llmtrace

llmtrace.init()

from agents import (  # noqa: E402  # after init, as in most programs
    Agent,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from openai import AsyncOpenAI  # noqa: E402

set_tracing_disabled(True)  # it would send its own traces to its maker
client: Any = AsyncOpenAI(base_url=sys.argv[1] + "/v1", api_key="k", max_retries=0)
responses: Any = OpenAIResponsesModel("gpt-4.1-nano", openai_client=client)
chat: Any = OpenAIChatCompletionsModel("gpt-3.5-turbo", openai_client=client)


@llmtrace.tool
def multiply(a: float, b: float) -> float:
    """Multiply two numbers together."""
    return a * b


@llmtrace.tool
def add(a: float, b: float) -> float:
    """Add two numbers together."""
    return a + b


@llmtrace.observe
async def whole() -> None:
    await Runner.run(Agent(name="teller", model=responses), "What is the capital of France?")


@llmtrace.observe
async def streamed() -> None:
    result = Runner.run_streamed(Agent(name="teller", model=responses), "What is the capital of France?")
    assert [event async for event in result.stream_events()]


@llmtrace.agent(name="calculator")
async def tools() -> None:
    agent: Any = Agent(name="calculator", model=chat, tools=[function_tool(multiply), function_tool(add)])
    await Runner.run(agent, "What is (3 * 4) + 7?")


async def in_one_loop() -> None:
    await whole()
    await streamed()
    await tools()


asyncio.run(in_one_loop())

"""pydantic-ai: an agent run, streamed and with tools; with its own spans too where asked for.

python with_pydantic_ai.py API_URL [instrumented]
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import llmtrace

llmtrace.init()

from pydantic_ai import Agent  # noqa: E402  # after init, as in most programs
from pydantic_ai.models.openai import OpenAIChatModel  # noqa: E402
from pydantic_ai.providers.openai import OpenAIProvider  # noqa: E402

QUESTION = "What is the capital of France?"
if "instrumented" in sys.argv:
    Agent.instrument_all()


def model() -> Any:
    """A client of its own for each event loop."""
    return OpenAIChatModel(
        "gpt-3.5-turbo", provider=OpenAIProvider(base_url=sys.argv[1] + "/v1", api_key="k")
    )


@llmtrace.tool
def multiply(a: float, b: float) -> float:
    """Multiply two numbers together."""
    return a * b


@llmtrace.tool
def add(a: float, b: float) -> float:
    """Add two numbers together."""
    return a + b


@llmtrace.observe
def whole() -> None:
    Agent(model()).run_sync(QUESTION)


@llmtrace.observe
async def streamed() -> None:
    agent: Any = Agent(model())
    async with agent.run_stream(QUESTION) as result:
        assert [text async for text in result.stream_text(delta=True)]


@llmtrace.agent(name="calculator")
async def tools() -> None:
    agent: Any = Agent(model(), tools=[multiply, add])
    await agent.run("What is (3 * 4) + 7?")


whole()
asyncio.run(streamed())
asyncio.run(tools())

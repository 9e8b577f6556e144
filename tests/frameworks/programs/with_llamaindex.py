"""LlamaIndex: its OpenAI model whole and streamed, and an agent with tools.

python with_llamaindex.py API_URL
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import llmtrace

llmtrace.init()

from llama_index.core.agent.workflow import FunctionAgent  # noqa: E402  # after init, as in most programs
from llama_index.core.llms import ChatMessage  # noqa: E402
from llama_index.llms.openai import OpenAI  # noqa: E402

QUESTION = "What is the capital of France?"
model: Any = OpenAI(
    model="gpt-3.5-turbo",
    api_base=sys.argv[1] + "/v1",
    api_key="k",
    max_retries=0,
    additional_kwargs={"stream_options": {"include_usage": True}},
)
plain: Any = OpenAI(model="gpt-3.5-turbo", api_base=sys.argv[1] + "/v1", api_key="k", max_retries=0)


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
    plain.complete(QUESTION)


@llmtrace.observe
async def whole_async() -> None:
    await plain.achat([ChatMessage(role="user", content=QUESTION)])


@llmtrace.observe
def streamed() -> None:
    assert [chunk.delta for chunk in model.stream_chat([ChatMessage(role="user", content=QUESTION)])]


@llmtrace.observe
async def streamed_async() -> None:
    chunks = await model.astream_chat([ChatMessage(role="user", content=QUESTION)])
    assert [chunk.delta async for chunk in chunks]


@llmtrace.agent(name="calculator")
async def tools() -> None:
    agent: Any = FunctionAgent(tools=[multiply, add], llm=plain, streaming=False)
    await agent.run("What is (3 * 4) + 7?")


async def in_one_loop() -> None:
    await whole_async()
    await streamed_async()
    await tools()


whole()
streamed()
asyncio.run(in_one_loop())

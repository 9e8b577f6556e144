"""LangChain under `llmtrace.observe`: whole, streamed, and a model with bound tools; sync and async.

python with_langchain.py API_URL
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import llmtrace

llmtrace.init()

from langchain_core.messages import HumanMessage, ToolMessage  # noqa: E402  # after init, as in most programs
from langchain_core.prompts import ChatPromptTemplate  # noqa: E402
from langchain_core.tools import tool  # noqa: E402
from langchain_openai import ChatOpenAI  # noqa: E402

QUESTION = "What is the capital of France?"
model: Any = ChatOpenAI(
    model="gpt-3.5-turbo", base_url=sys.argv[1] + "/v1", api_key="k", max_retries=0, stream_usage=True
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
    chain = ChatPromptTemplate.from_messages([("system", "Answer briefly."), ("user", "{question}")]) | model
    chain.invoke({"question": QUESTION})


@llmtrace.observe
async def whole_async() -> None:
    await model.ainvoke(QUESTION)


@llmtrace.observe
def streamed() -> None:
    assert "".join(chunk.content for chunk in model.stream(QUESTION))


@llmtrace.observe
async def streamed_async() -> None:
    assert [chunk async for chunk in model.astream(QUESTION)]


@llmtrace.agent(name="calculator")
def tools() -> None:
    known = {langchain_tool.name: langchain_tool for langchain_tool in (tool(multiply), tool(add))}
    bound = model.bind_tools(list(known.values()))
    messages: list[Any] = [HumanMessage("What is (3 * 4) + 7?")]
    while (answer := bound.invoke(messages)).tool_calls:
        messages.append(answer)
        messages += [
            ToolMessage(str(known[call["name"]].invoke(call["args"])), tool_call_id=call["id"])
            for call in answer.tool_calls
        ]


async def in_one_loop() -> None:
    await whole_async()
    await streamed_async()


whole()
streamed()
asyncio.run(in_one_loop())
tools()

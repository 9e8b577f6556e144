"""LangGraph: a graph of two nodes, and its ready-made agent, invoked and streamed.

python with_langgraph.py API_URL
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from langchain.agents import create_agent
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, MessagesState, StateGraph

import llmtrace

llmtrace.init()

QUESTION = {"messages": [("user", "What is the capital of France?")]}
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


def graph() -> Any:
    """Two nodes, each with one call of the model."""

    def researcher(state: Any) -> dict[str, Any]:
        return {"messages": [model.invoke(state["messages"])]}

    async def writer(state: Any) -> dict[str, Any]:
        return {"messages": [await model.ainvoke(state["messages"])]}

    building: Any = StateGraph(MessagesState)
    building.add_node("researcher", researcher)
    building.add_node("writer", writer)
    building.add_edge(START, "researcher")
    building.add_edge("researcher", "writer")
    building.add_edge("writer", END)
    return building.compile()


@llmtrace.observe
async def nodes() -> None:
    await graph().ainvoke(QUESTION)


@llmtrace.observe
def streamed() -> None:
    agent: Any = create_agent(model)
    assert list(agent.stream(QUESTION, stream_mode="messages"))


@llmtrace.agent(name="calculator")
def tools() -> None:
    agent: Any = create_agent(model, tools=[multiply, add])
    agent.invoke({"messages": [("user", "What is (3 * 4) + 7?")]})


asyncio.run(nodes())
streamed()
tools()

"""CrewAI's model and a crew of one agent, on OpenAI: what its tracers see."""

from __future__ import annotations

import os
from typing import Any

os.environ |= {"CREWAI_DISABLE_TELEMETRY": "true", "CREWAI_TRACING_ENABLED": "false"}

from crewai import LLM, Agent, Crew, Task  # reads the environment as it is imported
from crewai.tools import tool
from program import in_threads, run
from questions import CHAT_MODEL, LENGTHS, MESSAGES, QUESTION, REASONING_MODEL, TOOL_QUESTION


@tool("bridge_length")
def bridge_length(town: str) -> int:
    """Length of a bridge in metres."""
    return LENGTHS[town]


def model(url: str, retries: int = 0, *, name: str = CHAT_MODEL, **more: Any) -> Any:
    """The model of a cell."""
    return LLM(model=f"openai/{name}", base_url=f"{url}/v1", api_key="k", max_retries=retries, **more)


def plain(url: str) -> None:
    model(url).call(MESSAGES)


def stream(url: str) -> None:
    model(url, stream=True).call(MESSAGES)


def crew(url: str, question: str, tools: list[Any]) -> Any:
    """A crew of one agent with one task."""
    agent = Agent(role="Guide", goal="Answer", backstory="Knows bridges.", llm=model(url), tools=tools)
    task = Task(description=question, expected_output="One sentence.", agent=agent)
    return Crew(agents=[agent], tasks=[task])


def tools(url: str) -> None:
    crew(url, TOOL_QUESTION, [bridge_length]).kickoff()


async def asynchronous(url: str) -> None:
    await crew(url, QUESTION, []).kickoff_async()


def reasoning(url: str) -> None:
    model(url, name=REASONING_MODEL).call(MESSAGES)


def retry(url: str) -> None:
    model(url, retries=2).call(MESSAGES)


if __name__ == "__main__":
    run(
        {
            "plain": plain,
            "stream": stream,
            "tools": tools,
            "parallel_tools": tools,
            "reasoning": reasoning,
            "cached": plain,
            "error": plain,
            "retry": retry,
            "async": asynchronous,
            "thread": in_threads(plain),
        }
    )

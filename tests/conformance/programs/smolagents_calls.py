"""smolagents' model of OpenAI, and its agent with tools: what its tracers see."""

from __future__ import annotations

from typing import Any

from program import in_threads, run
from questions import (
    CHAT_MODEL,
    LENGTHS,
    MESSAGES,
    PICTURE_URL,
    QUESTION,
    REASONING_MODEL,
    TOOL_QUESTION,
)
from smolagents import ChatMessage, OpenAIServerModel, ToolCallingAgent, tool


@tool
def bridge_length(town: str) -> int:
    """Length of a bridge in metres.

    Args:
        town: where the bridge stands
    """
    return LENGTHS[town]


def model(url: str, name: str = CHAT_MODEL, retries: int = 0) -> Any:
    """The model of a cell."""
    return OpenAIServerModel(name, api_base=f"{url}/v1", api_key="k", client_kwargs={"max_retries": retries})


def messages() -> list[Any]:
    """The plain question in its own classes."""
    return [
        ChatMessage(role=message["role"], content=[{"type": "text", "text": message["content"]}])
        for message in MESSAGES
    ]


def plain(url: str) -> None:
    model(url).generate(messages())


def stream(url: str) -> None:
    for _ in model(url).generate_stream(messages()):
        pass


def tools(url: str) -> None:
    agent: Any = ToolCallingAgent([bridge_length], model(url), max_steps=2)
    agent.run(TOOL_QUESTION)


def images(url: str) -> None:
    content = [{"type": "text", "text": QUESTION}, {"type": "image_url", "image_url": {"url": PICTURE_URL}}]
    model(url).generate([ChatMessage(role="user", content=content)])


def reasoning(url: str) -> None:
    model(url, REASONING_MODEL).generate(messages())


def retry(url: str) -> None:
    model(url, retries=2).generate(messages())


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
            "thread": in_threads(plain),
        }
    )

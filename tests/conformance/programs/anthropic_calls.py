"""Anthropic's own client: what its tracers see."""

from __future__ import annotations

from typing import Any

import anthropic
from program import call_with, gathered, in_threads, recorded_request, run
from questions import (
    CLAUDE,
    LENGTHS,
    PICTURE,
    PICTURE_TYPE,
    QUESTION,
    SYSTEM,
    TOOL_DESCRIPTION,
    TOOL_NAME,
    TOOL_QUESTION,
    TOOL_SCHEMA,
)

REQUEST: dict[str, Any] = {
    "model": CLAUDE,
    "max_tokens": 2000,
    "system": SYSTEM,
    "messages": [{"role": "user", "content": QUESTION}],
}


def client(url: str, retries: int = 0) -> Any:
    """The client of a cell."""
    return anthropic.Anthropic(base_url=url, api_key="k", max_retries=retries)


def plain(url: str) -> None:
    client(url).messages.create(**REQUEST)


def stream(url: str) -> None:
    for _ in client(url).messages.create(**REQUEST, stream=True):
        pass


def tools(url: str) -> None:
    messages: list[Any] = [{"role": "user", "content": TOOL_QUESTION}]
    tool = {"name": TOOL_NAME, "description": TOOL_DESCRIPTION, "input_schema": TOOL_SCHEMA}
    for _ in range(2):
        answer = client(url).messages.create(model=CLAUDE, max_tokens=200, messages=messages, tools=[tool])
        messages.append(
            {"role": "assistant", "content": [part.model_dump(exclude_none=True) for part in answer.content]}
        )
        results = [
            {"type": "tool_result", "tool_use_id": part.id, "content": str(LENGTHS["Mostar"])}
            for part in answer.content
            if part.type == "tool_use"
        ]
        messages.append({"role": "user", "content": results})


def images(url: str) -> None:
    source = {"type": "base64", "media_type": PICTURE_TYPE, "data": PICTURE}
    content = [{"type": "image", "source": source}, {"type": "text", "text": QUESTION}]
    client(url).messages.create(model=CLAUDE, max_tokens=200, messages=[{"role": "user", "content": content}])


def reasoning(url: str) -> None:
    client(url).messages.create(**REQUEST, thinking={"type": "enabled", "budget_tokens": 1024})


def cached(url: str) -> None:
    system = [{"type": "text", "text": SYSTEM, "cache_control": {"type": "ephemeral"}}]
    client(url).messages.create(**{**REQUEST, "system": system})


def retry(url: str) -> None:
    client(url, retries=2).messages.create(**REQUEST)


async def asynchronous(url: str) -> None:
    async with anthropic.AsyncAnthropic(base_url=url, api_key="k", max_retries=0) as asynchronous_client:
        await asynchronous_client.messages.create(**REQUEST)


def recorded(url: str) -> None:
    _, body = recorded_request(url)
    call_with(client(url).messages.create, body)


if __name__ == "__main__":
    run(
        {
            "plain": plain,
            "stream": stream,
            "tools": tools,
            "parallel_tools": tools,
            "images": images,
            "reasoning": reasoning,
            "cached": cached,
            "error": plain,
            "retry": retry,
            "async": asynchronous,
            "thread": in_threads(plain),
            "batch": gathered(asynchronous),
            "recorded": recorded,
        }
    )

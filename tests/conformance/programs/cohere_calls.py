"""Cohere's own client, version 2 of its API: what its tracers see."""

from __future__ import annotations

from typing import Any

import cohere
from program import gathered, in_threads, run
from questions import COMMAND, LENGTHS, MESSAGES, TEXTS, TOOL, TOOL_QUESTION


def client(url: str) -> Any:
    """The client of a cell."""
    return cohere.ClientV2(api_key="k", base_url=url)


def plain(url: str) -> None:
    client(url).chat(model=COMMAND, messages=MESSAGES)


def stream(url: str) -> None:
    for _ in client(url).chat_stream(model=COMMAND, messages=MESSAGES):
        pass


def tools(url: str) -> None:
    messages: list[Any] = [{"role": "user", "content": TOOL_QUESTION}]
    for _ in range(2):
        message = client(url).chat(model=COMMAND, messages=messages, tools=[TOOL]).message
        messages.append(message.model_dump(exclude_none=True))
        messages += [
            {"role": "tool", "tool_call_id": call.id, "content": str(LENGTHS["Mostar"])}
            for call in message.tool_calls or ()
        ]


def embeddings(url: str) -> None:
    client(url).embed(
        model="embed-v4.0", texts=TEXTS, input_type="search_document", embedding_types=["float"]
    )


async def asynchronous(url: str) -> None:
    await cohere.AsyncClientV2(api_key="k", base_url=url).chat(model=COMMAND, messages=MESSAGES)


if __name__ == "__main__":
    run(
        {
            "plain": plain,
            "stream": stream,
            "tools": tools,
            "parallel_tools": tools,
            "embeddings": embeddings,
            "error": plain,
            "retry": plain,
            "async": asynchronous,
            "thread": in_threads(plain),
            "batch": gathered(asynchronous),
        }
    )

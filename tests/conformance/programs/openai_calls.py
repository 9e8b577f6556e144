"""OpenAI's own client, chat completions: what its tracers see."""

from __future__ import annotations

from typing import Any

import openai
from program import call_with, gathered, in_threads, recorded_request, run
from questions import (
    CHAT_MODEL,
    EMBEDDING_MODEL,
    LENGTHS,
    MESSAGES,
    PICTURE_URL,
    QUESTION,
    REASONING_MODEL,
    TEXTS,
    TOOL,
    TOOL_QUESTION,
)


def client(url: str, retries: int = 0) -> Any:
    """The client of a cell."""
    return openai.OpenAI(base_url=f"{url}/v1", api_key="k", max_retries=retries)


def plain(url: str) -> None:
    client(url).chat.completions.create(model=CHAT_MODEL, messages=MESSAGES)


def stream(url: str) -> None:
    chunks = client(url).chat.completions.create(
        model=CHAT_MODEL, messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    )
    for _ in chunks:
        pass


def tools(url: str) -> None:
    messages: list[Any] = [{"role": "user", "content": TOOL_QUESTION}]
    for _ in range(2):
        answer = client(url).chat.completions.create(model=CHAT_MODEL, messages=messages, tools=[TOOL])
        message = answer.choices[0].message
        messages.append(message.model_dump(exclude_none=True))
        messages += [
            {"role": "tool", "tool_call_id": call.id, "content": str(LENGTHS["Mostar"])}
            for call in message.tool_calls or ()
        ]


def embeddings(url: str) -> None:
    client(url).embeddings.create(model=EMBEDDING_MODEL, input=TEXTS)


def images(url: str) -> None:
    content = [{"type": "text", "text": QUESTION}, {"type": "image_url", "image_url": {"url": PICTURE_URL}}]
    client(url).chat.completions.create(model=CHAT_MODEL, messages=[{"role": "user", "content": content}])


def reasoning(url: str) -> None:
    client(url).chat.completions.create(model=REASONING_MODEL, messages=MESSAGES, reasoning_effort="low")


def retry(url: str) -> None:
    client(url, retries=2).chat.completions.create(model=CHAT_MODEL, messages=MESSAGES)


async def asynchronous(url: str) -> None:
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0) as asynchronous_client:
        await asynchronous_client.chat.completions.create(model=CHAT_MODEL, messages=MESSAGES)


def recorded(url: str) -> None:
    path, body = recorded_request(url)
    recorded_client = client(url)
    functions = {
        "chat/completions": recorded_client.chat.completions.create,
        "completions": recorded_client.completions.create,
        "embeddings": recorded_client.embeddings.create,
        "responses": recorded_client.responses.create,
    }
    call_with(functions[path.partition("/v1/")[2].partition("?")[0]], body)


#: Kind → what makes the call, for whatever tells of this client's calls.
CALLS = {
    "plain": plain,
    "stream": stream,
    "tools": tools,
    "parallel_tools": tools,
    "embeddings": embeddings,
    "images": images,
    "reasoning": reasoning,
    "cached": plain,
    "error": plain,
    "retry": retry,
    "async": asynchronous,
    "thread": in_threads(plain),
    "batch": gathered(asynchronous),
    "recorded": recorded,
}

if __name__ == "__main__":
    run(CALLS)

"""LiteLLM's functions, on OpenAI: what its tracers see."""

from __future__ import annotations

from typing import Any

import litellm
from program import gathered, in_threads, run
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


def options(url: str, **more: Any) -> dict[str, Any]:
    """What every call of a cell takes."""
    return {"api_base": f"{url}/v1", "api_key": "k", "num_retries": 0, "max_retries": 0, **more}


def plain(url: str) -> None:
    litellm.completion(model=f"openai/{CHAT_MODEL}", messages=MESSAGES, **options(url))


def stream(url: str) -> None:
    chunks: Any = litellm.completion(
        model=f"openai/{CHAT_MODEL}",
        messages=MESSAGES,
        stream=True,
        stream_options={"include_usage": True},
        **options(url),
    )
    for _ in chunks:
        pass


def tools(url: str) -> None:
    messages: list[Any] = [{"role": "user", "content": TOOL_QUESTION}]
    for _ in range(2):
        answer: Any = litellm.completion(
            model=f"openai/{CHAT_MODEL}", messages=messages, tools=[TOOL], **options(url)
        )
        message = answer.choices[0].message
        messages.append(message.model_dump(exclude_none=True))
        messages += [
            {"role": "tool", "tool_call_id": call.id, "content": str(LENGTHS["Mostar"])}
            for call in message.tool_calls or ()
        ]


def embeddings(url: str) -> None:
    litellm.embedding(model=f"openai/{EMBEDDING_MODEL}", input=TEXTS, **options(url))


def images(url: str) -> None:
    content = [{"type": "text", "text": QUESTION}, {"type": "image_url", "image_url": {"url": PICTURE_URL}}]
    litellm.completion(
        model=f"openai/{CHAT_MODEL}", messages=[{"role": "user", "content": content}], **options(url)
    )


def reasoning(url: str) -> None:
    litellm.completion(
        model=f"openai/{REASONING_MODEL}", messages=MESSAGES, reasoning_effort="low", **options(url)
    )


def retry(url: str) -> None:
    litellm.completion(model=f"openai/{CHAT_MODEL}", messages=MESSAGES, **options(url, num_retries=2))


async def asynchronous(url: str) -> None:
    await litellm.acompletion(model=f"openai/{CHAT_MODEL}", messages=MESSAGES, **options(url))


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
}

if __name__ == "__main__":
    run(CALLS)

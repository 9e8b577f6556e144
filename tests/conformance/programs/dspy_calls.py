"""DSPy's language models and modules, on OpenAI: what its tracers see."""

from __future__ import annotations

from typing import Any

import dspy
from program import gathered, in_threads, run
from questions import (
    CHAT_MODEL,
    EMBEDDING_MODEL,
    MESSAGES,
    PICTURE_URL,
    QUESTION,
    REASONING_MODEL,
    TEXTS,
)


def model(url: str, name: str = CHAT_MODEL, **more: Any) -> Any:
    """The model of a cell, without DSPy's own cache."""
    values = {"num_retries": 0, "cache": False, **more}
    return dspy.LM(f"openai/{name}", api_base=f"{url}/v1", api_key="k", **values)


def plain(url: str) -> None:
    model(url)(messages=MESSAGES)


def embeddings(url: str) -> None:
    embedder = dspy.Embedder(
        f"openai/{EMBEDDING_MODEL}", api_base=f"{url}/v1", api_key="k", num_retries=0, caching=False
    )
    embedder(TEXTS)


def images(url: str) -> None:
    content = [{"type": "text", "text": QUESTION}, {"type": "image_url", "image_url": {"url": PICTURE_URL}}]
    model(url)(messages=[{"role": "user", "content": content}])


def reasoning(url: str) -> None:
    model(url, REASONING_MODEL, temperature=1.0, max_tokens=20000)(messages=MESSAGES)


async def asynchronous(url: str) -> None:
    await model(url).acall(messages=MESSAGES)


def retry(url: str) -> None:
    model(url, num_retries=2)(messages=MESSAGES)


if __name__ == "__main__":
    run(
        {
            "plain": plain,
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
    )

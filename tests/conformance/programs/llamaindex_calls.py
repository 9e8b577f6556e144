"""LlamaIndex's classes for OpenAI, and its agent: what its tracers see."""

from __future__ import annotations

import asyncio
from typing import Any

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock
from llama_index.embeddings.openai import OpenAIEmbedding
from llama_index.llms.openai import OpenAI
from program import in_threads, run
from questions import (
    CHAT_MODEL,
    EMBEDDING_MODEL,
    PICTURE_TYPE,
    PICTURE_URL,
    QUESTION,
    REASONING_MODEL,
    SYSTEM,
    TEXTS,
    TOOL_QUESTION,
    bridge_length,
)

ASKED = [ChatMessage(role="system", content=SYSTEM), ChatMessage(role="user", content=QUESTION)]


def model(url: str, name: str = CHAT_MODEL, **more: Any) -> Any:
    """The model of a cell."""
    return OpenAI(model=name, api_base=f"{url}/v1", api_key="k", **{"max_retries": 0, **more})


def plain(url: str) -> None:
    model(url).chat(ASKED)


def stream(url: str) -> None:
    options = {"stream_options": {"include_usage": True}}
    for _ in model(url, additional_kwargs=options).stream_chat(ASKED):
        pass


async def tools(url: str) -> None:
    agent: Any = FunctionAgent(tools=[bridge_length], llm=model(url), streaming=False)
    await agent.run(TOOL_QUESTION)


def embeddings(url: str) -> None:
    OpenAIEmbedding(
        model=EMBEDDING_MODEL, api_base=f"{url}/v1", api_key="k", max_retries=0
    ).get_text_embedding_batch(TEXTS)


def images(url: str) -> None:
    blocks = [TextBlock(text=QUESTION), ImageBlock(url=PICTURE_URL, image_mimetype=PICTURE_TYPE)]
    model(url).chat([ChatMessage(role="user", blocks=blocks)])


def reasoning(url: str) -> None:
    model(url, REASONING_MODEL, reasoning_effort="low").chat(ASKED)


def retry(url: str) -> None:
    model(url, max_retries=2).chat(ASKED)


async def asynchronous(url: str) -> None:
    await model(url).achat(ASKED)


async def batch(url: str) -> None:
    shared = model(url)
    await asyncio.gather(*(shared.achat(ASKED) for _ in range(3)))


if __name__ == "__main__":
    run(
        {
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
            "batch": batch,
        }
    )

"""LangChain's models of OpenAI, in chains and alone: what its tracers see."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from program import in_threads, run
from questions import (
    CHAT_MODEL,
    EMBEDDING_MODEL,
    PICTURE_URL,
    QUESTION,
    REASONING_MODEL,
    SYSTEM,
    TEXTS,
    TOOL_QUESTION,
    bridge_length,
)

ASKED: list[Any] = [SystemMessage(SYSTEM), HumanMessage(QUESTION)]


def model(url: str, name: str = CHAT_MODEL, **more: Any) -> Any:
    """The model of a cell."""
    options = {"max_retries": 0, "stream_usage": True, **more}
    return ChatOpenAI(model=name, base_url=f"{url}/v1", api_key="k", **options)


def plain(url: str) -> None:
    model(url).invoke(ASKED)


def stream(url: str) -> None:
    for _ in model(url).stream(ASKED):
        pass


def tools(url: str) -> None:
    length = tool(bridge_length)
    bound = model(url).bind_tools([length])
    messages: list[Any] = [HumanMessage(TOOL_QUESTION)]
    while (answer := bound.invoke(messages)).tool_calls:
        messages.append(answer)
        messages += [
            ToolMessage(str(length.invoke(call["args"])), tool_call_id=call["id"])
            for call in answer.tool_calls
        ]


def embeddings(url: str) -> None:
    OpenAIEmbeddings(
        model=EMBEDDING_MODEL,
        base_url=f"{url}/v1",
        api_key="k",
        max_retries=0,
        check_embedding_ctx_length=False,
    ).embed_documents(TEXTS)


def images(url: str) -> None:
    content = [{"type": "text", "text": QUESTION}, {"type": "image_url", "image_url": {"url": PICTURE_URL}}]
    model(url).invoke([HumanMessage(content)])


def reasoning(url: str) -> None:
    model(url, REASONING_MODEL, reasoning_effort="low").invoke(ASKED)


def retry(url: str) -> None:
    model(url, max_retries=2).invoke(ASKED)


async def asynchronous(url: str) -> None:
    await model(url).ainvoke(ASKED)


def batch(url: str) -> None:
    model(url).batch([ASKED, ASKED, ASKED])


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

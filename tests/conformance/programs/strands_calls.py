"""Strands' agents on OpenAI's API, with the spans that Strands makes itself."""

from __future__ import annotations

import base64
import importlib
import os
from collections.abc import Callable
from typing import Any

from program import gathered, in_threads, run
from questions import (
    CHAT_MODEL,
    LENGTHS,
    PICTURE,
    QUESTION,
    REASONING_MODEL,
    SYSTEM,
    TOOL_DESCRIPTION,
    TOOL_NAME,
    TOOL_QUESTION,
)
from tracers import exporting_provider


def switch_on(tracer: str, otlp: str) -> Callable[[], object]:
    """Set the tracer provider before Strands asks for it; what flushes. `strands-latest`: the newest."""
    if tracer == "strands-latest":
        os.environ["OTEL_SEMCONV_STABILITY_OPT_IN"] = "gen_ai_latest_experimental,gen_ai_tool_definitions"
    shutdown: Callable[[], object] = exporting_provider(otlp).shutdown
    return shutdown


def agent(url: str, *, model: str = CHAT_MODEL, retries: int = 0, tools: Any = (), **params: Any) -> Any:
    """An agent whose model is at `url`."""
    openai_model: Any = importlib.import_module("strands.models.openai").OpenAIModel
    return importlib.import_module("strands").Agent(
        model=openai_model(
            client_args={"api_key": "k", "base_url": f"{url}/v1", "max_retries": retries},
            model_id=model,
            **({"params": params} if params else {}),
        ),
        system_prompt=SYSTEM,
        tools=list(tools),
        callback_handler=None,
    )


def plain(url: str) -> None:
    agent(url)(QUESTION)


def tools(url: str) -> None:
    def bridge_length(town: str) -> int:
        return LENGTHS.get(town, 0)

    tool: Any = importlib.import_module("strands").tool(name=TOOL_NAME, description=TOOL_DESCRIPTION)
    agent(url, tools=[tool(bridge_length)])(TOOL_QUESTION)


def images(url: str) -> None:
    picture = {"format": "png", "source": {"bytes": base64.b64decode(PICTURE)}}
    agent(url)([{"text": QUESTION}, {"image": picture}])


def reasoning(url: str) -> None:
    agent(url, model=REASONING_MODEL, reasoning_effort="low")(QUESTION)


def retry(url: str) -> None:
    agent(url, retries=2)(QUESTION)


async def asynchronous(url: str) -> None:
    await agent(url).invoke_async(QUESTION)


async def stream(url: str) -> None:
    async for _ in agent(url).stream_async(QUESTION):
        pass


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
            "async": asynchronous,
            "thread": in_threads(plain),
            "batch": gathered(asynchronous),
        },
        switch_on=switch_on,
    )

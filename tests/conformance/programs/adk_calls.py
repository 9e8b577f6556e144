"""Google's Agent Development Kit on Gemini, with the spans that it makes itself."""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import Callable
from functools import cached_property
from typing import Any

from program import gathered, in_threads, run
from questions import GEMINI, LENGTHS, PICTURE, PICTURE_TYPE, QUESTION, SYSTEM, TOOL_QUESTION
from tracers import exporting_provider, with_contents


def switch_on(tracer: str, otlp: str) -> Callable[[], object]:
    """Set the tracer provider before ADK is imported; what flushes."""
    with_contents(tracer)
    os.environ["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"] = "SPAN_ONLY"
    os.environ["GOOGLE_API_KEY"] = "k"
    os.environ["ADK_CAPTURE_MESSAGE_CONTENT_IN_SPANS"] = "true"
    shutdown: Callable[[], object] = exporting_provider(otlp).shutdown
    return shutdown


def bridge_length(town: str) -> int:
    """Length of a bridge in metres."""
    return LENGTHS.get(town, 0)


async def ask(
    url: str, question: Any = QUESTION, *, streams: bool = False, retries: int = 0, **more: Any
) -> None:
    """Run an agent once, to its last event."""
    from google import genai
    from google.adk.agents import LlmAgent
    from google.adk.agents.run_config import RunConfig, StreamingMode
    from google.adk.models.google_llm import Gemini
    from google.adk.runners import InMemoryRunner
    from google.genai import types

    class LocalGemini(Gemini):
        @cached_property
        def api_client(self) -> Any:
            options = types.HttpOptions(
                base_url=url,
                retry_options=types.HttpRetryOptions(attempts=1 + retries, initial_delay=0.1),
            )
            return genai.Client(api_key="k", http_options=options)

    root = LlmAgent(name="guide", model=LocalGemini(model=GEMINI), instruction=SYSTEM, **more)
    runner = InMemoryRunner(agent=root, app_name="shop")
    session = await runner.session_service.create_session(app_name="shop", user_id="u")
    parts = question if isinstance(question, list) else [types.Part(text=question)]
    async for _ in runner.run_async(
        user_id="u",
        session_id=session.id,
        new_message=types.Content(role="user", parts=parts),
        run_config=RunConfig(streaming_mode=StreamingMode.SSE if streams else StreamingMode.NONE),
    ):
        pass


def plain(url: str) -> None:
    asyncio.run(ask(url))


async def stream(url: str) -> None:
    await ask(url, streams=True)


async def tools(url: str) -> None:
    await ask(url, TOOL_QUESTION, tools=[bridge_length])


async def images(url: str) -> None:
    from google.genai import types

    picture = types.Part.from_bytes(data=base64.b64decode(PICTURE), mime_type=PICTURE_TYPE)
    await ask(url, [types.Part(text=QUESTION), picture])


async def reasoning(url: str) -> None:
    from google.adk.planners import BuiltInPlanner
    from google.genai import types

    planner = BuiltInPlanner(thinking_config=types.ThinkingConfig(include_thoughts=True, thinking_budget=256))
    await ask(url, planner=planner)


async def retry(url: str) -> None:
    await ask(url, retries=2)


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
            "async": ask,
            "thread": in_threads(plain),
            "batch": gathered(ask),
        },
        switch_on=switch_on,
    )

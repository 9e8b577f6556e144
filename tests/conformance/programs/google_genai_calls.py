"""Google's own client for Gemini: what its tracers see."""

from __future__ import annotations

import base64
from typing import Any

from google import genai
from google.genai import types
from program import gathered, in_threads, run
from questions import GEMINI, PICTURE, PICTURE_TYPE, QUESTION, SYSTEM, TEXTS, TOOL_QUESTION, bridge_length

#: One that nobody holds closes itself, in the middle of a call too.
_CLIENTS: list[Any] = []


def client(url: str, attempts: int = 1) -> Any:
    """The client of a cell."""
    options = types.HttpOptions(
        base_url=url, retry_options=types.HttpRetryOptions(attempts=attempts, initial_delay=0.02)
    )
    cell_client = genai.Client(api_key="k", http_options=options)
    _CLIENTS.append(cell_client)
    return cell_client


def config(**more: Any) -> Any:
    """What is asked for beside the contents."""
    return types.GenerateContentConfig(system_instruction=SYSTEM, **more)


def plain(url: str) -> None:
    client(url).models.generate_content(model=GEMINI, contents=QUESTION, config=config())


def stream(url: str) -> None:
    for _ in client(url).models.generate_content_stream(model=GEMINI, contents=QUESTION, config=config()):
        pass


def tools(url: str) -> None:
    client(url).models.generate_content(
        model=GEMINI, contents=TOOL_QUESTION, config=config(tools=[bridge_length])
    )


def embeddings(url: str) -> None:
    client(url).models.embed_content(model="gemini-embedding-001", contents=TEXTS)


def images(url: str) -> None:
    picture = types.Part.from_bytes(data=base64.b64decode(PICTURE), mime_type=PICTURE_TYPE)
    client(url).models.generate_content(model=GEMINI, contents=[QUESTION, picture])


def reasoning(url: str) -> None:
    thinking = types.ThinkingConfig(include_thoughts=True)
    client(url).models.generate_content(
        model=GEMINI, contents=QUESTION, config=config(thinking_config=thinking)
    )


def retry(url: str) -> None:
    client(url, attempts=3).models.generate_content(model=GEMINI, contents=QUESTION, config=config())


async def asynchronous(url: str) -> None:
    await client(url).aio.models.generate_content(model=GEMINI, contents=QUESTION, config=config())


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
            "batch": gathered(asynchronous),
        }
    )

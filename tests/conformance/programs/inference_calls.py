"""Requests to our inference service: its own door, telemetry and exporter, before an engine that says what
the row wants to hear at the pace of the other rows' provider. They go by way of that provider, which notes
them.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import openai
import uvicorn
from program import answers, gathered, in_threads, run
from questions import CHAT_MODEL, DELAY, EMBEDDING_MODEL, FIRST, MESSAGES, REST, TEXTS, UPSTREAM_HEADER

from llmtrace_inference.app import create_app
from llmtrace_inference.engine.interface import Delta, EngineFull, Generation, ModelInfo, Submission
from llmtrace_inference.settings import InferenceSettings
from tests.inference.fakes import FakeEngine

_SAYS = "The old stone bridge crosses the Drina."
_SERVICE = {"url": ""}
#: Requests that the engine is too full for: that of the kind `retry`.
_REFUSED = threading.Semaphore(0)


class _ScriptedEngine(FakeEngine):
    """Says the same to everybody, at the provider's pace; too full where the kind `retry` wants it."""

    def submit(self, generation: Generation) -> Submission:
        if _REFUSED.acquire(blocking=False):
            raise EngineFull("too many wait")
        return super().submit(generation)

    async def stream(self, submission: Submission) -> AsyncIterator[Delta]:
        await asyncio.sleep(DELAY + FIRST - self.pause)
        async for delta in super().stream(submission):
            yield delta


def _load(name: str, _source: str, _settings: InferenceSettings) -> _ScriptedEngine:
    info = ModelInfo(name, "script", "none", "none", "none", 0, 0x110000, 4096)
    return _ScriptedEngine(says=_SAYS, pause=REST / (len(_SAYS) - 1), info=info)


def switch_on(tracer: str, otlp: str) -> Callable[[], object]:
    """Start the service; what ends it, which flushes."""
    logging.disable(logging.WARNING)
    settings = InferenceSettings(
        models={CHAT_MODEL: "script", EMBEDDING_MODEL: "script"},
        otlp_endpoint=otlp,
        data_dir=Path(tempfile.mkdtemp(prefix="conformance-inference-")),
        metrics_interval_seconds=0,
    )
    app = create_app(settings, load=_load)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    _SERVICE["url"] = f"http://127.0.0.1:{listener.getsockname()[1]}"
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
    thread.start()
    deadline = time.monotonic() + 60
    while not answers(f"{_SERVICE['url']}/health/ready"):
        if time.monotonic() > deadline:
            raise RuntimeError("the service did not get ready")
        time.sleep(0.05)

    def end() -> None:
        server.should_exit = True
        thread.join(30)

    return end


def _settings(url: str, retries: int = 0) -> dict[str, Any]:
    return {
        "base_url": f"{url}/v1",
        "api_key": "k",
        "max_retries": retries,
        "default_headers": {UPSTREAM_HEADER: _SERVICE["url"]},
    }


def plain(url: str) -> None:
    openai.OpenAI(**_settings(url)).chat.completions.create(model=CHAT_MODEL, messages=MESSAGES)


def stream(url: str) -> None:
    chunks = openai.OpenAI(**_settings(url)).chat.completions.create(
        model=CHAT_MODEL, messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    )
    for _ in chunks:
        pass


def embeddings(url: str) -> None:
    openai.OpenAI(**_settings(url)).embeddings.create(model=EMBEDDING_MODEL, input=TEXTS)


def error(url: str) -> None:
    openai.OpenAI(**_settings(url)).chat.completions.create(
        model=CHAT_MODEL, messages=MESSAGES, extra_body={"top_k": 10**9}
    )


def retry(url: str) -> None:
    _REFUSED.release()
    openai.OpenAI(**_settings(url, retries=2)).chat.completions.create(model=CHAT_MODEL, messages=MESSAGES)


async def asynchronous(url: str) -> None:
    async with openai.AsyncOpenAI(**_settings(url)) as client:
        await client.chat.completions.create(model=CHAT_MODEL, messages=MESSAGES)


if __name__ == "__main__":
    run(
        {
            "plain": plain,
            "stream": stream,
            "embeddings": embeddings,
            "error": error,
            "retry": retry,
            "async": asynchronous,
            "thread": in_threads(plain),
            "batch": gathered(asynchronous),
        },
        switch_on=switch_on,
    )

"""Answers that a web server streams out of generators, by many users at once, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
import uvicorn
from fastapi import Depends, FastAPI
from fastapi.responses import StreamingResponse

import llmtrace
from llmtrace.testing import Captured, ReplayServer

from .chat import PLAIN

_USERS = [f"user-{number}" for number in range(8)]


async def _signed_in(user: str) -> AsyncIterator[str]:
    with llmtrace.context(session_id=f"session of {user}"):
        yield user


def _app(provider: str) -> FastAPI:
    app = FastAPI()
    url = provider + "/v1/chat/completions"

    def request(text: str) -> dict[str, object]:
        return {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": f"I am {text}."}]}

    async def ask(text: str) -> None:
        async with httpx.AsyncClient(trust_env=False) as client:
            await client.post(url, json=request(text))

    @app.get("/threads/{user}")
    def threads(user: str) -> StreamingResponse:
        def answer() -> Iterator[str]:
            with llmtrace.context(user_id=user):
                for number in range(3):
                    httpx.post(url, json=request(user), trust_env=False)
                    yield f"{user} {number}\n"

        return StreamingResponse(answer())

    @app.get("/tasks/{user}")
    async def tasks(user: str) -> StreamingResponse:
        async def answer() -> AsyncIterator[str]:
            with llmtrace.context(user_id=user):
                for number in range(3):
                    await asyncio.gather(ask(user), asyncio.sleep(0))
                    yield f"{user} {number}\n"

        return StreamingResponse(answer())

    @app.get("/dependency/{user}")
    async def dependency(user: str = Depends(_signed_in)) -> str:
        await ask(f"session of {user}")
        return user

    return app


@contextlib.contextmanager
def _served(app: FastAPI) -> Iterator[str]:
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


@pytest.mark.parametrize(
    ("path", "attribute", "count"),
    [("threads", "user.id", 3), ("tasks", "user.id", 3), ("dependency", "session.id", 1)],
)
def test_each_call_has_the_user_who_asked(
    traces: Captured, caplog: pytest.LogCaptureFixture, path: str, attribute: str, count: int
) -> None:
    async def ask(url: str) -> list[str]:
        async with httpx.AsyncClient(trust_env=False) as browser:
            answers = await asyncio.gather(*(browser.get(f"{url}/{path}/{user}") for user in _USERS))
            return [answer.text for answer in answers]

    with caplog.at_level(logging.WARNING), ReplayServer(PLAIN) as provider:
        with _served(_app(provider.url)) as url:
            answers = asyncio.run(ask(url))
        assert all(user in answer for user, answer in zip(_USERS, answers, strict=True))
    calls = [span["attributes"] for span in traces.snapshot() if span["name"].startswith("chat ")]
    assert len(calls) == len(_USERS) * count
    for call in calls:
        assert f"I am {call[attribute]}." in str(call["gen_ai.input.messages"])
    wanted = _USERS if attribute == "user.id" else [f"session of {user}" for user in _USERS]
    assert sorted(str(call.get(attribute)) for call in calls) == sorted(wanted * count)
    # What a test before has left to deliver may be told of meanwhile.
    assert not [record for record in caplog.records if record.name.startswith("opentelemetry")]

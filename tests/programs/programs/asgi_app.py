"""An application for uvicorn, alone and below gunicorn."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

import llmtrace
from tests.programs.programs.calls import (
    ask,
    ask_async,
    ask_stream,
    ask_stream_async,
    label,
    new_async_client,
)

llmtrace.init()


async def _answer(request: Request) -> Response:
    user, name = request.query_params["user"], label()
    async with new_async_client() as client:
        with llmtrace.context(user_id=user), llmtrace.span(name):
            await ask_async(client, user, name)
            await asyncio.gather(ask_async(client, user, name), ask_async(client, user, name))
    return PlainTextResponse(str(os.getpid()))


async def _stream(request: Request) -> Response:
    """Sent while an asynchronous generator has the context."""
    user = request.query_params["user"]

    async def pieces() -> AsyncIterator[str]:
        async with new_async_client() as client:
            with llmtrace.context(user_id=user):
                yield str(os.getpid())
                async for line in ask_stream_async(client, user):
                    yield line
                await ask_async(client, user)

    return StreamingResponse(pieces())


def _sync_stream(request: Request) -> Response:
    """The same of a plain generator: each step on a thread of a pool, in a context of its own."""
    user = request.query_params["user"]

    def pieces() -> Iterator[str]:
        with llmtrace.context(user_id=user):
            yield str(os.getpid())
            yield from ask_stream(user)
            ask(user)

    return StreamingResponse(pieces())


app = Starlette(
    routes=[Route("/answer", _answer), Route("/stream", _stream), Route("/sync-stream", _sync_stream)]
)

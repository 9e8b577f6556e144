"""Labelled calls of a program that is played; what has returned is written down, so that no kill loses it."""

from __future__ import annotations

import functools
import json
import os
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx

_LEDGER = os.environ["PROGRAMS_LEDGER"]
_PROVIDER = os.environ["PROGRAMS_PROVIDER"]
_STREAMS = os.environ["PROGRAMS_STREAMS"]


def label() -> str:
    """A name that no other span of the run has."""
    return uuid.uuid4().hex[:16]


def say(text: str) -> None:
    """A line for who plays the program."""
    print(text, flush=True)


def wait_for_signal() -> None:
    """Say that all is done, and wait to be ended."""
    say("ready")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        time.sleep(0.05)


def ask(user: str = "", under: str = "") -> None:
    """A call that should belong to `user`, below the span `under`; empty: to nobody, below none."""
    call = label()
    _client(os.getpid()).post(f"{_PROVIDER}/v1/chat/completions", json=_body(call)).raise_for_status()
    _note(call, user, under)


def ask_stream(user: str = "", under: str = "") -> Iterator[str]:
    """The same of a stream, piece by piece."""
    call = label()
    with _client(os.getpid()).stream(
        "POST", f"{_STREAMS}/v1/chat/completions", json=_body(call, stream=True)
    ) as response:
        yield from response.iter_lines()
    _note(call, user, under)


async def ask_async(client: httpx.AsyncClient, user: str = "", under: str = "") -> None:
    """The same in a task."""
    call = label()
    (await client.post(f"{_PROVIDER}/v1/chat/completions", json=_body(call))).raise_for_status()
    _note(call, user, under)


async def ask_stream_async(client: httpx.AsyncClient, user: str = "", under: str = "") -> AsyncIterator[str]:
    """A stream in a task."""
    call = label()
    async with client.stream(
        "POST", f"{_STREAMS}/v1/chat/completions", json=_body(call, stream=True)
    ) as response:
        async for line in response.aiter_lines():
            yield line
    _note(call, user, under)


def note_ended(name: str) -> None:
    """The block of a span was left. Of a program that never says so, all are taken to have been."""
    _write({"ended": name})


def new_async_client() -> httpx.AsyncClient:
    """A client for one loop."""
    return httpx.AsyncClient(trust_env=False, timeout=30, verify=False)


def _body(call: str, *, stream: bool = False) -> dict[str, Any]:
    # The model's name is what tells a call's span.
    return {"model": call, "messages": [{"role": "user", "content": "Hello"}], "stream": stream}


@functools.cache
def _client(pid: int) -> httpx.Client:
    # Of each process its own: connections do not survive a fork.
    return httpx.Client(trust_env=False, timeout=30, verify=False)


def _note(call: str, user: str, under: str) -> None:
    _write({"call": call, "user": user, "under": under})


def _write(fields: dict[str, str]) -> None:
    line = json.dumps(fields) + "\n"
    descriptor = os.open(_LEDGER, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)

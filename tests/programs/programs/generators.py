"""Contexts and observed functions around a `yield`: `generators.py KIND`."""

from __future__ import annotations

import asyncio
import contextvars
import random
import sys
from collections.abc import AsyncIterator, Iterator

import llmtrace
from tests.programs.programs.calls import (
    ask,
    ask_async,
    ask_stream,
    ask_stream_async,
    label,
    new_async_client,
    wait_for_signal,
)

_STEPS = 3


def _answer(user: str) -> Iterator[int]:
    with llmtrace.context(user_id=user):
        for step in range(_STEPS):
            ask(user)
            yield step


@llmtrace.observe
def _observed() -> Iterator[int]:
    yield from range(_STEPS)


def _interleaved(*, own_contexts: bool) -> None:
    """Steps of several generators in turns; between them calls that are nobody's."""
    order = random.Random(7)
    generators = [_answer(f"user-{number}") for number in range(4)]
    contexts = [contextvars.copy_context() for _ in generators]
    while generators:
        number = order.randrange(len(generators))
        try:
            if own_contexts:
                contextvars.copy_context().run(next, generators[number])
            else:
                next(generators[number])
        except StopIteration:
            del generators[number], contexts[number]
        ask()


def _around_streams() -> None:
    """The stream is handed over piece by piece, each piece in a context of its own, as servers do."""

    def answer(user: str) -> Iterator[str]:
        with llmtrace.context(user_id=user):
            yield from ask_stream(user)

    streams = [answer(f"user-{number}") for number in range(4)]
    while streams:
        for stream in list(streams):
            try:
                contextvars.copy_context().run(next, stream)
            except StopIteration:
                streams.remove(stream)
        ask()


async def _asynchronous() -> None:
    async with new_async_client() as client:

        async def answer(user: str) -> AsyncIterator[int]:
            with llmtrace.context(user_id=user):
                for step in range(_STEPS):
                    await ask_async(client, user)
                    yield step
                async for _ in ask_stream_async(client, user):
                    yield -1

        async def read(user: str) -> None:
            async for _ in answer(user):
                await ask_async(client)

        await asyncio.gather(*(read(f"user-{number}") for number in range(4)))


def _observed_steps() -> None:
    """An observed generator is no parent of what its reader does between its steps."""
    for _ in range(3):
        for _ in _observed():
            ask()


def _suspended() -> None:
    """Streams and generators that are open when the program ends: a failure in the loop's body."""
    opened = [_observed() for _ in range(3)]
    for generator in opened:
        next(generator)
    name = label()
    with llmtrace.context(user_id="user-1"), llmtrace.span(name):
        for _ in ask_stream("user-1", name):
            pass
    for _ in ask_stream():
        raise RuntimeError("the program's own failure")


if __name__ == "__main__":
    llmtrace.init()
    kind = sys.argv[1]
    if kind == "asynchronous":
        asyncio.run(_asynchronous())
    elif kind in ("shared", "own"):
        _interleaved(own_contexts=kind == "own")
    else:
        {"streams": _around_streams, "observed": _observed_steps, "suspended": _suspended}[kind]()
    if len(sys.argv) > 2:
        wait_for_signal()

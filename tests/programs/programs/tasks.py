"""Calls in tasks of asyncio: `tasks.py KIND`."""

from __future__ import annotations

import asyncio
import sys

import llmtrace
from tests.programs.programs.calls import ask_async, label, new_async_client


async def _gather() -> None:
    async with new_async_client() as client:

        async def one(user: str) -> None:
            name = label()
            with llmtrace.context(user_id=user), llmtrace.span(name):
                await ask_async(client, user, name)
                await asyncio.gather(ask_async(client, user, name), ask_async(client, user, name))

        await asyncio.gather(*(one(f"user-{number}") for number in range(8)))
        await ask_async(client)


async def _background() -> None:
    """Tasks that end after the request that began them."""
    async with new_async_client() as client:
        tasks = []
        for number in range(8):
            user, name = f"user-{number}", label()
            with llmtrace.context(user_id=user), llmtrace.span(name):
                tasks.append(asyncio.create_task(ask_async(client, user, name)))
        await asyncio.gather(*tasks)


async def _cancelled() -> None:
    """Tasks that are cancelled between their calls, and a loop that is left by an exception."""
    async with new_async_client() as client:

        async def one(user: str) -> None:
            name = label()
            with llmtrace.context(user_id=user), llmtrace.span(name):
                await ask_async(client, user, name)
                await asyncio.sleep(60)

        tasks = [asyncio.create_task(one(f"user-{number}")) for number in range(8)]
        await asyncio.wait(tasks, timeout=1.5)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await ask_async(client)
        raise RuntimeError("the program's own failure")


if __name__ == "__main__":
    llmtrace.init()
    asyncio.run({"gather": _gather, "background": _background, "cancelled": _cancelled}[sys.argv[1]]())

"""Turns of reads: one reader's slow ones leave a thread to the others."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from llmtrace_collector.api.query_turns import ReadTurns


def test_one_reader_leaves_a_thread_to_the_others() -> None:
    async def run() -> None:
        free = threading.Event()
        with ThreadPoolExecutor(3) as pool:
            turns = ReadTurns(pool, 2)
            slow = [asyncio.create_task(turns.run("a", lambda: free.wait(10))) for _ in range(6)]
            await asyncio.sleep(0)
            assert await asyncio.wait_for(turns.run("b", lambda: "read"), 5) == "read"
            free.set()
            assert await asyncio.gather(*slow) == [True] * 6

    asyncio.run(run())


def test_who_goes_away_leaves_the_thread_taken() -> None:
    async def run() -> None:
        free = threading.Event()
        with ThreadPoolExecutor(3) as pool:
            turns = ReadTurns(pool, 2)
            for _ in range(6):
                task = asyncio.create_task(turns.run("a", lambda: free.wait(10)))
                await asyncio.sleep(0.01)
                task.cancel()
            assert await asyncio.wait_for(turns.run("b", lambda: "read"), 5) == "read"
            free.set()
            assert await asyncio.wait_for(turns.run("a", lambda: "again"), 5) == "again"

    asyncio.run(run())


def test_errors_end_a_turn() -> None:
    def fail() -> None:
        raise ValueError("no")

    async def run() -> None:
        with ThreadPoolExecutor(1) as pool:
            turns = ReadTurns(pool, 1)
            for _ in range(3):
                with pytest.raises(ValueError, match="no"):
                    await turns.run("a", fail)
            assert await asyncio.wait_for(turns.run("a", lambda: 1), 5) == 1

    asyncio.run(run())

"""Whose read runs next: no reader has all the threads, however many reads wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


class ReadTurns:
    """The threads of `pool`, of which one reader has `of_one` at most. For one event loop."""

    def __init__(self, pool: ThreadPoolExecutor, of_one: int) -> None:
        self._pool = pool
        self._of_one = of_one
        self._turns: dict[str, _Turn] = {}

    async def run(self, reader: str, read: Callable[[], T]) -> T:
        """What `read` returns, once it is the turn of `reader` (a key's or a project's name)."""
        loop = asyncio.get_running_loop()
        turn = self._turns.setdefault(reader, _Turn(self._of_one))
        turn.reads += 1
        try:
            await turn.free.acquire()
        except BaseException:
            self._leave(reader, turn)
            raise

        def end() -> None:
            turn.free.release()
            self._leave(reader, turn)

        def ended(_: object) -> None:
            # A loop that is closed has nobody who waits.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(end)

        # A read goes on when who asked is gone: its thread is taken until it ends.
        future = self._pool.submit(read)
        future.add_done_callback(ended)
        return await asyncio.wrap_future(future)

    def _leave(self, reader: str, turn: _Turn) -> None:
        turn.reads -= 1
        if not turn.reads:
            self._turns.pop(reader, None)


class _Turn:
    def __init__(self, of_one: int) -> None:
        self.free = asyncio.Semaphore(of_one)
        self.reads = 0

"""Whose text is parsed next: the same text is parsed once, and no reader waits for another's slow ones."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from .process import DEADLINE, ParserProcess
from .refusal import QueryRefused, TooSlow
from .safe_query import DEFAULT_MAX_BYTES, SafeQuery, check_size

#: Processes. A reader has one text in them at a time: no reader takes both.
_PROCESSES = 2

#: Texts that may wait, of one reader and of all.
_WAITING_OF_ONE, _WAITING = 32, 128

#: Characters of texts whose answers are remembered, and how many texts.
_REMEMBERED_SIZE, _REMEMBERED = 4 << 20, 1024


class TooManyQueries(Exception):
    """As many texts wait to be parsed as may; the same text may pass in a moment."""


class QueryQueue:
    """The texts of one collector on their way through the guard. For one event loop, but for `close`."""

    def __init__(self, max_bytes: int = DEFAULT_MAX_BYTES, deadline: float = DEADLINE) -> None:
        self._max_bytes = max_bytes
        self._deadline = deadline
        self._threads = ThreadPoolExecutor(_PROCESSES, thread_name_prefix="llmtrace-parse")
        self._local = threading.local()
        self._processes: list[ParserProcess] = []
        self._answers = _Answers()
        self._turns: dict[str, _Turn] = {}
        self._waiting = 0

    async def make_safe(self, text: str, reader: str = "") -> SafeQuery:
        """The SELECT in `text`, which `reader` (a key's name) sent. Raises QueryRefused; TooManyQueries and
        ParserUnavailable when it is not the text's fault.
        """
        check_size(text, self._max_bytes)
        answer = self._answers.get(text)
        if answer is None:
            async with self._turn(reader):
                # Another request may have brought it meanwhile.
                answer = self._answers.get(text) or await self._parsed(text)
        if isinstance(answer, QueryRefused):
            raise type(answer)(str(answer))
        return answer

    def close(self) -> None:
        """End the processes."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for process in self._processes:
            process.kill()
        self._threads.shutdown()
        for process in self._processes:
            process.close()

    async def _parsed(self, text: str) -> SafeQuery | QueryRefused:
        answer = await asyncio.get_running_loop().run_in_executor(self._threads, self._parse, text)
        # A slow moment of the machine is not the text's.
        if not isinstance(answer, TooSlow):
            self._answers.put(text, answer)
        return answer

    def _parse(self, text: str) -> SafeQuery | QueryRefused:
        process: ParserProcess | None = getattr(self._local, "process", None)
        if process is None:
            process = self._local.process = ParserProcess(self._deadline)
            self._processes.append(process)
        try:
            return process.make_safe(text, self._max_bytes)
        except QueryRefused as error:
            return error

    @asynccontextmanager
    async def _turn(self, reader: str) -> AsyncIterator[None]:
        turn = self._turns.setdefault(reader, _Turn())
        if turn.waiting >= _WAITING_OF_ONE or self._waiting >= _WAITING:
            raise TooManyQueries("too many queries wait to be read: try again in a second")
        turn.waiting += 1
        self._waiting += 1
        try:
            async with turn.lock:
                yield
        finally:
            turn.waiting -= 1
            self._waiting -= 1
            if not turn.waiting:
                self._turns.pop(reader, None)


class _Turn:
    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.waiting = 0


class _Answers:
    """What became of the texts asked last: dashboards ask the same ones again with other parameters."""

    def __init__(self) -> None:
        self._answers: OrderedDict[str, SafeQuery | QueryRefused] = OrderedDict()
        self._size = 0

    def get(self, text: str) -> SafeQuery | QueryRefused | None:
        answer = self._answers.get(text)
        if answer is not None:
            self._answers.move_to_end(text)
        return answer

    def put(self, text: str, answer: SafeQuery | QueryRefused) -> None:
        if text not in self._answers:
            self._size += len(text)
        self._answers[text] = answer
        while self._size > _REMEMBERED_SIZE or len(self._answers) > _REMEMBERED:
            oldest, _ = self._answers.popitem(last=False)
            self._size -= len(oldest)

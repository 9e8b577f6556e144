"""Whether the store answers, asked so that nobody waits for a store that hangs."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from queue import SimpleQueue

from llmtrace.common.health import HealthReason

logger = logging.getLogger(__name__)

#: How long (seconds) an answer is waited for: who asks for readiness often gives up after some more.
DEADLINE = 1.5


class AnswerProbe:
    """Calls `ping` in a thread of its own, one call at a time: while one does not return, all who ask learn
    since when.
    """

    def __init__(self, ping: Callable[[], bool]) -> None:
        self._ping = ping
        self._lock = threading.Lock()
        self._asked: SimpleQueue[Future[bool]] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._answer: Future[bool] | None = None
        self._asked_at = 0.0

    async def ask(self) -> None:
        """Wait for an answer that is not older than this call, `DEADLINE` seconds at most."""
        await asyncio.wait([asyncio.wrap_future(self._next_answer())], timeout=DEADLINE)

    def health(self) -> Iterator[HealthReason]:
        """What the last call said; nothing where the store answered, or nobody asked yet."""
        answer = self._answer
        if answer is None:
            return
        if not answer.done():
            seconds = time.monotonic() - self._asked_at
            text = f"the store has not answered a SELECT for {seconds:.0f} s, and has not refused it"
            yield HealthReason("store-hangs", text)
        elif not answer.result():
            yield HealthReason("store-away", "the store does not answer")

    def _next_answer(self) -> Future[bool]:
        with self._lock:
            if self._answer is None or self._answer.done():
                self._answer = Future()
                self._asked_at = time.monotonic()
                self._asked.put(self._answer)
            if self._thread is None:
                # It may never end: nothing waits for it.
                self._thread = threading.Thread(target=self._run, name="llmtrace-store-probe", daemon=True)
                self._thread.start()
            return self._answer

    def _run(self) -> None:
        while True:
            answer = self._asked.get()
            try:
                is_up = self._ping()
            except Exception:
                logger.exception("the store could not be asked")
                is_up = False
            answer.set_result(is_up)

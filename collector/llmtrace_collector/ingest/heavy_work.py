"""Work that would hold up other requests: in threads of its own, a few at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from llmtrace.common.http_limits.refusal import Refusal

P = ParamSpec("P")
T = TypeVar("T")

#: At work at the same time, and with those that wait. One may need some hundred megabytes for a moment.
_WORKERS, _MOST = 2, 32

_RETRY_AFTER = 2


class HeavyWork:
    """Any thread may submit; what would wait behind too many others is refused."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="llmtrace-ingest")
        self._room = threading.BoundedSemaphore(_MOST)

    def submit(self, work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> Future[T]:
        """Do the work when its turn comes. Raises Refusal 503 when too many wait."""
        if not self._room.acquire(blocking=False):
            raise Refusal(503, "too many large requests wait: try again in a moment", _RETRY_AFTER)
        try:
            future = self._pool.submit(work, *arguments, **named)
        except RuntimeError:
            self._room.release()
            raise
        future.add_done_callback(lambda _: self._room.release())
        return future

    def close(self) -> None:
        """Finish what is at work."""
        self._pool.shutdown(cancel_futures=True)

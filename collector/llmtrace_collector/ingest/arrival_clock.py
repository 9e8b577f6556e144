"""When requests came, in milliseconds of their own as far as that goes."""

from __future__ import annotations

import threading
import time

_MILLISECOND = 1_000_000

#: How far ahead of the clock times may run; where more come, some share a millisecond.
_AHEAD = 50 * _MILLISECOND


class ArrivalClock:
    """Gives times (Unix nanoseconds) of which no two fall into one millisecond.

    The store keeps when a span came in milliseconds, and tells the copies of a span apart by that: two
    exporters of one program send theirs at once. Safe to call from any thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def now(self) -> int:
        """The time, or up to 50 ms later."""
        now = time.time_ns()
        with self._lock:
            following = (self._last // _MILLISECOND + 1) * _MILLISECOND
            if now < following <= now + _AHEAD:
                now = following
            self._last = now
        return now

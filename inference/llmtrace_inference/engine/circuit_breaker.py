"""A circuit breaker: after several faults in a short time, stop trying for a while, then try carefully."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Literal

State = Literal["closed", "open", "half_open"]
_LONGEST_PAUSE_FACTOR = 12


class CircuitBreaker:
    """Opens after `faults` faults within `window_seconds`.

    While it is open nothing is tried for `pause_seconds`; then it is half open: one probe decides. A probe
    that fails doubles the pause, up to twelve times the first one.
    """

    def __init__(
        self,
        faults: int,
        window_seconds: float,
        pause_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = faults
        self._window = window_seconds
        self._first_pause = self._pause = pause_seconds
        self._clock = clock
        self._fault_times: deque[float] = deque()
        self._until: float | None = None

    @property
    def state(self) -> State:
        if self._until is None:
            return "closed"
        return "open" if self._clock() < self._until else "half_open"

    @property
    def seconds_left(self) -> float:
        """Until the probe; 0 unless open."""
        return max(self._until - self._clock(), 0.0) if self._until is not None else 0.0

    def record_fault(self) -> None:
        """Something failed: an ordinary request's batch, or the probe."""
        now = self._clock()
        if self._until is not None:
            self._pause = min(self._pause * 2, self._first_pause * _LONGEST_PAUSE_FACTOR)
            self._until = now + self._pause
            return
        self._fault_times.append(now)
        while self._fault_times and self._fault_times[0] <= now - self._window:
            self._fault_times.popleft()
        if len(self._fault_times) >= self._limit:
            self._until = now + self._pause

    def record_recovery(self) -> None:
        """The probe worked: close."""
        self._until = None
        self._pause = self._first_pause
        self._fault_times.clear()

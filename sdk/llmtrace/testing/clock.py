"""A clock for repeatable spans: it moves when it is read, never by itself."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

import opentelemetry.sdk.trace

from llmtrace import clock

_BEGINNING: Final = datetime(2026, 1, 1, tzinfo=UTC)


class SteppingClock:
    """Each reading by the thread that made it is one step later; other threads find it standing still.

    A program that does the same things in the same order therefore gets the same times, whatever the threads
    of the SDK do meanwhile.
    """

    def __init__(self, start: datetime = _BEGINNING, step: float = 0.001) -> None:
        """step: seconds from one reading to the next."""
        self._start = int(start.timestamp()) * 10**9
        self._step = round(step * 1e9)
        self._steps = 0
        self._thread = threading.get_ident()

    def advance(self, seconds: float) -> None:
        """Let time pass, for instance within a tool."""
        self._steps += round(seconds * 1e9 / self._step)

    def time_ns(self) -> int:
        """Nanoseconds since 1970."""
        return self._start + self._elapsed()

    def perf_counter(self) -> float:
        """Seconds since `start`."""
        return self._elapsed() / 1e9

    def _elapsed(self) -> int:
        if threading.get_ident() == self._thread:
            self._steps += 1
        return self._steps * self._step

    @contextmanager
    def installed(self) -> Iterator[None]:
        """The SDK's spans, and those of OpenTelemetry in this process, are timed by it within the block."""
        sdk: Any = opentelemetry.sdk.trace
        before = clock.time_ns, clock.perf_counter, sdk.time_ns
        clock.time_ns, clock.perf_counter, sdk.time_ns = self.time_ns, self.perf_counter, self.time_ns
        try:
            yield
        finally:
            clock.time_ns, clock.perf_counter, sdk.time_ns = before

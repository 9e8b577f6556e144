"""The thread that sends what lies on disk, and tries a collector that is away, while there is a need to."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Final

from llmtrace import internal_errors
from llmtrace.internal_errors import swallow

from .sender import Sender

_REPLAYING: Final = swallow("sending what is on disk", may_raise=False)
_PAUSE_AFTER_FAILURE: Final = 1.0
_SHORTEST_PAUSE: Final = 0.05


class ReplayThread:
    """Ends by itself when nothing is left to send. Thread-safe."""

    def __init__(self, sender: Sender[Any], within: Callable[[], AbstractContextManager[None]]) -> None:
        """within: makes the context that the thread runs in."""
        self._sender = sender
        self._within = within
        self._condition = threading.Condition()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._passes_asked = self._passes_done = 0
        self._stopping = False
        self._at_end: Callable[[], None] = _nothing

    @property
    def is_running(self) -> bool:
        """Whether there is something to send, as far as it knows."""
        return self._thread is not None

    def start(self) -> None:
        """Begin, unless it runs."""
        with self._condition:
            if self._thread is not None or self._stopping:
                return
            self._thread = thread = threading.Thread(target=self._run, name="llmtrace-replay", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # the interpreter is leaving
            self._thread = None
            internal_errors.report("starting the replay thread", error, may_raise=False)

    def flush(self, timeout: float) -> None:
        """Send what is there without a pause; returns when that was tried once, or after the time-out."""
        with self._condition:
            self._passes_asked = asked = self._passes_asked + 1
        with self._sender.replaying_now():
            self.start()
            self._wake.set()
            with self._condition:
                self._condition.wait_for(lambda: self._passes_done >= asked, max(timeout, 0.0))

    def stop(self, timeout: float, at_end: Callable[[], None] | None = None) -> None:
        """Go on for at most `timeout` seconds, then call `at_end`; the thread does where it still hangs."""
        with self._condition:
            self._stopping = True
            thread = self._thread
        self._wake.set()
        if thread is not None and thread.is_alive():  # another may be about to start it
            thread.join(max(timeout, 0.0))
        if at_end is None:
            return
        with self._condition:
            if self._thread is not None:
                self._at_end = at_end
                return
        at_end()

    def _run(self) -> None:
        with self._within():
            while self._pass():
                self._wake.clear()
            with _REPLAYING:
                self._at_end()

    def _pass(self) -> bool:
        """Whether there is more to do, after a pause."""
        with self._condition:
            asked = self._passes_asked
        is_done = has_failed = True
        with _REPLAYING:
            is_done, has_failed = self._sender.replay(paced=True), False
        with self._condition:
            self._passes_done = asked
            self._condition.notify_all()
            is_over = self._stopping or (is_done and not has_failed and self._passes_asked == asked)
            if is_over:
                self._thread = None
                return False
            if self._passes_asked != asked:
                return True
        shortest = _PAUSE_AFTER_FAILURE if has_failed else _SHORTEST_PAUSE
        self._wake.wait(max(self._sender.seconds_to_replay, shortest))
        return True


def _nothing() -> None:
    """What follows a thread that nobody stopped."""

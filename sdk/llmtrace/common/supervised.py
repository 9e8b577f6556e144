"""Threads that work for as long as the process does: what goes wrong in one is logged, counted and ridden
out, and what it is behind with is measured.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from .health import HealthReason

logger = logging.getLogger(__name__)

#: Seconds until what failed is tried again: at first, and at most where nothing else is said.
_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 5.0

#: How often (seconds) a spell of failures is spoken of again.
_REMIND_SECONDS = 60.0


class SupervisedThread:
    """Calls `step` again and again in a thread of its own, until it returns None or `stop` is called.

    `step` does one piece of work and returns the seconds to wait before the next (0: none), None when there
    is nothing more to do ever. It may wait for work itself; it calls `begin` when it has some. Whatever it
    raises is logged with its cause, counted, and it is called again after a pause that grows: a `step` keeps
    what it has in hand where the next call finds it, so that nothing of it is lost or done twice.

    `lag` is the time that the work under way has taken so far, with all its failures; 0 while there is none.
    """

    def __init__(
        self,
        name: str,
        step: Callable[[], float | None],
        *,
        pauses: tuple[float, float] = (_FIRST_PAUSE, _LONGEST_PAUSE),
        expected: tuple[type[BaseException], ...] = (OSError,),
        failing_seconds: float = 5.0,
        stuck_seconds: float = 30.0,
    ) -> None:
        """`pauses` are the first and the longest pause after failures (seconds). Of `expected` exceptions the
        text is logged, of others the traceback too. `failing_seconds` and `stuck_seconds`: the lag from which
        on it is a reason not to be ready, when attempts fail and when one does not end.
        """
        self.name = name
        self._step = step
        self._first_pause, self._longest_pause = pauses
        self._expected = expected
        self._failing_seconds = failing_seconds
        self._stuck_seconds = stuck_seconds
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._ended = False
        self._began: float | None = None
        self._failed = 0
        self._failure = ""
        self._spoke_at = 0.0
        #: Unix time (seconds) of the last success; 0.0 before the first.
        self.last_success = 0.0
        #: How often it failed, and was started again.
        self.restarts = 0
        #: Called after each failure.
        self.on_failure: Callable[[], object] = lambda: None

    def start(self) -> None:
        """Begin with a step at once."""
        self._thread = threading.Thread(target=self._run, name=f"llmtrace-{self.name}", daemon=True)
        self._thread.start()

    def begin(self) -> None:
        """Note that there is work in hand from now on, unless there is some already."""
        if self._began is None:
            self._began = time.monotonic()

    def rest(self) -> None:
        """Note that nothing is in hand, also of what failed: a step that waits for work calls it before."""
        self._began = None

    def stop(self) -> None:
        """Ask it to end after the step that is under way."""
        self._stopping.set()

    @property
    def is_stopping(self) -> bool:
        """Whether it was asked to end: a step that takes long asks from time to time."""
        return self._stopping.is_set()

    def join(self, timeout: float | None = None) -> bool:
        """Wait for its end, at most `timeout` seconds; False when it has not ended."""
        if self._thread is None:
            return True
        self._thread.join(timeout)
        return not self._thread.is_alive()

    @property
    def lag(self) -> float:
        """Seconds since it began what it has not finished yet; 0.0 when it has nothing to do."""
        began = self._began
        return 0.0 if began is None else time.monotonic() - began

    @property
    def failure(self) -> str:
        """What its last attempt failed of; empty after a success."""
        return self._failure

    @property
    def is_dead(self) -> bool:
        """Whether its thread ended though nobody asked for it."""
        return self._thread is not None and not self._ended and not self._thread.is_alive()

    def reason(self) -> HealthReason | None:
        """Why the process is not well for what this thread does; None when it is."""
        if self.is_dead:
            return HealthReason("task-dead", f"the thread {self.name!r} has ended: restart the process")
        lag = self.lag
        if self._failed and lag >= self._failing_seconds:
            text = f"{self.name!r} has failed for {lag:.0f} s and is tried again: {self._failure}"
            return HealthReason("task-failing", text)
        if lag >= self._stuck_seconds:
            return HealthReason("task-stuck", f"{self.name!r} has not finished its work for {lag:.0f} s")
        return None

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                pause = self._step()
            # Also what is no Exception: nobody would start this thread again.
            except BaseException as error:  # noqa: BLE001
                pause = self._fail(error)
            else:
                self._succeed()
                if pause is None:
                    break
            if pause:
                self._stopping.wait(pause)
        self._ended = True

    def _succeed(self) -> None:
        if self._failed:
            logger.info("%s works again after %d failures", self.name, self._failed)
        self._failed, self._failure = 0, ""
        self._began = None
        self.last_success = time.time()

    def _fail(self, error: BaseException) -> float:
        """Note a failure; the seconds until the next attempt."""
        self.begin()
        self._failed += 1
        self.restarts += 1
        is_expected = isinstance(error, self._expected)
        self._failure = str(error) if is_expected and str(error) else f"{type(error).__name__}: {error}"
        pause = min(self._first_pause * 2.0 ** min(self._failed - 1, 20), self._longest_pause)
        now = time.monotonic()
        if self._failed == 1 or now - self._spoke_at >= _REMIND_SECONDS:
            self._spoke_at = now
            logger.warning(
                "%s failed and will be tried again in %.1f s: %s",
                self.name,
                pause,
                self._failure,
                exc_info=None if is_expected else error,
            )
        try:
            self.on_failure()
        except Exception:
            logger.exception("a failure of %s could not be counted", self.name)
        return pause

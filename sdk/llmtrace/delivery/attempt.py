"""One attempt on a thread of its own, so that who waits for it may go on with something else meanwhile."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Final

from .exporter import Batch, ExportResult, Transport

_CHECK_SECONDS: Final = 0.1
_HANGING_SECONDS: Final = 1.0


class Attempt:
    """A batch on its way. Its thread holds no lock of ours, and ends with the process."""

    def __init__(self, transport: Transport, batch: Batch, timeout: float) -> None:
        """Begins at once. Where no thread can be started any more, it is over when this returns."""
        self.batch = batch
        self._began = time.monotonic()
        self._future: Future[ExportResult] = Future()
        # The caller's context says that nothing done within is traced.
        arguments = (self._run, transport, timeout)
        thread = threading.Thread(
            target=contextvars.copy_context().run, args=arguments, name="llmtrace-attempt", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:  # the interpreter is leaving
            self._run(transport, timeout)

    def wait(
        self, may_leave: Callable[[], bool], *, hanging_after: float = _HANGING_SECONDS
    ) -> ExportResult | None:
        """The result. None where it hangs and `may_leave`, asked now and then, says to leave it behind.

        hanging_after: seconds.
        """
        while True:
            if wait([self._future], _CHECK_SECONDS).done:
                return self._future.result()
            if time.monotonic() - self._began >= hanging_after and may_leave():
                return None

    def _run(self, transport: Transport, timeout: float) -> None:
        try:
            self._future.set_result(transport.send(self.batch, timeout))
        except BaseException as error:  # noqa: BLE001  # raised again where it is waited for
            self._future.set_exception(error)

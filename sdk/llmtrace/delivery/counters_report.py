"""Telling the collector what this process counted: with the first batch, every ten seconds, and at the end.

Between two reports the counters lie where a kill leaves them, so that another process can tell the last ones.
"""

from __future__ import annotations

import threading
import time
from typing import Final

from llmtrace import internal_errors
from llmtrace.common.sealed_files import seal

from .bounded_queue import BoundedQueue
from .exporter import Exporter
from .process_file import ProcessFile
from .sender import Sender
from .spool import Spool
from .stats import DeliveryCounters

_SECONDS: Final = 10.0


class CountersReport:
    """For the delivery thread; `end` also for another, where that one or the replay thread may hang."""

    def __init__(
        self, counters: DeliveryCounters, queue: BoundedQueue, sender: Sender[Exporter], spool: Spool | None
    ) -> None:
        self._counters = counters
        self._queue = queue
        self._sender = sender
        self._spool = spool
        self._process: ProcessFile | None = None
        #: Held while the file is written to: who ends this closes the file next.
        self._writing = threading.RLock()
        self._written: list[int] = []
        self._next = 0.0

    def begin(self) -> None:
        """Keep the counters from now on, where there is a spool that can be written to."""
        if self._spool is None:
            return
        record = self._counters.record(self._counters.read())
        report, keys = self._sender.exporter.pack_logs([record]).payload, self._spool.keys
        try:
            process = self._spool.process()
            process.describe(report if keys is None else seal(report, keys))
        except OSError as error:
            internal_errors.warn_once(
                "process file",
                "llmtrace: what this process counts is not kept on disk, so that a kill loses the last "
                "seconds of it (%s); LLMTRACE_SPOOL_DIR names a folder that can be written to.",
                error,
            )
            return
        self._process, self._counters.shared = process, process.shared
        self.keep()

    def keep(self, *, is_ended: bool = False) -> None:
        """Write the counters down where they have changed."""
        with self._writing:
            if self._process is None:
                return
            with self._counters.lock:
                counters = self._counters.as_left(self._queue.spans_of_calls, is_ended=is_ended)
                self._process.share(counters)
            if counters != self._written:
                self._written = counters
                self._process.write(counters)

    def send(self, *, is_due: bool = False) -> None:
        """Tell the counters, where they have changed; now, or where it `is_due`."""
        now = time.monotonic()
        if is_due and now < self._next:
            return
        record = self._counters.report(self._queue.spans_of_calls)
        if record is None:
            return
        self._next = now + _SECONDS
        result = self._sender.send_once(self._sender.exporter.pack_logs([record]))
        if result is None or result.kind == "retry":
            self._counters.forget_report()

    def end(self) -> bool:
        """Keep the last counters; whether the collector has been told them."""
        self._counters.shared = None
        with self._writing:
            self.keep(is_ended=True)
            if self._process is not None:
                self._process.unshare()  # they are on disk
            self._process = None
        return self._counters.is_reported()

"""Telling the collector what this process counted: with the first batch, every ten seconds, and at the end.

A process that counts nothing new says so every five minutes, so that silence is a sign. The last report is
the goodbye.

Between two reports the counters lie where a kill leaves them, so that another process can tell the last ones.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import asdict, dataclass
from typing import Final

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from llmtrace import internal_errors
from llmtrace.common.sealed_files import seal

from . import killed_processes
from .bounded_queue import BoundedQueue
from .exporter import Exporter
from .process_file import ProcessFile
from .sender import Sender
from .spool import Spool
from .stats import DeliveryCounters

_SECONDS: Final = 10.0
_ALIVE_SECONDS: Final = 300.0


@dataclass(frozen=True, slots=True)
class ReportSource:
    """In whose name the counters are told."""

    resource: Resource
    scope: InstrumentationScope


class CountersReport:
    """For the delivery thread; `end` also for another, where that one or the replay thread may hang, and
    `keep_late` for any.
    """

    def __init__(
        self,
        source: ReportSource,
        counters: DeliveryCounters,
        queue: BoundedQueue,
        sender: Sender[Exporter],
        spool: Spool | None,
    ) -> None:
        self._source = source
        self._counters = counters
        self._queue = queue
        self._sender = sender
        self._spool = spool
        self._process: ProcessFile | None = None
        #: Held while the file is written to: who ends this closes the file next.
        self._writing = threading.RLock()
        self._written: list[int] = []
        self._has_ended = False
        self._next = self._next_alive = 0.0

    def begin(self) -> None:
        """Keep the counters from now on, where there is a spool that can be written to."""
        if self._spool is None:
            return
        # What the exporter needs takes long to import; who is killed meanwhile is to be known as well.
        description, keys = self._description(), self._spool.keys
        try:
            process = self._spool.process()
            process.describe(description if keys is None else seal(description, keys))
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

    def make_room(self) -> None:
        """Take over what killed processes left in shared memory; share the counters where that was full."""
        if self._process is None:
            return
        killed_processes.free_shared_memory()
        with self._writing:
            process = self._process
            if process is not None and process.shared is None:
                process.begin_sharing()
                self._counters.shared = process.shared
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

    def keep_late(self) -> None:
        """Write down what was counted after the end, for another process to tell."""
        with self._writing:
            if not self._has_ended:
                return
            if self._process is None:
                self.begin()
            self.keep(is_ended=True)

    def seal(self, seconds: float) -> None:
        """Write down what was counted after the end, and let nobody count any more: the process ends now.

        Whoever records something meanwhile waits for ever, so that what returned to the program is counted.
        """
        if self._writing.acquire(timeout=seconds) and self._counters.lock.acquire(timeout=seconds):
            self.keep_late()

    def send(self, *, is_last: bool = False) -> None:
        """Tell the counters, where it is due and they have changed; with the last ones goodbye, now."""
        now = time.monotonic()
        if now < self._next and not is_last:
            return
        uncounted, is_again = self._queue.spans_of_calls, now >= self._next_alive
        record = self._counters.report(uncounted, is_last=is_last, is_again=is_again)
        if record is None:
            return
        self._next, self._next_alive = now + _SECONDS, now + _ALIVE_SECONDS
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
            self._has_ended = True
        return self._counters.is_reported()

    def _description(self) -> bytes:
        """What another process needs to tell of this one, in JSON."""
        resource, scope = self._source.resource, self._source.scope
        return json.dumps(
            {
                "resource": dict(resource.attributes),
                "scope": [scope.name, scope.version],
                "origin": asdict(self._counters.origin),
            }
        ).encode()

"""The end of a delivery: what is not sent in time goes to disk, whatever else the program does meanwhile.

Other threads may go on recording until the process is over. The queue takes what they record as long as it
can be sent or kept; it is closed at the very last, and what comes later is counted as dropped. Where the
process ends right then, who records something waits for that end instead, so that what returned to the
program is kept.
"""

from __future__ import annotations

import threading
import time
from typing import Final

from llmtrace.internal_errors import swallow

from .bounded_queue import BoundedQueue
from .counters_report import CountersReport
from .exporter import Exporter
from .packing import Packer, RescuedError
from .replay_thread import ReplayThread
from .sender import Sender
from .spool import Spool

_KEEPING: Final = swallow("keeping the last spans", may_raise=False)
_ENDING: Final = swallow("ending the delivery", may_raise=False)
#: What it may take to build, pack and write down an item, while other threads work as well.
_SECONDS_PER_ITEM: Final = 0.0005
#: And what a batch on its way, and the last files, may take.
_RESERVE: Final = 0.2
#: In so many seconds a collector that is well takes a queue that was more than half full.
_SENDING_SECONDS: Final = 0.5
_CHECK_SECONDS: Final = 0.05
#: What the delivery thread has in hand at the deadline is on disk soonest where that thread puts it there.
_LAST_SECONDS: Final = 0.25


class Shutdown:
    """For the thread that ends the delivery; `has_to_keep` and `keep_rest` for the delivery thread too."""

    def __init__(
        self,
        queue: BoundedQueue,
        packer: Packer,
        sender: Sender[Exporter],
        replay_thread: ReplayThread,
        *,
        counters_report: CountersReport | None,
        spool: Spool | None,
    ) -> None:
        self._queue = queue
        self._packer = packer
        self._sender = sender
        self._replay_thread = replay_thread
        self._counters_report = counters_report
        self._spool = spool
        self._began = self._timeout = 0.0
        self._has_begun = False
        self._ends_process = self._is_taken_over = False

    def begin(self, timeout: float, *, ends_process: bool) -> None:
        """From now on nothing waits longer than `timeout` seconds."""
        self._began, self._timeout, self._ends_process = time.monotonic(), timeout, ends_process
        self._has_begun = True
        self._sender.set_deadline(self._began + timeout)

    def has_to_keep(self) -> bool:
        """Whether so much waits that there may be no room, or no time, for it after another attempt."""
        if not self._has_begun:
            return False
        passed = time.monotonic() - self._began
        if passed > _SENDING_SECONDS and self._queue.is_half_full():
            return True
        needed = _RESERVE + self._queue.items * _SECONDS_PER_ITEM
        return passed >= self._timeout - min(needed, self._timeout / 2)

    def keep_rest(self) -> None:
        """Write down what waits, where there is a disk to write to."""
        if self._spool is None:
            return
        with _KEEPING:
            for batch in self._packer.rest():
                self._sender.keep_or_drop(batch)
            if self._counters_report is not None:
                self._counters_report.keep()

    def rescue(self) -> None:
        """Write down what the delivery thread is about, which hangs or failed, and what waits."""
        with _KEEPING:
            if self._spool is not None:
                self._sender.rescue(self._packer.interrupted())
        self.keep_rest()

    def is_hanging(self, thread: threading.Thread) -> bool:
        """At the deadline: whether the delivery thread goes on even after what it is sending is on disk."""
        if thread.is_alive():
            self._is_taken_over = True
            if self._spool is not None:
                with _KEEPING:
                    self._sender.rescue([])
            thread.join(_LAST_SECONDS)
        return thread.is_alive()

    def leave_to_other(self) -> None:
        """On the delivery thread, while it holds nothing: end it where the deadline is over and another
        thread keeps, or counts, what waits. Raises RescuedError.
        """
        if self._is_taken_over:
            raise RescuedError

    def close_queue(self) -> None:
        """Take nothing any more."""
        self._queue.close(ends_process=self._ends_process)

    def finish(self, *, is_hanging: bool) -> None:
        """After the delivery thread's last cycle, or while it hangs: let the replay go on as long as there is
        time, write down what came meanwhile, close the queue, and let go of the folder.
        """
        if is_hanging:
            self.rescue()
        self._wait_for_replay()
        self.keep_rest()
        self.close_queue()
        self.keep_rest()
        self._queue.drop_all()
        with _ENDING:
            self._replay_thread.stop(0.0, self._release)
            if self._counters_report is not None:
                self._counters_report.end()  # also where that thread hangs, and the process ends first
        if not is_hanging:
            self._sender.disconnect()

    def _wait_for_replay(self) -> None:
        # Where the collector is away, what hangs there is on disk.
        while self._replay_thread.is_running and not self._sender.is_away and not self.has_to_keep():
            self._replay_thread.stop(_CHECK_SECONDS)

    def _release(self) -> None:
        """Nothing is sent any more: what is left is for another process to send, and to tell."""
        is_reported = self._counters_report is None or self._counters_report.end()
        if self._spool is not None:
            self._spool.close(is_reported=is_reported)

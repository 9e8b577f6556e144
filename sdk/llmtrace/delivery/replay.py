"""Sending what lies on disk: this process's first, then what dead processes and former versions left.

In order, one request at a time, and slower than it could be, so that a collector that is back is not flooded
by all at once. Used by one thread at a time, which may wait for the network as long as it takes: it is not
the thread that takes new spans.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Generic, TypeVar

from llmtrace.common.import_lock import import_lock
from llmtrace.common.sealed_files import SealBroken, unseal

from . import former_spool
from .collector_state import CollectorState, Warn, jitter
from .exporter import Batch, ExportResult, Transport
from .process_file import ProcessFile
from .spool import Spool, Spooled
from .spool_format import Hole
from .stats import DeliveryCounters

_SHORTEST_PAUSE: Final = 0.1
#: For each second that the collector took, so long it is left to others.
_PAUSE_SHARE: Final = 2.0

TransportT = TypeVar("TransportT", bound=Transport)


class Replay(Generic[TransportT]):
    """What is on disk, on its way. `own` says of each what this process put there: it counts as spooled."""

    def __init__(
        self,
        spool: Spool,
        counters: DeliveryCounters,
        collector: CollectorState,
        open_transport: Callable[[], TransportT],
        warn: Warn,
    ) -> None:
        """`open_transport` is called at the first batch; it is this thread's alone."""
        self._spool = spool
        self._counters = counters
        self._collector = collector
        self._open_transport = open_transport
        self._warn = warn
        self._transport: TransportT | None = None
        #: Files that are left alone: what cannot be read, and what cannot be removed.
        self._skipped: set[Path] = set()

    def run(self, *, paced: bool) -> bool:
        """Send all that is there; True where nothing is left that could be sent, False where it stopped.

        Raises OSError where the folder cannot be used.
        """
        for path in self._spool.own_files():
            if not self._send_file(path, own=True, paced=paced):
                return False
        for process in self._spool.dead_processes():
            if not self._take_over(process, paced=paced):
                return False
        with former_spool.batches(self._spool.folder) as files:
            if not all(self._send_former(path, paced=paced) for path in files):
                return False
        self._collector.is_away = False  # also where there was nothing to try it with
        return True

    def _take_over(self, process: ProcessFile, *, paced: bool) -> bool:
        """Send what a dead process left and tell its counters; False where it stopped."""
        is_done = False
        try:
            for path in self._spool.left_files(process):
                if not self._send_file(path, own=False, paced=paced):
                    return False
            if not self._tell_of(process):
                return False
            is_done = not self._spool.left_files(process)
        except OSError as error:
            self._leave(process.path, error)
        finally:
            with contextlib.suppress(OSError):  # the next one finds it, and nothing to send
                if is_done:
                    process.remove()
            process.close()
        return True

    def settle(self, spooled: Spooled, result: ExportResult, *, own: bool = True) -> None:
        """What is on disk was answered for."""
        lost = spooled.items if result.kind == "refused" else result.rejected
        if lost:
            self._warn("refused", "The collector refused a batch: %s", result.detail)
        if own:
            items = self._spool.settle(spooled)
            self._count_own(items, dropped=min(lost, items))
        else:
            self._spool.settle(spooled)
            self._count_foreign(sent=spooled.items - lost, dropped=lost)

    def count_dropped(self) -> None:
        """Count what gave way on disk to something newer."""
        for items, own in self._spool.take_dropped():
            if own:
                self._count_own(items, dropped=items)
            else:
                self._count_foreign(sent=0, dropped=items)

    def close(self) -> None:
        """Release connections; a later pass opens them again."""
        if self._transport is not None:
            self._transport.close()

    def _send_file(self, path: Path, *, own: bool, paced: bool) -> bool:
        """False where the collector is away or the time is up."""
        if path in self._skipped:
            return True
        try:
            pieces = self._spool.read(path)
        except FileNotFoundError:
            # By another process, which made room; or somebody emptied the folder.
            self._count_lost_file(path, is_damaged=False, items=0, own=own)
            return True
        except OSError as error:
            self._leave(path, error)
            return True
        holes = [piece for piece in pieces if isinstance(piece, Hole)]
        for piece in pieces:
            if isinstance(piece, Hole):
                continue
            try:
                batch = self._spool.batch(piece)
            except SealBroken as error:
                self._leave(path, error)
                continue
            if not self._send(batch, Spooled(path, piece.offset, piece.items), own=own, paced=paced):
                return False
        if path not in self._skipped:
            lost = sum(hole.items for hole in holes)
            self._count_lost_file(path, is_damaged=bool(holes), items=lost, own=own)
        return True

    def _count_lost_file(self, path: Path, *, is_damaged: bool, items: int, own: bool) -> None:
        """All that can be sent of a file is sent; what else it held is lost."""
        try:
            of_ours = self._spool.finish(path, is_damaged=is_damaged)
        except OSError as error:
            self._leave(path, error)
            return
        if is_damaged:
            self._warn(
                "damaged",
                "A file of batches on disk is damaged: %d spans or records of it are lost, the others are "
                "sent. It stays as %s*",
                of_ours if own else items,
                path.with_suffix(""),
            )
        if own:
            self._count_own(of_ours, dropped=of_ours)
        elif items:
            self._count_foreign(sent=0, dropped=items)

    def _send_former(self, path: Path, *, paced: bool) -> bool:
        if path in self._skipped:
            return True
        try:
            frame = former_spool.read(path)
            batch = self._spool.batch(frame)
        except FileNotFoundError:
            return True
        except (OSError, ValueError) as error:
            self._leave(path, error)
            return True
        result = self._attempt(batch, own=False, paced=paced)
        if result is None:
            return False
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            self._leave(path, error)
        lost = frame.items if result.kind == "refused" else result.rejected
        self._count_foreign(sent=frame.items - lost, dropped=lost)
        return True

    def _send(self, batch: Batch, spooled: Spooled, *, own: bool, paced: bool) -> bool:
        result = self._attempt(batch, own=own, paced=paced)
        if result is not None:
            self.settle(spooled, result, own=own)
        return result is not None

    def _tell_of(self, process: ProcessFile) -> bool:
        """Send the last counters of a dead process; False where the collector is away."""
        last = process.read()
        if last is None:
            return True
        with import_lock:
            from .last_report import report_of_dead

        counters, description = last
        try:
            batch = report_of_dead(counters, unseal(description, self._spool.keys))
        except (SealBroken, ValueError) as error:
            self._warn("process file", "The counters of a process that has ended cannot be told: %s", error)
            return True
        return self._attempt(batch, own=False, paced=False) is not None

    def _attempt(self, batch: Batch, *, own: bool, paced: bool) -> ExportResult | None:
        """The answer; None where there is none, or the time is up: that of others' batches with the end."""
        if self._collector.is_over() or (self._collector.deadline is not None and not own):
            return None
        if self._transport is None:
            self._transport = self._open_transport()
        began = time.monotonic()
        result = self._transport.send(batch, self._collector.attempt_timeout())
        if result.kind == "retry":
            self._collector.failed(result)
            return None
        self._collector.answered()
        if paced:
            pause = max(_SHORTEST_PAUSE, (time.monotonic() - began) * _PAUSE_SHARE)
            self._collector.replays_now.wait(pause * jitter())
        return result

    def _leave(self, path: Path, error: Exception) -> None:
        self._skipped.add(path)
        self._warn("unreadable", "A batch on disk is left there, for it cannot be used: %s: %s", path, error)

    def _count_own(self, items: int, *, dropped: int) -> None:
        with self._counters.lock:
            self._counters.spooled -= items
            self._counters.sent += items - dropped
            if dropped:
                self._counters.count_dropped(dropped)

    def _count_foreign(self, *, sent: int, dropped: int) -> None:
        with self._counters.lock:
            self._counters.replayed += sent
            self._counters.generated += dropped
            if dropped:
                self._counters.count_dropped(dropped)

"""The segments that are written to: one for each signal, until it is old or large enough to be stored."""

from __future__ import annotations

import logging
import os
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from llmtrace.common.durable_files import sync_directory

from .segment import Segment
from .segment_ledger import SegmentLedger
from .validate import ServiceRows
from .wal_frame import Frame

logger = logging.getLogger(__name__)

#: The engine takes at most 100 partitions in one block; a segment keeps well below.
MAX_DAYS: Final = 50

#: How soon a segment that is overdue is checked again, in seconds.
_BEHIND_PAUSE: Final = 0.02

#: How soon a segment that could not be cut is tried again, in seconds.
_UNCUT_PAUSE: Final = 0.5


@dataclass(frozen=True)
class Append:
    """A frame to write, with the days of its rows and whose they are. done: see `WriteAheadLog.append`."""

    signal: str
    frame: Frame
    days: frozenset[int]
    services: tuple[ServiceRows, ...]
    done: Future[bool]


class OpenSegments:
    """For the thread of the log, but for `since` and `tokens`."""

    def __init__(
        self,
        folder: Path,
        ledger: SegmentLedger,
        new_segment: Callable[[str, str], Segment],
        *,
        segment_bytes: int,
        segment_seconds: float,
        behind: Callable[[], bool],
        on_written: Callable[[Segment, int, Sequence[tuple[bytes, Append]]], None],
        on_closed: Callable[[Segment], None],
    ) -> None:
        """new_segment: makes one of a signal and a token. behind: see `WriteAheadLog`. on_written: gets a
        segment, its new size, and what of it is on disk since, with digests.
        """
        self._folder = folder
        self._ledger = ledger
        self._new_segment = new_segment
        self._segment_bytes = segment_bytes
        self._segment_seconds = segment_seconds
        self._behind = behind
        self._on_written = on_written
        self._on_closed = on_closed
        self._open: dict[str, tuple[Segment, int]] = {}
        # Segments whose end could not be cut after a failed write, with their descriptors.
        self._uncut: list[tuple[Segment, int]] = []

    def since(self) -> float | None:
        """When the oldest was opened (Unix seconds); None without any."""
        opened = [segment.since for segment, _ in [*self._open.values(), *self._uncut]]
        return min(opened, default=None)

    def tokens(self) -> set[str]:
        """Of those that are appended to."""
        return {segment.token for segment, _ in list(self._open.values())}

    def until_next_close(self) -> float | None:
        """Seconds until one is due, or may be cut; None where there is nothing to do."""
        if not self._open:
            return _UNCUT_PAUSE if self._uncut else None
        oldest = min(segment.opened for segment, _ in self._open.values())
        due = oldest + self._segment_seconds - time.monotonic()
        return due if due > 0 else _BEHIND_PAUSE

    def write(self, signal: str, items: Sequence[tuple[bytes, Append]]) -> None:
        """Write frames, each with its digest, into the signal's segment and sync; on failure nothing of them
        stays but what `on_written` got. Raises OSError.
        """
        start = 0
        while start < len(items):
            segment, descriptor = self._segment_for(signal, items[start][1])
            size = segment.size
            count = 0
            requests, rows = len(segment.digests), segment.rows.total()
            try:
                for _, item in items[start:]:
                    if count and not self._fits(segment, size, item):
                        break
                    requests, rows = requests + 1, rows + sum(of.accepted for of in item.services)
                    frame = replace(item.frame, requests=requests, rows=rows)
                    buffers = segment.buffers(frame, size)
                    _write_all(descriptor, buffers)
                    size += sum(map(len, buffers))
                    segment.days |= item.days
                    count += 1
                os.fdatasync(descriptor)
            except BaseException:
                # Acknowledged frames stay, the rest is cut; a file with unknown state is not appended to.
                self._cut(signal)
                raise
            self._on_written(segment, size, items[start : start + count])
            start += count

    def _cut(self, signal: str) -> None:
        """Close the signal's segment after a failed write, at the end of its last acknowledged frame."""
        segment, descriptor = self._open.pop(signal)
        if not self._close_cut(segment, descriptor):
            # The store may not see it with a torn tail: it waits.
            self._uncut.append((segment, descriptor))

    def _close_cut(self, segment: Segment, descriptor: int) -> bool:
        """Cut a segment behind its last acknowledged frame and close it; False when it cannot be cut now."""
        try:
            os.ftruncate(descriptor, segment.size)
        except OSError as error:
            logger.warning("%s cannot be cut, which is tried again: %s", segment.path.name, error)
            return False
        self._close(segment, descriptor)
        return True

    def _fits(self, segment: Segment, size: int, item: Append) -> bool:
        return (size == 0 or size + len(item.frame.body) <= self._segment_bytes) and len(
            segment.days | item.days
        ) <= MAX_DAYS

    def _segment_for(self, signal: str, item: Append) -> tuple[Segment, int]:
        current = self._open.get(signal)
        if current is not None and not self._fits(current[0], current[0].size, item):
            self._close(*self._open.pop(signal))
            current = None
        if current is None:
            segment = self._new_segment(signal, f"{signal}-{time.time_ns():020d}-{uuid.uuid4().hex[:12]}")
            self._folder.mkdir(exist_ok=True)  # somebody may have deleted it: what comes now is not lost too
            descriptor = os.open(
                segment.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600
            )
            try:
                sync_directory(self._folder)
            except BaseException:
                self._close(segment, descriptor)
                raise
            self._ledger.note_opened(segment)
            current = (segment, descriptor)
            self._open[signal] = current
        return current

    def close_due(self, *, everything: bool) -> None:
        """Hand over what is old enough, while none waits to be stored; everything: whatever there is."""
        now = time.monotonic()
        for signal, (segment, descriptor) in list(self._open.items()):
            old = now - segment.opened >= self._segment_seconds
            if everything or (old and not self._behind()):
                del self._open[signal]
                self._close(segment, descriptor)
        self._uncut = [item for item in self._uncut if not self._close_cut(*item)]

    def _close(self, segment: Segment, descriptor: int) -> None:
        """Hand a segment over. What the disk has against that is no reason to keep it back: what was
        acknowledged of it was synced.
        """
        try:
            os.close(descriptor)
            if segment.size == 0:
                self._ledger.forget(segment.path)
                segment.path.unlink()
        except OSError as error:
            logger.warning("%s was not closed well: %s", segment.path.name, error)
        if segment.size:
            self._on_closed(segment)


def _write_all(descriptor: int, buffers: list[bytes]) -> None:
    """Write all buffers; a short write, which a full disk gives, is finished or raises."""
    written = os.writev(descriptor, buffers)
    total = sum(map(len, buffers))
    if written < total:
        rest = memoryview(b"".join(buffers))[written:]
        while rest:
            rest = rest[os.write(descriptor, rest) :]

"""Batches on disk while the collector does not take them.

Each process appends to a file of its own, a new one every minute or 4 MiB, and nothing is read or measured
for that. A batch is there as the bytes that are POSTed, so that sending one twice is recognised by the
collector; it is marked when it is settled, and a file goes with its last batch. Files survive the process,
and a power cut where that was asked for. What a dead process left is taken over by one that lives. Each
destination (addresses and the settings' headers) has a folder of its own: nothing is ever replayed to another
collector or under another key. Who alone owns `spool_dir` may leave the headers out, and batches outlive a
change of the key. Where the settings have encryption keys, what is written is encrypted with them.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from llmtrace.common.durable_files import make_directory, sync_directory
from llmtrace.common.sealed_files import seal, unseal

from . import former_spool, process_file
from .exporter import Batch
from .process_file import ProcessFile
from .settings import DeliverySettings
from .spool_format import SETTLED, STATE_OFFSET, Frame, Hole, framed, frames
from .spool_room import SEGMENT, SpoolRoom

_SEGMENT_SECONDS: Final = 60.0
_SEGMENT_BYTES: Final = 4 << 20
_DAMAGED: Final = ".damaged"
#: Files that a process left, with what names it.
_OURS: Final = re.compile(
    rf"(?:\d+-)?(\d+-[0-9a-f]+)(?:{re.escape(SEGMENT)}|{re.escape(process_file.SUFFIX)})"
)


@dataclass(frozen=True, slots=True)
class Spooled:
    """Where a batch is on disk."""

    path: Path
    offset: int
    items: int


@dataclass(slots=True)
class _OpenSegment:
    """The file that is appended to."""

    path: Path
    descriptor: int
    until: float
    size: int = 0
    items: int = 0


class Spool:
    """The folder of one destination. Safe between processes and threads.

    The bound is that of the whole `spool_dir`. What other processes put there is measured at the start and
    with a new file, so that together they may exceed it by what they write in a minute.
    """

    def __init__(self, settings: DeliverySettings, *, drops_oldest: bool = True) -> None:
        """Creates nothing yet. drops_oldest: at the bound the oldest files give way; else `put` fails."""
        self._root = Path(settings.spool_dir)
        addresses = [settings.endpoints[signal].url for signal in ("traces", "logs")]
        self._address = _hashed(addresses)
        self.folder = self._root / f"{self._address}-{_hashed(sorted(settings.headers.items()))}"
        self.keys = settings.encryption_keys
        self._limit = settings.spool_bytes
        self._drops_oldest = drops_oldest
        self._process: ProcessFile | None = None
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.RLock()
        self._open: _OpenSegment | None = None
        #: Items that wait in each file of this process, oldest first.
        self._own: dict[Path, int] = {}
        self._dropped: list[tuple[int, bool]] = []
        self._room = SpoolRoom(self._root, self._limit)

    def put(self, batch: Batch, *, sync: bool = False) -> Spooled:
        """Write a batch; raises OSError (SpoolFullError at the bound) when it cannot be kept.

        sync: it survives a power cut too.
        """
        payload = batch.payload if self.keys is None else seal(batch.payload, self.keys)
        with self._lock:
            segment = self._segment(len(payload), sync=sync)
            frame = framed(batch, payload, segment.items)
            spooled = Spooled(segment.path, segment.size, batch.items)
            try:
                written = 0
                while written < len(frame):
                    written += os.write(segment.descriptor, frame[written:])
                if sync:
                    os.fsync(segment.descriptor)
            except OSError:
                self._close_segment()  # what is half written costs nothing that is behind it
                if not segment.size:
                    segment.path.unlink(missing_ok=True)
                    self._own.pop(segment.path, None)
                raise
            segment.size += len(frame)
            segment.items += batch.items
            self._own[segment.path] = self._own.get(segment.path, 0) + batch.items
            self._room.used += len(frame)
        return spooled

    def process(self) -> ProcessFile:
        """The file of this process in the folder, which says that it lives. Raises OSError."""
        with self._lock:
            if self._process is None:
                self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._process = ProcessFile.create(self.folder)
            return self._process

    def own_files(self) -> list[Path]:
        """This process's files that hold batches, oldest first. None of them is appended to any more."""
        with self._lock:
            self._close_segment()
            return list(self._own)

    def left_files(self, process: ProcessFile) -> list[Path]:
        """Those of a dead process, oldest first."""
        names = sorted(self._names())
        return [self.folder / name for name in names if name.endswith(f"-{process.name}{SEGMENT}")]

    def dead_processes(self) -> Iterator[ProcessFile]:
        """Each process that left something and is dead, locked; who asks lets go of it."""
        for path in self._other_processes():
            try:
                process = ProcessFile.taken_over(path)
            except OSError:  # another user's, or a folder of that name: what it left stays where it is
                continue
            if process is not None:
                yield process

    def has_left(self) -> bool:
        """Whether a dead process, or a former version, left something here."""
        return any(former_spool.is_batch(name) for name in self._names()) or any(
            not process_file.is_alive(path) for path in self._other_processes()
        )

    def read(self, path: Path) -> list[Frame | Hole]:
        """What a file holds that is not settled. Raises OSError."""
        pieces = frames(path.read_bytes())
        return [piece for piece in pieces if isinstance(piece, Hole) or not piece.is_settled]

    def batch(self, frame: Frame) -> Batch:
        """The batch of a frame. Raises SealBroken where its key is missing."""
        return Batch(frame.signal, frame.items, unseal(frame.payload, self.keys))

    def settle(self, spooled: Spooled) -> int:
        """Mark a batch as settled: it is not sent again. How many items of this process it was."""
        with self._lock:
            with contextlib.suppress(OSError):  # it would be sent again, and recognised there
                descriptor = os.open(spooled.path, os.O_WRONLY)
                try:
                    os.pwrite(descriptor, SETTLED, spooled.offset + STATE_OFFSET)
                finally:
                    os.close(descriptor)
            if spooled.path not in self._own:
                return 0
            self._own[spooled.path] -= spooled.items
            if self._own[spooled.path] <= 0:
                with contextlib.suppress(OSError):  # all in it is marked
                    self.finish(spooled.path, is_damaged=False)
            return spooled.items

    def finish(self, path: Path, *, is_damaged: bool) -> int:
        """A file is done with: remove it, or keep it under another name where it is damaged.

        How many items of this process it still held, which are lost. Raises OSError.
        """
        with self._lock:
            if self._open is not None and self._open.path == path:
                self._close_segment()
            rest = self._own.pop(path, 0)
            with contextlib.suppress(FileNotFoundError):
                if is_damaged:
                    path.rename(path.with_suffix(_DAMAGED))
                else:
                    self._room.used -= path.stat().st_size
                    path.unlink()
            return max(rest, 0)

    def take_dropped(self) -> list[tuple[int, bool]]:
        """Items that gave way since it was last asked, each with whether they were this process's."""
        with self._lock:
            dropped, self._dropped = self._dropped, []
        return dropped

    def under_other_keys(self) -> list[Path]:
        """Folders of the same addresses and other headers that hold batches."""
        folders = sorted(self._root.glob(f"{self._address}-*"))
        return [path for path in folders if path != self.folder and any(waiting_in(path))]

    def close(self, *, is_reported: bool = True) -> None:
        """Let go of the folder. What is left there, another process takes over; `put` begins anew.

        is_reported: the collector knows the last counters, or nobody does who would tell them.
        """
        with self._lock:
            self._close_segment()
            process, self._process = self._process, None
            if process is None:
                return
            try:
                if is_reported and not self._own:
                    process.remove()
                else:
                    process.unshare()
            finally:
                process.close()
                self._own.clear()

    def after_fork(self) -> None:
        """In the child: what the parent has there stays the parent's."""
        process, self._process, segment = self._process, None, self._open
        self._reset()
        if process is not None:
            process.close()
        if segment is not None:
            os.close(segment.descriptor)

    def _segment(self, size: int, *, sync: bool) -> _OpenSegment:
        """The file to append `size` bytes to."""
        segment, largest = self._open, min(_SEGMENT_BYTES, self._limit // 8)
        if segment is not None and (
            time.monotonic() >= segment.until
            or segment.size + size > largest
            or os.fstat(segment.descriptor).st_nlink == 0  # somebody emptied the folder
        ):
            self._close_segment()
        self._make_room(size)
        if self._open is None:
            if sync:
                make_directory(self._root)
                make_directory(self.folder, mode=0o700)
            self._open = self._new_segment()
            if sync:
                sync_directory(self.folder)
        return self._open

    def _new_segment(self) -> _OpenSegment:
        process = self.process()
        if not self.folder.exists():
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self.folder / f"{time.time_ns():020d}-{process.name}{SEGMENT}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
        return _OpenSegment(path, os.open(path, flags, 0o600), time.monotonic() + _SEGMENT_SECONDS)

    def _close_segment(self) -> None:
        segment, self._open = self._open, None
        if segment is not None:
            os.close(segment.descriptor)

    def _make_room(self, size: int) -> None:
        """Raises SpoolFullError where `size` bytes more would exceed the bound."""
        for path in self._room.needed(size, is_new=self._open is None, may_drop=self._drops_oldest):
            items = waiting_items(path)
            try:
                size_now = path.stat().st_size
                path.unlink()
            except FileNotFoundError:  # sent, or removed, by another process meanwhile
                continue
            self._room.used -= size_now
            if self._open is not None and self._open.path == path:
                self._close_segment()
            if path in self._own:
                self._dropped.append((max(self._own.pop(path), 0), True))
            elif not process_file.is_alive(_process_of(path)):  # else it counts them as it misses the file
                self._dropped.append((items, False))

    def _other_processes(self) -> list[Path]:
        names: set[str] = set()
        for name in self._names():
            if (match := _OURS.fullmatch(name)) is not None:
                names.add(match[1] + process_file.SUFFIX)
        with self._lock:
            own = self._process.path.name if self._process is not None else ""
        return [self.folder / name for name in sorted(names) if name != own]

    def _names(self) -> list[str]:
        """Of plain files: a folder, whatever its name, is none of ours."""
        try:
            with os.scandir(self.folder) as entries:
                return [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
        except OSError:
            return []


def waiting_in(folder: Path) -> Iterator[tuple[Path, int]]:
    """The files of a folder that hold batches, whoever wrote them, each with how many items wait there."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.is_file() and (items := waiting_items(path)):
            yield path, items


def waiting_items(path: Path) -> int:
    """How many spans or records wait in a file; 0 where none can be read."""
    if former_spool.is_batch(path.name):
        return former_spool.items_of(path.name)
    if path.suffix != SEGMENT:
        return 0
    try:
        return sum(
            piece.items
            for piece in frames(path.read_bytes())
            if isinstance(piece, Hole) or not piece.is_settled
        )
    except OSError:
        return 0


def _process_of(segment: Path) -> Path:
    """The file of the process that wrote a segment."""
    _, _, process = segment.stem.partition("-")
    return segment.with_name(process + process_file.SUFFIX)


def _hashed(items: object) -> str:
    return hashlib.sha256(repr(items).encode()).hexdigest()[:16]

"""The write-ahead log: a request is acknowledged when its frame is on disk here.

Requests that arrive while a sync runs are written and synced together (group commit). Closed segments go to
the writer in order; a segment's bytes never change once it is closed.
"""

from __future__ import annotations

import logging
import os
import queue
import shutil
import sqlite3
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from llmtrace.common.durable_files import sync_directory, write_durably
from llmtrace.common.sealed_files import EncryptionKeys, is_sealed, seal

from .request_dedup import RequestDedup, digest
from .segment import Segment, frames_of, pieces_of
from .validate import ServiceRows, parse, service_rows
from .wal_frame import Frame

logger = logging.getLogger(__name__)

#: The engine takes at most 100 partitions in one block; a segment keeps well below.
MAX_DAYS = 50

#: Frames written by one group commit at most, so that the first of them is not kept waiting.
_GROUP = 256

#: How soon a segment that is overdue is checked again, in seconds.
_BEHIND_PAUSE = 0.02


class WalFull(Exception):
    """The log may not grow further: the disk or its budget is full. The sender should try again later."""


@dataclass(frozen=True)
class _Append:
    signal: str
    frame: Frame
    days: frozenset[int]
    services: tuple[ServiceRows, ...]
    done: Future[bool]


class WriteAheadLog:
    """Appends frames durably and hands closed segments to `on_closed`, oldest first.

    While `behind` says that earlier segments are still being stored, one that is old enough stays open: it
    would only wait, and an insert of two segments' rows costs less than two inserts.

    With `keys` its files are encrypted; what was written before there were keys is read as it is.
    """

    def __init__(
        self,
        folder: Path,
        *,
        segment_bytes: int,
        segment_seconds: float,
        budget_bytes: int,
        on_closed: Callable[[Segment], None],
        behind: Callable[[], bool] = lambda: False,
        keep_refused: bool = True,
        keys: EncryptionKeys | None = None,
    ) -> None:
        self._folder = folder
        self._keys = keys
        self._keep_refused = keep_refused
        folder.mkdir(parents=True, exist_ok=True)
        self._segment_bytes = segment_bytes
        self._segment_seconds = segment_seconds
        self._budget = budget_bytes
        self._on_closed = on_closed
        self._behind = behind
        self._dedup = RequestDedup(folder / "seen.sqlite")
        self._unstored: dict[bytes, str] = {}
        self._bytes = 0
        self._bytes_lock = threading.Lock()
        self._open: dict[str, tuple[Segment, int]] = {}
        self._queue: queue.SimpleQueue[_Append | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="llmtrace-log", daemon=True)

    @property
    def size(self) -> int:
        """Bytes of all segments on disk."""
        return self._bytes

    def start(self) -> None:
        """Recover what an earlier process left, then accept frames.

        Raises SealBroken where a key is missing.
        """
        for path in sorted(self._folder.glob("*.seg"), key=lambda item: item.name.split("-", 1)[1]):
            segment = self._recover(path)
            if segment is not None:
                self._on_closed(segment)
        if self._keys is not None:
            self._encrypt_quarantine(self._keys)
            for piece in pieces_of(self._folder):  # a crash left it; where it is needed it is made again
                piece.unlink()
        self._thread.start()

    def _encrypt_quarantine(self, keys: EncryptionKeys) -> None:
        """What was refused before there was a key stays for long: it is encrypted now, also where a crash
        ended this, and where the reason or a torn tail is all there is.
        """
        for path in self.quarantine_folder.glob("*.seg"):
            segment = self.quarantined(path.stem)
            if segment is not None and not is_sealed(path.read_bytes()):
                segment.rewrite()
        for path in self.quarantine_folder.glob("*"):
            if path.suffix in (".reason", ".tail") and not is_sealed(path.read_bytes()):
                write_durably(path, seal(path.read_bytes(), keys), mode=0o600)
            elif path.suffix == ".new":  # the draft of a file
                path.unlink()

    def append(
        self, signal: str, frame: Frame, days: frozenset[int], services: tuple[ServiceRows, ...] = ()
    ) -> Future[bool]:
        """Queue one frame. The future resolves once it is on disk: True when new, False when it was
        stored before; it fails with WalFull when it cannot be kept. `days` are the Unix days of its rows,
        `services` whose they are.
        """
        done: Future[bool] = Future()
        if self._bytes + len(frame.body) > self._budget:
            done.set_exception(WalFull("the log's disk budget is used up while the store is behind"))
        else:
            self._queue.put(_Append(signal, frame, days, services, done))
        return done

    def done(self, segment: Segment) -> None:
        """Delete a segment whose rows are in the store or, where that refuses them, in the quarantine."""
        self._dedup.add(segment.digests)
        segment.path.unlink(missing_ok=True)
        for key in segment.digests:
            self._unstored.pop(key, None)
        with self._bytes_lock:
            self._bytes -= segment.size

    def segments(self) -> list[Path]:
        """The files of what is not stored yet."""
        return list(self._folder.glob("*.seg"))

    @property
    def quarantine_folder(self) -> Path:
        """The folder of what the store refused."""
        return self._folder / "quarantine"

    def quarantined(self, name: str) -> Segment | None:
        """A segment of the quarantine by its token; None when there is none of that name."""
        signal = name.split("-", 1)[0]
        segment = Segment(
            signal, self.quarantine_folder, name, self.quarantine_folder, self._keep_refused, self._keys
        )
        return segment if segment.path.exists() else None

    def replay(self, name: str) -> bool:
        """Queue a segment of the quarantine again, under its own token: what of it is in the store already
        is not stored twice. False when there is none of that name.
        """
        source = self.quarantine_folder / f"{name}.seg"
        if not source.exists():
            return False
        source.with_suffix(".reason").unlink(missing_ok=True)
        path = self._folder / source.name
        source.rename(path)
        sync_directory(self._folder)
        segment = self._recover(path)
        if segment is not None:
            self._on_closed(segment)
        return True

    def close(self) -> None:
        """Write what is queued, close the open segments and hand them over."""
        self._queue.put(None)
        self._thread.join()

    def release(self) -> None:
        """Release files, after the last segment was handed back."""
        self._dedup.close()

    def _run(self) -> None:
        running = True
        while running:
            group: list[_Append] = []
            with suppress(queue.Empty):  # when nothing more is waiting, what there is is committed
                item = self._queue.get(timeout=self._until_next_close())
                while True:
                    if item is None:
                        running = False
                        break
                    group.append(item)
                    if len(group) == _GROUP:
                        break
                    item = self._queue.get_nowait()
            if group:
                self._commit(group)
            self._close_due(everything=not running)

    def _until_next_close(self) -> float | None:
        if not self._open:
            return None
        oldest = min(segment.opened for segment, _ in self._open.values())
        due = oldest + self._segment_seconds - time.monotonic()
        return due if due > 0 else _BEHIND_PAUSE

    def _commit(self, group: list[_Append]) -> None:
        # From here on nobody can cancel; a request that was given up before is not written.
        group = [item for item in group if item.done.set_running_or_notify_cancel()]
        new: list[_Append] = []
        again: list[_Append] = []
        keys: dict[str, list[tuple[bytes, _Append]]] = {}
        in_group: set[bytes] = set()
        try:
            for item in group:
                key = digest(item.signal, item.frame)
                if key in in_group or key in self._unstored or key in self._dedup:
                    again.append(item)
                    continue
                in_group.add(key)
                keys.setdefault(item.signal, []).append((key, item))
                new.append(item)
            for signal, items in keys.items():
                self._write(signal, items)
        except (OSError, sqlite3.Error) as error:
            logger.warning("the log cannot be written: %s", error)
            failure = WalFull(f"the log cannot be written: {getattr(error, 'strerror', None) or error}")
            for item in group:
                item.done.set_exception(failure)
            return
        for item in new:
            item.done.set_result(True)
        for item in again:
            item.done.set_result(False)

    def _write(self, signal: str, items: list[tuple[bytes, _Append]]) -> None:
        """Write frames into the signal's segment and sync; on failure nothing of them stays."""
        start = 0
        while start < len(items):
            segment, descriptor = self._segment_for(signal, items[start][1])
            size = segment.size
            count = 0
            try:
                for _, item in items[start:]:
                    if count and not self._fits(segment, size, item):
                        break
                    buffers = segment.buffers(item.frame, size)
                    _write_all(descriptor, buffers)
                    size += sum(map(len, buffers))
                    segment.days |= item.days
                    count += 1
                os.fdatasync(descriptor)
            except OSError:
                # Acknowledged frames stay, the rest is cut; a file with unknown state is not appended to.
                self._cut(signal)
                raise
            with self._bytes_lock:
                self._bytes += size - segment.size
            segment.size = size
            for key, item in items[start : start + count]:
                segment.digests.append(key)
                self._unstored[key] = segment.token
                _add_rows(segment.rows, item.services)
            start += count

    def _cut(self, signal: str) -> None:
        """Close the signal's segment after a failed write, at the end of its last acknowledged frame."""
        segment, descriptor = self._open[signal]
        try:
            os.ftruncate(descriptor, segment.size)
        except OSError as error:
            # The store may not see it with a torn tail; recovery cuts that off at the next start.
            del self._open[signal]
            os.close(descriptor)
            logger.error("%s is left for the next start: it cannot be cut: %s", segment.path.name, error)  # noqa: TRY400
        else:
            self._close_segment(signal)

    def _fits(self, segment: Segment, size: int, item: _Append) -> bool:
        return (size == 0 or size + len(item.frame.body) <= self._segment_bytes) and len(
            segment.days | item.days
        ) <= MAX_DAYS

    def _segment(self, signal: str, token: str) -> Segment:
        return Segment(signal, self._folder, token, self.quarantine_folder, self._keep_refused, self._keys)

    def _segment_for(self, signal: str, item: _Append) -> tuple[Segment, int]:
        current = self._open.get(signal)
        if current is not None and not self._fits(current[0], current[0].size, item):
            self._close_segment(signal)
            current = None
        if current is None:
            segment = self._segment(signal, f"{signal}-{time.time_ns():020d}-{uuid.uuid4().hex[:12]}")
            descriptor = os.open(
                segment.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600
            )
            sync_directory(self._folder)
            current = (segment, descriptor)
            self._open[signal] = current
        return current

    def _close_due(self, *, everything: bool) -> None:
        now = time.monotonic()
        for signal, (segment, _) in list(self._open.items()):
            old = now - segment.opened >= self._segment_seconds
            if everything or (old and not self._behind()):
                self._close_segment(signal)

    def _close_segment(self, signal: str) -> None:
        segment, descriptor = self._open.pop(signal)
        os.close(descriptor)
        if segment.size == 0:
            segment.path.unlink()
        else:
            self._on_closed(segment)

    def _recover(self, path: Path) -> Segment | None:
        """The segment that an earlier process left in `path`, its torn tail cut; None when it is empty."""
        signal = path.name.split("-", 1)[0]
        data = path.read_bytes()
        segment = self._segment(signal, path.stem)
        for frame, end in frames_of(data, self._keys):
            segment.digests.append(digest(signal, frame))
            segment.size = end
            _add_rows(segment.rows, service_rows(signal, parse(signal, frame.body)))
        if segment.size < len(data):
            self._cut_tail(path, data[segment.size :])
            os.truncate(path, segment.size)
        if segment.size == 0:
            path.unlink()
            return None
        for key in segment.digests:
            self._unstored[key] = segment.token
        with self._bytes_lock:
            self._bytes += segment.size
        return segment

    def _cut_tail(self, path: Path, tail: bytes) -> None:
        """Normally bytes that were never acknowledged; kept aside in case a disk damaged good ones."""
        moved = "dropped"
        if self._keep_refused:
            self.quarantine_folder.mkdir(exist_ok=True)
            sync_directory(self._folder)
            tail_file = self.quarantine_folder / f"{path.stem}.tail"
            data = tail if self._keys is None else seal(tail, self._keys)
            write_durably(tail_file, data, mode=0o600)  # on disk before it is cut off where it was
            moved = f"moved to {tail_file}"
        logger.warning(
            "%s ended in %d bytes that are no whole record; they were %s", path.name, len(tail), moved
        )


def _add_rows(total: Counter[str], services: Iterable[ServiceRows]) -> None:
    for rows in services:
        if rows.accepted:  # a resource without rows may have any name
            total[rows.service] += rows.accepted


def free_bytes(folder: Path) -> int:
    """Bytes free on the disk of `folder`."""
    return shutil.disk_usage(folder).free


def _write_all(descriptor: int, buffers: list[bytes]) -> None:
    """Write all buffers; a short write, which a full disk gives, is finished or raises."""
    written = os.writev(descriptor, buffers)
    total = sum(map(len, buffers))
    if written < total:
        rest = memoryview(b"".join(buffers))[written:]
        while rest:
            rest = rest[os.write(descriptor, rest) :]

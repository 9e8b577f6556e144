"""The write-ahead log: a request is acknowledged when its frame is on disk here.

Requests that arrive while a sync runs are written and synced together (group commit). Closed segments go to
the writer in order; a segment's bytes never change once it is closed.
"""

from __future__ import annotations

import logging
import os
import queue
import sqlite3
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from llmtrace.common.durable_files import sync_directory
from llmtrace.common.sealed_files import EncryptionKeys, SealBroken, unseal, was_sealed
from llmtrace.common.supervised import SupervisedThread

from .count_journal import CountJournal
from .log_damage import Damage, read_log
from .quarantine import Quarantine
from .request_dedup import RequestDedup, digest
from .segment import Segment, is_segment_name, pieces_of, segment_files, warn_of_foreign
from .segment_ledger import SegmentLedger
from .validate import ServiceRows, parse, service_rows
from .wal_frame import Frame

logger = logging.getLogger(__name__)

#: The engine takes at most 100 partitions in one block; a segment keeps well below.
MAX_DAYS = 50

#: Frames written by one group commit at most, so that the first of them is not kept waiting.
_GROUP = 256

#: How soon a segment that is overdue is checked again, in seconds.
_BEHIND_PAUSE = 0.02

#: How soon a segment that could not be cut is tried again, in seconds.
_UNCUT_PAUSE = 0.5


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
        on_damage: Callable[[Damage], None] = lambda _: None,
        journal: CountJournal | None = None,
    ) -> None:
        """`journal`: where it is noted which segments there are."""
        self._folder = folder
        self._keys = keys
        self._keep_refused = keep_refused
        folder.mkdir(parents=True, exist_ok=True)
        self.quarantine = Quarantine(folder / "quarantine", keys, on_damage, keep_refused=keep_refused)
        self._ledger = SegmentLedger(folder, journal, self.quarantine)
        self._segment_bytes = segment_bytes
        self._segment_seconds = segment_seconds
        self._budget = budget_bytes
        self._on_closed = on_closed
        self._behind = behind
        self._dedup = RequestDedup(folder / "seen.sqlite")
        self._unstored: dict[bytes, str] = {}
        self._held: dict[str, Segment] = {}
        self._bytes = 0
        self._bytes_lock = threading.Lock()
        self._open: dict[str, tuple[Segment, int]] = {}
        self._is_recovered = False
        self._queue: queue.SimpleQueue[_Append | None] = queue.SimpleQueue()
        self._closing = False
        #: Whether the last group failed, so that its senders have it and nothing of it is in hand.
        self._was_refused = False
        # Segments whose end could not be cut after a failed write, with their descriptors.
        self._uncut: list[tuple[Segment, int]] = []
        self.thread = SupervisedThread("log", self._step, expected=(OSError, sqlite3.Error))

    @property
    def size(self) -> int:
        """Bytes of all segments on disk."""
        return self._bytes

    def recover(self) -> None:
        """Read what an earlier process left, and hand it over. Raises ValueError, which names the file and
        what to do, where one cannot be read.
        """
        try:
            self._read_folder()
        except OSError as error:
            raise ValueError(
                f"{error.filename or self._folder} of the log cannot be used ({error.strerror or error}): "
                "let this process's user read and write it, make room on its disk, or move it elsewhere"
            ) from error
        self._is_recovered = True

    def start(self) -> None:
        """Accept frames, after `recover`."""
        if not self._is_recovered:
            self.recover()
        self.thread.start()

    def _read_folder(self) -> None:
        warn_of_foreign(self._folder)
        self._take_up_tails()
        for path in segment_files(self._folder):
            segment = self._recover(path)
            if segment is not None:
                segment.since = min(segment.since, int(segment.token.split("-")[1]) / 1e9)
                self._on_closed(segment)
        if self._keys is not None:
            # What was refused before there was a key stays for long: it is encrypted now, also where a crash
            # ended this.
            self._encrypt_refused()
            self.quarantine.encrypt_entries(self._keys)
            for piece in pieces_of(self._folder):  # a crash left it; where it is needed it is made again
                piece.unlink()
        self._ledger.find_missing()
        held = list(self._held.values())
        self._ledger.note_opened(*held)

    def _encrypt_refused(self) -> None:
        for path in segment_files(self.quarantine.folder):
            segment = self.quarantine.segment(path.stem)
            if segment is not None and not was_sealed(path.read_bytes()):
                self.set_aside_damage(segment)
                segment.rewrite()

    def _take_up_tails(self) -> None:
        """Releases of before set aside the rest of a segment behind damage: what of it can be read goes back
        to the log.
        """
        for path in self.quarantine.folder.glob("*.tail"):
            token = f"{path.stem}.0-0"
            if not is_segment_name(f"{token}.seg") or not path.is_file():
                continue
            signal = token.split("-", 1)[0]
            data = unseal(path.read_bytes(), self._keys)
            segment = self._segment(signal, token)
            contents = read_log(signal, token, data, None)
            segment.write(item for item in contents if not isinstance(item, Damage))
            self.quarantine.keep_damage(
                segment, data, [item for item in contents if isinstance(item, Damage)]
            )
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
        self._held.pop(segment.token, None)
        with self._bytes_lock:
            self._bytes -= segment.size

    def rows_in_log(self) -> dict[str, int]:
        """Signal → rows of what is not stored yet."""
        rows: Counter[str] = Counter()
        for segment in list(self._held.values()):
            rows[segment.signal] += segment.rows.copy().total()
        return rows

    def note_held(self) -> None:
        """Write down what the segments hold by now, so that it is known of those that somebody takes away.
        Raises sqlite3.Error.
        """
        held = list(self._held.values())
        self._ledger.note_held(held, {segment.token for segment, _ in list(self._open.values())})

    def segments(self) -> list[Path]:
        """The files of what is not stored yet."""
        return segment_files(self._folder)

    @property
    def quarantine_folder(self) -> Path:
        """The folder of what the store refused."""
        return self.quarantine.folder

    def replay(self, name: str) -> bool:
        """Queue a segment of the quarantine again, under its own token: what of it is in the store already
        is not stored twice. False when there is none of that name.
        """
        source = self.quarantine.folder / f"{name}.seg"
        if not source.exists():
            return False
        source.with_suffix(".reason").unlink(missing_ok=True)
        path = self._folder / source.name
        source.rename(path)
        sync_directory(self._folder)
        segment = self._recover(path)
        if segment is not None:
            self._ledger.note_opened(segment)
            self._on_closed(segment)
        return True

    def close(self) -> None:
        """Write what is queued, close the open segments and hand them over."""
        self._queue.put(None)
        self.thread.join()

    def release(self) -> None:
        """Release files, after the last segment was handed back."""
        self._dedup.close()

    def opened_since(self) -> float | None:
        """When the oldest of the segments that are written to was opened (Unix seconds); None without any."""
        opened = [segment.since for segment, _ in [*self._open.values(), *self._uncut]]
        return min(opened, default=None)

    def _step(self) -> float | None:
        """Commit what waits, then close what is due."""
        group = [] if self._closing else self._next_group()
        if group:
            self.thread.begin()
            self._commit(group)
        self._close_due(everything=self._closing)
        return None if self._closing else 0.0

    def _next_group(self) -> list[_Append]:
        """What is committed together; empty when a segment is due before anything comes, or at the end."""
        if self._was_refused:
            self._was_refused = False
            self.thread.rest()
        group: list[_Append] = []
        with suppress(queue.Empty):  # when nothing more is waiting, what there is is committed
            item = self._queue.get(timeout=self._until_next_close())
            while item is not None:
                group.append(item)
                if len(group) == _GROUP:
                    return group
                item = self._queue.get_nowait()
            self._closing = True
        return group

    def _until_next_close(self) -> float | None:
        if not self._open:
            return _UNCUT_PAUSE if self._uncut else None
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
        # Whatever it was: nobody waits for an answer that does not come.
        except BaseException as error:
            failure = WalFull(f"the log cannot be written: {getattr(error, 'strerror', None) or error}")
            for item in group:
                item.done.set_exception(failure)
            if not isinstance(error, (OSError, sqlite3.Error)):
                self._was_refused = True
                raise
            logger.warning("the log cannot be written: %s", error)
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
            with self._bytes_lock:
                self._bytes += size - segment.size
            segment.size = size
            self._held[segment.token] = segment
            for key, item in items[start : start + count]:
                segment.digests.append(key)
                self._unstored[key] = segment.token
                segment.count(item.frame, item.services)
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

    def _fits(self, segment: Segment, size: int, item: _Append) -> bool:
        return (size == 0 or size + len(item.frame.body) <= self._segment_bytes) and len(
            segment.days | item.days
        ) <= MAX_DAYS

    def _segment(self, signal: str, token: str) -> Segment:
        return Segment(signal, self._folder, token, self.quarantine.folder, self._keep_refused, self._keys)

    def _segment_for(self, signal: str, item: _Append) -> tuple[Segment, int]:
        current = self._open.get(signal)
        if current is not None and not self._fits(current[0], current[0].size, item):
            self._close(*self._open.pop(signal))
            current = None
        if current is None:
            segment = self._segment(signal, f"{signal}-{time.time_ns():020d}-{uuid.uuid4().hex[:12]}")
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

    def _close_due(self, *, everything: bool) -> None:
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

    def set_aside_damage(self, segment: Segment) -> None:
        """Read a segment that is closed; what of it is damaged now becomes entries of the quarantine, and the
        segment counts what can still be read. Raises SealBroken, OSError.
        """
        missed_at = 0
        try:
            data = segment.path.read_bytes()
        except FileNotFoundError:  # it was there
            data, missed_at = b"", time.time_ns()
        contents = read_log(segment.signal, segment.token, data, self._keys)
        damage = [item for item in contents if isinstance(item, Damage)]
        if len(data) < segment.size:  # it was longer
            is_cut = bool(damage) and damage[-1].at + damage[-1].size == len(data)
            at = damage.pop().at if is_cut else len(data)
            damage.append(
                Damage(
                    segment.signal,
                    segment.token,
                    at,
                    segment.size - at,
                    received=time.time_ns(),
                    missed_at=missed_at,
                )
            )
        if [(item.at, item.size) for item in damage] == [(item.at, item.size) for item in segment.damage]:
            return
        before, digests = segment.arrivals.copy(), segment.digests
        self._count(segment, contents)
        lost = before - segment.arrivals
        if lost and len(damage) == 1:  # this process knows what it held
            owners = [(*owner, count) for owner, count in lost.items()]
            requests = len(digests) - len(segment.digests)
            damage = [replace(damage[0], requests=requests, rows=lost.total(), owners=owners)]
        # Who sends it again gets it stored.
        for key in set(digests).difference(segment.digests):
            self._unstored.pop(key, None)
        self.quarantine.keep_damage(segment, data, damage)

    def _recover(self, path: Path) -> Segment | None:
        """The segment that an earlier process left in `path`; None when it is empty."""
        segment = self._segment(path.name.split("-", 1)[0], path.stem)
        data = path.read_bytes()
        if not data:
            self._ledger.forget(path)
            path.unlink()
            return None
        self._ledger.take_back(segment)
        try:
            contents = read_log(segment.signal, segment.token, data, self._keys)
        except SealBroken as error:
            raise SealBroken(f"{path}: {error}") from error
        self._count(segment, contents)
        self.quarantine.keep_damage(segment, data, [item for item in contents if isinstance(item, Damage)])
        segment.begun = True
        segment.size = len(data)
        for key in segment.digests:
            self._unstored[key] = segment.token
        self._held[segment.token] = segment
        with self._bytes_lock:
            self._bytes += segment.size
        return segment

    def _count(self, segment: Segment, contents: Iterable[Frame | Damage]) -> None:
        """Let a segment know what its file holds."""
        segment.digests = []
        segment.rows, segment.arrivals = Counter(), Counter()
        for item in contents:
            if not isinstance(item, Damage):
                segment.digests.append(digest(segment.signal, item))
                segment.count(item, service_rows(segment.signal, parse(segment.signal, item.body)))


def _write_all(descriptor: int, buffers: list[bytes]) -> None:
    """Write all buffers; a short write, which a full disk gives, is finished or raises."""
    written = os.writev(descriptor, buffers)
    total = sum(map(len, buffers))
    if written < total:
        rest = memoryview(b"".join(buffers))[written:]
        while rest:
            rest = rest[os.write(descriptor, rest) :]

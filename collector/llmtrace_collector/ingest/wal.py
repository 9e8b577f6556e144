"""The write-ahead log: a request is acknowledged when its frame is on disk here.

Requests that arrive while a sync runs are written and synced together (group commit). Closed segments go to
the writer in order; a segment's bytes never change once it is closed.
"""

from __future__ import annotations

import logging
import queue
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from llmtrace.common.durable_files import sync_directory
from llmtrace.common.sealed_files import EncryptionKeys, SealBroken, unseal, was_sealed
from llmtrace.common.supervised import SupervisedThread

from .count_journal import CountJournal
from .log_damage import Damage, read_log
from .open_segments import Append, OpenSegments
from .quarantine import Quarantine
from .request_dedup import RequestDedup, digest
from .segment import Segment, is_segment_name, pieces_of, segment_files, warn_of_foreign
from .segment_ledger import SegmentLedger
from .validate import ServiceRows, parse, service_rows
from .wal_frame import Frame

logger = logging.getLogger(__name__)

#: Frames written by one group commit at most, so that the first of them is not kept waiting.
_GROUP = 256


class WalFull(Exception):
    """The log may not grow further: the disk or its budget is full. The sender should try again later."""


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
        self._budget = budget_bytes
        self._on_closed = on_closed
        self._dedup = RequestDedup(folder / "seen.sqlite")
        self._unstored: dict[bytes, str] = {}
        self._held: dict[str, Segment] = {}
        self._bytes = 0
        self._bytes_lock = threading.Lock()
        self._open = OpenSegments(
            folder,
            self._ledger,
            self._segment,
            segment_bytes=segment_bytes,
            segment_seconds=segment_seconds,
            behind=behind,
            on_written=self._note_written,
            on_closed=on_closed,
        )
        self._is_recovered = False
        self._queue: queue.SimpleQueue[Append | None] = queue.SimpleQueue()
        self._closing = False
        #: Whether the last group failed, so that its senders have it and nothing of it is in hand.
        self._was_refused = False
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
            self._queue.put(Append(signal, frame, days, services, done))
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
        self._ledger.note_held(held, self._open.tokens())

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
        return self._open.since()

    def _step(self) -> float | None:
        """Commit what waits, then close what is due."""
        group = [] if self._closing else self._next_group()
        if group:
            self.thread.begin()
            self._commit(group)
        self._open.close_due(everything=self._closing)
        return None if self._closing else 0.0

    def _next_group(self) -> list[Append]:
        """What is committed together; empty when a segment is due before anything comes, or at the end."""
        if self._was_refused:
            self._was_refused = False
            self.thread.rest()
        group: list[Append] = []
        with suppress(queue.Empty):  # when nothing more is waiting, what there is is committed
            item = self._queue.get(timeout=self._open.until_next_close())
            while item is not None:
                group.append(item)
                if len(group) == _GROUP:
                    return group
                item = self._queue.get_nowait()
            self._closing = True
        return group

    def _commit(self, group: list[Append]) -> None:
        # From here on nobody can cancel; a request that was given up before is not written.
        group = [item for item in group if item.done.set_running_or_notify_cancel()]
        new: list[Append] = []
        again: list[Append] = []
        keys: dict[str, list[tuple[bytes, Append]]] = {}
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
                self._open.write(signal, items)
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

    def _note_written(self, segment: Segment, size: int, items: Sequence[tuple[bytes, Append]]) -> None:
        """Frames are on disk."""
        with self._bytes_lock:
            self._bytes += size - segment.size
        segment.size = size
        self._held[segment.token] = segment
        for key, item in items:
            segment.digests.append(key)
            self._unstored[key] = segment.token
            segment.count(item.frame, item.services)

    def _segment(self, signal: str, token: str) -> Segment:
        return Segment(signal, self._folder, token, self.quarantine.folder, self._keep_refused, self._keys)

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

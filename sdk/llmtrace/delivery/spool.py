"""Batches on disk while the collector is unreachable.

One file per batch, holding exactly the bytes that are POSTed, so that sending one twice is recognised by the
collector. Files appear whole (written aside, then renamed) and go when they are acknowledged. They survive
the process, and a power cut where that was asked for. Each destination (addresses and the settings' headers)
has a folder of its own: nothing is ever replayed to another collector or under another key. Who alone owns
`spool_dir` may leave the headers out, and batches outlive a change of the key. Where the settings have
encryption keys, what is written is encrypted with them.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import math
import os
import time
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from llmtrace.common.durable_files import make_directory, sync_directory, sync_file
from llmtrace.common.sealed_files import EncryptionKeys, SealBroken, seal, unseal

from .exporter import Batch
from .settings import SIGNALS, DeliverySettings, Signal

_SUFFIX: Final = ".otlp"
_PART: Final = ".part"
_LOCK: Final = ".lock"
_PART_SECONDS: Final = 3600.0
_STALE_SECONDS: Final = 7 * 86400.0
_MEASURE_SECONDS: Final = 60.0
_MANY_FILES: Final = 1000
_MEASURE_MANY_SECONDS: Final = 1.0


class SpoolFullError(OSError):
    """The bound is reached."""


@dataclass(frozen=True, slots=True)
class Spooled:
    """A batch on disk; its name says when, by whom, and what it holds."""

    path: Path
    signal: Signal
    items: int
    keys: EncryptionKeys | None = None

    def read(self) -> Batch | None:
        """The batch, or None when it is gone: another process has sent it, or it was removed as stale.

        Raises OSError where it cannot be read, for want of its key as well, or holds nothing, as a power cut
        may leave it.
        """
        try:
            payload = self.path.read_bytes()
        except FileNotFoundError:
            return None
        if not payload:
            raise OSError(f"{self.path} is empty")
        try:
            return Batch(self.signal, self.items, unseal(payload, self.keys))
        except SealBroken as error:
            raise OSError(f"{self.path}: {error}") from error

    def remove(self) -> None:
        """Forget it."""
        self.path.unlink(missing_ok=True)


def _hashed(items: object) -> str:
    return hashlib.sha256(repr(items).encode()).hexdigest()[:16]


class Spool:
    """The folder of one destination. Safe between processes; used by one thread at a time in each.

    The bound is that of the whole `spool_dir`. What other processes put there is measured once a minute, so
    that together they may exceed it by what they write in one.
    """

    def __init__(self, settings: DeliverySettings, *, stale_seconds: float = _STALE_SECONDS) -> None:
        """Creates nothing yet. stale_seconds: age of batches that may be removed to make room; `math.inf`:
        none may.
        """
        self._root = Path(settings.spool_dir)
        self._limit = settings.spool_bytes
        addresses = [settings.endpoints[signal].url for signal in ("traces", "logs")]
        self._address = _hashed(addresses)
        self.folder = self._root / f"{self._address}-{_hashed(sorted(settings.headers.items()))}"
        self._sequence = itertools.count()
        self._stale_seconds = stale_seconds
        self._keys = settings.encryption_keys
        self._bytes = self._measured_files = 0
        self._measured_at: float | None = None
        self._removed: list[Spooled] = []

    def put(self, batch: Batch, *, sync: bool = False) -> Spooled:
        """Write a batch; raises OSError (SpoolFullError at the bound) when it cannot be kept.

        sync: it survives a power cut too.
        """
        if sync:
            make_directory(self._root)
            make_directory(self.folder, mode=0o700)
        else:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        data = batch.payload if self._keys is None else seal(batch.payload, self._keys)
        self._make_room(len(data))
        stamp = f"{time.time_ns():020d}-{os.getpid()}-{next(self._sequence)}"
        path = self.folder / f"{stamp}-{batch.signal}-{batch.items}{_SUFFIX}"
        part = path.with_suffix(_PART)
        try:
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                if sync:
                    sync_file(file)
            part.rename(path)
            if sync:
                sync_directory(self.folder)
        except OSError:
            part.unlink(missing_ok=True)
            raise
        self._bytes += len(data)
        return Spooled(path, batch.signal, batch.items, self._keys)

    def take_removed(self) -> list[Spooled]:
        """What this process has removed as stale since it was last asked."""
        removed, self._removed = self._removed, []
        return removed

    def batches(self, limit: int | None = None, *, besides: Container[Path] = ()) -> list[Spooled]:
        """Batches that are not `besides`, oldest first, whichever process wrote them; at most `limit`."""
        batches = (self._parsed(self.folder / name) for name in sorted(self._names()))
        others = (batch for batch in batches if batch is not None and batch.path not in besides)
        return list(itertools.islice(others, limit))

    def has_batches(self) -> bool:
        """Whether there is any."""
        return any(self._parsed(self.folder / name) is not None for name in self._names())

    def under_other_keys(self) -> list[Path]:
        """Folders of the same addresses and other headers that are not empty."""
        folders = sorted(self._root.glob(f"{self._address}-*"))
        return [path for path in folders if path != self.folder and any(path.glob(f"*{_SUFFIX}"))]

    @contextlib.contextmanager
    def exclusively(self) -> Iterator[bool]:
        """Whether this process alone may replay what others left, for the length of the block.

        A POSIX record lock: let go by the kernel when the process dies, and not inherited by fork.
        """
        import fcntl

        try:
            file = (self.folder / _LOCK).open("a")
        except OSError:
            yield False
            return
        with file:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                yield False
                return
            yield True

    def _names(self) -> Iterator[str]:
        with contextlib.suppress(OSError), os.scandir(self.folder) as entries:
            for entry in entries:
                yield entry.name

    def _make_room(self, size: int) -> None:
        """Raises SpoolFullError where `size` bytes more would exceed the bound."""
        now = time.monotonic()
        age = math.inf if self._measured_at is None else now - self._measured_at
        is_full = self._bytes + size > self._limit
        # What was sent since then is still counted; many files take long to measure, and it may stay full.
        pause = _MEASURE_MANY_SECONDS if self._measured_files > _MANY_FILES else 0.0
        if age >= (pause if is_full else _MEASURE_SECONDS):
            self._measure()
            if self._bytes + size > self._limit:
                self._remove_stale()
        if self._bytes + size > self._limit:
            raise SpoolFullError(f"{self._root} holds {self._limit} bytes already")

    def _measure(self) -> None:
        """Bytes under the root: the bound holds for all destinations together."""
        sizes = [stat.st_size for _, stat in self._files()]
        self._bytes, self._measured_files = sum(sizes), len(sizes)
        self._measured_at = time.monotonic()

    def _remove_stale(self) -> None:
        """Make room: a week old is older than any outage that somebody waits out."""
        now = time.time()
        for name, stat in self._files():
            path = Path(name)
            if now - stat.st_mtime > (_PART_SECONDS if path.suffix == _PART else self._stale_seconds):
                try:
                    path.unlink()
                except FileNotFoundError:  # sent, or removed, by another process meanwhile
                    continue
                self._bytes -= stat.st_size
                if (spooled := self._parsed(path)) is not None:
                    self._removed.append(spooled)

    def _files(self) -> Iterator[tuple[str, os.stat_result]]:
        """The path and the status of every file."""
        for folder in self._root.iterdir():
            if not folder.is_dir():
                continue
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name == _LOCK:
                        continue
                    with contextlib.suppress(FileNotFoundError):  # sent by another process meanwhile
                        yield entry.path, entry.stat()

    def _parsed(self, path: Path) -> Spooled | None:
        pieces = path.stem.split("-")
        if path.suffix != _SUFFIX or len(pieces) != 5 or not pieces[4].isdigit():
            return None
        signal = next((signal for signal in SIGNALS if signal == pieces[3]), None)
        return None if signal is None else Spooled(path, signal, int(pieces[4]), self._keys)

"""Batches on disk while the collector is unreachable.

One file per batch, holding exactly the bytes that are POSTed, so that sending one twice is recognised by the
collector. Files appear whole (written aside, then renamed) and go when they are acknowledged. They survive
the process, and a power cut where that was asked for. Each destination (addresses and the settings' headers)
has a folder of its own: nothing is ever replayed to another collector or under another key. Who alone owns
`spool_dir` may leave the headers out, and batches outlive a change of the key.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from llmtrace.common.durable_files import sync_directory, sync_file

from .exporter import Batch
from .settings import SIGNALS, DeliverySettings, Signal

_SUFFIX: Final = ".otlp"
_PART: Final = ".part"
_LOCK: Final = ".lock"
_PART_SECONDS: Final = 3600.0
_STALE_SECONDS: Final = 7 * 86400.0


class SpoolFullError(OSError):
    """The bound is reached."""


@dataclass(frozen=True, slots=True)
class Spooled:
    """A batch on disk; its name says when, by whom, and what it holds."""

    path: Path
    signal: Signal
    items: int

    def read(self) -> Batch | None:
        """The batch, or None when another process has sent it meanwhile."""
        try:
            return Batch(self.signal, self.items, self.path.read_bytes())
        except FileNotFoundError:
            return None

    def remove(self) -> None:
        """Forget it."""
        self.path.unlink(missing_ok=True)


def _hashed(items: object) -> str:
    return hashlib.sha256(repr(items).encode()).hexdigest()[:16]


class Spool:
    """The folder of one destination. Safe between processes; used by one thread at a time in each."""

    def __init__(self, settings: DeliverySettings) -> None:
        """Creates nothing yet."""
        self._root = Path(settings.spool_dir)
        self._limit = settings.spool_bytes
        addresses = [settings.endpoints[signal].url for signal in ("traces", "logs")]
        self._address = _hashed(addresses)
        self.folder = self._root / f"{self._address}-{_hashed(sorted(settings.headers.items()))}"
        self._sequence = itertools.count()

    def put(self, batch: Batch, *, sync: bool = False) -> Spooled:
        """Write a batch; raises OSError (SpoolFullError at the bound) when it cannot be kept.

        sync: it survives a power cut too.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._size() + len(batch.payload) > self._limit:
            self._remove_stale()
            if self._size() + len(batch.payload) > self._limit:
                raise SpoolFullError(f"{self._root} holds {self._limit} bytes already")
        stamp = f"{time.time_ns():020d}-{os.getpid()}-{next(self._sequence)}"
        path = self.folder / f"{stamp}-{batch.signal}-{batch.items}{_SUFFIX}"
        part = path.with_suffix(_PART)
        try:
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(batch.payload)
                if sync:
                    sync_file(file)
            part.rename(path)
            if sync:
                sync_directory(self.folder)
        except OSError:
            part.unlink(missing_ok=True)
            raise
        return Spooled(path, batch.signal, batch.items)

    def batches(self) -> list[Spooled]:
        """All batches, oldest first, whichever process wrote them."""
        try:
            names = sorted(entry.name for entry in os.scandir(self.folder))
        except OSError:
            return []
        return [spooled for name in names if (spooled := self._parsed(name)) is not None]

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

    def _parsed(self, name: str) -> Spooled | None:
        pieces = name.removesuffix(_SUFFIX).split("-")
        if not name.endswith(_SUFFIX) or len(pieces) != 5 or not pieces[4].isdigit():
            return None
        signal = next((signal for signal in SIGNALS if signal == pieces[3]), None)
        return None if signal is None else Spooled(self.folder / name, signal, int(pieces[4]))

    def _size(self) -> int:
        """Bytes under the root: the bound holds for all destinations together."""
        return sum(size for _, size, _ in self._files())

    def _remove_stale(self) -> None:
        """Make room: a week old is older than any outage that somebody waits out."""
        for path, _, age in self._files():
            if age > (_PART_SECONDS if path.suffix == _PART else _STALE_SECONDS):
                path.unlink(missing_ok=True)

    def _files(self) -> Iterator[tuple[Path, int, float]]:
        """(path, bytes, seconds since it was written) of every file."""
        now = time.time()
        for folder in self._root.iterdir():
            if not folder.is_dir():
                continue
            for path in folder.iterdir():
                with contextlib.suppress(FileNotFoundError):  # sent by another process meanwhile
                    stat = path.stat()
                    if path.name != _LOCK:
                        yield path, stat.st_size, now - stat.st_mtime

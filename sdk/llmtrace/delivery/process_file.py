"""What a process has beside its files in a spool: a lock that says it lives, and its counters.

The file `PID-TOKEN.process` in the spool's folder is locked as long as the process lives; whose lock another
gets, is dead, and what it left may be taken over. It holds the process's last counters and who it is, so that
what it generated is told by another where it could not do so itself. Where the machine has `/dev/shm`, the
counters are there as well (`shared_counters`), in memory that outlives a kill: a write costs what an
assignment costs, and no disk can make it wait or fail.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import struct
from pathlib import Path
from typing import Final, Self

from . import shared_counters
from .shared_counters import COUNTERS

SUFFIX: Final = ".process"

_MAGIC: Final = b"llmtrace process 1\n".ljust(24)
_LAYOUT: Final = struct.Struct(f"<{len(_MAGIC)}s{COUNTERS}q")


class ProcessFile:
    """The file and its lock. Used by one thread at a time, but for `shared`."""

    def __init__(self, path: Path, descriptor: int) -> None:
        """With a descriptor that holds the lock; see `create` and `taken_over`."""
        self.path = path
        self.name = path.name.removesuffix(SUFFIX)
        self._descriptor = descriptor
        self.shared: memoryview | None = None
        """The counters in shared memory, to be written; None where there is none."""
        self._shared_lock: int | None = None

    @classmethod
    def create(cls, folder: Path) -> Self:
        """One for this process, locked. Raises OSError."""
        path = folder / f"{os.getpid()}-{secrets.token_hex(6)}{SUFFIX}"
        descriptor = _locked(path)
        if descriptor is None:
            raise OSError(f"{path} is locked by another process")
        return cls(path, descriptor)

    @classmethod
    def taken_over(cls, path: Path) -> Self | None:
        """The file of a process that is dead, locked, so that nobody else takes it; None where it lives.

        Where the file is gone, and what it left is not, it is made anew. Raises OSError.
        """
        descriptor = _locked(path)
        return None if descriptor is None else cls(path, descriptor)

    def describe(self, description: bytes) -> None:
        """Keep what tells of this process, and share the counters from now on. Raises OSError."""
        os.pwrite(self._descriptor, _LAYOUT.pack(_MAGIC, *[0] * COUNTERS) + description, 0)
        self.begin_sharing()

    def begin_sharing(self) -> None:
        """Share the counters where there is memory for them; again after there was none."""
        created = shared_counters.create(self.path)
        if created is not None:
            self.shared, self._shared_lock = created.values, created.lock

    def share(self, counters: list[int]) -> None:
        """Keep the counters in shared memory, where there is some."""
        if self.shared is not None:
            self.shared[:COUNTERS] = memoryview(struct.pack(f"{COUNTERS}q", *counters)).cast("q")

    def write(self, counters: list[int]) -> None:
        """Keep the counters on disk. Raises OSError."""
        os.pwrite(self._descriptor, _LAYOUT.pack(_MAGIC, *counters), 0)

    def read(self) -> tuple[list[int], bytes] | None:
        """The counters and the description; None where it holds none. Raises OSError."""
        # First: who frees that memory has written to disk before.
        shared = shared_counters.read(self.path)
        data = os.pread(self._descriptor, 1 << 20, 0)
        if len(data) <= _LAYOUT.size or not data.startswith(_MAGIC):
            return None
        _, *counters = _LAYOUT.unpack_from(data)
        return shared or counters, data[_LAYOUT.size :]

    def remove(self) -> None:
        """Forget the process: nothing of it is left to be told. Raises OSError."""
        self.unshare()
        self.path.unlink(missing_ok=True)

    def unshare(self) -> None:
        """End the sharing; what was written there last should be on disk."""
        shared_counters.remove(self.path)
        self._unlock_shared()

    def close(self) -> None:
        """Let go of the locks, as the end of the process does. In a forked child the parent keeps them."""
        self._unlock_shared()
        os.close(self._descriptor)

    def _unlock_shared(self) -> None:
        self.shared = None  # the mapping goes with the last thread that writes there
        lock, self._shared_lock = self._shared_lock, None
        if lock is not None:
            os.close(lock)


def is_alive(path: Path) -> bool:
    """Whether the process of this file lives, or another is taking over what it left."""
    import fcntl

    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def write_left(path: Path, counters: list[int]) -> None:
    """Keep the last counters of a process that is dead, on disk, in its file. Raises OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    try:
        if os.pread(descriptor, len(_MAGIC), 0) == _MAGIC:
            os.pwrite(descriptor, _LAYOUT.pack(_MAGIC, *counters), 0)
    finally:
        os.close(descriptor)


def _locked(path: Path) -> int | None:
    """A descriptor of the file, made where it is missing, that holds its lock; None where another has it."""
    import fcntl

    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            status = os.fstat(descriptor)
            with contextlib.suppress(FileNotFoundError):
                there = path.stat()
                if (there.st_dev, there.st_ino) == (status.st_dev, status.st_ino):
                    return descriptor
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # it was removed between the two: once more

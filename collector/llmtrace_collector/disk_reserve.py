"""A reserve on the data directory's disk: a file that takes room while there is some, and gives it back when
the disk is full, so that what frees space, keys and a stop still work.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
from contextlib import suppress
from pathlib import Path

from .metrics import CollectorMetrics

logger = logging.getLogger(__name__)

FILE = "reserve"

#: Files that may still be made on the disk when it counts as full for want of them.
_LEAST_INODES = 64

#: Neither the reserve nor what counts as full is more than this part of the disk.
_SHARE = 20

_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})


class DiskReserve:
    """Says whether the disk of `folder` is full, and keeps `size` bytes of it back for that time.

    The disk is full when fewer than `least` bytes of it are free, or it can hold no more files. The reserve
    is released then, and made again, the disk being full no more, once there is room for it and twice `least`
    besides. On a small disk both are a twentieth of it at most. `check` should be called a few times a
    second; the properties cost nothing.
    """

    def __init__(self, folder: Path, size: int, least: int, metrics: CollectorMetrics) -> None:
        self._folder = folder
        self._file = folder / FILE
        disk = os.statvfs(folder)
        total = disk.f_blocks * disk.f_frsize
        self._size = min(size, total // _SHARE)
        self._least = min(least, total // _SHARE)
        self._metrics = metrics
        self._lock = threading.Lock()
        self._full_since: float | None = None
        self._why = ""
        self._said_none = False

    @property
    def full_since(self) -> float | None:
        """Since when (Unix seconds) the disk is full; None while it is not."""
        return self._full_since

    def reason(self) -> str:
        """That the disk is full, since when, and what to do; empty while it is not."""
        since = self._full_since
        if since is None:
            return ""
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(since))
        needed = self._size + 2 * self._least
        return (
            f"the disk is full since {when} UTC ({self._why} on the disk of {self._folder}): senders get 503 "
            f"and try again, what was acknowledged waits in the log. Make {needed / 1e6:.0f} MB of room: "
            "`llmtrace store delete`, old backups, other files on that disk, or a larger disk"
        )

    def check(self) -> None:
        """Look at the disk: release the reserve, or make it, where that is due."""
        with self._lock:
            disk = os.statvfs(self._folder)
            free = disk.f_bavail * disk.f_frsize
            held = self._held()
            self._metrics.disk_free_bytes.set(free)
            lacking = ""
            if free < self._least:
                lacking = f"{free / 1e6:.1f} MB free"
            elif disk.f_files and disk.f_favail < _LEAST_INODES:  # some file systems count none
                lacking = f"{disk.f_favail} more files possible"
            if lacking:
                self._begin(lacking, held)
            elif free + held >= self._size + 2 * self._least:
                self._end(held)
            elif held < self._size and self._full_since is None:
                self._say_none(
                    f"{free / 1e6:.1f} MB are free on the disk of {self._folder}, too few for the reserve of "
                    f"{self._size / 1e6:.1f} MB"
                )
            if self._full_since is not None and not lacking:
                self._why = f"{free / 1e6:.1f} MB free"
            self._metrics.disk_full.set(self._full_since is not None)

    def _held(self) -> int:
        try:
            return self._file.stat().st_blocks * 512
        except FileNotFoundError:
            return 0

    def _begin(self, lacking: str, held: int) -> None:
        self._why = lacking
        if held:
            self._file.unlink()
        if self._full_since is None:
            self._full_since = time.time()
            logger.error("%s%s", self.reason(), f"; {held / 1e6:.1f} MB of reserve are released" * bool(held))

    def _end(self, held: int) -> None:
        if held < self._size:
            try:
                self._make()
            except OSError as error:
                if error.errno in _NO_SPACE:
                    return  # someone else was faster: the next check sees how much is left
                self._say_none(f"the reserve {self._file} cannot be made ({error.strerror})")
        if self._full_since is not None:
            logger.warning("the disk has room again after %.0f s", time.time() - self._full_since)
            self._full_since = None
        if held >= self._size:
            self._said_none = False

    def _say_none(self, why: str) -> None:
        if not self._said_none:
            logger.warning("%s: a disk that is full could not be cleared from inside", why)
        self._said_none = True

    def _make(self) -> None:
        """Not synced: after a power cut it is made again."""
        descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if self._size:
                os.posix_fallocate(descriptor, 0, self._size)
        except OSError:
            with suppress(FileNotFoundError):
                self._file.unlink()
            raise
        finally:
            os.close(descriptor)

"""How much the spool's folder holds: reckoned with each batch, measured rarely; and what gives way."""

from __future__ import annotations

import contextlib
import os
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Final

SEGMENT: Final = ".segment"
"""The suffix of files that batches are appended to."""

_COUNTED: Final = (SEGMENT, ".otlp", ".damaged", ".part")
_SHORTEST_PAUSE: Final = 1.0
#: Measuring takes at most this share of the time.
_MEASURING_SHARE: Final = 0.001
#: What gives way at once, so that not every batch has to make room for itself.
_SHARE_AT_ONCE: Final = 1 / 16


class SpoolFullError(OSError):
    """The bound is reached."""


class SpoolRoom:
    """The bound of a folder with its folders. Used by one thread at a time."""

    def __init__(self, root: Path, limit: int) -> None:
        self._root = root
        self._limit = limit
        self.used = 0
        """Bytes that are there, as far as this process knows; it adds what it writes and removes."""
        self._next_measuring = 0.0
        self._was_measured = False
        self._oldest: deque[Path] = deque()

    def needed(self, size: int, *, is_new: bool, may_drop: bool) -> Iterator[Path]:
        """The files that are to be removed before `size` bytes are written, the oldest first.

        is_new: a file is about to be made, which is when others' files are measured. Raises SpoolFullError
        where there is no room, whatever is removed.
        """
        if (is_new or not self._was_measured) and time.monotonic() >= self._next_measuring:
            self._measure()
        if self.used + size <= self._limit:
            return
        if time.monotonic() >= self._next_measuring:
            self._measure()  # others may have sent theirs
        if may_drop and size <= self._limit and self.used + size > self._limit:
            most = max(self._limit - size - int(self._limit * _SHARE_AT_ONCE), 0)
            while self.used > most and (self._oldest or self._measure()):
                yield self._oldest.popleft()
        if self.used + size > self._limit:
            raise SpoolFullError(f"{self._root} holds {self.used} of {self._limit} bytes already")

    def _measure(self) -> bool:
        """Whether there is any file."""
        began = time.monotonic()
        files = sorted(self._files())
        self.used = sum(size for _, _, size in files)
        self._oldest = deque(Path(path) for _, path, _ in files)
        self._was_measured = True
        now = time.monotonic()
        self._next_measuring = now + max((now - began) / _MEASURING_SHARE, _SHORTEST_PAUSE)
        return bool(files)

    def _files(self) -> Iterator[tuple[str, str, int]]:
        """When each was begun, as names say it, its path and its bytes."""
        with contextlib.suppress(FileNotFoundError):
            for folder in os.scandir(self._root):
                if not folder.is_dir(follow_symlinks=False):
                    continue
                with os.scandir(folder) as entries:
                    for entry in entries:
                        if entry.name.endswith(_COUNTED) and entry.is_file(follow_symlinks=False):
                            with contextlib.suppress(FileNotFoundError):  # sent by another meanwhile
                                yield entry.name, entry.path, entry.stat().st_size

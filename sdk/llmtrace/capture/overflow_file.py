"""Parts of results that the delivery queue has no room for, on disk until the delivery thread takes them.

The file never has a name that lasts: it is its process's alone, ends with it, however that ends, and what is
in it is encrypted with a key that only the memory of this process holds. So nothing of what a provider
answered can be read there, whatever of it spans may hold. Where the package that encrypts is missing, or
nothing is to be kept on disk, there is no such file.
"""

from __future__ import annotations

import os
import tempfile
import threading
import weakref
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from llmtrace import internal_errors
from llmtrace.common.sealed_files import EncryptionKeys, is_sealed, seal, unseal
from llmtrace.delivery import DeliverySettings

_KEY_BYTES: Final = 32
_SEAL_BYTES: Final = 128
"""By how much what is encrypted is longer, at most."""


@dataclass(slots=True, eq=False)
class Stored:
    """Where a part is in the file: `size` bytes from `offset` on."""

    offset: int
    size: int
    is_released: bool = False


class OverflowFile:
    """A ring of parts in a file. `open` and `take` are for the delivery thread, `put` for any."""

    def __init__(self, disk: DeliverySettings | None) -> None:
        """Of at most `spool_bytes`, in the file system of `spool_dir`; None: there is no file."""
        self._folder = disk.spool_dir if disk is not None else ""
        self._limit = disk.spool_bytes if disk is not None else 0
        self._lock = threading.Lock()
        self._stored: deque[Stored] = deque()
        self._descriptor: int | None = None
        self._keys: EncryptionKeys | None = None
        self._process = os.getpid()

    def open(self) -> None:
        """Make the file where there may be one. Slow the first time: it loads what encrypts."""
        if self._descriptor is not None or not self._folder or not self._limit:
            return
        keys = EncryptionKeys((os.urandom(_KEY_BYTES),))
        try:
            seal(b"", keys)
        except ImportError:
            self._folder = ""
            return
        try:
            Path(self._folder).mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self._folder, buffering=0) as file:
                descriptor = os.dup(file.fileno())
        except OSError as error:
            self._folder = ""
            _warn(error)
            return
        weakref.finalize(self, os.close, descriptor)
        self._keys, self._descriptor = keys, descriptor

    def put(self, data: bytes) -> Stored | None:
        """Write a part, and wait for no other thread; None where there is no file or no room."""
        descriptor, keys = self._descriptor, self._keys
        if descriptor is None or keys is None or self._process != os.getpid():
            return None
        place = self._reserved(len(data) + _SEAL_BYTES)
        if place is None:
            return None
        sealed = memoryview(seal(data, keys))
        place.size = len(sealed)
        written = 0
        try:
            while written < place.size:
                written += os.pwrite(descriptor, sealed[written:], place.offset + written)
        except OSError as error:
            self.release(place)
            _warn(error)
            return None
        return place

    def take(self, place: Stored) -> bytes:
        """Read a part and forget it. Raises OSError or ValueError where it is not whole."""
        try:
            if self._descriptor is None or self._process != os.getpid():
                raise OSError("the file is another process's")
            sealed = os.pread(self._descriptor, place.size, place.offset)
            if len(sealed) != place.size or not is_sealed(sealed):
                raise OSError("what is in the file is not what was written")
            return unseal(sealed, self._keys)
        finally:
            self.release(place)

    def release(self, place: Stored) -> None:
        """Forget a part."""
        with self._lock:
            place.is_released = True
            while self._stored and self._stored[0].is_released:
                self._stored.popleft()
            if not self._stored and self._descriptor is not None and self._process == os.getpid():
                os.ftruncate(self._descriptor, 0)

    def _reserved(self, size: int) -> Stored | None:
        """Room behind the newest part, or at the beginning, as far as the oldest does not lie there."""
        with self._lock:
            offset, end = 0, self._limit
            if self._stored:
                oldest, newest = self._stored[0].offset, self._stored[-1]
                offset = newest.offset + newest.size
                if offset <= oldest:
                    end = oldest
                elif offset + size > end:
                    offset, end = 0, oldest
            if offset + size > end:
                return None
            place = Stored(offset, size)
            self._stored.append(place)
            return place


def _warn(error: OSError) -> None:
    internal_errors.warn_once(
        "results on disk",
        "llmtrace: results of a batch that the delivery queue has no room for cannot wait on disk (%s); they "
        "are recorded without their messages, as far as there is room for that.",
        error,
    )

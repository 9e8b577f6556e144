"""Memory that large reads have freed, and that the embedded engine's allocator holds on to for a while."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

#: Where Linux tells; other systems have none, and get nothing back early.
_STATM = Path("/proc/self/statm")

_PAGE = os.sysconf("SC_PAGE_SIZE")

#: Growth of the process (bytes) after which it is worth the 35 ms of CPU that giving memory back takes.
_GROWTH = 64 << 20


class FreedMemory:
    """Gives freed memory back to the system whenever the process has grown by `_GROWTH` since the last time.

    `purge` has the allocator do so, and raises nothing. Every method may be called from any thread.
    """

    def __init__(self, purge: Callable[[], object]) -> None:
        self._purge = purge
        self._least = _resident()
        self._purging = threading.Lock()

    def after_read(self) -> None:
        """To be called when a read has ended."""
        resident = _resident()
        self._least = min(self._least, resident)
        if resident - self._least < _GROWTH:
            return
        # One after another, and each looks again: what was freed during a purge is not in it.
        with self._purging:
            if _resident() - self._least >= _GROWTH:
                self._purge()
                self._least = _resident()


def _resident() -> int:
    """Bytes of this process that are in memory; 0 where that is not known."""
    return int(_STATM.read_text().split()[1]) * _PAGE if _STATM.exists() else 0

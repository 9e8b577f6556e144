"""Which files a test saw synced to the disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


class SyncedFiles:
    """Notes what `os.fsync` is asked for, by inode: a file is the same under another name."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._sizes: dict[int, int] = {}
        real = os.fsync

        def fsync(descriptor: int) -> None:
            real(descriptor)
            status = os.fstat(descriptor)
            self._sizes[status.st_ino] = status.st_size

        monkeypatch.setattr(os, "fsync", fsync)

    def __contains__(self, path: Path) -> bool:
        """Whether the file was synced as long as it is now, and its folder (with its name) at all."""
        status = path.stat()
        return self._sizes.get(status.st_ino) == status.st_size and self.holds_name_of(path)

    def holds_name_of(self, path: Path) -> bool:
        """Whether the folder of a file or folder was synced, and with it its name."""
        return path.parent.stat().st_ino in self._sizes

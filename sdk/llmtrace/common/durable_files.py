"""Writing files so that a crash leaves either the old one or the new one, and an answer means "on disk"."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO


def sync_directory(directory: Path) -> None:
    """Make new, renamed and removed names in a directory survive a power cut."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_file(file: IO[bytes]) -> None:
    """Make what was written to a file survive a power cut."""
    file.flush()
    os.fsync(file.fileno())


def write_durably(path: Path, data: bytes, *, mode: int = 0o666) -> None:
    """Replace a file's content. On disk when this returns.

    `mode` is that of the new file, less the process's umask: 0o600 for what its owner alone may read.
    """
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)  # one left by a crash would keep its own mode
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(data)
        sync_file(file)
    draft.replace(path)
    sync_directory(path.parent)

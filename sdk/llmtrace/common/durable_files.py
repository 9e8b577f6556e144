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


def write_durably(path: Path, data: bytes) -> None:
    """Replace a file's content. On disk when this returns."""
    draft = path.with_name(path.name + ".new")
    with draft.open("wb") as file:
        file.write(data)
        sync_file(file)
    draft.replace(path)
    sync_directory(path.parent)

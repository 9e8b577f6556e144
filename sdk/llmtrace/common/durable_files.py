"""Writing files so that a crash leaves either the old one or the new one, and an answer means "on disk"."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import IO, BinaryIO, Final

_PIECE_BYTES: Final = 1 << 20


def sync_directory(directory: Path) -> None:
    """Make new, renamed and removed names in a directory survive a power cut."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_directory(directory: Path, *, mode: int = 0o777) -> None:
    """Make a directory, with `mode`, and those above it that are missing, where they are not there already.

    Its own name, and all that were missing, survive a power cut when this returns.
    """
    missing = directory
    while not missing.parent.exists():
        missing = missing.parent
    directory.mkdir(mode=mode, parents=True, exist_ok=True)
    sync_directory(missing.parent)
    while missing != directory:
        sync_directory(directory.parent)
        directory = directory.parent


def sync_file(file: IO[bytes]) -> None:
    """Make what was written to a file survive a power cut."""
    file.flush()
    os.fsync(file.fileno())


def open_journal(path: Path) -> BinaryIO:
    """A file that grows by lines, for its owner alone: its name is on disk when this returns, what is written
    to it after `sync_file`.
    """
    file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600), "ab")
    try:
        sync_directory(path.parent)
    except BaseException:
        file.close()
        raise
    return file


def write_durably(path: Path, data: bytes | IO[bytes], *, mode: int = 0o600, exclusive: bool = False) -> None:
    """Write a whole file, in place of one that is there. On disk when this returns. All files that matter are
    written by this, or line by line by `open_journal`.

    `data` may be a file that is open for reading, whose rest is copied piece by piece.

    `mode` is that of the new file, less the process's umask: its owner alone may read it. With
    `exclusive` nothing is replaced: raises FileExistsError, for all but one of those who write at once.
    """
    # Of those who write at once each has a draft of its own; the other name is found again after a crash.
    mark = f".{os.urandom(6).hex()}" if exclusive else ""
    draft = path.with_name(f"{path.name}{mark}.new")
    draft.unlink(missing_ok=True)  # one left by a crash would keep its own mode
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            for piece in [data] if isinstance(data, bytes) else iter(partial(data.read, _PIECE_BYTES), b""):
                file.write(piece)
            sync_file(file)
        if exclusive:
            os.link(draft, path)  # a rename would replace
        else:
            draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    sync_directory(path.parent)

"""Files that the engine writes and reads by itself, encrypted on their way: a pipe is in their place."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO

from llmtrace.common.sealed_files import EncryptionKeys, SealBroken, Sealer, is_sealed, sealed_records

_PIECE_BYTES = 1 << 20


@contextmanager
def written(file: Path, keys: EncryptionKeys | None) -> Iterator[Path]:
    """Where the engine should write for the length of the block, so that `file` holds it, encrypted with
    `keys`; the file itself without any.
    """
    if keys is None:
        yield file
        return
    sealer = Sealer(keys)

    def pump(pipe: Path) -> None:
        with pipe.open("rb") as source, file.open("xb") as target:
            target.write(sealer.header)
            for piece in iter(partial(source.read, _PIECE_BYTES), b""):
                target.write(sealer.record(piece))

    with _pipe(file, pump, os.O_WRONLY) as pipe:
        yield pipe


@contextmanager
def readable(file: Path, keys: EncryptionKeys | None) -> Iterator[Path]:
    """Where the engine can read what `file` holds, once, for the length of the block: the file itself where
    that is not encrypted. Raises SealBroken after the block where the file is damaged or no key fits.
    """
    with file.open("rb") as source:
        sealed = is_sealed(source.read(16))
    if not sealed:
        yield file
        return

    def pump(pipe: Path) -> None:
        # The engine may have read all it wants, of a table's columns for one.
        with file.open("rb") as source, suppress(BrokenPipeError), pipe.open("wb") as target:
            _feed(source, target, keys)

    with _pipe(file, pump, os.O_RDONLY) as pipe:
        yield pipe


def _feed(source: BinaryIO, target: BinaryIO, keys: EncryptionKeys | None) -> None:
    for record in sealed_records(source, keys):
        target.write(record)


@contextmanager
def _pipe(file: Path, pump: Callable[[Path], None], engine_end: int) -> Iterator[Path]:
    """A pipe beside `file` while `pump` runs at its other end. What that raises is raised here at the end."""
    # The engine goes by the name's last part: it compresses what is called .zst.
    pipe = file.with_name(f".{file.name}")
    pipe.unlink(missing_ok=True)
    os.mkfifo(pipe, 0o600)
    failures: list[Exception] = []

    def run() -> None:
        try:
            pump(pipe)
        except (OSError, SealBroken) as error:
            failures.append(error)

    thread = threading.Thread(target=run, name="llmtrace-seal", daemon=True)
    thread.start()
    try:
        yield pipe
    finally:
        # Where the engine failed before it opened its end, the other waits for that.
        with suppress(OSError):
            os.close(os.open(pipe, engine_end | os.O_NONBLOCK))
        thread.join()
        pipe.unlink(missing_ok=True)
        if failures:
            raise failures[0]

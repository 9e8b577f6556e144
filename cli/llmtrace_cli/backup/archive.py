"""Archives of a backup: files of one part in one tar file, encrypted where there is a key."""

from __future__ import annotations

import hashlib
import os
import tarfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from llmtrace.common.durable_files import sync_file
from llmtrace.common.sealed_files import EncryptionKeys, Sealer, is_sealed, sealed_records

_PIECE_BYTES = 1 << 20

#: Is told of bytes as they are done.
Progress = Callable[[int], object]


@dataclass(frozen=True)
class Source:
    """A file to save, and its name in the archive."""

    path: Path
    name: str


class _Sink:
    """What tarfile writes to: pieces, each a record where the file is encrypted."""

    def __init__(self, file: BinaryIO, keys: EncryptionKeys | None) -> None:
        self._file = file
        self._sealer = None if keys is None else Sealer(keys)
        if self._sealer is not None:
            file.write(self._sealer.header)

    def write(self, data: bytes) -> int:
        self._file.write(data if self._sealer is None else self._sealer.record(bytes(data)))
        return len(data)


class _Plain:
    """What tarfile reads from: the records of an encrypted file, one after the other."""

    def __init__(self, records: Iterator[bytes]) -> None:
        self._records = records
        self._rest = b""

    def read(self, size: int) -> bytes:
        while len(self._rest) < size and (record := next(self._records, None)) is not None:
            self._rest += record
        data, self._rest = self._rest[:size], self._rest[size:]
        return data


def write_archive(
    file: Path, sources: Iterable[Source], keys: EncryptionKeys | None, progress: Progress
) -> tuple[int, int]:
    """Write the sources to `file`, on disk when this returns; how many files and bytes they are.

    A file that goes meanwhile is left out, one that grows is saved as long as it was when its turn came.
    """
    count = total = 0
    with (
        os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as target,
        tarfile.open(fileobj=_Sink(target, keys), mode="w|", bufsize=_PIECE_BYTES) as archive,  # type: ignore[call-overload]
    ):
        for source in sources:
            try:
                opened = source.path.open("rb")
            except FileNotFoundError:
                continue
            with opened:
                info = archive.gettarinfo(arcname=source.name, fileobj=opened)
                info.uid = info.gid = 0
                info.uname = info.gname = ""
                archive.addfile(info, opened)
            count, total = count + 1, total + info.size
            progress(info.size)
        archive.close()
        sync_file(target)
    return count, total


@contextmanager
def opened(file: Path, keys: EncryptionKeys | None) -> Iterator[tarfile.TarFile]:
    """An archive, to be read from its start to its end.

    Raises SealBroken where no key fits or it was changed, tarfile.TarError where it is no archive.
    """
    with file.open("rb") as source:
        sealed = is_sealed(source.read(18))
        source.seek(0)
        stream = _Plain(sealed_records(source, keys)) if sealed else source
        with tarfile.open(fileobj=stream, mode="r|", bufsize=_PIECE_BYTES) as archive:  # type: ignore[call-overload]
            yield archive


def count_files(file: Path, keys: EncryptionKeys | None) -> int:
    """How many files can be read from an archive, all of each."""
    count = 0
    with opened(file, keys) as archive:
        for member in archive:
            content = archive.extractfile(member)
            while content is not None and content.read(_PIECE_BYTES):
                pass
            count += 1
    return count


def digest_of(file: Path, progress: Progress) -> str:
    """SHA-256 of a file as it is on the disk, in hexadecimal digits."""
    hashed = hashlib.sha256()
    with file.open("rb") as source:
        while piece := source.read(_PIECE_BYTES):
            hashed.update(piece)
            progress(len(piece))
    return hashed.hexdigest()

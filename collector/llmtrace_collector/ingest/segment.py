"""A segment: a file of the log, its frames, and where it goes when the store refuses it."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from llmtrace.common.durable_files import sync_directory, write_durably
from llmtrace.common.sealed_files import EncryptionKeys, Sealer, is_sealed, records, seal, unseal

from .validate import ServiceRows, parse, row_times, service_rows
from .wal_frame import Frame, decode, encode

_MINUTE = 60_000_000_000

#: The folder of pieces, within the log's.
_PIECES = "split"


@dataclass(frozen=True)
class DecodedFrame(Frame):
    """A frame with the times of its rows (Unix nanoseconds) and whose they are; without any when its body
    does not decode, for then the engine took none of them either.
    """

    times: tuple[int, ...]
    services: tuple[ServiceRows, ...]


@dataclass
class Segment:
    """A file in `folder`, of the log or of pieces of one. `token` names it for good, there and as the store's
    deduplication token; `rows` counts its rows by service. What the store refuses goes to
    `quarantine_folder`, without its bytes unless `keep_refused`. With `keys` what is written is encrypted.
    """

    signal: str
    folder: Path
    token: str
    quarantine_folder: Path
    keep_refused: bool = True
    keys: EncryptionKeys | None = None
    size: int = 0
    opened: float = field(default_factory=time.monotonic)
    days: set[int] = field(default_factory=set)
    digests: list[bytes] = field(default_factory=list)
    rows: Counter[str] = field(default_factory=Counter)

    @property
    def path(self) -> Path:
        """Its file."""
        return self.folder / f"{self.token}.seg"

    @cached_property
    def _sealer(self) -> Sealer | None:
        return None if self.keys is None else Sealer(self.keys)

    def buffers(self, frame: Frame, offset: int) -> list[bytes]:
        """What is written of a frame at `offset` of the file, frame after frame."""
        if self._sealer is None:
            return encode(frame)
        record = self._sealer.record(b"".join(encode(frame)))
        return [record] if offset else [self._sealer.header, record]

    @contextmanager
    def plain_file(self) -> Iterator[Path]:
        """Where its frames can be read for the length of the block: its file, or memory where that is
        encrypted. Raises SealBroken.
        """
        with self.path.open("rb") as file:
            sealed = is_sealed(file.read(16))
        if not sealed:
            yield self.path
            return
        data = self.path.read_bytes()
        descriptor = os.memfd_create(self.token, os.MFD_CLOEXEC)
        try:
            with open(descriptor, "wb", closefd=False) as file:
                file.writelines(record for record, _ in records(data, self.keys))
            yield Path(f"/proc/self/fd/{descriptor}")
        finally:
            os.close(descriptor)

    @cached_property
    def _frames(self) -> Sequence[DecodedFrame]:
        return [_decoded(self.signal, frame) for frame, _ in frames_of(self.path.read_bytes(), self.keys)]

    def frames(self) -> Sequence[DecodedFrame]:
        """What it holds; read and decoded when this is first called, which is after it was closed."""
        return self._frames

    def row_times(self) -> Iterator[tuple[int, int]]:
        """Each row's own time (Unix nanoseconds) and that of its arrival (Unix milliseconds)."""
        for frame in self.frames():
            for at in frame.times:
                yield at, frame.received // 1_000_000

    def minutes(self) -> set[int]:
        """The minutes that its rows fall into, as Unix seconds of their start."""
        return {at // _MINUTE * 60 for frame in self.frames() for at in frame.times}

    def token_of(self, start: int, end: int) -> str:
        """The token of the piece with the frames [start, end): the same whenever it is made."""
        return self.token if (start, end) == (0, len(self.frames())) else f"{self.token}.{start}-{end}"

    def piece(self, start: int, end: int) -> Segment:
        """The frames [start, end) as a segment of their own, whose file is on disk when this returns; this
        one when they are all of it.
        """
        token = self.token_of(start, end)
        if token == self.token:
            return self
        piece = Segment(
            self.signal, self.folder / _PIECES, token, self.quarantine_folder, self.keep_refused, self.keys
        )
        piece._frames = self.frames()[start:end]
        piece.folder.mkdir(exist_ok=True)
        piece.rewrite()
        return piece

    def rewrite(self) -> None:
        """Write its frames anew, and why they were refused, with the keys that it has now. On disk when this
        returns.
        """
        data: list[bytes] = []
        for frame in self.frames():
            data += self.buffers(frame, len(data))
        reason = self.reason()
        write_durably(self.path, b"".join(data), mode=0o600)
        if reason:
            self._write_reason(self.path, reason)

    def delete_piece(self, start: int, end: int) -> None:
        """Delete the file of a piece; the segment's own stays."""
        token = self.token_of(start, end)
        if token != self.token:
            (self.folder / _PIECES / f"{token}.seg").unlink(missing_ok=True)

    def quarantine(self, reason: str) -> Path:
        """Move its file to the quarantine, with the reason beside it; where the bytes are not kept, only the
        reason is. Returns where it went.
        """
        self.quarantine_folder.mkdir(exist_ok=True)
        sync_directory(self.quarantine_folder.parent)
        target = self.quarantine_folder / self.path.name
        self._write_reason(target, reason)
        if not self.keep_refused:
            self.path.unlink(missing_ok=True)
            target = target.with_suffix(".reason")
        elif self.path.exists():
            self.path.rename(target)
        sync_directory(self.quarantine_folder)
        return target

    def _write_reason(self, target: Path, reason: str) -> None:
        # The engine quotes in it what it would not have.
        text = reason.encode() if self.keys is None else seal(reason.encode(), self.keys)
        write_durably(target.with_suffix(".reason"), text, mode=0o600)

    def reason(self) -> str:
        """Why it is in the quarantine; empty where that is not known. Raises SealBroken."""
        file = self.path.with_suffix(".reason")
        return unseal(file.read_bytes(), self.keys).decode() if file.exists() else ""


def pieces_of(folder: Path) -> list[Path]:
    """The files of pieces in a log's folder."""
    return list((folder / _PIECES).glob("*"))


def frames_of(data: bytes, keys: EncryptionKeys | None) -> Iterator[tuple[Frame, int]]:
    """The frames of a segment's file, encrypted or not, each with the offset at which it ends.

    Stops before the first byte that is no part of a whole one. Raises SealBroken where no key fits.
    """
    if not is_sealed(data):
        yield from decode(data)
        return
    for record, end in records(data, keys):
        for frame, _ in decode(record):
            yield frame, end


def _decoded(signal: str, frame: Frame) -> DecodedFrame:
    request = parse(signal, frame.body)
    times, services = row_times(signal, request), service_rows(signal, request)
    return DecodedFrame(frame.project, frame.received, frame.body, times, services)

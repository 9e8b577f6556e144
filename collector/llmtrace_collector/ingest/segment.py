"""A segment: a file of the log, its frames, and where it goes when the store refuses it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from llmtrace.common.durable_files import sync_directory, write_durably

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
    `quarantine_folder`, without its bytes unless `keep_refused`.
    """

    signal: str
    folder: Path
    token: str
    quarantine_folder: Path
    keep_refused: bool = True
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
    def _frames(self) -> Sequence[DecodedFrame]:
        return [_decoded(self.signal, frame) for frame, _ in decode(self.path.read_bytes())]

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
        piece = Segment(self.signal, self.folder / _PIECES, token, self.quarantine_folder, self.keep_refused)
        piece._frames = self.frames()[start:end]
        piece.folder.mkdir(exist_ok=True)
        write_durably(piece.path, b"".join(part for frame in piece.frames() for part in encode(frame)))
        return piece

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
        write_durably(target.with_suffix(".reason"), reason.encode())
        if not self.keep_refused:
            self.path.unlink(missing_ok=True)
            target = target.with_suffix(".reason")
        elif self.path.exists():
            self.path.rename(target)
        sync_directory(self.quarantine_folder)
        return target


def _decoded(signal: str, frame: Frame) -> DecodedFrame:
    request = parse(signal, frame.body)
    times, services = row_times(signal, request), service_rows(signal, request)
    return DecodedFrame(frame.project, frame.received, frame.body, times, services)

"""A segment: a file of the log, its frames, and where it goes when the store refuses it."""

from __future__ import annotations

import logging
import os
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from llmtrace.common.durable_files import sync_directory, write_durably
from llmtrace.common.sealed_files import EncryptionKeys, Sealer, seal, unseal, was_sealed

from .count_journal import Arrival, arrivals_of
from .log_damage import Damage, read_log
from .validate import ServiceRows, parse, row_times, service_rows
from .wal_frame import Frame, encode, marker_of

logger = logging.getLogger(__name__)

_MINUTE = 60_000_000_000

#: The folder of pieces, within the log's.
_PIECES = "split"


@dataclass(frozen=True)
class DecodedFrame(Frame):
    """A frame with the times of its rows (Unix nanoseconds) and whose they are; without any when its body
    does not decode, for then the engine took none of them either. One that is damaged has no body: it keeps
    its place, for pieces are named by it.
    """

    times: tuple[int, ...]
    services: tuple[ServiceRows, ...]


@dataclass
class Segment:
    """A file in `folder`, of the log or of pieces of one. `token` names it for good, there and as the store's
    deduplication token; `rows` counts its rows by service, `arrivals` by project, service and minute. What
    the store refuses goes to `quarantine_folder`, without its bytes unless `keep_refused`. With `keys` what
    is written is encrypted.
    """

    signal: str
    folder: Path
    token: str
    quarantine_folder: Path
    keep_refused: bool = True
    keys: EncryptionKeys | None = None
    size: int = 0
    opened: float = field(default_factory=time.monotonic)
    #: When it was opened, or went back to the log, as Unix time (seconds).
    since: float = field(default_factory=time.time)
    #: Whether an earlier process, or an earlier time in the log, may have begun to store it.
    begun: bool = False
    days: set[int] = field(default_factory=set)
    digests: list[bytes] = field(default_factory=list)
    rows: Counter[str] = field(default_factory=Counter)
    damage: list[Damage] = field(default_factory=list)
    arrivals: Counter[Arrival] = field(default_factory=Counter)

    @property
    def path(self) -> Path:
        """Its file."""
        return self.folder / f"{self.token}.seg"

    def count(self, frame: Frame, services: Iterable[ServiceRows]) -> None:
        """Count the rows of a frame that was added."""
        for rows in services:
            if rows.accepted:  # a resource without rows may have any name
                self.rows[rows.service] += rows.accepted
        self.arrivals += arrivals_of(frame, services)

    @cached_property
    def _sealer(self) -> Sealer | None:
        return None if self.keys is None else Sealer(self.keys)

    def buffers(self, frame: Frame, offset: int) -> list[bytes]:
        """What is written of a frame at `offset` of the file, frame after frame."""
        buffers = encode(frame, marker_of(self.token))
        if self._sealer is None:
            return buffers
        record = self._sealer.record(b"".join(buffers))
        return [record] if offset else [self._sealer.header, record]

    @contextmanager
    def plain_file(self) -> Iterator[Path]:
        """Where its frames can be read for the length of the block: its file, or memory where that is
        encrypted or damaged. Raises SealBroken.
        """
        with self.path.open("rb") as file:
            sealed = was_sealed(file.read(64))
        if not sealed and not self.damage:
            yield self.path
            return
        descriptor = os.memfd_create(self.token, os.MFD_CLOEXEC)
        try:
            with open(descriptor, "wb", closefd=False) as file:
                for item in self.read():
                    if isinstance(item, Frame):
                        file.writelines(encode(item))
            yield Path(f"/proc/self/fd/{descriptor}")
        finally:
            os.close(descriptor)

    def read(self) -> list[Frame | Damage]:
        """What its file holds now: nothing where somebody took it away. Raises SealBroken."""
        if any(item.missed_at for item in self.damage):
            return []
        return read_log(self.signal, self.token, self.path.read_bytes(), self.keys)

    @cached_property
    def _frames(self) -> Sequence[DecodedFrame]:
        frames: list[DecodedFrame] = []
        for item in self.read():
            if isinstance(item, Frame):
                frames.append(_decoded(self.signal, item))
            else:
                frames += [DecodedFrame("", item.received, b"", (), ())] * (
                    1 if item.requests is None else item.requests
                )
        return frames

    def frames(self) -> Sequence[DecodedFrame]:
        """What it holds; read and decoded when this is first called, which is after it was closed."""
        return self._frames

    def has_requests(self) -> bool:
        """Whether anything in it can be read."""
        return bool(self.digests) or any(frame.body for frame in self.frames())

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
        reason = self.reason()
        self.write(frame for frame in self.frames() if frame.body)
        if reason:
            self._write_reason(self.path, reason)

    def write(self, frames: Iterable[Frame]) -> None:
        """Write its file with these frames; none where there are none. On disk when this returns."""
        data: list[bytes] = []
        rows = 0
        for requests, frame in enumerate(frames, 1):
            rows += sum(of.accepted for of in service_rows(self.signal, parse(self.signal, frame.body)))
            numbered = Frame(frame.project, frame.received, frame.body, requests=requests, rows=rows)
            data += self.buffers(numbered, len(data))
        if data:
            write_durably(self.path, b"".join(data))

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
        write_durably(target.with_suffix(".reason"), text)

    def reason(self) -> str:
        """Why it is in the quarantine; empty where that is not known. Raises SealBroken."""
        file = self.path.with_suffix(".reason")
        return unseal(file.read_bytes(), self.keys).decode() if file.exists() else ""


_NAME = re.compile(r"(traces|logs|metrics)-[0-9]+-[0-9a-f]+(\.[0-9]+-[0-9]+)*\.seg")

#: What else may be in the folders of the log.
_OURS = re.compile(
    r"seen\.sqlite.*|counts\.sqlite.*|quarantine|split|.+\.(split|reason|damage|bytes|tail|new)|ballast"
)


def is_segment_name(name: str) -> bool:
    """Whether a file of this name is a segment."""
    return _NAME.fullmatch(name) is not None


def is_entry_name(name: str) -> bool:
    """Whether an entry of the quarantine may have this name."""
    return is_segment_name(re.sub(r"\.at-[0-9]+$", "", name) + ".seg")


def segment_files(folder: Path) -> list[Path]:
    """The segments in a folder, oldest first."""
    files = [path for path in folder.glob("*.seg") if is_segment_name(path.name) and path.is_file()]
    return sorted(files, key=lambda path: path.name.split("-", 1)[1])


def warn_of_foreign(folder: Path) -> None:
    """Name what is in the folders of log and quarantine and is not the collector's: it is left alone."""
    foreign: list[str] = []
    for place in (folder, folder / "quarantine"):
        ours = set(segment_files(place))
        others = [path for path in sorted(place.glob("*")) if path not in ours]
        foreign += [str(path) for path in others if not _OURS.fullmatch(path.name)]
    if foreign:  # in one line: of many alike the log has the first
        logger.warning(
            "the collector did not make %s, and ignores it: move it elsewhere, or delete it",
            ", ".join(foreign),
        )


def pieces_of(folder: Path) -> list[Path]:
    """The files of pieces in a log's folder."""
    return [path for path in (folder / _PIECES).glob("*") if path.is_file()]


def _decoded(signal: str, frame: Frame) -> DecodedFrame:
    request = parse(signal, frame.body)
    times, services = row_times(signal, request), service_rows(signal, request)
    return DecodedFrame(frame.project, frame.received, frame.body, times, services)

"""A segment that the store refuses is bisected until only the bad requests are left.

Pieces have tokens of their own, made of the segment's and their place in it, so that doing it all again
after a crash adds nothing. A journal beside the segment says, before a piece is divided, that it is: the
store is not asked for it again, and what its halves have stored is not mistaken for a part of it.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from google.protobuf.message import DecodeError

from llmtrace.common.durable_files import sync_directory
from llmtrace_collector.store.engine import StoreError, StoreUnavailable
from llmtrace_collector.store.store import Store

from .validate import row_times
from .wal import Segment
from .wal_frame import Frame, decode, encode

logger = logging.getLogger(__name__)

_MINUTE = 60_000_000_000

#: Rows that one query asks for.
_CHUNK = 2000

#: Signal → (table, its time column) in which a stored row would be found.
_TABLES: Mapping[str, Sequence[tuple[str, str]]] = MappingProxyType(
    {
        "traces": (("otel_traces", "Timestamp"),),
        "logs": (("otel_logs", "Timestamp"),),
        "metrics": tuple((f"otel_metrics_{kind}", "TimeUnix") for kind in ("gauge", "sum", "histogram")),
    }
)


def journal_path(segment: Segment) -> Path:
    """The file that says how far a segment was bisected; there is one only for those that were refused."""
    return segment.path.with_suffix(".split")


class SegmentBisection:
    """Stores what is good of one refused segment. `bad` are the pieces that the store will not have: file
    (to be moved away) and reason.
    """

    def __init__(self, store: Store, segment: Segment, folder: Path) -> None:
        self._store = store
        self._segment = segment
        self._folder = folder
        self._journal = journal_path(segment)
        self._divided = set(self._journal.read_text().split()) if self._journal.exists() else set()
        self._frames = [frame for frame, _ in decode(segment.path.read_bytes())]
        self.bad: list[tuple[Path, str]] = []
        self.stored = 0

    def run(self, reason: str = "") -> None:
        """Bisect the segment; `reason` is what the store said of the whole, empty when it was not asked
        this time. Raises StoreUnavailable: run another one later.
        """
        self._folder.mkdir(exist_ok=True)
        self._store_range(0, len(self._frames), self._segment.token, reason)
        if self._segment.signal == "traces":
            # A rollup may have taken a part of what was refused: it is to be made anew from the spans.
            minutes = minutes_of(self._segment.signal, self._frames)
            self._store.mark_stale(minutes, "a refused segment was taken apart")

    def _store_range(self, start: int, end: int, token: str, reason: str) -> None:
        file = self._segment.path
        if token != self._segment.token:
            file = self._folder / f"{token}.seg"
        if token not in self._divided:
            if not reason:
                if file is not self._segment.path:
                    _write(file, self._frames[start:end])
                reason = self._insert(file, token)
                if not reason:
                    self.stored += end - start
                    if file is not self._segment.path:
                        file.unlink()
                    return
            if end - start <= 1 or self._any_stored(start, end):
                if not file.exists():
                    _write(file, self._frames[start:end])
                self.bad.append((file, reason))
                return
            self._record_divided(token)
        if file is not self._segment.path:
            file.unlink(missing_ok=True)
        middle = (start + end) // 2
        for low, high in ((start, middle), (middle, end)):
            self._store_range(low, high, f"{self._segment.token}.{low}-{high}", "")

    def _insert(self, file: Path, token: str) -> str:
        """Insert a piece; what the store said against it, empty when it took it."""
        try:
            self._store.insert_segment(self._segment.signal, file, token)
        except StoreUnavailable:
            raise
        except StoreError as error:
            return str(error)
        return ""

    def _record_divided(self, token: str) -> None:
        with self._journal.open("a") as file:
            file.write(token + "\n")
            file.flush()
            os.fsync(file.fileno())
        sync_directory(self._journal.parent)
        self._divided.add(token)

    def _any_stored(self, start: int, end: int) -> bool:
        """Whether rows of a refused piece are in the store: some of its blocks may be, others not."""
        rows = [
            (at, frame.received // 1_000_000)
            for frame in self._frames[start:end]
            for at in self._times(frame)
        ]
        for first in range(0, len(rows), _CHUNK):
            pairs = ", ".join(f"({at}, {received})" for at, received in rows[first : first + _CHUNK])
            for table, column in _TABLES[self._segment.signal]:
                count = self._store.read(
                    f"SELECT count() FROM {table} WHERE (toUnixTimestamp64Nano({column}), "  # noqa: S608
                    f"toUnixTimestamp64Milli(ReceivedAt)) IN ({pairs})"
                )
                if int(count):
                    return True
        return False

    def _times(self, frame: Frame) -> list[int]:
        return row_times(self._segment.signal, frame.body)


def minutes_of(signal: str, frames: Iterable[Frame]) -> set[int]:
    """The minutes (Unix seconds of their start) that the frames' rows fall into."""
    minutes: set[int] = set()
    for frame in frames:
        # What does not decode is refused by the engine as well: no rollup took a row of it.
        with contextlib.suppress(DecodeError):
            minutes |= {at // _MINUTE * 60 for at in row_times(signal, frame.body)}
    return minutes


def _write(file: Path, frames: Sequence[Frame]) -> None:
    with file.open("wb") as out:
        for frame in frames:
            out.writelines(encode(frame))
        out.flush()
        os.fsync(out.fileno())

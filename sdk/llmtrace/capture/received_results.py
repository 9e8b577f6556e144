"""A response's body that may be a file of results: handed on in parts while it comes, not held to its end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from .received_body import ReceivedBody

PART_BYTES: Final = 2**20
_USUAL_CHUNK: Final = 64 * 1024
_MAX_UNSEEN: Final = 128
_HEAD_BYTES: Final = 4096
"""From so many bytes on, or from the first end of a line, the first line is asked what the file is."""
_FIRST_LINE: Final = 64 * 1024
_BOM: Final = b"\xef\xbb\xbf"
_ALL: Final = 2**31

HandOver = Callable[[Sequence[bytes | memoryview], int, bool], None]
"""Takes a part: its pieces, their bytes, and whether they are parts of what the program holds itself."""


def _ignore(noted: Any) -> None:
    """In place of noting what is not needed."""


class ReceivedResults(ReceivedBody):
    """See `ReceivedBody`. What is plainly no file of results is let go by at the cost of one call a chunk."""

    __slots__ = ("_hand_over", "_marks", "is_checked", "is_rejected")

    def __init__(self, hand_over: HandOver, marks: Sequence[bytes]) -> None:
        """marks: see `BatchFormat`."""
        super().__init__(_ALL)
        self._hand_over = hand_over
        self._marks = marks
        self.is_checked = False
        """Whether its first line was asked, or is not to be."""
        self.is_rejected = False
        """Whether it is none, and nothing more is noted."""

    def set_whole(self, data: bytes) -> None:
        if not self.is_checked:
            self._check(data)
        if self.is_rejected:
            return
        view = memoryview(data)
        for start in range(0, len(data), PART_BYTES):
            part = view[start : start + PART_BYTES]
            self._hand_over([part], len(part), True)

    def add(self, data: bytes) -> None:
        if self.is_rejected:
            return
        self._chunks.append(data)
        self._size += len(data)
        if not self.is_checked and (self._size >= _HEAD_BYTES or b"\n" in data):
            self._check(b"".join(self._chunks))
        if self._size >= PART_BYTES:
            self._hand_over_all()

    def add_with_room(self, data: bytes) -> tuple[int, Callable[[bytes], None], Callable[[float], None]]:
        self._size = sum(map(len, self._chunks))
        self.add(data)
        if self.is_rejected:
            return _ALL, _ignore, _ignore
        room = min((PART_BYTES - self._size) // max(_USUAL_CHUNK, len(data)), _MAX_UNSEEN)
        return (room if self.is_checked else 0), self._chunks.append, _ignore

    def end(self) -> None:
        if self._chunks and not self.is_checked:
            self._check(b"".join(self._chunks))
        self._hand_over_all()

    @property
    def weight(self) -> int:
        return 0

    @property
    def is_truncated(self) -> bool:
        return False

    def _hand_over_all(self) -> None:
        chunks, self._chunks, self._size = self._chunks, [], 0
        if chunks and not self.is_rejected:
            self._hand_over(chunks, sum(map(len, chunks)), False)

    def _check(self, head: bytes) -> None:
        self.is_checked = True
        first_line = head[:_FIRST_LINE].removeprefix(_BOM).lstrip()
        marks = self._marks or (b"{",)
        self.is_rejected = not first_line.startswith(b"{") or not any(mark in first_line for mark in marks)
        if self.is_rejected:
            self._chunks = []

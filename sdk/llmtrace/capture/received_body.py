"""A response's body as it came: its pieces, bounded, and when each of them was there."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Final

from llmtrace import clock

_TAIL_BYTES: Final = 64 * 1024
_USUAL_CHUNK: Final = 64 * 1024
"""What HTTP libraries read at most at once."""
_MAX_UNSEEN: Final = 128


class ReceivedBody:
    """Noted on the caller's path, at one append for a chunk and one for its time; read afterwards."""

    __slots__ = ("_chunks", "_limit", "_size", "_tail", "_tail_size", "_times", "_weighed")

    def __init__(self, limit: int) -> None:
        """limit: bytes from its beginning on that are held; beyond them the last 64 KiB are."""
        self._limit = limit
        self._chunks: list[bytes] = []
        self._times: list[float] = []
        self._tail: deque[tuple[bytes, float]] | None = None
        self._size = self._tail_size = self._weighed = 0

    def set_whole(self, data: bytes) -> None:
        """It was read whole; when it came is not known."""
        self._chunks.append(data)

    def add(self, data: bytes) -> None:
        """Note one raw chunk of a stream, and when it came."""
        now = clock.perf_counter()
        self._size += len(data)
        if self._tail is None:
            self._chunks.append(data)
            self._times.append(now)
            if self._size > self._limit:
                self._tail = deque()
        else:
            # Beyond the bound only the tail is kept, for that is where usage is.
            self._tail.append((data, now))
            self._tail_size += len(data)
            while len(self._tail) > 1 and self._tail_size > _TAIL_BYTES:
                self._tail_size -= len(self._tail.popleft()[0])

    def add_with_room(self, data: bytes) -> tuple[int, Callable[[bytes], None], Callable[[float], None]]:
        """As `add`, for the quick path: (chunks that may be noted by two functions, the functions).

        Within that room a chunk and its time (perf_counter) cost the caller one append each; when it is used
        up, this is called again.
        """
        if self._tail is None:
            self._size += sum(map(len, islice(self._chunks, self._weighed, None)))
        self.add(data)
        self._weighed = len(self._chunks)
        room = 0 if self._tail is not None else self._limit - self._size
        room = min(room // max(_USUAL_CHUNK, len(data)), _MAX_UNSEEN)
        return room, self._chunks.append, self._times.append

    def end(self) -> None:
        """Nothing comes any more."""
        if self._tail is None:
            self._size = sum(map(len, self._chunks))

    @property
    def size(self) -> int:
        """Bytes that came, once it has ended."""
        return self._size

    @property
    def weight(self) -> int:
        """Bytes held, once it has ended."""
        return min(self._size, self._limit + _TAIL_BYTES)

    @property
    def is_truncated(self) -> bool:
        """Whether something in its middle is missing."""
        return self._tail is not None

    @property
    def pieces(self) -> list[bytes]:
        """What came, as it came."""
        return [*self._chunks, *(data for data, _ in self._tail or ())]

    def replace_pieces(self, pieces: Sequence[bytes]) -> None:
        """Put one in the place of each that came; when that was stays."""
        head = len(self._chunks)
        self._chunks = list(pieces[:head])
        if self._tail is not None:
            self._tail = deque(zip(pieces[head:], (time for _, time in self._tail), strict=True))

    @property
    def times(self) -> list[float]:
        """When each of the pieces came (perf_counter); empty where it was read whole."""
        return [*self._times, *(time for _, time in self._tail or ())]

"""Messages of a WebSocket that belong to a response that has not begun: a bounded number of them."""

from __future__ import annotations

from collections import deque
from typing import Final

_MOST: Final = 1000
_LONGEST: Final = 2**20


class PendingMessages:
    """The newest, of `most_bytes` at most in all; one that is longer than a mebibyte is none."""

    __slots__ = ("_messages", "_most_bytes", "_size")

    def __init__(self, most_bytes: int) -> None:
        self._messages: deque[bytes] = deque()
        self._most_bytes = most_bytes
        self._size = 0

    def add(self, message: bytes) -> None:
        """One more; the oldest goes where there is no room."""
        if len(message) > _LONGEST:
            return
        self._messages.append(one_line(message))
        self._size += len(message)
        while len(self._messages) > _MOST or self._size > self._most_bytes:
            self._size -= len(self._messages.popleft())

    def taken(self) -> list[bytes]:
        """All of them, which are then no longer here."""
        messages = [*self._messages]
        self._messages.clear()
        self._size = 0
        return messages


def one_line(message: bytes) -> bytes:
    """JSON without line breaks, which stand between its values alone."""
    if b"\n" in message or b"\r" in message:
        return message.replace(b"\r", b" ").replace(b"\n", b" ")
    return message

"""Bodies of requests, read within bounds: bytes of each, bytes of all together, seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

from .refusal import Refusal

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

#: When a sender should try again after there was no room for its body.
_RETRY_AFTER = 2


class ClientGone(Exception):
    """The client closed the connection before its body was complete: nobody is there to answer to."""


class BodyBudget:
    """How many bytes of bodies may be in memory at once. When they are used up, the body that has been
    incomplete for longest is given up: senders that stall do not keep out those that send. For one event
    loop.
    """

    def __init__(self, limit: int) -> None:
        """`limit` in bytes; at least the largest body's."""
        self._limit = limit
        self._used = 0
        self._incomplete: dict[_Reading, None] = {}

    @contextmanager
    def reading(self) -> Iterator[_Reading]:
        """A body from its first byte until its request is answered."""
        reading = _Reading()
        self._incomplete[reading] = None
        try:
            yield reading
        finally:
            self._incomplete.pop(reading, None)
            self._used -= reading.size

    def add(self, reading: _Reading, size: int) -> None:
        """Count bytes of a body. Raises Refusal 503 when there is no room for them."""
        reading.size += size
        self._used += size
        while self._used > self._limit:
            oldest = next(iter(self._incomplete), reading)
            if oldest is reading:
                raise _no_room()
            self._used -= oldest.size
            oldest.give_up()
            del self._incomplete[oldest]

    def complete(self, reading: _Reading) -> None:
        """The body is whole: it is not given up any more."""
        self._incomplete.pop(reading, None)


class _Reading:
    """A body under way."""

    def __init__(self) -> None:
        self.size = 0
        self.is_given_up = False
        self.deadline: asyncio.Timeout | None = None

    def give_up(self) -> None:
        self.size = 0
        self.is_given_up = True
        if self.deadline is not None and not self.deadline.expired():
            self.deadline.reschedule(0)


def _no_room() -> Refusal:
    return Refusal(503, "too many requests are being received: try again in a moment", _RETRY_AFTER)


class BodyReader:
    """Reads one body. `limit` and bytes are as sent, `seconds` is for all of it."""

    def __init__(
        self, receive: Receive, limit: int, seconds: float, budget: BodyBudget, reading: _Reading
    ) -> None:
        self._receive = receive
        self._limit = limit
        self._seconds = seconds
        self._budget = budget
        self._reading = reading
        self._size = 0

    async def all(self) -> bytes:
        """The whole body. Raises Refusal (408, 413, 503) or ClientGone."""
        chunks: list[bytes] = []
        try:
            async with asyncio.timeout(self._seconds) as self._reading.deadline:
                more = True
                while more:
                    message = await self._receive()
                    chunk, more = self._part(message)
                    self._budget.add(self._reading, len(chunk))
                    chunks.append(chunk)
        except TimeoutError as error:
            if self._reading.is_given_up:
                raise _no_room() from error
            raise Refusal(408, f"the body was not there after {self._seconds:g} s") from error
        self._budget.complete(self._reading)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _part(self, message: Message) -> tuple[bytes, bool]:
        if message["type"] != "http.request":
            raise ClientGone
        chunk: bytes = message.get("body", b"")
        self._size += len(chunk)
        if self._size > self._limit:
            raise too_large(self._limit)
        return chunk, bool(message.get("more_body", False))

    async def next_message(self) -> Message:
        """The next part of a body that the route reads itself; its deadline is for each part. Raises Refusal
        (408, 413)."""
        try:
            async with asyncio.timeout(self._seconds):
                message = await self._receive()
        except TimeoutError as error:
            raise Refusal(408, f"no part of the body came for {self._seconds:g} s") from error
        if message["type"] == "http.request":
            self._part(message)
        return message


def too_large(limit: int) -> Refusal:
    """The answer to a body beyond `limit` bytes."""
    if limit == 0:
        return Refusal(413, "no body is expected here: send none")
    return Refusal(413, f"the body is larger than {limit} bytes: send less at a time")

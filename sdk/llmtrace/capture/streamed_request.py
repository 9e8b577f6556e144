"""Requests whose body is not there when they are sent: a generator, a file, pieces that are handed over.

Reading such a body ahead would change what is sent and when. So a request whose path may be an API's is begun
as a call, its pieces are noted as the transport takes them, and what it was is said at its end: see
`LlmCall.complete`.
"""

from __future__ import annotations

import io
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping
from typing import Any

from opentelemetry import context as otel_context

from llmtrace.internal_errors import swallow
from llmtrace.spans import generator_blocks
from llmtrace.wire import registry
from llmtrace.wire.framing.multipart import CutBody

from . import content_encoding
from .call import CapturedRequest

_MOST_BYTES = 16 * 2**20
_TAIL_BYTES = 64 * 1024
_NOTING = swallow("noting a piece of a request")


class StreamedBody:
    """The pieces of a request's body, as far as they were sent.

    What makes the pieces runs in the context that the request was sent from: it may make calls of its own.
    """

    __slots__ = ("_context", "_pieces", "_size", "_tail", "_tail_size")

    def __init__(self) -> None:
        self._context = generator_blocks.taken_over(generator_blocks.current())
        self.restart()

    def restart(self) -> None:
        """It is sent from its beginning (again, after a redirect)."""
        self._pieces: list[bytes] = []
        self._tail: deque[bytes] = deque()
        self._size = self._tail_size = 0

    def add(self, piece: Any) -> None:
        """A piece was handed to the transport."""
        with _NOTING:
            data = piece.encode() if isinstance(piece, str) else bytes(piece)
            self._size += len(data)
            if self._size - len(data) <= _MOST_BYTES:
                self._pieces.append(data)
                return
            # Of a form's last fields, which may stand behind a file.
            self._tail.append(data)
            self._tail_size += len(data)
            while len(self._tail) > 1 and self._tail_size > _TAIL_BYTES:
                self._tail_size -= len(self._tail.popleft())

    @property
    def size(self) -> int:
        """Bytes held; nothing is put together for it."""
        return min(self._size, _MOST_BYTES + _TAIL_BYTES)

    def whole(self) -> bytes:
        """All of it, without its compression; what is beyond the bound is missing but for its end."""
        count = len(self._pieces)
        joined = b"".join(self._pieces[:count])
        self._pieces[:count] = [joined]
        if not self._tail:
            return content_encoding.unzipped(joined)
        tail = b"".join(self._tail)
        cut = CutBody(joined + tail)
        cut.cut_at, cut.left_out = len(joined), max(0, self._size - len(cut))
        return cut

    def noted(self, pieces: Iterable[Any]) -> Iterator[Any]:
        """The same pieces, noted as they are taken."""
        self.restart()
        iterator = iter(pieces)
        while True:
            token = otel_context.attach(self._context)
            try:
                piece = next(iterator)
            except StopIteration:
                return
            finally:
                otel_context.detach(token)
            self.add(piece)
            yield piece

    async def noted_async(self, pieces: AsyncIterable[Any]) -> AsyncIterator[Any]:
        """The same pieces, noted as they are taken."""
        self.restart()
        iterator = pieces.__aiter__()
        while True:
            token = otel_context.attach(self._context)
            try:
                piece = await iterator.__anext__()
            except StopAsyncIteration:
                return
            finally:
                otel_context.detach(token)
            self.add(piece)
            yield piece


class _NotedFile:
    """A file that a request is sent from: what is read of it is noted."""

    def __init__(self, file: Any, body: StreamedBody) -> None:
        self._file = file
        self._body = body

    def read(self, *size: int) -> Any:
        data = self._file.read(*size)
        self._body.add(data)
        return data

    def seek(self, *position: int) -> Any:
        self._body.restart()
        return self._file.seek(*position)

    def __iter__(self) -> Iterator[Any]:
        return self._body.noted(self._file)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class _NotedPieces:
    """An iterable that a request is sent from."""

    def __init__(self, pieces: Iterable[Any], body: StreamedBody) -> None:
        self._pieces = pieces
        self._body = body

    def __iter__(self) -> Iterator[Any]:
        return self._body.noted(self._pieces)


class StreamedRequest:
    """See `call.CapturedRequest`: another one, with a body that is noted while it is sent."""

    __slots__ = ("_request", "_streamed")

    def __init__(self, request: CapturedRequest, streamed: StreamedBody) -> None:
        self._request = request
        self._streamed = streamed

    @property
    def path(self) -> str:
        return self._request.path

    @property
    def headers(self) -> Mapping[str, str]:
        return self._request.headers

    @property
    def body(self) -> bytes:
        return self._streamed.whole()

    @property
    def body_size(self) -> int:
        return self._streamed.size

    def address(self) -> tuple[str, int]:
        return self._request.address()


def may_be_call(method: str, path: str) -> bool:
    """Whether a request whose body is not known yet is worth watching; path without query."""
    return method == "POST" and bool(registry.named(path))


def noted(value: Any) -> tuple[Any, StreamedBody] | None:
    """What to send in place of a body that is a binary file or an iterable of pieces; None for others."""
    if value is None or isinstance(value, (str, bytes, bytearray, memoryview, Mapping, io.TextIOBase)):
        return None
    streamed = StreamedBody()
    if hasattr(value, "read"):
        return _NotedFile(value, streamed), streamed
    if isinstance(value, (list, tuple)) or not isinstance(value, Iterable):
        return None  # forms
    return _NotedPieces(value, streamed), streamed

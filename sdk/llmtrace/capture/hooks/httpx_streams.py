"""Response streams that note each chunk as it passes: the caller sees the same bytes, errors and timing.

httpx and httpx2 check `isinstance(stream, SyncByteStream)`, so the classes are made per library.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from itertools import filterfalse, islice, repeat, starmap
from operator import itemgetter
from types import ModuleType
from typing import Any, Final

from llmtrace import clock
from llmtrace.capture.call import LlmCall
from llmtrace.capture.interceptor import StreamRecorder, forget
from llmtrace.capture.streamed_request import StreamedBody

_CHUNK: Final = itemgetter(0)


def _moments() -> Iterator[float]:
    """The time (perf_counter) whenever one is asked for."""
    return starmap(clock.perf_counter, repeat(()))


@dataclass(frozen=True, slots=True)
class StreamTypes:
    """The wrappers for one library's base classes: of response streams, and of a request's."""

    sync: type[Any]
    asynchronous: type[Any]
    sent: type[Any]


def stream_types(module: ModuleType) -> StreamTypes:
    """Build the wrappers for `httpx` or `httpx2`."""
    sync_base: Any = module.SyncByteStream
    async_base: Any = module.AsyncByteStream

    class TracedStream(_Traced, sync_base):  # type: ignore[misc]  # the base comes from an untyped module
        def __iter__(self) -> Iterator[bytes]:
            add_chunk = self._recorder.add_chunk_with_room
            chunks = iter(self._stream)
            with self._recorder:
                for chunk in chunks:
                    room, append, note_time = add_chunk(chunk)
                    yield chunk
                    if room:
                        # Both functions give None: each chunk is noted, timed and passed on by C calls alone.
                        passed = filterfalse(append, chunks)
                        timed = zip(passed, filterfalse(note_time, _moments()), strict=False)
                        yield from islice(map(_CHUNK, timed), room)
            self._recorder.ended(early=False)

        def close(self) -> None:
            try:
                self._stream.close()
            finally:
                self._recorder.ended(early=True)

    class TracedAsyncStream(_Traced, async_base):  # type: ignore[misc]
        async def __aiter__(self) -> AsyncIterator[bytes]:
            add_chunk = self._recorder.add_chunk_with_room
            room = 0
            append: Callable[[bytes], None] = self._recorder.add_chunk
            note_time: Callable[[float], None] = forget
            now = clock.perf_counter
            chunks = self._stream.__aiter__()
            try:
                with self._recorder:
                    async for chunk in chunks:
                        if room:
                            room -= 1
                            append(chunk)
                            note_time(now())
                        else:
                            room, append, note_time = add_chunk(chunk)
                        yield chunk
            finally:
                # As httpx does it: the inner generator is closed now, not at garbage collection.
                if isinstance(chunks, AsyncGenerator):
                    await chunks.aclose()
            self._recorder.ended(early=False)

        async def aclose(self) -> None:
            try:
                await self._stream.aclose()
            finally:
                self._recorder.ended(early=True)

    class SentStream(sync_base, async_base):  # type: ignore[misc]
        """A request's body, noted as the transport takes it."""

        def __init__(self, stream: Any, body: StreamedBody) -> None:
            self._stream = stream
            self._body = body

        def __iter__(self) -> Iterator[bytes]:
            return self._body.noted(self._stream)

        def __aiter__(self) -> AsyncIterator[bytes]:
            return self._body.noted_async(self._stream)

        def close(self) -> None:
            self._stream.close()

        async def aclose(self) -> None:
            await self._stream.aclose()

        def __getattr__(self, name: str) -> Any:
            return getattr(self._stream, name)

    return StreamTypes(TracedStream, TracedAsyncStream, SentStream)


class _Traced:
    """What both wrappers share."""

    def __init__(self, stream: Any, call: LlmCall) -> None:
        self._stream = stream
        self._recorder = StreamRecorder(call)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)  # such as httpx2's `elapsed`

    def __del__(self) -> None:
        self._recorder.garbage_collected()

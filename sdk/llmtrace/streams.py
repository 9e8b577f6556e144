"""Response streams that note each chunk as it passes: the caller sees the same bytes, errors and timing.

httpx and httpx2 check `isinstance(stream, SyncByteStream)`, so the classes are made per library.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from . import guard
from .call import Call


@dataclass(frozen=True, slots=True)
class StreamTypes:
    """The two wrappers for one library's base classes."""

    sync: type[Any]
    asynchronous: type[Any]


def stream_types(module: ModuleType) -> StreamTypes:
    """Build the wrappers for `httpx` or `httpx2`."""
    sync_base: Any = module.SyncByteStream
    async_base: Any = module.AsyncByteStream

    class TracedStream(_Traced, sync_base):  # type: ignore[misc]  # the base comes from an untyped module
        def __iter__(self) -> Iterator[bytes]:
            note = self._note
            try:
                for chunk in self._stream:
                    note(chunk)
                    yield chunk
            except GeneratorExit:
                raise
            except BaseException as error:
                self._failed(error)
                raise
            self._over(early=False)

        def close(self) -> None:
            try:
                self._stream.close()
            finally:
                self._over(early=True)

    class TracedAsyncStream(_Traced, async_base):  # type: ignore[misc]
        async def __aiter__(self) -> AsyncIterator[bytes]:
            note = self._note
            chunks = self._stream.__aiter__()
            try:
                async for chunk in chunks:
                    note(chunk)
                    yield chunk
            except GeneratorExit:
                raise
            except BaseException as error:
                self._failed(error)
                raise
            finally:
                # As httpx does it: the inner generator is closed now, not at garbage collection.
                if isinstance(chunks, AsyncGenerator):
                    await chunks.aclose()
            self._over(early=False)

        async def aclose(self) -> None:
            try:
                await self._stream.aclose()
            finally:
                self._over(early=True)

    return StreamTypes(TracedStream, TracedAsyncStream)


class _Traced:
    """What both wrappers share; everything of ours is guarded."""

    def __init__(self, stream: Any, call: Call) -> None:
        self._stream = stream
        self._call = call

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)  # such as httpx2's `elapsed`

    def __del__(self) -> None:
        with suppress(Exception):  # while the interpreter exits, not even logging can be relied on
            self._call.end(early=True, quiet=True)

    def _note(self, chunk: bytes) -> None:
        try:
            self._call.chunk(chunk)
        except Exception as error:  # noqa: BLE001  # the guard
            guard.report("noting a chunk", error)

    def _failed(self, error: BaseException) -> None:
        try:
            self._call.fail(error)
        except Exception as ours:  # noqa: BLE001  # the guard
            guard.report("noting a stream's error", ours)

    def _over(self, *, early: bool) -> None:
        try:
            self._call.end(early=early)
        except Exception as error:  # noqa: BLE001  # the guard
            guard.report("noting a stream's end", error)

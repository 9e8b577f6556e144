"""Responses of `http.client` whose body is noted as it is read, in whichever way.

A response stays the object that it is (others hold it, and ask for its type): it gets a class of its own,
below the one that it had.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any, Final, TypeVar

from llmtrace import clock
from llmtrace.capture import interceptor
from llmtrace.capture.call import LlmCall

DataT = TypeVar("DataT")
_HEAD_AT: Final = "_llmtrace_head_at"


def note_head(response: Any, module: ModuleType) -> None:
    """The head of a response came just now. Its body may be read by a library with a hook of its own."""
    if isinstance(response, module.HTTPResponse):
        response.__dict__[_HEAD_AT] = clock.perf_counter()


def head_at(response: object) -> float | None:
    """When the head of a response of `http.client` had come (perf_counter); None where nobody noted it."""
    noted: float | None = getattr(response, _HEAD_AT, None)
    return noted


def received(call: LlmCall, response: Any, module: ModuleType, *, is_error: bool = False) -> None:
    """Note an answer; `module` is `http.client`. Of what is no response of its, status and headers alone.

    is_error: the program gets it as an exception, and need not read it.
    """
    is_known = isinstance(response, module.HTTPResponse)

    def wrap() -> bool:
        response.__dict__.update(
            _llmtrace_recorder=interceptor.StreamRecorder(call),
            _llmtrace_is_error=is_error,
            _llmtrace_is_within=False,
        )
        response.__class__ = _noted_class(type(response))
        return True

    status = getattr(response, "status", None) or getattr(response, "code", None) or 0
    interceptor.receive(
        call,
        int(status),
        response.headers,
        lambda: None if is_known and not response.isclosed() else b"",
        wrap=wrap,
    )


_classes: dict[type[Any], type[Any]] = {}


def _noted_class(base: type[Any]) -> type[Any]:
    known = _classes.get(base)
    if known is None:
        known = _classes[base] = _class_below(base)
    return known


def _class_below(base: Any) -> type[Any]:
    class NotedResponse(base):  # type: ignore[misc]  # what http.client or the application has
        _llmtrace_is_within: bool

        def read(self, *amount: Any) -> Any:
            return _passed(self, lambda: super(NotedResponse, self).read(*amount), bytes)

        def read1(self, *amount: Any) -> Any:
            return _passed(self, lambda: super(NotedResponse, self).read1(*amount), bytes)

        def readline(self, *limit: Any) -> Any:
            return _passed(self, lambda: super(NotedResponse, self).readline(*limit), bytes)

        def readinto(self, buffer: Any) -> Any:
            return _passed(
                self,
                lambda: super(NotedResponse, self).readinto(buffer),
                lambda count: bytes(memoryview(buffer).cast("B")[:count]),
            )

        def close(self) -> None:
            try:
                super().close()
            finally:
                self._llmtrace_recorder.ended(early=not self._llmtrace_is_error)

        def __del__(self) -> None:
            recorder = self.__dict__.get("_llmtrace_recorder")
            if recorder is not None:
                recorder.garbage_collected()
            super().__del__()

    NotedResponse.__name__, NotedResponse.__qualname__ = base.__name__, base.__qualname__
    NotedResponse.__module__ = base.__module__
    return NotedResponse


def _passed(response: Any, read: Callable[[], DataT], data: Callable[[DataT], bytes]) -> DataT:
    """What a reading gives, noted."""
    if response._llmtrace_is_within:  # a line of a chunked body is read by `read`
        return read()
    response._llmtrace_is_within = True
    try:
        with response._llmtrace_recorder:
            result = read()
    finally:
        response._llmtrace_is_within = False
    if result:
        response._llmtrace_recorder.add_chunk(data(result))
    if response.isclosed():
        response._llmtrace_recorder.ended(early=False)
    return result

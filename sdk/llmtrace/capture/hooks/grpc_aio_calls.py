"""The hook on the calls of `grpc.aio`: each is one on the wire, of an interceptor's attempts each."""

from __future__ import annotations

import functools
import inspect
import weakref
from collections.abc import Callable, Coroutine, Iterator, Sequence
from types import ModuleType
from typing import Any, Final

from llmtrace.capture import grpc_calls, interceptor
from llmtrace.capture.grpc_calls import GrpcCall, GrpcRequest
from llmtrace.internal_errors import swallow
from llmtrace.wire.grpc_methods import table

from .grpc_aio_channels import target_of

_ENDING: Final = swallow("ending a gRPC call")
_NEEDED: Final = frozenset({"channel", "method", "metadata", "request_serializer", "response_deserializer"})


def hooks(module: ModuleType) -> Iterator[tuple[type, str, Callable[[Any], Any]]]:
    """(class, method, what wraps it)."""
    for owner, streams_request, streams in (
        (module.UnaryUnaryCall, False, False),
        (module.UnaryStreamCall, False, True),
        (module.StreamUnaryCall, True, False),
        (module.StreamStreamCall, True, True),
    ):
        yield owner, "__init__", functools.partial(_init, streams_request=streams_request, streams=streams)


def _init(original: Callable[..., None], *, streams_request: bool, streams: bool) -> Callable[..., None]:
    names = tuple(inspect.signature(original).parameters)[1:]
    if not _NEEDED.issubset(names):
        raise TypeError(f"an unknown version of grpc.aio: a call is made of {', '.join(names)}")

    @functools.wraps(original)
    def __init__(self: Any, /, *args: Any, **kwargs: Any) -> None:
        call, arguments = _begin(names, args, kwargs, streams_request=streams_request, streams=streams)
        if not arguments:
            return original(self, *args, **kwargs)
        if call is None:  # not sampled: its headers say so
            return original(self, **arguments)
        watched = _Watched(call, streams=streams)
        arguments["response_deserializer"] = grpc_calls.noting_deserializer(
            arguments["response_deserializer"], watched.note
        )
        try:
            original(self, **arguments)
        except BaseException as error:
            with _ENDING:
                watched.recorder.finished(functools.partial(call.fail, error))
            raise
        with _ENDING:
            watched.watch(self)
        return None

    return __init__


def _begin(
    names: Sequence[str],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    streams_request: bool,
    streams: bool,
) -> tuple[GrpcCall | None, dict[str, Any]]:
    """(what is recorded, the arguments to call with; none where they stay as they are)."""
    with interceptor.BEGINNING:
        arguments: dict[str, Any] = {**dict(zip(names, args, strict=False)), **kwargs}
        path, deserializer = arguments["method"], arguments["response_deserializer"]
        message = None if streams_request else arguments["request"]
        known = table.find(path, message, deserializer)
        runtime = interceptor.recording() if known is not None else None
        if known is not None and runtime is not None:
            serializer, metadata = arguments["request_serializer"], arguments["metadata"]
            request = GrpcRequest(path, target_of(arguments["channel"]), metadata, message, serializer)
            call, arguments["metadata"] = grpc_calls.begin(known, runtime, request, metadata, deserializer)
            if call is not None:
                arguments["request_serializer"] = grpc_calls.noting_serializer(serializer, request)
            return call, arguments
    return None, {}


class _Watched:
    """Ends a call with its status, or when its object is garbage-collected.

    Of one answer gRPC has the status first, and parses it then.
    """

    def __init__(self, call: GrpcCall, *, streams: bool) -> None:
        self.recorder = interceptor.StreamRecorder(call)
        self._call = call
        self._streams = streams
        self._of: weakref.ref[Any] | None = None  # a reference would keep a stream that nobody reads open

    def watch(self, of: Any) -> None:
        """Have it ended when this call of gRPC's is over."""
        self._of = weakref.ref(of, lambda _: self.recorder.garbage_collected())
        of._cython_call.add_done_callback(self._done)

    def note(self, message: Any, serialized: bytes) -> None:
        """An answer was parsed."""
        if self._streams:
            self._call.note_message(message, serialized)
        else:
            self._call.note_answer(message, serialized)
            self._finish("OK", "")

    def _done(self) -> None:
        with _ENDING:
            of = None if self._of is None else self._of()
            if of is None:
                self.recorder.garbage_collected()
                return
            code = getattr(_at_once(of.code()), "name", "UNKNOWN")
            if code != "OK" or self._streams:
                self._finish(code, str(_at_once(of.details()) or ""))

    def _finish(self, code: str, details: str) -> None:
        self.recorder.finished(lambda: self._call.finish(code, details, streams=self._streams))


def _at_once(value: Coroutine[Any, Any, Any]) -> Any:
    """What a coroutine gives that has nothing to wait for."""
    try:
        value.send(None)
    except StopIteration as stop:
        return stop.value
    value.close()
    return None

"""The hook on gRPC's channels, where each call goes on the wire: below a program's interceptors.

Each call is made by a copy of the channel's method that notes the serialized messages as they pass. What the
caller gets is gRPC's own object; nothing stands between it and the caller.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from types import ModuleType, TracebackType
from typing import Any, Final

from llmtrace.capture import grpc_calls, interceptor
from llmtrace.capture.grpc_calls import GrpcCall, GrpcRequest
from llmtrace.internal_errors import swallow
from llmtrace.wire.grpc_methods import table

_ENDING: Final = swallow("ending a gRPC call")
_METADATA: Final = 2
_NOT_RECORDED: Final[AbstractContextManager[None]] = nullcontext()


def hooks(module: ModuleType) -> Iterator[tuple[type, str, Callable[[Any], Any]]]:
    """(class, method, what wraps it)."""
    for owner, names, streams_request, streams in (
        (module._UnaryUnaryMultiCallable, ("__call__", "with_call"), False, False),
        (module._StreamUnaryMultiCallable, ("__call__", "with_call"), True, False),
    ):
        for name in names:
            yield owner, name, functools.partial(_blocking, streams_request=streams_request)
        yield owner, "future", functools.partial(_open, streams_request=streams_request, streams=streams)
    for owner, streams_request in (
        (module._UnaryStreamMultiCallable, False),
        (module._StreamStreamMultiCallable, True),
    ):
        yield owner, "__call__", functools.partial(_open, streams_request=streams_request, streams=True)
    single_threaded = getattr(module, "_SingleThreadedUnaryStreamMultiCallable", None)
    if single_threaded is not None:  # an experiment of gRPC's
        yield single_threaded, "__call__", functools.partial(_open, streams=True, is_polled=True)


class _Blocking:
    """Around a call whose answer is waited for."""

    __slots__ = ("_call",)

    def __init__(self, call: GrpcCall) -> None:
        self._call = call

    def __enter__(self) -> None:
        """It was begun already."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with _ENDING:
            if error is None:
                self._call.finish("OK", "", streams=False)
            else:
                _fail(self._call, error, streams=False)


def _fail(call: GrpcCall, error: BaseException, *, streams: bool) -> None:
    """End it with the exception that the caller gets."""
    code = getattr(error, "code", None)
    named = getattr(code(), "name", None) if callable(code) else None
    if isinstance(named, str):
        call.finish(named, str(error.details() or ""), streams=streams)  # type: ignore[attr-defined]  # has a code
    else:
        call.fail(error)


def _begin(
    method: Any, args: tuple[Any, ...], kwargs: dict[str, Any], *, streams_request: bool, streams: bool
) -> tuple[GrpcCall | None, Any, list[Any], dict[str, Any]]:
    """(what is recorded, the method to call, its arguments)."""
    with interceptor.BEGINNING:
        name = "request_iterator" if streams_request else "request"
        asked = args[0] if args else kwargs[name]
        message = None if streams_request else asked
        known = table.find(method._method, message, method._response_deserializer)
        runtime = interceptor.recording() if known is not None else None
        if known is not None and runtime is not None:
            return _begun(known, runtime, method, message, args, kwargs, streams=streams)
    return None, method, [*args], kwargs


def _begun(
    known: Any,
    runtime: Any,
    method: Any,
    message: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    streams: bool,
) -> tuple[GrpcCall | None, Any, list[Any], dict[str, Any]]:
    positional = len(args) > _METADATA
    metadata = args[_METADATA] if positional else kwargs.get("metadata")
    serializer, deserializer = method._request_serializer, method._response_deserializer
    request = GrpcRequest(method._method, method._channel.target(), metadata, message, serializer)
    call, metadata = grpc_calls.begin(known, runtime, request, metadata, deserializer)
    if call is None:
        copied = method
    else:
        note = call.note_message if streams else call.note_answer
        copied = _copy(method)
        copied._request_serializer = grpc_calls.noting_serializer(serializer, request)
        copied._response_deserializer = grpc_calls.noting_deserializer(deserializer, note)
    if positional:
        return call, copied, [*args[:_METADATA], metadata, *args[_METADATA + 1 :]], kwargs
    return call, copied, [*args], {**kwargs, "metadata": metadata}


def _copy(method: Any) -> Any:
    """One more of it, for one call."""
    copied = object.__new__(type(method))
    for name in type(method).__slots__:
        setattr(copied, name, getattr(method, name))
    copied.__dict__.update(method.__dict__)
    return copied


def _blocking(original: Callable[..., Any], *, streams_request: bool) -> Callable[..., Any]:
    @functools.wraps(original)
    def blocking(method: Any, /, *args: Any, **kwargs: Any) -> Any:
        call, used, arguments, named = _begin(
            method, args, kwargs, streams_request=streams_request, streams=False
        )
        with _NOT_RECORDED if call is None else _Blocking(call):
            return original(used, *arguments, **named)

    return blocking


def _open(
    original: Callable[..., Any], *, streams: bool, streams_request: bool = False, is_polled: bool = False
) -> Callable[..., Any]:
    """For calls that go on after they return: streams and futures. is_polled: see `_watch`."""

    @functools.wraps(original)
    def opened(method: Any, /, *args: Any, **kwargs: Any) -> Any:
        call, used, arguments, named = _begin(
            method, args, kwargs, streams_request=streams_request, streams=streams
        )
        if call is None:
            return original(used, *arguments, **named)
        try:
            rendezvous = original(used, *arguments, **named)
        except BaseException as error:
            with _ENDING:
                _fail(call, error, streams=streams)
            raise
        with _ENDING:
            _watch(call, rendezvous, streams=streams, is_polled=is_polled)
        return rendezvous

    return opened


def _watch(call: GrpcCall, rendezvous: Any, *, streams: bool, is_polled: bool) -> None:
    """End the call when gRPC has its status. is_polled: no thread of gRPC's waits for that, so it may never
    come for an object that is garbage-collected.
    """
    recorder = interceptor.StreamRecorder(call)
    state = rendezvous._state  # the object itself would never be garbage-collected

    def terminated() -> None:
        with _ENDING:
            code, details = getattr(state.code, "name", "UNKNOWN"), state.details
            recorder.finished(lambda: call.finish(code, _text(details), streams=streams))

    if not rendezvous.add_callback(terminated):
        terminated()
    elif is_polled:
        weakref.finalize(rendezvous, recorder.garbage_collected).atexit = False


def _text(details: Any) -> str:
    return details.decode(errors="replace") if isinstance(details, bytes) else str(details or "")

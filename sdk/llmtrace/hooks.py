"""The hook on `send` of httpx and httpx2 clients, sync and async.

A request that is an LLM call by its shape gets a span and a `traceparent` header; every other request passes
untouched, but for the HTTP spans of `llmtrace.http`. A library that is imported later is hooked then.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from contextlib import suppress
from contextvars import Token
from types import ModuleType
from typing import Any, Final

import wrapt
from opentelemetry import baggage
from opentelemetry import context as otel_context
from opentelemetry.context import _SUPPRESS_HTTP_INSTRUMENTATION_KEY as SUPPRESS_HTTP
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, set_span_in_context

from . import guard, http, propagation, wire
from .call import Call
from .runtime_type import Runtime
from .streams import StreamTypes, stream_types

_LIBRARIES: Final = ("httpx", "httpx2")
_METHODS: Final = ("POST", "GET")
_INSIDE: Final = otel_context.create_key("llmtrace-inside")
_watching = False
_hooked: list[tuple[Any, Any]] = []


def _running() -> Runtime | None:
    """What is running; `install` puts the real one here."""
    return None


def install(running: Callable[[], Runtime | None]) -> None:
    """Hook both libraries, now if they are imported, else when they are."""
    global _running, _watching
    _running = running
    if not _watching:
        _watching = True
        for name in _LIBRARIES:
            wrapt.register_post_import_hook(_hook, name)
    elif not _hooked:
        for name in _LIBRARIES:
            if name in sys.modules:
                _hook(sys.modules[name])


def remove() -> None:
    """Take the hooks off, but where somebody has put another one on top: that one needs ours below it."""
    while _hooked:
        owner, ours = _hooked.pop()
        if owner.__dict__.get("send") is ours:
            owner.send = ours.__wrapped__


def _hook(module: ModuleType) -> None:
    if _running() is None:
        return  # disabled before the library was imported
    try:
        streams = stream_types(module)
        for owner, wrapped in ((module.Client, _sync), (module.AsyncClient, _async)):
            if not getattr(owner.send, "_llmtrace", False):
                owner.send = wrapped(owner.send, module, streams)
                owner.send._llmtrace = True
            _hooked.append((owner, owner.send))
    except Exception as error:  # noqa: BLE001  # the guard: an unknown version of the library
        guard.report(f"hooking {module.__name__}", error)


def _sync(original: Callable[..., Any], module: ModuleType, streams: StreamTypes) -> Callable[..., Any]:
    @functools.wraps(original)
    def send(client: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        call, token = _begin(module, request)
        if call is None:
            try:
                return original(client, request, *args, **kwargs)
            finally:
                _leave(token)
        try:
            response = original(client, request, *args, **kwargs)
        except BaseException as error:
            _fail(call, error)
            raise
        finally:
            _leave(token)
        _receive(call, response, kwargs.get("stream", False), streams.sync)
        return response

    return send


def _async(original: Callable[..., Any], module: ModuleType, streams: StreamTypes) -> Callable[..., Any]:
    @functools.wraps(original)
    async def send(client: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        call, token = _begin(module, request)
        if call is None:
            try:
                return await original(client, request, *args, **kwargs)
            finally:
                _leave(token)
        try:
            response = await original(client, request, *args, **kwargs)
        except BaseException as error:
            _fail(call, error)
            raise
        finally:
            _leave(token)
        _receive(call, response, kwargs.get("stream", False), streams.asynchronous)
        return response

    return send


def _begin(module: ModuleType, request: Any) -> tuple[Call | None, Token[Context] | None]:
    """The call if this is one that is recorded, and what to leave when the request was sent.

    Never raises outside strict mode.
    """
    runtime = _running()
    if runtime is None or _is_inside():
        return None, None
    try:
        if request.method in _METHODS:
            path = request.url.raw_path.decode("ascii").partition("?")[0]
            body = _body(request)
            found = wire.recognise(path, body, request.method)
            if found is not None:
                if runtime.config.http_spans == "all":
                    http.install(runtime)
                call = Call(runtime, found, module, request, path, body)
                _propagate(runtime, call, request)
                return call if call.span.recording else None, _enter(call)
        return None, http.other_call(runtime, request)
    except Exception as error:  # noqa: BLE001  # the guard
        guard.report("beginning a call", error)
    return None, None


def _is_inside() -> bool:
    """Within another call (a transport that sends by another client), or where nothing is to be traced."""
    around = otel_context.get_current()
    return _INSIDE in around or bool(around.get("suppress_instrumentation"))


def _body(request: Any) -> bytes:
    # A streamed upload has no `_content`, and reading it here would change what is sent.
    content = request.__dict__.get("_content")
    return content if isinstance(content, bytes) else b""


def _propagate(runtime: Runtime, call: Call, request: Any) -> None:
    put = request.headers.__setitem__
    propagation.put_trace(call.span.context, put)
    propagation.put_baggage(runtime.config, request.url.host, put)


def _enter(call: Call) -> Token[Context]:
    """While it is sent: the HTTP instrumentation keeps quiet, or hangs its span below ours."""
    inside = otel_context.set_value(_INSIDE, True)
    if call.http_spans_too:
        inside = baggage.clear(set_span_in_context(NonRecordingSpan(call.span.context), inside))
    else:
        inside = otel_context.set_value(SUPPRESS_HTTP, True, inside)
    return otel_context.attach(inside)


def _leave(token: Token[Context] | None) -> None:
    if token is not None:
        otel_context.detach(token)


def _fail(call: Call, error: BaseException) -> None:
    try:
        call.fail(error)
    except Exception as ours:  # noqa: BLE001  # the guard
        guard.report("noting a failed call", ours)


def _receive(call: Call, response: Any, stream: bool, wrapper: type[Any]) -> None:
    try:
        # Read already when the caller did not ask for a stream, or the transport had it whole.
        if not stream or response.is_stream_consumed:
            call.receive(response, response.content)
        else:
            call.receive(response, None)
            response.stream = wrapper(response.stream, call)
    except Exception as error:  # noqa: BLE001  # the guard
        with suppress(Exception):  # the first failure is the one to report
            call.end()
        guard.report("receiving a response", error)

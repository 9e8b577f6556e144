"""The hook on `send` of httpx and httpx2 clients, sync and async.

A request that is an LLM call by its shape gets a span and a `traceparent` header; every other request passes
untouched, but for the HTTP spans of `llmtrace.http`. A library that is imported later is hooked then.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import suppress
from contextvars import Token
from types import ModuleType
from typing import Any, Final

import wrapt
from opentelemetry import context as otel_context
from opentelemetry.context import _SUPPRESS_HTTP_INSTRUMENTATION_KEY as SUPPRESS_HTTP
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, set_span_in_context

from . import guard, http, wire
from .call import Call
from .runtime_type import Runtime
from .streams import StreamTypes, stream_types

_LIBRARIES: Final = ("httpx", "httpx2")
_METHODS: Final = ("POST", "GET")
_watching = False


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


def _hook(module: ModuleType) -> None:
    try:
        streams = stream_types(module)
        module.Client.send = _sync(module.Client.send, module, streams)
        module.AsyncClient.send = _async(module.AsyncClient.send, module, streams)
    except Exception as error:  # noqa: BLE001  # the guard: an unknown version of the library
        guard.report(f"hooking {module.__name__}", error)


def _sync(original: Callable[..., Any], module: ModuleType, streams: StreamTypes) -> Callable[..., Any]:
    @functools.wraps(original)
    def send(client: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        call = _begin(module, request)
        if call is None:
            return original(client, request, *args, **kwargs)
        token = _enter(call)
        try:
            response = original(client, request, *args, **kwargs)
        except BaseException as error:
            _fail(call, error)
            raise
        finally:
            otel_context.detach(token)
        _receive(call, response, kwargs.get("stream", False), streams.sync)
        return response

    return send


def _async(original: Callable[..., Any], module: ModuleType, streams: StreamTypes) -> Callable[..., Any]:
    @functools.wraps(original)
    async def send(client: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        call = _begin(module, request)
        if call is None:
            return await original(client, request, *args, **kwargs)
        token = _enter(call)
        try:
            response = await original(client, request, *args, **kwargs)
        except BaseException as error:
            _fail(call, error)
            raise
        finally:
            otel_context.detach(token)
        _receive(call, response, kwargs.get("stream", False), streams.asynchronous)
        return response

    return send


def _begin(module: ModuleType, request: Any) -> Call | None:
    """The call if this is one that is recorded. Never raises outside strict mode."""
    runtime = _running()
    if runtime is None:
        return None
    try:
        if request.method in _METHODS:
            path = request.url.raw_path.decode("ascii").partition("?")[0]
            body = _body(request)
            found = wire.recognise(path, body, request.method)
            if found is not None:
                if runtime.config.http_spans == "all":
                    http.install(runtime)
                call = Call(runtime, found, module, request, path, body)
                _propagate(call, request)
                return call if call.span.recording else None
        http.other_call(runtime, request)
    except Exception as error:  # noqa: BLE001  # the guard
        guard.report("beginning a call", error)
    return None


def _body(request: Any) -> bytes:
    # A streamed upload has no `_content`, and reading it here would change what is sent.
    content = request.__dict__.get("_content")
    return content if isinstance(content, bytes) else b""


def _propagate(call: Call, request: Any) -> None:
    ids = call.span.context
    request.headers["traceparent"] = f"00-{ids.trace_id:032x}-{ids.span_id:016x}-{ids.trace_flags:02x}"
    if ids.trace_state:
        request.headers["tracestate"] = ids.trace_state.to_header()


def _enter(call: Call) -> Token[Context]:
    """While it is sent: the HTTP instrumentation keeps quiet, or hangs its span below ours."""
    if call.http_spans_too:
        return otel_context.attach(set_span_in_context(NonRecordingSpan(call.span.context)))
    return otel_context.attach(otel_context.set_value(SUPPRESS_HTTP, True))


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

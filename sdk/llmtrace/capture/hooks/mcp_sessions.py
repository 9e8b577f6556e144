"""The hooks on the `mcp` package: requests that a client or a server sends, and those that a server handles.

Its second version makes spans of its own; where ours are made, they take their place.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

import wrapt
from opentelemetry import trace

from llmtrace.capture import interceptor, mcp_steps

if TYPE_CHECKING:
    _Proxy = wrapt.ObjectProxy[Any]
else:  # which takes no argument before wrapt 2
    _Proxy = wrapt.ObjectProxy

_sending: ContextVar[trace.Span | None] = ContextVar("llmtrace-mcp-request", default=None)
_DISPATCHER: Final = "mcp.shared.jsonrpc_dispatcher"


def hooks(module: ModuleType) -> Iterator[tuple[Any, str, Callable[[Any], Any]]]:
    """(class or module, function, what wraps it), by what the version of the package has."""
    name = module.__name__
    if name == "mcp.shared.session":
        yield module.BaseSession, "send_request", _send_request
    elif name == _DISPATCHER:
        yield module.JSONRPCDispatcher, "send_raw_request", _send_raw_request
        yield module, "otel_span", _otel_span
    elif name == "mcp.server._otel":
        yield module.OpenTelemetryMiddleware, "__call__", _middleware
    elif hasattr(module.Server, "_handle_request"):
        yield module.Server, "_handle_request", _handle_request


class _WithContext(_Proxy):
    """A request whose JSON has the context in `_meta`."""

    def __init__(self, request: Any, headers: Mapping[str, str]) -> None:
        super().__init__(request)
        self._self_headers = headers

    def model_dump(self, *args: Any, **kwargs: Any) -> Any:
        data = self.__wrapped__.model_dump(*args, **kwargs)
        params = data["params"] = dict(data.get("params") or {})
        params["_meta"] = {**(params.get("_meta") or {}), **self._self_headers}
        return data


def _client_step(method: str, params: Any, request_id: Any = None) -> mcp_steps.McpStep | None:
    with interceptor.BEGINNING:
        runtime = interceptor.recording()
        if runtime is not None:
            return mcp_steps.client_step(runtime, method, params, request_id)
    return None


def _server_step(method: str, *known: Any) -> mcp_steps.McpStep | None:
    with interceptor.BEGINNING:
        runtime = interceptor.recording()
        if runtime is not None:
            return mcp_steps.server_step(runtime, method, *known)
    return None


def _send_request(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def send_request(session: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        inner = getattr(request, "root", request)
        request_id = getattr(session, "_request_id", None)
        step = _client_step(str(inner.method), getattr(inner, "params", None), request_id)
        if step is None:
            return await original(session, request, *args, **kwargs)
        with step:
            result = await original(session, _WithContext(request, step.headers()), *args, **kwargs)
            step.note_result(result)
        return result

    return send_request


def _send_raw_request(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def send_raw_request(dispatcher: Any, method: str, params: Any, *args: Any, **kwargs: Any) -> Any:
        step = _client_step(method, params)
        if step is None:
            return await original(dispatcher, method, params, *args, **kwargs)
        token = _sending.set(step.span)
        try:
            with step:
                result = await original(dispatcher, method, params, *args, **kwargs)
                step.note_result(result)
        finally:
            _sending.reset(token)
        return result

    return send_raw_request


def _otel_span(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def otel_span(name: str, **options: Any) -> AbstractContextManager[trace.Span]:
        span = _sending.get()
        if span is None or span is not trace.get_current_span():
            spanned: AbstractContextManager[trace.Span] = original(name, **options)
            return spanned
        return _same(span, options.get("attributes"))

    return otel_span


@contextmanager
def _same(span: trace.Span, attributes: Mapping[str, Any] | None) -> Iterator[trace.Span]:
    """The span that is open already, with what the package knows of the request."""
    span.set_attributes(dict(attributes or {}))
    yield span


def _middleware(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def handle(middleware: Any, request: Any, call_next: Callable[[Any], Any]) -> Any:
        request_id = request.request_id
        if request_id is None and interceptor.recording() is not None:
            return await call_next(request)  # a notification would be a trace of its own
        known = request.params, request.meta, request_id, request.protocol_version
        step = _server_step(request.method, *known)
        if step is None:
            return await original(middleware, request, call_next)
        with step:
            result = await call_next(request)
            step.note_result(result)
        return result

    return handle


def _handle_request(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def handle_request(server: Any, message: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        params = getattr(request, "params", None)
        step = _server_step(
            str(request.method), params, getattr(params, "meta", None), getattr(message, "request_id", None)
        )
        if step is None:
            return await original(server, message, request, *args, **kwargs)
        respond = message.respond

        async def noting(response: Any) -> Any:
            if hasattr(response, "code") and hasattr(response, "message"):
                step.note_failure(response.code, response.message)
            else:
                step.note_result(response)
            return await respond(response)

        message.respond = noting
        try:
            with step:
                return await original(server, message, request, *args, **kwargs)
        finally:
            message.__dict__.pop("respond", None)

    return handle_request

"""The hook on `send` of httpx and httpx2 clients, sync and async, and on the transports below it for the
libraries that hand their requests to these directly (Pinecone's).

A request that is an LLM call by its shape gets a span and a `traceparent` header; every other request passes
untouched, but for the HTTP spans of `capture.other_http`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any

from llmtrace import clock
from llmtrace.capture import interceptor, other_http, streamed_request
from llmtrace.capture.call import CapturedRequest, LlmCall
from llmtrace.capture.runtime import Runtime
from llmtrace.wire import registry
from llmtrace.wire.format import UNDETERMINED, WireFormat

from .httpx_streams import StreamTypes, stream_types


def hooks(module: ModuleType) -> Iterator[tuple[type, str, Callable[[Any], Any]]]:
    """(class, method, what wraps it)."""
    streams = stream_types(module)
    yield module.Client, "send", lambda original: _sync(original, streams)
    yield module.AsyncClient, "send", lambda original: _async(original, streams)
    transports: tuple[other_http.Hook, ...] = (
        (module.HTTPTransport, "handle_request", lambda original: _transport(original, streams)),
        (
            module.AsyncHTTPTransport,
            "handle_async_request",
            lambda original: _async_transport(original, streams),
        ),
    )
    other_http.above_instrumentation[module.__name__] = transports
    yield from transports


class _HttpxRequest:
    """See `call.CapturedRequest`."""

    __slots__ = ("_url", "body", "headers", "path")

    def __init__(self, request: Any, path: str, body: bytes) -> None:
        self._url = request.url
        self.headers: Mapping[str, str] = request.headers
        self.path = path
        self.body = body

    def address(self) -> tuple[str, int]:
        url = self._url
        return url.host, url.port or (443 if url.scheme == "https" else 80)


def _sync(original: Callable[..., Any], streams: StreamTypes) -> Callable[..., Any]:
    splits = _takes_stream(original)

    @functools.wraps(original)
    def send(client: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        sent = _begin(request, streams)
        if sent.call is None:
            with sent:
                return original(client, request, *args, **kwargs)
        stream, head_at = kwargs.get("stream", False), None
        with sent:
            if stream or not splits:
                response = original(client, request, *args, **kwargs)
            else:
                # What `send` does itself then, with the time in between.
                response = original(client, request, *args, **{**kwargs, "stream": True})
                head_at = clock.perf_counter()
                try:
                    response.read()
                except BaseException:
                    response.close()
                    raise
        _receive(sent.call, response, stream, streams.sync, head_at)
        return response

    return send


def _async(original: Callable[..., Any], streams: StreamTypes) -> Callable[..., Any]:
    splits = _takes_stream(original)

    @functools.wraps(original)
    async def send(client: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        sent = _begin(request, streams)
        if sent.call is None:
            with sent:
                return await original(client, request, *args, **kwargs)
        stream, head_at = kwargs.get("stream", False), None
        with sent:
            if stream or not splits:
                response = await original(client, request, *args, **kwargs)
            else:
                response = await original(client, request, *args, **{**kwargs, "stream": True})
                head_at = clock.perf_counter()
                try:
                    await response.aread()
                except BaseException:
                    await response.aclose()
                    raise
        _receive(sent.call, response, stream, streams.asynchronous, head_at)
        return response

    return send


def _transport(original: Callable[..., Any], streams: StreamTypes) -> Callable[..., Any]:
    @functools.wraps(original)
    def handle_request(transport: Any, request: Any) -> Any:
        sent = _begin_below(request, streams)
        with sent:
            response = original(transport, request)
        if sent.call is not None:
            _receive(sent.call, response, True, streams.sync, None)
        return response

    return handle_request


def _async_transport(original: Callable[..., Any], streams: StreamTypes) -> Callable[..., Any]:
    @functools.wraps(original)
    async def handle_async_request(transport: Any, request: Any) -> Any:
        sent = _begin_below(request, streams)
        with sent:
            response = await original(transport, request)
        if sent.call is not None:
            _receive(sent.call, response, True, streams.asynchronous, None)
        return response

    return handle_async_request


def _begin_below(request: Any, streams: StreamTypes) -> interceptor.SentRequest:
    """A call that no client's `send` has begun."""
    with interceptor.BEGINNING:
        runtime = interceptor.recording()
        if runtime is not None and request.method in interceptor.METHODS:
            path = request.url.raw_path.decode("ascii").partition("?")[0]
            return _begin_call(runtime, request, path, streams) or interceptor.NOTHING
    return interceptor.NOTHING


def _takes_stream(send: Callable[..., Any]) -> bool:
    """Whether `send` is the library's own, and so takes `stream`: an application's stand-in may not."""
    return (send.__module__ or "").partition(".")[0] in {"httpx", "httpx2"}


def _begin(request: Any, streams: StreamTypes) -> interceptor.SentRequest:
    with interceptor.BEGINNING:
        runtime = interceptor.recording()
        if runtime is None:
            return interceptor.NOTHING
        if request.method in interceptor.METHODS:
            path = request.url.raw_path.decode("ascii").partition("?")[0]
            begun = _begin_call(runtime, request, path, streams)
            if begun is not None:
                return begun.within(other_http.other_call(runtime, request)) if begun.is_open else begun
        return interceptor.SentRequest(None, other_http.other_call(runtime, request))
    return interceptor.NOTHING


def _begin_call(
    runtime: Runtime, request: Any, path: str, streams: StreamTypes
) -> interceptor.SentRequest | None:
    # A streamed upload has no `_content`, and reading it here would change what is sent.
    content = request.__dict__.get("_content")
    captured: CapturedRequest
    if isinstance(content, bytes):
        recognised = interceptor.recognised_body(request.method, path, content)
        if recognised is None:
            return None
        wire_format, body = recognised
        captured = _HttpxRequest(request, path, body)
    elif (sent_later := _sent_later(request, path)) is not None:
        wire_format, streamed = sent_later, streamed_request.StreamedBody()
        captured = streamed_request.StreamedRequest(_HttpxRequest(request, path, b""), streamed)
        request.stream = streams.sent(request.stream, streamed)
    else:
        recognised = interceptor.recognised_body(request.method, path, b"")
        if recognised is None:
            return None
        wire_format, captured = recognised[0], _HttpxRequest(request, path, b"")
    set_header = request.headers.__setitem__
    return interceptor.begin(runtime, wire_format, captured, lambda: str(request.url.host), set_header)


def _sent_later(request: Any, path: str) -> WireFormat | None:
    """What a request whose body is not there yet may be; of a form its path says it."""
    if not streamed_request.may_be_call(request.method, path):
        return None
    is_form = str(request.headers.get("content-type", "")).startswith("multipart/")
    return registry.recognise_form(path) if is_form else UNDETERMINED


def _receive(call: LlmCall, response: Any, stream: bool, wrapper: type[Any], head_at: float | None) -> None:
    # Read already when the caller did not ask for a stream, or the transport had it whole.
    wrapped = interceptor.receive(
        call,
        response.status_code,
        response.headers,
        lambda: response.content if not stream or response.is_stream_consumed else None,
        wrap=lambda: wrapper(response.stream, call),
        head_at=head_at,
    )
    if wrapped is not None:
        response.stream = wrapped

"""The hook on aiohttp's client sessions. Requests that are not LLM calls pass untouched."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterable, Awaitable, Callable, Iterator, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

import wrapt

from llmtrace.capture import interceptor, streamed_request
from llmtrace.capture.call import CapturedRequest, LlmCall
from llmtrace.capture.runtime import Runtime
from llmtrace.wire import registry
from llmtrace.wire.format import UNDETERMINED

from . import aiohttp_forms, aiohttp_websockets

if TYPE_CHECKING:
    _Proxy = wrapt.ObjectProxy[Any]
else:  # which takes no argument before wrapt 2
    _Proxy = wrapt.ObjectProxy


def hooks(module: ModuleType) -> Iterator[tuple[type, str, Callable[[Any], Any]]]:
    """(class, method, what wraps it)."""
    yield module.ClientSession, "_request", lambda original: _request(original, module)
    for name in ("close", "release"):
        yield module.ClientResponse, name, _closing
    yield from aiohttp_websockets.hooks(module)


class _AiohttpRequest:
    """See `call.CapturedRequest`."""

    __slots__ = ("_url", "body", "headers", "path")

    def __init__(self, url: Any, headers: Mapping[str, str], path: str, body: bytes) -> None:
        self._url = url
        self.headers = headers
        self.path = path
        self.body = body

    def address(self) -> tuple[str, int]:
        return str(self._url.host), int(self._url.port or 80)


def _request(original: Callable[..., Any], module: ModuleType) -> Callable[..., Any]:
    @functools.wraps(original)
    async def request(session: Any, method: str, str_or_url: Any, **kwargs: Any) -> Any:
        sent = interceptor.NOTHING
        with interceptor.BEGINNING:
            runtime = interceptor.recording()
            if runtime is not None:
                sent = _begin(module, runtime, session, method, str_or_url, kwargs)
        call = sent.call
        with sent:
            response = await original(session, method, str_or_url, **kwargs)
        if call is not None:
            decoded = kwargs.get("auto_decompress")
            decoded = getattr(session, "auto_decompress", True) if decoded is None else decoded
            content = interceptor.receive(
                call,
                response.status,
                response.headers,
                lambda: None,
                wrap=lambda: _Content(response.content, call),
                encoded=not decoded,
            )
            if content is not None:
                response.content = content
        return response

    return request


def _begin(
    module: ModuleType, runtime: Runtime, session: Any, method: str, target: Any, kwargs: dict[str, Any]
) -> interceptor.SentRequest:
    """Begin a call; its headers, and its body where it had to be serialized to be read, go into `kwargs`."""
    if method.upper() not in interceptor.METHODS:
        return interceptor.NOTHING
    url = session._build_url(target)
    json, data = kwargs.get("json"), kwargs.get("data")
    payload = None
    if json is not None and data is None:
        # What aiohttp itself would make of it, made a little earlier.
        payload = module.JsonPayload(json, dumps=session.json_serialize)
        data = payload._value
    if isinstance(data, module.payload.BytesPayload):
        data = data._value
    recognised = interceptor.recognised(method.upper(), url.raw_path, data)
    streamed: streamed_request.StreamedBody | None = None
    form = None
    # A file stays as it is: its length goes with it.
    if (
        recognised is None
        and isinstance(data, AsyncIterable)
        and not isinstance(data, module.payload.Payload)
        and streamed_request.may_be_call(method.upper(), url.raw_path)
    ):
        streamed = streamed_request.StreamedBody()
        pieces = data.iter_any() if isinstance(data, module.StreamReader) else data
        kwargs["data"] = streamed.noted_async(pieces)
    elif recognised is None and (form := aiohttp_forms.writer(module, method, url.raw_path, data)):
        kwargs["data"] = form
        streamed = streamed_request.StreamedBody()
        aiohttp_forms.note(form, streamed)
    if recognised is None and streamed is None:
        if payload is not None and getattr(session, "_json_serialize_bytes", None) is None:
            kwargs["json"], kwargs["data"] = None, payload
        return interceptor.NOTHING
    headers = session._prepare_headers(kwargs.get("headers"))
    sent_later = None if form is None else registry.recognise_form(url.raw_path)
    wire_format, path, body = recognised or (sent_later or UNDETERMINED, url.raw_path, b"")
    captured: CapturedRequest = _AiohttpRequest(url, headers, path, body)
    if streamed is not None:
        captured = streamed_request.StreamedRequest(captured, streamed)
    sent = interceptor.begin(runtime, wire_format, captured, lambda: str(url.host), headers.__setitem__)
    kwargs["headers"] = {
        **dict(kwargs.get("headers") or {}),
        **{name: headers[name] for name in ("traceparent", "tracestate", "baggage") if name in headers},
    }
    if payload is not None and getattr(session, "_json_serialize_bytes", None) is None:
        kwargs["json"], kwargs["data"] = None, payload
    return sent


def _closing(original: Callable[..., Any]) -> Callable[..., Any]:
    """Closing or releasing a response before its end is leaving it."""

    @functools.wraps(original)
    def close(response: Any) -> Any:
        content = response.content
        try:
            return original(response)
        finally:
            if type(content) is _Content:
                content._self_recorder.ended(early=True)

    return close


class _Content(_Proxy):
    """A body whose pieces are noted as they are read, in whichever way."""

    def __init__(self, content: Any, call: LlmCall) -> None:
        super().__init__(content)
        self._self_recorder = interceptor.StreamRecorder(call)

    async def read(self, n: int = -1) -> bytes:
        return await self._self_passing(self.__wrapped__.read(n))

    async def readany(self) -> bytes:
        return await self._self_passing(self.__wrapped__.readany())

    async def readline(self, *args: Any, **kwargs: Any) -> bytes:
        return await self._self_passing(self.__wrapped__.readline(*args, **kwargs))

    async def readuntil(self, *args: Any, **kwargs: Any) -> bytes:
        return await self._self_passing(self.__wrapped__.readuntil(*args, **kwargs))

    async def readexactly(self, n: int) -> bytes:
        return await self._self_passing(self.__wrapped__.readexactly(n))

    async def readchunk(self) -> tuple[bytes, bool]:
        with self._self_recorder:
            data, end = await self.__wrapped__.readchunk()
        self._self_note(data)
        return data, end

    def read_nowait(self, n: int = -1) -> bytes:
        data: bytes = self.__wrapped__.read_nowait(n)
        self._self_note(data)
        return data

    # aiohttp's own iterators, by way of the methods above.
    def __aiter__(self) -> Any:
        return type(self.__wrapped__).__aiter__(self)

    def iter_any(self) -> Any:
        return type(self.__wrapped__).iter_any(self)

    def iter_chunked(self, n: int) -> Any:
        return type(self.__wrapped__).iter_chunked(self, n)

    def iter_chunks(self) -> Any:
        return type(self.__wrapped__).iter_chunks(self)

    def __del__(self) -> None:
        self._self_recorder.garbage_collected()

    async def _self_passing(self, reading: Awaitable[bytes]) -> bytes:
        with self._self_recorder:
            data = await reading
        self._self_note(data)
        return data

    def _self_note(self, data: bytes) -> None:
        if data:
            self._self_recorder.add_chunk(data)
        if self.__wrapped__.at_eof():
            self._self_recorder.ended(early=False)

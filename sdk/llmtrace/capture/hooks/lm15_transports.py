"""The hook on the transports of lm15, by which DSPy sends: HTTP on sockets, with no library below."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from types import ModuleType
from typing import Any

from llmtrace.capture import interceptor
from llmtrace.capture.call import LlmCall

from .plain_request import LowerCaseHeaders, PlainRequest, address_of


def hooks(module: ModuleType) -> Iterator[tuple[type, str, Callable[[Any], Any]]]:
    """(class, method, what wraps it)."""
    yield module.StdlibTransport, "stream", _stream
    yield module.StdlibAsyncTransport, "_do_stream", _do_stream


def _begin(request: Any) -> tuple[interceptor.SentRequest, Any]:
    """(what is sent, the request to send): a copy of the caller's, with the headers."""
    with interceptor.BEGINNING:
        runtime = interceptor.recording()
        recognised = (
            None if runtime is None else interceptor.recognised(request.method, request.url, request.body)
        )
        if runtime is not None and recognised is not None:
            wire_format, path, body = recognised
            address = address_of(request.url)
            captured = PlainRequest(address, request.headers, path, body)
            headers = list(request.headers)
            sent = interceptor.begin(
                runtime, wire_format, captured, lambda: address[0], lambda *header: headers.append(header)
            )
            return sent, replace(request, headers=headers)
    return interceptor.NOTHING, request


def _stream(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def stream(transport: Any, request: Any) -> Any:
        sent, request = _begin(request)
        with sent:
            response = original(transport, request)
        if sent.call is not None:
            _receive(sent.call, response, _Pieces)
        return response

    return stream


def _do_stream(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def do_stream(transport: Any, request: Any) -> Any:
        sent, request = _begin(request)
        with sent:
            response = await original(transport, request)
        if sent.call is not None:
            _receive(sent.call, response, _AsyncPieces)
        return response

    return do_stream


def _receive(call: LlmCall, response: Any, pieces: type[Any]) -> None:
    wrapped = interceptor.receive(
        call,
        response.status,
        LowerCaseHeaders(response.headers),
        lambda: None,
        wrap=lambda: pieces(response, call),
    )
    if wrapped is not None:
        response._chunks = wrapped
        response._release = wrapped.released


class _Noted:
    """What both wrappers of a body share. The response hands its connection back when it is over or left."""

    def __init__(self, response: Any, call: LlmCall) -> None:
        self._chunks = response._chunks
        self._release = response._release
        self._recorder = interceptor.StreamRecorder(call)

    def released(self, body_consumed: bool) -> Any:
        """In place of what hands the connection back."""
        self._recorder.ended(early=not body_consumed)
        return self._release(body_consumed)

    def __del__(self) -> None:
        self._recorder.garbage_collected()


class _Pieces(_Noted):
    def __iter__(self) -> Iterator[bytes]:
        with self._recorder:
            for chunk in self._chunks:
                self._recorder.add_chunk(chunk)
                yield chunk


class _AsyncPieces(_Noted):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        with self._recorder:
            async for chunk in self._chunks:
                self._recorder.add_chunk(chunk)
                yield chunk

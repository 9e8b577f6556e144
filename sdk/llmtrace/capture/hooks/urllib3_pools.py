"""The hook on urllib3's connection pools, through which requests and botocore send as well.

Requests that are not LLM calls pass untouched.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, Self

import wrapt
from urllib3.util.response import is_fp_closed

from llmtrace.capture import interceptor, streamed_request
from llmtrace.capture.call import CapturedRequest, LlmCall
from llmtrace.capture.runtime import Runtime
from llmtrace.internal_errors import swallow
from llmtrace.wire.format import UNDETERMINED

from .http_client_responses import head_at
from .plain_request import address_of

if TYPE_CHECKING:
    _Proxy = wrapt.ObjectProxy[Any]
else:  # which takes no argument before wrapt 2
    _Proxy = wrapt.ObjectProxy

_NOTED_HEAD: Final = swallow("reading when a head came")


def hooks(module: ModuleType) -> Iterator[tuple[type, str, Callable[[Any], Any]]]:
    """(class, method, what wraps it)."""
    yield module.HTTPConnectionPool, "urlopen", lambda original: _wrapped(original, module)


def _texts(headers: Mapping[Any, Any]) -> Iterator[tuple[str, str]]:
    """Botocore writes some values as bytes, which urllib3 sends but cannot look up."""
    for name, value in headers.items():
        yield name, value.decode("latin-1") if isinstance(value, bytes) else value


class _Urllib3Request:
    """See `call.CapturedRequest`."""

    __slots__ = ("_pool", "_target", "body", "headers", "path")

    def __init__(self, pool: Any, target: str, headers: Mapping[str, str], path: str, body: bytes) -> None:
        self._pool = pool
        self._target = target
        self.headers = headers
        self.path = path
        self.body = body

    def address(self) -> tuple[str, int]:
        if "://" in self._target:  # the pool is a proxy's
            return address_of(self._target)
        pool = self._pool
        return str(pool.host), pool.port or (443 if pool.scheme == "https" else 80)


def _wrapped(original: Callable[..., Any], module: ModuleType) -> Callable[..., Any]:
    signature = inspect.signature(original)
    # urllib3 1 has it in a module of its own alone.
    header_dict = getattr(module, "HTTPHeaderDict", None) or module._collections.HTTPHeaderDict

    @functools.wraps(original)
    def urlopen(pool: Any, *args: Any, **kwargs: Any) -> Any:
        sent = interceptor.NOTHING
        with interceptor.BEGINNING:
            runtime = interceptor.recording()
            if runtime is not None:
                arguments = signature.bind(pool, *args, **kwargs).arguments
                sent = _begin(header_dict, runtime, pool, arguments)
            if sent is not interceptor.NOTHING:
                args = arguments["method"], arguments["url"]
                kwargs = {
                    name: arguments[name] for name in list(signature.parameters)[3:] if name in arguments
                }
                kwargs |= kwargs.pop("response_kw", {})
        with sent:
            response = original(pool, *args, **kwargs)
        if sent.call is None:
            return response
        # Of these urllib3 1 knows some as further keywords alone.
        return _received(sent.call, response, {**arguments, **arguments.get("response_kw", {})})

    return urlopen


def _begin(
    header_dict: Callable[..., Any], runtime: Runtime, pool: Any, arguments: dict[str, Any]
) -> interceptor.SentRequest:
    """Begin a call; its headers, and its body where it is noted while it is sent, go into `arguments`."""
    method, target, body = arguments["method"], arguments["url"], arguments.get("body")
    recognised = interceptor.recognised(method, target, body)
    streamed = None
    if recognised is None:
        path = interceptor.path_of(target)
        streamed = streamed_request.noted(body) if streamed_request.may_be_call(method, path) else None
        if streamed is None:
            return interceptor.NOTHING
        arguments["body"] = streamed[0]
        recognised = UNDETERMINED, path, b""
    headers = arguments.get("headers")
    # A copy: the caller's own headers stay as they are.
    copied = header_dict(_texts(pool.headers if headers is None else headers))
    arguments["headers"] = copied
    wire_format, path, content = recognised
    captured: CapturedRequest = _Urllib3Request(pool, target, copied, path, content)
    if streamed is not None:
        captured = streamed_request.StreamedRequest(captured, streamed[1])
    return interceptor.begin(
        runtime, wire_format, captured, lambda: captured.address()[0], copied.__setitem__
    )


def _received(call: LlmCall, response: Any, arguments: Mapping[str, Any]) -> Any:
    preloaded = arguments.get("preload_content", True)
    head: float | None = None
    with _NOTED_HEAD:  # there is none where the connection is none of `http.client`: HTTP/2, a browser's
        head = head_at(getattr(response, "_original_response", None))
    wrapped = interceptor.receive(
        call,
        response.status,
        response.headers,
        lambda: response.data if preloaded else None,
        wrap=lambda: _Response(response, call),
        encoded=not arguments.get("decode_content", True),
        head_at=head,
    )
    return response if wrapped is None else wrapped


class _Response(_Proxy):
    """A response whose body is noted as it is read, in whichever way."""

    def __init__(self, response: Any, call: LlmCall) -> None:
        super().__init__(response)
        self._self_call = call
        self._self_recorder = interceptor.StreamRecorder(call)

    def read(self, amt: int | None = None, decode_content: bool | None = None, **kwargs: Any) -> bytes:
        data = self._self_passing(
            decode_content, lambda: self.__wrapped__.read(amt, decode_content, **kwargs)
        )
        if amt is None or amt < 0 or (not data and amt != 0):
            self._self_end_if_read()
        return data

    def read1(self, amt: int | None = None, decode_content: bool | None = None) -> bytes:
        data = self._self_passing(decode_content, lambda: self.__wrapped__.read1(amt, decode_content))
        if not data and amt != 0:
            self._self_end_if_read()
        return data

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def readline(self, limit: int = -1) -> bytes:
        data = self._self_passing(None, lambda: self.__wrapped__.readline(limit))
        if not data and limit != 0:
            self._self_end_if_read()
        return data

    def stream(self, amt: int | None = 2**16, decode_content: bool | None = None) -> Iterator[bytes]:
        return self._self_noted(self.__wrapped__.stream(amt, decode_content), decode_content)

    def read_chunked(self, amt: int | None = None, decode_content: bool | None = None) -> Iterator[bytes]:
        return self._self_noted(self.__wrapped__.read_chunked(amt, decode_content), decode_content)

    def __iter__(self) -> Iterator[bytes]:
        # urllib3's own, by way of `stream` above.
        lines: Iterator[bytes] = type(self.__wrapped__).__iter__(self)
        return lines

    @property
    def data(self) -> bytes:
        cached_body = self.__wrapped__._body if hasattr(self.__wrapped__, "_body") else None
        data = self._self_passing(None, lambda: self.__wrapped__.data, note=cached_body is None)
        self._self_recorder.ended(early=False)
        return data

    def json(self) -> Any:
        self.data  # noqa: B018  # read through here; urllib3 keeps it
        return self.__wrapped__.json()

    def close(self) -> None:
        try:
            self.__wrapped__.close()
        finally:
            self._self_recorder.ended(early=True)

    def release_conn(self) -> None:
        try:
            self.__wrapped__.release_conn()
        finally:
            self._self_recorder.ended(early=True)

    def drain_conn(self) -> None:
        try:
            self.__wrapped__.drain_conn()
        finally:
            self._self_recorder.ended(early=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __del__(self) -> None:
        self._self_recorder.garbage_collected()

    def _self_end_if_read(self) -> None:
        # urllib3 1 also gives nothing where what it read so far cannot be decoded yet.
        source = getattr(self.__wrapped__, "_fp", None)
        if source is None or is_fp_closed(source):
            self._self_recorder.ended(early=False)

    def _self_passing(
        self, decode_content: bool | None, read: Callable[[], bytes], *, note: bool = True
    ) -> bytes:
        with self._self_recorder:
            data = read()
        if data and note:
            self._self_decoding(decode_content)
            self._self_recorder.add_chunk(data)
        return data

    def _self_noted(self, chunks: Iterator[bytes], decode_content: bool | None) -> Iterator[bytes]:
        self._self_decoding(decode_content)
        with self._self_recorder:
            for chunk in chunks:
                self._self_recorder.add_chunk(chunk)
                yield chunk
        self._self_recorder.ended(early=False)

    def _self_decoding(self, decode_content: bool | None) -> None:
        if decode_content is not None:
            self._self_call.encoded = not decode_content

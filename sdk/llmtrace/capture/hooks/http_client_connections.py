"""The hook on the connections of `http.client`, for programs that use them directly.

`endheaders` is where a request leaves, by `request` or piece by piece; the answer is what `getresponse`
returns. Libraries on top of it (urllib3, urllib.request) have hooks of their own, within which nothing is
recorded here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, Final

from llmtrace import internal_errors
from llmtrace.capture import interceptor, streamed_request
from llmtrace.capture.call import CapturedRequest, LlmCall
from llmtrace.capture.runtime import Runtime
from llmtrace.internal_errors import swallow
from llmtrace.wire import registry
from llmtrace.wire.format import UNDETERMINED

from .http_client_responses import note_head, received
from .plain_request import PlainRequest, address_of

_EXCHANGE: Final = "_llmtrace_exchange"
_ANSWERED: Final = swallow("noting an answer")


def hooks(module: ModuleType) -> Iterator[tuple[type, str, Callable[[Any], Any]]]:
    """(class, method, what wraps it)."""
    yield module.HTTPConnection, "endheaders", _endheaders
    yield module.HTTPConnection, "getresponse", lambda original: _getresponse(original, module)


class _Exchange:
    """A request that was sent and has no answer yet. Dropped without one, it was left."""

    def __init__(self, call: LlmCall) -> None:
        self.call: LlmCall | None = call

    def take(self) -> LlmCall | None:
        call, self.call = self.call, None
        return call

    def __del__(self) -> None:
        if self.call is not None:
            interceptor.StreamRecorder(self.call).garbage_collected()


def _endheaders(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def endheaders(connection: Any, message_body: Any = None, **options: Any) -> None:
        target = _possible_target(connection, message_body)
        if target is None:
            original(connection, message_body, **options)
            return
        sent, streamed = interceptor.NOTHING, None
        with interceptor.BEGINNING:
            runtime = interceptor.recording()
            if runtime is not None:
                sent, message_body, streamed = _begin(runtime, connection, target, message_body)
        with sent:
            original(connection, message_body, **options)
        if sent.call is not None:
            connection.__dict__[_EXCHANGE] = _Exchange(sent.call)
            if streamed is not None:
                connection.send = _noting_send(connection.send, streamed)

    return endheaders


def _possible_target(connection: Any, body: Any) -> str | None:
    """The target of a request that may be a call. All of a program's requests come by here, urllib3's too."""
    try:
        method = connection._method
        if method in interceptor.METHODS:
            target: str = connection._buffer[0].split(b" ", 2)[1].decode("latin-1")
            path = target.partition("?")[0]
            if registry.named(path, method):
                return target
            if method == "POST" and isinstance(body, bytes) and registry.recognise(path, body):
                return target
    except Exception as error:  # noqa: BLE001  # as `swallow`, for less
        internal_errors.report("beginning a call", error)
    return None


def _begin(
    runtime: Runtime, connection: Any, target: str, body: Any
) -> tuple[interceptor.SentRequest, Any, streamed_request.StreamedBody | None]:
    """(what is sent, the body to send, where what `send` is handed is noted): the headers are added."""
    method = connection._method
    recognised = interceptor.recognised(method, target, body)
    streamed = pieces = None
    if recognised is None:
        path = interceptor.path_of(target)
        if not streamed_request.may_be_call(method, path):
            return interceptor.NOTHING, body, None
        if body is None:
            # A library that sends the body itself and has a hook of its own is no business of this one.
            if type(connection).__module__.partition(".")[0] == "urllib3":
                return interceptor.NOTHING, body, None
            streamed = pieces = streamed_request.StreamedBody()
        elif (noted := streamed_request.noted(body)) is not None:
            body, streamed = noted
        else:
            return interceptor.NOTHING, body, None
        recognised = UNDETERMINED, path, b""
    wire_format, path, content = recognised
    lines = (line.split(b":", 1) for line in connection._buffer[1:] if b":" in line)
    headers = [(name, value.strip()) for name, value in lines]
    captured: CapturedRequest = PlainRequest(_address(connection, target), headers, path, content)
    if streamed is not None:
        captured = streamed_request.StreamedRequest(captured, streamed)
    previous = connection.__dict__.pop(_EXCHANGE, None)
    if previous is not None and (left := previous.take()) is not None:
        left.end(early=True)
    host = captured.address()[0]
    sent = interceptor.begin(runtime, wire_format, captured, lambda: host, connection.putheader)
    return sent, body, pieces


def _address(connection: Any, target: str) -> tuple[str, int]:
    """The server's, also where the connection leads to a proxy."""
    if "://" in target:
        return address_of(target)
    tunnelled = getattr(connection, "_tunnel_host", None)
    if tunnelled:
        return str(tunnelled), int(connection._tunnel_port or connection.default_port)
    return str(connection.host), int(connection.port)


def _noting_send(send: Callable[[Any], Any], body: streamed_request.StreamedBody) -> Callable[[Any], Any]:
    """`send` of one exchange, whose pieces are noted; `getresponse` takes it off again."""

    def noting(data: Any) -> Any:
        noted = streamed_request.noted(data)
        if noted is None:
            body.add(data)
            return send(data)
        pieces, of_pieces = noted
        try:
            return send(pieces)
        finally:
            body.add(of_pieces.whole())

    return noting


def _getresponse(original: Callable[..., Any], module: ModuleType) -> Callable[..., Any]:
    @functools.wraps(original)
    def getresponse(connection: Any) -> Any:
        exchange = connection.__dict__.pop(_EXCHANGE, None)
        if exchange is None:
            response = original(connection)
            with _ANSWERED:
                note_head(response, module)
            return response
        connection.__dict__.pop("send", None)
        call = exchange.take()
        with interceptor.SentRequest(call):
            response = original(connection)
        with _ANSWERED:
            if call is not None:
                received(call, response, module)
        return response

    return getresponse

"""A call over gRPC: what its hooks note down, and its messages said as the same API says them over HTTP.

A message can be changed by the program as soon as its call returns, so none is kept: the serialized bytes
are, which gRPC makes and reads anyway. They become JSON on the delivery thread.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, Final

from opentelemetry.context import Context
from opentelemetry.trace import SpanContext
from opentelemetry.util.types import AttributeValue

from llmtrace import clock, semconv
from llmtrace.internal_errors import swallow
from llmtrace.spans import retries
from llmtrace.wire import registry
from llmtrace.wire.format import Json, WireFormat
from llmtrace.wire.grpc_methods.message_json import message_class, to_json
from llmtrace.wire.grpc_methods.method import HTTP_STATUS, GrpcMethod
from llmtrace.wire.provider_names import PROVIDER_HEADER

from . import interceptor, propagation
from .runtime import Runtime
from .said_calls import EVENTS, JSON, SaidCall, SaidRequest, event

_NOTING: Final = swallow("noting a gRPC message")
_CANCELLED: Final = "CANCELLED"
#: How gRPC words that the program gave the call up, and not the server.
_GIVEN_UP: Final = ("Locally cancelled", "Cancelled upon garbage collection")
_HTTPS: Final = 443
_MAX_SENT: Final = 16
"""Messages of a streamed request that are kept; the first ones say what is asked."""


class GrpcRequest:
    """See `call.CapturedRequest`; the body is the serialized message, of several the first ones."""

    __slots__ = ("_headers", "_message", "_metadata", "_serializer", "_target", "kind", "path", "sent")

    def __init__(
        self,
        path: bytes | str,
        target: bytes | str,
        metadata: Iterable[Any] | None,
        message: Any,
        serializer: Any,
    ) -> None:
        """target: the channel's, empty where it is not known. message: what is sent, None for a stream."""
        self.path = path.decode() if isinstance(path, bytes) else path
        self.sent: list[bytes] = []
        self.kind: Any = None if message is None else type(message)
        self._target = target
        self._metadata = metadata
        self._headers: Mapping[str, str] | None = None
        self._message = message
        self._serializer = serializer

    @property
    def body(self) -> bytes:
        """Serialized for this where it was not yet: one that failed is compared with it."""
        if not self.sent and self._message is not None:
            with suppress(Exception):  # the program's, which it gets when the request is sent
                return self._serialized(self._message)
        return b"".join(self.sent)

    @property
    def headers(self) -> Mapping[str, str]:
        """The metadata, whose names are in lower case; values that are bytes are no headers."""
        if self._headers is None:
            pairs = [(pair[0], pair[1]) for pair in self._metadata or ()]
            self._headers = {name: value for name, value in pairs if isinstance(value, str)}
            self._metadata = None
        return self._headers

    def address(self) -> tuple[str, int]:
        target = self._target
        return address_of(target.decode() if isinstance(target, bytes) else target)

    def note(self, message: Any, serialized: bytes) -> None:
        """A message was serialized to be sent."""
        if len(self.sent) < _MAX_SENT:
            self.kind, self._message = type(message), None
            self.sent.append(serialized)

    def _serialized(self, message: Any) -> bytes:
        serialized: bytes = message if self._serializer is None else self._serializer(message)
        return serialized

    def message_class(self) -> Any:
        """The class of what was sent, None where it is none of protobuf's."""
        return message_class(self.kind, self._serializer)


def address_of(target: str) -> tuple[str, int]:
    """Host and port of a channel's target: `host:port`, `dns:///host:port`; a socket's port is 0."""
    scheme, separator, rest = target.partition(":")
    if separator and scheme in {"unix", "unix-abstract", "vsock"}:
        return target, 0
    if separator and scheme in {"dns", "ipv4", "ipv6", "xds", "passthrough"}:
        target = rest.rpartition("/")[2]
    host, separator, port = target.rpartition(":")
    if not separator or not port.isdecimal() or (":" in host and not host.endswith("]")):
        host, port = target, str(_HTTPS)
    return host.strip("[]"), int(port)


class GrpcCall(SaidCall):
    """The evidence of one method call."""

    __slots__ = ("_asked", "_code", "_deserializer", "_method", "kind")

    def __init__(
        self, runtime: Runtime, method: GrpcMethod, request: GrpcRequest, here: Context, deserializer: Any
    ) -> None:
        super().__init__(runtime, method.wire_format, request, here)
        self._method = method
        self._asked = request
        self._deserializer = deserializer
        self._code = ""
        self.kind: Any = None
        """The type of the messages that came."""

    def note_answer(self, message: Any, serialized: bytes) -> None:
        """The one answer came."""
        self._head_at = clock.perf_counter()
        self.kind = type(message)
        self.body.set_whole(serialized)

    def note_message(self, message: Any, serialized: bytes) -> None:
        """One answer of a stream came."""
        if not self._streamed:
            self._streamed, self.kind = True, type(message)
        self.body.add(serialized)

    def finish(self, code: str, details: str, *, streams: bool) -> None:
        """End it with its status. streams: whether answers are a stream, which may be left."""
        self._code = code
        self._streamed = streams
        given_up = code == _CANCELLED and details.startswith(_GIVEN_UP)
        is_left = given_up and streams
        self._status = HTTP_STATUS.get("OK" if is_left else code, 500)
        if code != "OK" and not is_left:
            self._error = code, details
        self.end(early=given_up)

    def _say(self) -> None:
        method, asked = self._method, self._asked
        kind = asked.message_class()
        first = asked.sent[0] if asked.sent else asked.body
        path, body = method.request(self._json(kind, first))
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self._request = SaidRequest(path, raw, asked.headers, asked.address())
        known = registry.recognise(path, raw, method.wire_format.method) if method.by_path else None
        self._format: WireFormat = known or method.wire_format
        answered = message_class(self.kind, self._deserializer)
        pieces = [self._said(answered, piece) for piece in self.body.pieces]
        is_raw = any(isinstance(piece, bytes) for piece in pieces)
        self.body.replace_pieces([self._framed(piece) for piece in pieces])
        content_type = "" if is_raw else EVENTS if self._streamed else JSON
        self._headers = {"content-type": content_type, PROVIDER_HEADER: method.provider}

    def _json(self, kind: Any, serialized: bytes) -> Any:
        if kind is None:
            return None
        return to_json(kind, serialized, camel=self._method.camel, left_out=self._method.left_out)

    def _said(self, kind: Any, serialized: bytes) -> Any:
        return self._method.response(self._json(kind, serialized))

    def _framed(self, piece: Any) -> bytes:
        if isinstance(piece, bytes):
            return piece
        text = json.dumps(piece).encode()
        return event(text) if self._streamed else text

    def _describe_transport(self, attributes: dict[str, AttributeValue]) -> None:
        super()._describe_transport(attributes)
        attributes[semconv.RPC_SYSTEM_NAME] = "grpc"
        attributes[semconv.RPC_METHOD] = self._asked.path.lstrip("/")
        if self._code:
            attributes[semconv.RPC_RESPONSE_STATUS_CODE] = self._code

    def _describe_response(self, attributes: dict[str, AttributeValue]) -> Json:
        answer = super()._describe_response(attributes)
        if self._code == "OK" and not self._method.has_finish_reasons:
            attributes.pop(semconv.RESPONSE_FINISH_REASONS, None)  # of a stream that would be none that ended
        return answer

    def _repeated(self) -> SpanContext | None:
        previous, asked = self._retry_of, self._asked
        if previous is None or not retries.is_repetition(previous, asked.path, asked.body):
            return None
        return previous.context


def begin(
    method: GrpcMethod, runtime: Runtime, request: GrpcRequest, metadata: Any, deserializer: Any
) -> tuple[GrpcCall | None, list[Any]]:
    """(the call, None where it is not recorded; the metadata to send in place of `metadata`)."""
    here = interceptor.context_of_call(method.wire_format)
    call = GrpcCall(runtime, method, request, here, deserializer)
    added: dict[str, str] = {}
    propagation.set_trace_headers(call.span.context, added.__setitem__)
    if runtime.config.baggage_hosts:
        propagation.set_baggage_header(runtime.config, request.address()[0], added.__setitem__)
    sent = [pair for pair in metadata or () if pair[0] not in added]
    return call if call.span.recording else None, [*sent, *added.items()]


def noting_serializer(original: Any, request: GrpcRequest) -> Callable[[Any], Any]:
    """In place of what serializes a request."""

    def serialize(message: Any) -> Any:
        serialized = message if original is None else original(message)
        with _NOTING:
            request.note(message, serialized)
        return serialized

    return serialize


def noting_deserializer(original: Any, note: Callable[[Any, bytes], None]) -> Callable[[bytes], Any]:
    """In place of what parses an answer: `note` gets it, and its bytes."""

    def deserialize(serialized: bytes) -> Any:
        try:
            message = serialized if original is None else original(serialized)
        except BaseException:
            with _NOTING:
                note(None, serialized)
            raise
        with _NOTING:
            note(message, serialized)
        return message

    return deserialize

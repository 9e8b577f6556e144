"""The hooks on `websockets`: the protocol below its clients of all three kinds, and its old client.

The protocol knows every frame of a connection, whoever reads them, and its interface is public.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, Final

from llmtrace.capture import interceptor

from .plain_request import address_of
from .websocket_taps import NOTING, TAP, Methods, Tap, opened, watch

_LEGACY: Final = "websockets.legacy.client"
_USUAL_CLOSES: Final = frozenset({1000, 1001})
_INTERNAL_ERROR: Final = 1011


def hooks(module: ModuleType) -> Iterator[tuple[type, str, Callable[[Any], Any]]]:
    """(class, method, what wraps it)."""
    if module.__name__ == _LEGACY:
        yield module.WebSocketClientProtocol, "write_http_request", _write_http_request
    else:
        yield module.ClientProtocol, "send_request", _send_request


def _send_request(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def send_request(protocol: Any, request: Any) -> Any:
        with interceptor.BEGINNING:
            uri = getattr(protocol, "uri", None) or getattr(protocol, "wsuri", None)
            tap = _opened(request.path, request.headers, getattr(uri, "secure", False))
            if tap is not None:
                watch(protocol, tap, _watched)
        return original(protocol, request)

    return send_request


def _opened(target: str, headers: Any, is_secure: bool) -> Tap | None:
    scheme = "https" if is_secure else "http"
    return opened(
        target,
        headers.raw_items(),
        lambda: address_of(f"{scheme}://{headers.get('Host', '')}"),
        headers.__setitem__,
    )


def _watched(kind: Any) -> Methods:
    """A protocol whose frames are noted."""

    def send_text(connection: Any, data: Any, fin: bool = True) -> None:
        connection.__dict__[TAP].sent(1, data, fin)
        kind.send_text(connection, data, fin)

    def send_binary(connection: Any, data: Any, fin: bool = True) -> None:
        connection.__dict__[TAP].sent(2, data, fin)
        kind.send_binary(connection, data, fin)

    def send_continuation(connection: Any, data: Any, fin: bool) -> None:
        connection.__dict__[TAP].sent(0, data, fin)
        kind.send_continuation(connection, data, fin)

    def events_received(connection: Any) -> list[Any]:
        events: list[Any] = kind.events_received(connection)
        tap: Tap = connection.__dict__[TAP]
        with NOTING:
            for event in events:
                if hasattr(event, "opcode"):
                    tap.received(event.opcode, event.data, event.fin)
                elif hasattr(event, "status_code"):
                    tap.session.answered(event.status_code, event.headers.raw_items(), event.body)
        return events

    def receive_eof(connection: Any) -> None:
        try:
            kind.receive_eof(connection)
        finally:
            tap: Tap = connection.__dict__[TAP]
            with NOTING:
                if not tap.is_over:
                    tap.closed(_close_error(connection))

    return (send_text, send_binary, send_continuation, events_received, receive_eof)


def _close_error(connection: Any) -> BaseException | None:
    """What broke a connection; None where the program left it, in an orderly way."""
    left = getattr(connection, "close_sent", None)
    if left is not None and connection.close_rcvd_then_sent is not True:
        is_usual = left.code in _USUAL_CLOSES
        if is_usual or (left.code == _INTERNAL_ERROR and not left.reason):
            return None
    error: BaseException = (
        connection.connection_closed_exc()
        if hasattr(connection, "connection_closed_exc")
        else connection.close_exc
    )
    return error


def _write_http_request(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def write_http_request(connection: Any, path: str, headers: Any) -> Any:
        with interceptor.BEGINNING:
            tap = _opened(path, headers, bool(getattr(connection, "secure", False)))
            if tap is not None:
                watch(connection, tap, _watched_connection)
        return original(connection, path, headers)

    return write_http_request


def _watched_connection(kind: Any) -> Methods:
    """A connection of the old client, whose messages are noted."""

    async def read_http_response(connection: Any) -> tuple[int, Any]:
        status, headers = await kind.read_http_response(connection)
        with NOTING:
            connection.__dict__[TAP].session.answered(status, headers.raw_items(), None)
        return status, headers

    async def read_message(connection: Any) -> Any:
        message = await kind.read_message(connection)
        if message is not None:
            connection.__dict__[TAP].received(1, message, True)
        return message

    async def write_frame(connection: Any, fin: bool, opcode: int, data: Any, **kwargs: Any) -> None:
        connection.__dict__[TAP].sent(opcode, data, fin)
        await kind.write_frame(connection, fin, opcode, data, **kwargs)

    def connection_lost(connection: Any, exc: Exception | None) -> None:
        try:
            kind.connection_lost(connection, exc)
        finally:
            with NOTING:
                connection.__dict__[TAP].closed(_close_error(connection))

    return (read_http_response, read_message, write_frame, connection_lost)

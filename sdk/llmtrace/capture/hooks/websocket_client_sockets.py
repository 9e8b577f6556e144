"""The hook on `websocket-client`: its sockets, which its `WebSocketApp` uses too."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any, Final
from urllib.parse import urlsplit

from llmtrace.capture import interceptor

from .plain_request import address_of
from .websocket_taps import NOTING, TAP, Methods, Tap, opened, watch

_CLOSE: Final = 8
_SCHEMES: Final = {"ws": "http", "wss": "https"}


def hooks(module: ModuleType) -> Iterator[tuple[type, str, Callable[[Any], Any]]]:
    """(class, method, what wraps it)."""
    yield module.WebSocket, "connect", _connect


def _connect(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def connect(connection: Any, /, *args: Any, **options: Any) -> Any:
        tap: Tap | None = None
        with interceptor.BEGINNING:
            url = str(args[0] if args else options.get("url", ""))
            sent: list[tuple[str, str]] = []
            tap = _opened(url, options.get("header"), sent)
            if tap is not None and sent:
                options["header"] = _with(options.get("header"), sent)
        try:
            result = original(connection, *args, **options)
        except BaseException as error:
            with NOTING:
                if tap is not None:
                    tap.is_over = True
                    if isinstance(status := getattr(error, "status_code", None), int):
                        headers = getattr(error, "resp_headers", None) or {}
                        tap.session.answered(status, headers.items(), getattr(error, "resp_body", None))
            raise
        with interceptor.BEGINNING:
            if tap is not None:
                headers = connection.getheaders() or {}
                tap.session.answered(101, headers.items(), None)
                watch(connection, tap, _watched)
        return result

    return connect


def _opened(url: str, header: Any, sent: list[tuple[str, str]]) -> Tap | None:
    parts = urlsplit(url)
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    address = f"{_SCHEMES.get(parts.scheme, parts.scheme)}://{parts.netloc}"
    return opened(
        target, _pairs(header), lambda: address_of(address), lambda name, value: sent.append((name, value))
    )


def _pairs(header: Any) -> Iterator[tuple[str, str]]:
    """Headers, of which this library takes a mapping or a list of lines."""
    if isinstance(header, Mapping):
        yield from header.items()
    elif callable(header) or header is None:
        return
    else:
        for line in header:
            name, _, value = str(line).partition(":")
            yield name, value.strip()


def _with(header: Any, sent: list[tuple[str, str]]) -> Any:
    if isinstance(header, Mapping):
        return {**header, **dict(sent)}
    return [*(header or ()), *(f"{name}: {value}" for name, value in sent)]


def _watched(kind: Any) -> Methods:
    """A socket whose messages are noted."""

    def recv_data_frame(connection: Any, *args: Any, **kwargs: Any) -> Any:
        tap: Tap = connection.__dict__[TAP]
        try:
            opcode, frame = kind.recv_data_frame(connection, *args, **kwargs)
        except Exception as error:
            if not getattr(connection, "connected", False) or getattr(connection, "sock", None) is None:
                tap.closed(error)
            raise
        if opcode == _CLOSE:
            tap.closed(ConnectionError("closed by the server"))
        else:
            tap.received(opcode, frame.data, True)
        return opcode, frame

    def send_frame(connection: Any, frame: Any) -> Any:
        connection.__dict__[TAP].sent(frame.opcode, frame.data, bool(frame.fin))
        return kind.send_frame(connection, frame)

    def close(connection: Any, *args: Any, **kwargs: Any) -> Any:
        connection.__dict__[TAP].closed(None)
        return kind.close(connection, *args, **kwargs)

    def shutdown(connection: Any) -> Any:
        connection.__dict__[TAP].closed(None)
        return kind.shutdown(connection)

    return (recv_data_frame, send_frame, close, shutdown)

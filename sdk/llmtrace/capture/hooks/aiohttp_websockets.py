"""The hook on the WebSockets of aiohttp's client sessions."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, Final

from multidict import CIMultiDict

from llmtrace.capture import interceptor

from .websocket_taps import NOTING, TAP, Methods, Tap, opened, watch

_TEXT, _BINARY = 1, 2
_LOST: Final = 1006
_RECEIVING: Final = "_llmtrace_receiving"


def hooks(module: ModuleType) -> Iterator[tuple[type, str, Callable[[Any], Any]]]:
    """(class, method, what wraps it)."""
    yield module.ClientSession, "_ws_connect", _ws_connect


def _ws_connect(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def ws_connect(session: Any, url: Any, **kwargs: Any) -> Any:
        tap: Tap | None = None
        with interceptor.BEGINNING:
            target = session._build_url(url)
            if params := kwargs.get("params"):
                target = target.update_query(params)
            headers = CIMultiDict(kwargs.get("headers") or {})
            tap = opened(
                str(target.raw_path_qs),
                session._prepare_headers(headers).items(),
                lambda: (str(target.host), int(target.port or 80)),
                headers.__setitem__,
            )
            if tap is not None:
                kwargs["headers"] = headers
        try:
            connection = await original(session, url, **kwargs)
        except BaseException as error:
            with NOTING:
                if tap is not None:
                    tap.is_over = True
                    if isinstance(status := getattr(error, "status", None), int):
                        tap.session.answered(status, (getattr(error, "headers", None) or {}).items(), None)
            raise
        with interceptor.BEGINNING:
            if tap is not None:
                tap.session.answered(101, connection._response.headers.items(), None)
                watch(connection, tap, _watched)
        return connection

    return ws_connect


def _watched(kind: Any) -> Methods:
    """A connection whose messages are noted as the program sends and receives them."""

    async def receive(connection: Any, *args: Any, **kwargs: Any) -> Any:
        connection.__dict__[_RECEIVING] = asyncio.current_task()
        try:
            message = await kind.receive(connection, *args, **kwargs)
        finally:
            connection.__dict__[_RECEIVING] = None
        tap: Tap = connection.__dict__[TAP]
        opcode, data = message[0], message[1]
        if opcode in (_TEXT, _BINARY):
            tap.received(opcode, data, True)
        elif not tap.is_over and opcode.name in {"CLOSE", "CLOSING", "CLOSED", "ERROR"}:
            with NOTING:
                error = data if isinstance(data, BaseException) else None
                tap.closed(error or ConnectionError(f"closed by the server ({_close_code(connection)})"))
        return message

    async def send_str(connection: Any, data: Any, *args: Any, **kwargs: Any) -> None:
        connection.__dict__[TAP].sent(_TEXT, data, True)
        await kind.send_str(connection, data, *args, **kwargs)

    async def send_bytes(connection: Any, data: Any, *args: Any, **kwargs: Any) -> None:
        connection.__dict__[TAP].sent(_BINARY, data, True)
        await kind.send_bytes(connection, data, *args, **kwargs)

    async def close(connection: Any, *args: Any, **kwargs: Any) -> bool:
        with NOTING:
            # aiohttp closes it itself while it receives; that is the server's doing.
            receiving = connection.__dict__.get(_RECEIVING)
            if receiving is None or receiving is not asyncio.current_task():
                connection.__dict__[TAP].closed(None)
        return bool(await kind.close(connection, *args, **kwargs))

    return (receive, send_str, send_bytes, close)


def _close_code(connection: Any) -> int:
    return connection.close_code or _LOST

"""uvicorn with a bound on its connections and deadlines for what they send. Needs uvicorn and httptools.

A connection beyond the bound takes the place of the one that has been silent for longest; where none is, it
gets 503, and health's routes their answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import sys
from collections.abc import Callable
from typing import Any, cast

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .connections import RESERVE, ConnectionBound, connection_limit, raise_descriptor_limit
from .middleware import CROWDED

logger = logging.getLogger(__name__)

#: Seconds within which the header of a request must be whole, and a TLS handshake done.
HEADER_SECONDS = 10.0

#: Of one request: bytes of its first line and headers, and number of headers.
MAX_HEADER_BYTES, MAX_HEADERS = 64 << 10, 128

#: Seconds for which the rest of a body is read, and dropped, after its request was refused: a client that is
#: cut off while it sends may not read why.
_REST_SECONDS = 5.0

#: Seconds without a byte taken after which a client no longer reads its answer.
_STALLED_SECONDS = 60.0

#: Headers, and words of `Connection`, that offer another protocol.
_OFFERS = frozenset({b"upgrade", b"http2-settings"})

#: Requests of one connection that wait behind another.
_MAX_PIPELINED = 8

_SWEEP_SECONDS = 0.5

#: Connections accepted before others get their turn.
_ACCEPTED_AT_ONCE = 64

#: Seconds before the next try when the process has no descriptor left.
_NO_DESCRIPTOR_SECONDS = 0.1


class _HeaderTooLarge(Exception):
    """uvicorn answers 400 to what its parser's callbacks raise."""


class _NoTunnel(Exception):
    """Nothing is passed on to others here."""


class LimitedProtocol(HttpToolsProtocol):
    """One connection, which tells `bound` what it is at."""

    def __init__(self, *arguments: Any, bound: ConnectionBound, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._bound = bound
        self._since = self.loop.time()
        self._phase = "header"
        self._header_bytes = self._counted = 0
        self._is_body_whole = self._is_header_whole = True
        self._is_upgrade = False
        self._unread, self._stalled_since = 0, self._since
        self.handshake: _Handshake | None = None  # set by the listener

    def abort(self) -> None:
        """End it at once."""
        if self.transport is not None:
            self.transport.abort()

    def connection_made(self, transport: Any) -> None:
        """Nothing has come yet."""
        super().connection_made(transport)
        if self.handshake is not None:
            self._bound.leave(self.handshake)
            if self.handshake.is_evicted:
                transport.abort()
                return
            if self.handshake.is_crowded:
                self.app_state = {**self.app_state, CROWDED: True}
        self._enter("header")

    def connection_lost(self, exc: Exception | None) -> None:
        """It has ended."""
        self._bound.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes have come; a header that goes on and on is refused."""
        if self._phase == "idle" and self._is_body_whole:
            self._enter("header")
        self._unset_keepalive_if_required()
        try:
            self._parse(data)
        except httptools.HttpParserError:
            self.send_400_response("Invalid HTTP request received.")
        if self._phase == "header":
            self._header_bytes += len(data)
            if self._header_bytes > MAX_HEADER_BYTES and not self.transport.is_closing():
                self.send_400_response("The header of the request is too large.")

    def _parse(self, data: bytes) -> None:
        """Like uvicorn, and beyond it: a request that offers another protocol as well (h2c, as Java's client
        does) is taken without the offer. The parser would leave out its body, and take that for a request.
        """
        while data:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                data = self._without_offer() + data[upgrade.args[0] :]
            else:
                return

    def _without_offer(self) -> bytes:
        self._counted = 0
        version = self.parser.get_http_version().encode()
        lines = [b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, version)]
        for name, value in self.headers:
            if name == b"connection":
                words = (word for word in value.split(b",") if word.strip().lower() not in _OFFERS)
                lines.append(b"connection: " + b",".join(words))
            elif name not in _OFFERS:
                lines.append(name + b": " + value)
        return b"\r\n".join([*lines, b"", b""])

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._is_body_whole = self._is_header_whole = self._is_upgrade = False

    def on_url(self, url: bytes) -> None:
        """Its address."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One of its headers."""
        self._count(len(name) + len(value))
        if len(self.headers) >= MAX_HEADERS:
            raise _HeaderTooLarge
        # What stands behind a body was not there when it was asked whose request this is.
        if not self._is_header_whole:
            super().on_header(name, value)

    def _count(self, size: int) -> None:
        self._counted += size
        if self._counted > MAX_HEADER_BYTES:
            raise _HeaderTooLarge

    def on_headers_complete(self) -> None:
        """The header is whole; the request starts, or waits behind another."""
        self._is_header_whole = True
        self._is_upgrade = self.parser.should_upgrade()
        if self._is_upgrade and self.parser.get_method() == b"CONNECT":
            raise _NoTunnel
        if self._is_upgrade:
            return
        if len(self.pipeline) >= _MAX_PIPELINED:
            raise _HeaderTooLarge
        super().on_headers_complete()
        self._enter("body")

    def on_message_complete(self) -> None:
        """The body is whole."""
        if self._is_upgrade:
            return
        super().on_message_complete()
        self._is_body_whole = True
        if self._phase == "body":
            self._enter("answer")

    def on_response_complete(self) -> None:
        """The answer is written."""
        super().on_response_complete()
        if not self.transport.is_closing():
            if self.pipeline:
                self._enter("answer" if self._is_body_whole else "body")
            else:
                self._enter("idle")

    def _enter(self, phase: Any) -> None:
        self._phase = phase
        self._since = self.loop.time()
        self._header_bytes = self._counted = 0
        self._bound.enter(self, phase)

    def is_overdue(self, now: float) -> bool:
        """Whether it has had its time (`now` on the loop's clock)."""
        if self._phase == "header":
            return now - self._since > HEADER_SECONDS
        unread: int = self.transport.get_write_buffer_size()
        if unread and unread == self._unread:
            return now - self._stalled_since > _STALLED_SECONDS
        self._unread, self._stalled_since = unread, now
        if unread or self._phase != "idle":
            return False
        patience = self.timeout_keep_alive if self._is_body_whole else 0
        return now - self._since > patience + _REST_SECONDS


class _Handshake:
    """A connection that was accepted and is not served yet."""

    def __init__(self, connected: socket.socket, *, is_crowded: bool) -> None:
        self.connected = connected
        self.is_crowded = is_crowded
        self.is_evicted = False

    def abort(self) -> None:
        self.is_evicted = True
        # Cancelling its task would make uvloop forget a connection that has begun.
        with contextlib.suppress(OSError):
            self.connected.shutdown(socket.SHUT_RDWR)


class _Listener:
    """Accepts connections of one socket, as many as the bound has room for."""

    def __init__(
        self,
        listening: socket.socket,
        make_protocol: Callable[[], LimitedProtocol],
        context: ssl.SSLContext | None,
        bound: ConnectionBound,
    ) -> None:
        self._socket = listening
        self.sockets = (listening,)
        self._make_protocol = make_protocol
        self._ssl = context
        self._bound = bound
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._paused: asyncio.TimerHandle | None = None
        listening.setblocking(False)
        self._loop.add_reader(listening.fileno(), self._accept)

    def close(self) -> None:
        """Accept no more."""
        if self._socket.fileno() < 0:
            return
        if self._paused is not None:
            self._paused.cancel()
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()

    async def wait_closed(self) -> None:
        """Until the handshakes under way are done."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self) -> None:
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                connected, _ = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._pause(error)
                return
            is_crowded = not self._bound.make_room()
            if is_crowded and len(self._bound) >= self._bound.limit + RESERVE:
                connected.close()
                continue
            connected.setblocking(False)
            handshake = _Handshake(connected, is_crowded=is_crowded)
            self._bound.enter(handshake, "handshake")
            task = self._loop.create_task(self._connect(handshake))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _pause(self, error: OSError) -> None:
        """No descriptor is left: wait, and do not turn in a circle."""
        logger.warning("no connection can be accepted: %s", error)
        self._loop.remove_reader(self._socket.fileno())
        self._paused = self._loop.call_later(
            _NO_DESCRIPTOR_SECONDS, self._loop.add_reader, self._socket.fileno(), self._accept
        )

    async def _connect(self, handshake: _Handshake) -> None:
        def make_protocol() -> asyncio.Protocol:
            protocol = self._make_protocol()
            protocol.handshake = handshake
            return protocol

        try:
            await self._loop.connect_accepted_socket(
                make_protocol,
                handshake.connected,
                ssl=self._ssl,
                ssl_handshake_timeout=None if self._ssl is None else HEADER_SECONDS,
            )
        except OSError:  # of which SSLError, TimeoutError and a client that left are
            handshake.connected.close()
        finally:
            self._bound.leave(handshake)


class LimitedServer(uvicorn.Server):
    """uvicorn's server with at most `max_connections`; `config` is made by `limited_config`."""

    def __init__(self, config: uvicorn.Config, max_connections: int) -> None:
        """Raises this process's limit of open files; connections take at most half of it."""
        super().__init__(config)
        self.bound = ConnectionBound(connection_limit(max_connections, raise_descriptor_limit()))
        config.http = LimitedProtocol

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, then listen."""
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            sys.exit(uvicorn.config.STARTUP_FAILURE)
        config = self.config
        try:
            listening = sockets or open_sockets(config.host, config.port)
        except OSError as error:
            logger.error("port %d of %s cannot be listened on: %s", config.port, config.host, error)  # noqa: TRY400
            await self.lifespan.shutdown()
            sys.exit(uvicorn.config.STARTUP_FAILURE)

        def make_protocol() -> LimitedProtocol:
            return LimitedProtocol(config, self.server_state, self.lifespan.state, bound=self.bound)

        self.servers = cast(
            Any, [_Listener(listener, make_protocol, config.ssl, self.bound) for listener in listening]
        )
        self._sweeping = asyncio.get_running_loop().create_task(self._sweep())
        self.started = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, let what is under way end, and stop the application."""
        self._sweeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._sweeping
        await super().shutdown(sockets)

    async def _sweep(self) -> None:
        """End the connections that have had their time."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            now = loop.time()
            for connection in list(self.server_state.connections):
                if cast(LimitedProtocol, connection).is_overdue(now):
                    cast(LimitedProtocol, connection).abort()


def limited_config(app: Any, host: str, port: int, **named: Any) -> uvicorn.Config:
    """uvicorn's configuration for `LimitedServer`: no web sockets, no log lines that anybody can cause."""
    settings = {
        "log_config": None,
        "log_level": "error",
        "access_log": False,
        "server_header": False,
        "ws": "none",
        **named,
    }
    return uvicorn.Config(app, host=host, port=port, **settings)


def open_sockets(host: str, port: int) -> list[socket.socket]:
    """Sockets that listen on every address of `host`. Raises OSError."""
    listening: list[socket.socket] = []
    addresses = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    try:
        for family, kind, protocol, _, address in dict.fromkeys(addresses):
            opened = socket.socket(family, kind, protocol)
            listening.append(opened)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            opened.bind(address)
            # As many as the system holds: one that finds no room there tries again after a whole second.
            opened.listen(65_535)
    except OSError:
        for opened in listening:
            opened.close()
        raise
    return listening

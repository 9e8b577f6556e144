"""Receivers of webhooks that can be away, slow, or dripping."""

from __future__ import annotations

import json
import socket
import threading
import time
from contextlib import suppress
from typing import Any

from .processes import free_port


class Receiver:
    """Notes (event, message id) of each delivery in order; nobody listens until `open`."""

    def __init__(self, drip_seconds: float = 0.0) -> None:
        """With `drip_seconds` it answers one byte in so many seconds, for ever."""
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/hook"
        self.received: list[tuple[str, str]] = []
        self._drip = drip_seconds
        self._socket: socket.socket | None = None
        self._stopping = threading.Event()

    def open(self) -> None:
        """Listen from now on."""
        self._socket = socket.create_server(("127.0.0.1", self.port))
        self._socket.settimeout(0.2)
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Listen no more."""
        self._stopping.set()
        if self._socket is not None:
            self._socket.close()

    def _serve(self) -> None:
        assert self._socket is not None
        while not self._stopping.is_set():
            with suppress(OSError):
                connection, _ = self._socket.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.settimeout(10)
            head, _, body = _request(connection)
            identifier = next((v for k, v in head if k == "webhook-id"), "")
            if self._drip:
                for byte in b"HTTP/1.1 200 OK\r\n" * 100:
                    connection.sendall(bytes([byte]))
                    time.sleep(self._drip)
                return
            self.received.append((str(body.get("type")), identifier))
            connection.sendall(b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")


def _request(connection: socket.socket) -> tuple[list[tuple[str, str]], str, dict[str, Any]]:
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    text, _, body = data.partition(b"\r\n\r\n")
    lines = text.decode("latin-1").split("\r\n")
    head = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines[1:])]
    size = int(next((value for name, value in head if name == "content-length"), "0"))
    while len(body) < size:
        body += connection.recv(65536)
    parsed: dict[str, Any] = json.loads(body or b"{}")
    return head, lines[0], parsed

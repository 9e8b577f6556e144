"""Receivers of alerts on loopback that behave as they are told to, and a proxy, for tests of channels."""

from __future__ import annotations

import json
import queue
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.message import Message as Headers
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Received:
    """A request as it arrived."""

    method: str
    path: str
    headers: Headers
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    """What to answer, and after how many seconds."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    after: float = 0.0


def json_reply(value: Any, status: int = 200, **headers: str) -> Reply:
    return Reply(status, json.dumps(value).encode(), {"Content-Type": "application/json", **headers})


class HttpReceiver:
    """Answers with `reply(request)`, over TLS where it has a certificate."""

    def __init__(self, reply: Callable[[Received], Reply], certificate: Path | None = None) -> None:
        self.got: queue.Queue[Received] = queue.Queue()
        receiver = self
        self.reply = reply

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                received = Received(self.command, self.path, self.headers, body)
                receiver.got.put(received)
                reply = receiver.reply(received)
                time.sleep(reply.after)
                with suppress(OSError):
                    self.send_response(reply.status)
                    for name, value in {**reply.headers, "Content-Length": str(len(reply.body))}.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(reply.body)

            do_POST = do_GET = answer

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, certificate.with_name(f"{certificate.stem}-key.pem"))
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.port = int(self._server.server_address[1])
        self.url = f"{'https' if certificate else 'http'}://localhost:{self.port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def requests(self) -> list[Received]:
        """What came since the last time."""
        came = []
        with suppress(queue.Empty):
            while True:
                came.append(self.got.get_nowait())
        return came

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def http_receiver(
    reply: Callable[[Received], Reply], certificate: Path | None = None
) -> Iterator[HttpReceiver]:
    receiver = HttpReceiver(reply, certificate)
    try:
        yield receiver
    finally:
        receiver.close()


class ConnectProxy:
    """A proxy that connects by CONNECT and passes plain requests on, and says to where."""

    def __init__(self, password: str) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._password = password
        self.connected: list[str] = []
        self.url = f"http://alerts:{password}@127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                if not (piece := client.recv(4096)):
                    return
                head += piece
            method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
            if b"proxy-authorization: basic" not in head.lower():
                client.sendall(b"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n")
                return
            if method != "CONNECT":
                target = urlsplit(target).netloc
            self.connected.append(target)
            host, _, port = target.rpartition(":")
            with socket.create_connection((host, int(port))) as server:
                if method == "CONNECT":
                    client.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
                else:
                    server.sendall(head)
                self._pass_on(client, server)

    @staticmethod
    def _pass_on(client: socket.socket, server: socket.socket) -> None:
        while True:
            for readable in select.select([client, server], [], [], 10)[0]:
                if not (piece := readable.recv(65536)):
                    return
                (server if readable is client else client).sendall(piece)

    def close(self) -> None:
        self._listening.close()

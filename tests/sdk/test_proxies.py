"""Behind a proxy, by HTTP or through a tunnel, the address of a call stays the provider's."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import socket
import ssl
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import httpx
import httpx2
import pytest
import requests
import urllib3

from llmtrace.testing import Captured, ReplayServer
from tests.certificates import issue

from .chat import PLAIN, REQUEST

PATH = "/v1/chat/completions"
HOST = "provider.test"


class Proxy:
    """Forwards whatever it is asked for to one port of this machine."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self.lines: list[str] = []
        """The first line of each request."""

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listening.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client = self._listening.accept()[0]
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(65536)
        self.lines.append(head.partition(b"\r\n")[0].decode())
        with client, socket.create_connection(("127.0.0.1", self._port)) as upstream:
            if head.startswith(b"CONNECT"):
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                upstream.sendall(head)
            back = threading.Thread(target=_pump, args=(upstream, client), daemon=True)
            back.start()
            _pump(client, upstream)
            back.join(5)


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    issue(folder, "server", f"subjectAltName=DNS:{HOST}")
    return folder


@contextlib.contextmanager
def _served(certificates: Path | None) -> Iterator[tuple[ReplayServer, Proxy, str, ssl.SSLContext]]:
    """(server, proxy, URL that only the proxy can reach, what trusts the server)."""
    server = ReplayServer(PLAIN)
    trust = ssl.create_default_context()
    url = f"http://{HOST}:8080"
    if certificates is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates / "server.pem", certificates / "server-key.pem")
        server._server.socket = context.wrap_socket(server._server.socket, server_side=True)
        trust.load_verify_locations(certificates / "server.pem")
        url = f"https://{HOST}"
    with server, Proxy(server.port) as proxy:
        yield server, proxy, url, trust


def _httpx(module: Any) -> Callable[[str, str, ssl.SSLContext, Path | None], Any]:
    def send(url: str, proxy: str, trust: ssl.SSLContext, pem: Path | None) -> Any:
        with module.Client(proxy=proxy, verify=trust) as client:
            return client.post(url + PATH, json=REQUEST).json()

    return send


def _requests(url: str, proxy: str, trust: ssl.SSLContext, pem: Path | None) -> Any:
    verify = str(pem) if pem else True
    return requests.post(
        url + PATH, json=REQUEST, proxies={"http": proxy, "https": proxy}, verify=verify, timeout=5
    ).json()


def _urllib3(url: str, proxy: str, trust: ssl.SSLContext, pem: Path | None) -> Any:
    with urllib3.ProxyManager(proxy, ssl_context=trust) as pool:
        return pool.request("POST", url + PATH, json=REQUEST).json()


def _aiohttp(url: str, proxy: str, trust: ssl.SSLContext, pem: Path | None) -> Any:
    async def run() -> Any:
        async with (
            aiohttp.ClientSession() as session,
            session.post(url + PATH, json=REQUEST, proxy=proxy, ssl=trust) as response,
        ):
            return await response.json()

    return asyncio.run(run())


def _urllib(url: str, proxy: str, trust: ssl.SSLContext, pem: Path | None) -> Any:
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({"http": proxy, "https": proxy}),
        urllib.request.HTTPSHandler(context=trust),
    )
    with opener.open(url + PATH, json.dumps(REQUEST).encode(), timeout=5) as response:
        return json.load(response)


def _http_client(url: str, proxy: str, trust: ssl.SSLContext, pem: Path | None) -> Any:
    address = proxy.removeprefix("http://")
    connection: http.client.HTTPConnection
    if pem is None:
        connection = http.client.HTTPConnection(address, timeout=5)
        connection.request("POST", url + PATH, json.dumps(REQUEST))
    else:
        connection = http.client.HTTPSConnection(address, timeout=5, context=trust)
        connection.set_tunnel(HOST, 443)
        connection.request("POST", PATH, json.dumps(REQUEST))
    answer = json.load(connection.getresponse())
    connection.close()
    return answer


SENDERS: dict[str, Callable[[str, str, ssl.SSLContext, Path | None], Any]] = {
    "httpx": _httpx(httpx),
    "httpx2": _httpx(httpx2),
    "requests": _requests,
    "urllib3": _urllib3,
    "aiohttp": _aiohttp,
    "urllib": _urllib,
    "http.client": _http_client,
}


@pytest.mark.parametrize("tunnel", [False, True], ids=["http", "connect"])
@pytest.mark.parametrize("sender", SENDERS)
def test_the_address_is_the_providers(
    traces: Captured, certificates: Path, sender: str, tunnel: bool
) -> None:
    with _served(certificates if tunnel else None) as (server, proxy, url, trust):
        pem = certificates / "server.pem" if tunnel else None
        assert SENDERS[sender](url, proxy.url, trust, pem)["id"] == "chatcmpl-7"
        assert len(server.requests) == 1
        (line,) = proxy.lines
        assert line.startswith(f"CONNECT {HOST}:443 " if tunnel else f"POST http://{HOST}:8080{PATH} ")
    (span,) = traces.snapshot()
    assert span["name"] == "chat gpt-4o-mini"
    assert span["attributes"]["server.address"] == HOST
    assert span["attributes"]["server.port"] == (443 if tunnel else 8080)
    assert span["attributes"]["gen_ai.usage.output_tokens"] == 12

"""Sends every LLM call of this process to a server on loopback, and every other way out to nobody.

The HTTP libraries that the SDK records are redirected by the shape of the request, whatever host it is for.
Other connections that leave this machine fail with a sentence that says so.
"""

from __future__ import annotations

import errno
import importlib
import importlib.util
import ipaddress
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final
from unittest import mock
from urllib.parse import urlsplit

from llmtrace.capture.interceptor import recognised

#: What clients want to see before they send anything; nobody looks at it here.
KEYS: Final = (
    *("OPENAI_API_KEY", "AZURE_OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY"),
    *("MISTRAL_API_KEY", "COHERE_API_KEY", "CO_API_KEY", "GROQ_API_KEY", "OPENROUTER_API_KEY"),
    *("TOGETHER_API_KEY", "FIREWORKS_API_KEY", "DEEPSEEK_API_KEY", "XAI_API_KEY", "PERPLEXITY_API_KEY"),
    *("VOYAGE_API_KEY", "HF_TOKEN", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
)
_KEY: Final = "replay"


class NetworkRefused(ConnectionError):
    """The program wants to reach a host while a trace is replayed."""


def environment(url: str) -> dict[str, str]:
    """Variables that clients take their keys and addresses from."""
    return {
        **dict.fromkeys(KEYS, _KEY),
        "OPENAI_BASE_URL": f"{url}/v1",
        "ANTHROPIC_BASE_URL": url,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@contextmanager
def redirected(url: str, refuse: Callable[[str], str]) -> Iterator[None]:
    """LLM calls go to `url` within the block, and nothing leaves this machine.

    refuse: called with each `host:port` that is refused; gives the text of the error.
    """
    target = _Target(url)
    with ExitStack() as stack:
        for name, redirect in _REDIRECTS.items():
            if importlib.util.find_spec(name) is not None:
                stack.enter_context(redirect(importlib.import_module(name), target))
        stack.enter_context(_without_network(refuse))
        yield


class _Target:
    """Where LLM calls go."""

    def __init__(self, url: str) -> None:
        self.url = url
        parts = urlsplit(url)
        self.host, self.port = str(parts.hostname), int(parts.port or 80)

    def takes(self, method: str, host: Any, port: Any, path: str, body: Any) -> bool:
        """Whether a request is an LLM call that is not on its way here already."""
        if (host, port) == (self.host, self.port):
            return False
        return recognised(method, path, body) is not None


@contextmanager
def _httpx(module: Any, target: _Target) -> Iterator[None]:
    plain = module.HTTPTransport.handle_request
    asynchronous = module.AsyncHTTPTransport.handle_async_request
    # No connection outlives its response: nobody closes these transports.
    options = {"verify": False, "trust_env": False, "limits": module.Limits(max_keepalive_connections=0)}

    def elsewhere(request: Any) -> Any:
        url, content = request.url, request.__dict__.get("_content", b"")
        path = url.raw_path.decode("ascii")
        if not target.takes(request.method, url.host, url.port, path, content):
            return None
        return module.Request(
            request.method,
            target.url + path,
            headers=request.headers,
            stream=request.stream,
            extensions=request.extensions,
        )

    def handle_request(transport: Any, request: Any) -> Any:
        sent = elsewhere(request)
        if sent is None:
            return plain(transport, request)
        return plain(module.HTTPTransport(**options), sent)

    async def handle_async_request(transport: Any, request: Any) -> Any:
        sent = elsewhere(request)
        if sent is None:
            return await asynchronous(transport, request)
        return await asynchronous(module.AsyncHTTPTransport(**options), sent)

    with (
        mock.patch.object(module.HTTPTransport, "handle_request", handle_request),
        mock.patch.object(module.AsyncHTTPTransport, "handle_async_request", handle_async_request),
    ):
        yield


@contextmanager
def _urllib3(module: Any, target: _Target) -> Iterator[None]:
    plain = module.HTTPConnectionPool.urlopen
    pool_here = module.HTTPConnectionPool(target.host, target.port)

    def urlopen(pool: Any, method: str, url: str, body: Any = None, *args: Any, **kwargs: Any) -> Any:
        if not target.takes(method, pool.host, pool.port, url, body):
            return plain(pool, method, url, body, *args, **kwargs)
        parts = urlsplit(url)
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        return plain(pool_here, method, path, body, *args, **kwargs)

    with mock.patch.object(module.HTTPConnectionPool, "urlopen", urlopen):
        try:
            yield
        finally:
            pool_here.close()


@contextmanager
def _aiohttp(module: Any, target: _Target) -> Iterator[None]:
    plain = module.ClientSession._request

    async def request(session: Any, method: str, str_or_url: Any, **kwargs: Any) -> Any:
        url = session._build_url(str_or_url)
        body = kwargs.get("data")
        if kwargs.get("json") is not None:
            body = json.dumps(kwargs["json"]).encode()
        if not target.takes(method.upper(), url.host, url.port, url.raw_path, body):
            return await plain(session, method, str_or_url, **kwargs)
        sent = url.with_scheme("http").with_host(target.host).with_port(target.port)
        for name in ("ssl", "proxy"):
            kwargs.pop(name, None)
        return await plain(session, method, sent, **kwargs)

    with mock.patch.object(module.ClientSession, "_request", request):
        yield


@contextmanager
def _urllib(module: Any, target: _Target) -> Iterator[None]:
    plain = module.OpenerDirector.open

    def open_url(opener: Any, fullurl: Any, data: Any = None, *args: Any, **kwargs: Any) -> Any:
        request = module.Request(fullurl) if isinstance(fullurl, str) else fullurl
        body = data if data is not None else request.data
        parts = urlsplit(request.full_url)
        method = "POST" if body is not None and request.get_method() == "GET" else request.get_method()
        if not target.takes(method, parts.hostname, parts.port, request.selector, body):
            return plain(opener, fullurl, data, *args, **kwargs)
        sent = module.Request(
            target.url + request.selector, body, dict(request.header_items()), method=method
        )
        return plain(module.build_opener(module.ProxyHandler({})), sent, None, *args, **kwargs)

    with mock.patch.object(module.OpenerDirector, "open", open_url):
        yield


_REDIRECTS: Final[dict[str, Callable[[Any, _Target], Any]]] = {
    "httpx": _httpx,
    "httpx2": _httpx,
    "urllib3": _urllib3,
    "aiohttp": _aiohttp,
    "urllib.request": _urllib,
}


@contextmanager
def _without_network(refuse: Callable[[str], str]) -> Iterator[None]:
    resolve, connect = socket.getaddrinfo, socket.socket.connect
    connect_quietly = socket.socket.connect_ex

    def getaddrinfo(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if not _is_here(host):
            raise _refused(refuse(f"{_text(host)}:{port}"))
        return resolve(host, port, *args, **kwargs)

    def check(address: Any) -> None:
        # Addresses of other families (of files) lead nowhere else.
        if isinstance(address, tuple) and not _is_here(address[0]):
            raise _refused(refuse(f"{address[0]}:{address[1]}"))

    def checked_connect(connection: socket.socket, address: Any) -> None:
        check(address)
        connect(connection, address)

    def checked_connect_ex(connection: socket.socket, address: Any) -> int:
        check(address)
        return connect_quietly(connection, address)

    with (
        mock.patch.object(socket, "getaddrinfo", getaddrinfo),
        mock.patch.object(socket.socket, "connect", checked_connect),
        mock.patch.object(socket.socket, "connect_ex", checked_connect_ex),
    ):
        yield


def _refused(message: str) -> NetworkRefused:
    # With a number, as aiohttp expects of errors of connections: it shows nothing else of them.
    return NetworkRefused(errno.ENETUNREACH, message)


def _text(host: Any) -> str:
    return host.decode("utf-8", "replace") if isinstance(host, bytes) else str(host)


def _is_here(host: Any) -> bool:
    """Whether a name or an address is this machine's own."""
    name = _text(host)
    if host is None or name in {"", "localhost"}:
        return True
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified

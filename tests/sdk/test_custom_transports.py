"""Transports of the application's own, above and below the libraries' clients: one span, nothing changed."""

from __future__ import annotations

import asyncio
import json
import urllib.request
import urllib.response
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from email.message import Message
from io import BytesIO
from typing import Any

import aiohttp
import httpx
import httpx2
import pytest
import requests
import requests.adapters
import urllib3

import llmtrace
from llmtrace.testing import Answer, Captured, ReplayServer
from llmtrace.wire.provider_names import PROVIDER_HEADER

from .chat import PLAIN, REQUEST, STREAM

PATH = "/v1/chat/completions"
BODY = b"".join(STREAM.chunks or ())
HEADS = {"content-type": "text/event-stream", PROVIDER_HEADER: "openai"}


def _whole(traces: Captured, count: int = 1) -> None:
    spans = traces.snapshot()
    assert [span["name"] for span in spans] == ["chat gpt-4o-mini"] * count
    for span in spans:
        assert span["attributes"]["gen_ai.usage.output_tokens"] == 12
        assert span["status"] == ("UNSET", None)
        assert "llmtrace.stream.abandoned" not in span["attributes"]


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answers a stream, if it got a trace context and the whole request."""
    asked = json.loads(environ["wsgi.input"].read())
    assert asked["model"] == REQUEST["model"]
    assert environ["HTTP_TRACEPARENT"].startswith("00-")
    start_response("200 OK", list(HEADS.items()))
    return iter(STREAM.chunks or ())


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    """The same for ASGI."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message["body"], message.get("more_body", False)
    assert json.loads(body)["model"] == REQUEST["model"]
    assert dict(scope["headers"])[b"traceparent"].startswith(b"00-")
    headers = [(name.encode(), value.encode()) for name, value in HEADS.items()]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for chunk in STREAM.chunks or ():
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def _wrapper(module: Any) -> Any:
    class Retrying(module.BaseTransport):  # type: ignore[misc]
        """What libraries put around a transport: it sends again, and hands on what it gets."""

        def __init__(self, inner: Any) -> None:
            self.inner = inner
            self.attempts = 0

        def handle_request(self, request: Any) -> Any:
            for _ in range(2):
                self.attempts += 1
                response = self.inner.handle_request(request)
                if response.status_code != 503:
                    return response
                response.close()
            return response

    return Retrying


def _own_stream(module: Any) -> Any:
    class Pieces(module.SyncByteStream):  # type: ignore[misc]
        def __iter__(self) -> Iterator[bytes]:
            yield from STREAM.chunks or ()

    return module.MockTransport(lambda _: module.Response(200, headers=HEADS, stream=Pieces()))


@pytest.mark.parametrize("streamed_up", [False, True], ids=["whole", "pieces"])
@pytest.mark.parametrize("module", [httpx, httpx2], ids=["httpx", "httpx2"])
@pytest.mark.parametrize("transport", ["wsgi", "mock", "wrapped"])
def test_httpx(traces: Captured, module: Any, transport: str, streamed_up: bool) -> None:
    inner = {
        "wsgi": lambda: module.WSGITransport(wsgi),
        "mock": lambda: _own_stream(module),
        "wrapped": lambda: _wrapper(module)(_wrapper(module)(module.WSGITransport(wsgi))),
    }[transport]()
    body = json.dumps({**REQUEST, "stream": True}).encode()
    sent: Any = iter([body[:30], body[30:]]) if streamed_up else body
    with (
        module.Client(transport=inner, base_url="http://shop.test") as client,
        client.stream("POST", PATH, content=sent) as response,
    ):
        assert b"".join(response.iter_bytes()) == BODY
    _whole(traces)


@pytest.mark.parametrize("streamed_up", [False, True], ids=["whole", "pieces"])
@pytest.mark.parametrize("module", [httpx, httpx2], ids=["httpx", "httpx2"])
def test_httpx_asgi(traces: Captured, module: Any, streamed_up: bool) -> None:
    body = json.dumps({**REQUEST, "stream": True}).encode()

    async def pieces() -> AsyncIterator[bytes]:
        yield body[:30]
        yield body[30:]

    async def run() -> None:
        transport = module.ASGITransport(asgi)
        async with module.AsyncClient(transport=transport, base_url="http://shop.test") as client:
            sent = client.stream("POST", PATH, content=pieces() if streamed_up else body)
            async with sent as response:
                assert b"".join([piece async for piece in response.aiter_bytes()]) == BODY

    asyncio.run(run())
    _whole(traces)


@pytest.mark.parametrize("module", [httpx, httpx2], ids=["httpx", "httpx2"])
def test_a_wrapper_that_sends_again_is_one_call(traces: Captured, module: Any) -> None:
    with ReplayServer(Answer.json({"error": {"message": "busy"}}, 503), PLAIN) as server:
        transport = _wrapper(module)(module.HTTPTransport())
        with module.Client(transport=transport) as client:
            assert client.post(server.url + PATH, json=REQUEST).json()["id"] == "chatcmpl-7"
        assert transport.attempts == len(server.requests) == 2
    _whole(traces)


@pytest.mark.parametrize("module", [httpx, httpx2], ids=["httpx", "httpx2"])
def test_a_transport_that_is_used_directly(traces: Captured, module: Any) -> None:
    async def run(url: str) -> None:
        async with module.AsyncHTTPTransport() as transport:
            response = await transport.handle_async_request(module.Request("POST", url, json=REQUEST))
            assert json.loads(await response.aread())["id"] == "chatcmpl-7"
            await response.aclose()

    with ReplayServer(PLAIN) as server:
        with module.HTTPTransport() as transport:
            response = transport.handle_request(module.Request("POST", server.url + PATH, json=REQUEST))
            assert json.loads(response.read())["id"] == "chatcmpl-7"
            response.close()
            tool = transport.handle_request(module.Request("POST", server.url + "/tool", json={}))
            tool.read()
        asyncio.run(run(server.url + PATH))
        assert ["traceparent" in request.headers for request in server.requests] == [True, False, True]
    _whole(traces, 2)


class Signing(requests.adapters.HTTPAdapter):
    """An adapter that adds to each request, as gateways ask for."""

    def send(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        request.headers["x-signature"] = str(len(request.body or ""))
        return super().send(request, *args, **kwargs)

    def add_headers(self, request: Any, **kwargs: Any) -> None:
        request.headers["x-tenant"] = "shop"


class Canned(requests.adapters.BaseAdapter):
    """An adapter without HTTP below it: as tests have, and nothing that goes over a wire."""

    def send(self, request: Any, *args: Any, **kwargs: Any) -> requests.Response:
        response = requests.Response()
        response.status_code, response.raw, response.request = 200, BytesIO(PLAIN.body), request
        return response

    def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_requests_with_adapters(traces: Captured, stream: bool) -> None:
    busy = Answer.json({"error": {"message": "busy"}}, 503)
    with ReplayServer(busy, STREAM if stream else PLAIN) as server, requests.Session() as session:
        retries = urllib3.Retry(2, status_forcelist=[503], allowed_methods=None, backoff_factor=0)
        session.mount("http://", Signing(max_retries=retries, pool_connections=2))
        session.mount("canned://", Canned())
        session.headers["x-session"] = "1"
        body = {**REQUEST, "stream": stream}
        with session.post(server.url + PATH, json=body, stream=stream, timeout=5) as response:
            if stream:
                assert b"".join(response.iter_content(50)) == BODY
            else:
                assert response.json()["id"] == "chatcmpl-7"
        assert session.post("canned://shop" + PATH, json=REQUEST).json()["id"] == "chatcmpl-7"
        assert len(server.requests) == 2
        for request in server.requests:
            assert request.headers["x-tenant"] == "shop"
            assert request.headers["x-session"] == "1"
            assert int(request.headers["x-signature"]) == len(request.body)
            assert "traceparent" in request.headers
    _whole(traces)


def test_aiohttp_with_a_connector_and_middleware(traces: Captured) -> None:
    async def tagged(request: Any, handler: Any) -> Any:
        request.headers["x-tenant"] = "shop"
        return await handler(request)

    async def run(url: str) -> None:
        connector = aiohttp.TCPConnector(limit=1)
        async with (
            aiohttp.ClientSession(connector=connector, middlewares=(tagged,)) as session,
            session.post(url + PATH, json={**REQUEST, "stream": True}) as response,
        ):
            assert b"".join([piece async for piece in response.content.iter_chunked(64)]) == BODY

    with ReplayServer(STREAM) as server:
        asyncio.run(run(server.url))
        assert server.requests[0].headers["x-tenant"] == "shop"
        assert "traceparent" in server.requests[0].headers
    _whole(traces)


def test_urllib_with_a_handler_of_ones_own(traces: Captured) -> None:
    """Its answer is no response of http.client: who asked, for what, and the status are known."""

    class Canned(urllib.request.BaseHandler):
        handler_order = 100

        def http_open(self, request: Any) -> Any:
            assert request.get_header("Traceparent").startswith("00-")
            headers = Message()
            headers["content-type"] = "application/json"
            return urllib.response.addinfourl(BytesIO(PLAIN.body), headers, request.full_url, 200)

    opener = urllib.request.build_opener(Canned())
    # What stands between looks for what http.client answers.
    vars(opener)["process_response"].clear()
    with opener.open("http://shop.test" + PATH, json.dumps(REQUEST).encode()) as response:
        assert json.load(response)["id"] == "chatcmpl-7"
    (span,) = traces.snapshot()
    assert span["name"] == "chat gpt-4o-mini"
    assert span["attributes"]["http.response.status_code"] == 200
    assert span["attributes"]["server.address"] == "shop.test"


def test_taking_the_hooks_off_leaves_the_libraries_as_they_were(traces: Captured) -> None:
    with ReplayServer(PLAIN) as server:
        urllib.request.urlopen(server.url + PATH, json.dumps(REQUEST).encode(), timeout=5).read()
        httpx.post(server.url + "/tool")  # installs the instrumentation, with our hook on top
        llmtrace.disable()
        for owner, name in (
            (httpx.Client, "send"),
            (httpx.HTTPTransport, "handle_request"),
            (urllib.request.OpenerDirector, "open"),
        ):
            assert not hasattr(owner.__dict__[name], "__wrapped__"), name
        urllib.request.urlopen(server.url + PATH, json.dumps(REQUEST).encode(), timeout=5).read()
        assert "traceparent" not in server.requests[-1].headers

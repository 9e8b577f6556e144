"""Requests whose body is made while it is sent: recognised at their end, and sent as they would be."""

from __future__ import annotations

import asyncio
import io
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import aiohttp
import httpx
import httpx2
import pytest
import requests
import urllib3
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor

import llmtrace
from llmtrace.capture.streamed_request import StreamedBody
from llmtrace.testing import Answer, Captured, ReplayServer, capture

from .chat import PLAIN, REQUEST, STREAM, expected_span, pop_times

PATH = "/v1/chat/completions"
HEADERS = {"content-type": "application/json"}


def _pieces(body: bytes) -> Iterator[bytes]:
    for at in range(0, len(body), 40):
        yield body[at : at + 40]


async def _async_pieces(body: bytes) -> AsyncIterator[bytes]:
    for piece in _pieces(body):
        await asyncio.sleep(0)
        yield piece


def _httpx(module: Any, url: str, body: bytes, stream: bool) -> bytes:
    if not stream:
        return bytes(module.post(url, content=_pieces(body), headers=HEADERS).content)
    with module.stream("POST", url, content=_pieces(body), headers=HEADERS) as response:
        return b"".join(response.iter_bytes())


def _httpx_async(module: Any, url: str, body: bytes, stream: bool) -> bytes:
    async def run() -> bytes:
        async with module.AsyncClient() as client:
            if not stream:
                return bytes((await client.post(url, content=_async_pieces(body), headers=HEADERS)).content)
            sent = client.stream("POST", url, content=_async_pieces(body), headers=HEADERS)
            async with sent as response:
                return b"".join([piece async for piece in response.aiter_bytes()])

    return asyncio.run(run())


def _aiohttp(url: str, body: bytes, stream: bool) -> bytes:
    async def run() -> bytes:
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, data=_async_pieces(body), headers=HEADERS) as response,
        ):
            return b"".join([piece async for piece in response.content.iter_any()])

    return asyncio.run(run())


def _aiohttp_reader(url: str, body: bytes, stream: bool) -> bytes:
    """What comes from elsewhere is passed on as it comes."""

    async def run() -> bytes:
        with ReplayServer(Answer(headers={}, chunks=list(_pieces(body)))) as source:
            async with (
                aiohttp.ClientSession() as session,
                session.get(source.url) as upstream,
                session.post(url, data=upstream.content, headers=HEADERS) as response,
            ):
                return await response.read()

    return asyncio.run(run())


def _requests(url: str, body: bytes, stream: bool) -> bytes:
    return requests.post(url, data=_pieces(body), headers=HEADERS, timeout=5).content


def _requests_file(url: str, body: bytes, stream: bool) -> bytes:
    return requests.post(url, data=io.BytesIO(body), headers=HEADERS, timeout=5).content


def _urllib3(url: str, body: bytes, stream: bool) -> bytes:
    with urllib3.PoolManager() as pool:
        response = pool.request("POST", url, body=_pieces(body), headers=HEADERS, preload_content=not stream)
        return response.data


SENDERS: dict[str, Callable[[str, bytes, bool], bytes]] = {
    "httpx": lambda *sent: _httpx(httpx, *sent),
    "httpx-async": lambda *sent: _httpx_async(httpx, *sent),
    "httpx2": lambda *sent: _httpx(httpx2, *sent),
    "httpx2-async": lambda *sent: _httpx_async(httpx2, *sent),
    "aiohttp": _aiohttp,
    "aiohttp-reader": _aiohttp_reader,
    "requests": _requests,
    "requests-file": _requests_file,
    "urllib3": _urllib3,
}


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("sender", SENDERS)
def test_whole_span(traces: Captured, sender: str, stream: bool) -> None:
    sent = {**REQUEST, "stream": True} if stream else REQUEST
    body = json.dumps(sent).encode()
    with ReplayServer(STREAM if stream else PLAIN, provider="openai") as server:
        answer = SENDERS[sender](server.url + PATH, body, stream)
        assert answer == (b"".join(STREAM.chunks or ()) if stream else PLAIN.body)
        (span,) = [span for span in traces.snapshot() if span["name"] != "GET"]
        pop_times(span, stream=stream)
        assert span == expected_span(server, stream=stream)
        request = server.requests[-1]
        assert request.body == body
        recorded = next(span for span in traces.spans() if span.name != "GET")
        assert recorded.context is not None
        assert request.headers["traceparent"].split("-")[2] == f"{recorded.context.span_id:016x}"
        length = request.headers.get("content-length")
        assert length == (str(len(body)) if sender == "requests-file" else None)


def test_what_it_was_is_known_at_the_end() -> None:
    """Not a call after all: the span of HTTP that its headers name, where HTTP has spans."""
    for http_spans, names in (("other", ["POST", "root"]), ("none", ["root"])):
        with ReplayServer(Answer.json({}, 404)) as server, capture(http_spans=http_spans) as traces:
            with llmtrace.span("root") as root:
                httpx.post(server.url + PATH, content=_pieces(b'{"model": "m"}'))
            spans = traces.snapshot()
            assert [span["name"] for span in spans] == names
            assert llmtrace.stats().generated == len(names)
            if http_spans == "other":
                (recorded, _) = traces.spans()
                assert recorded.parent is not None
                assert f"{recorded.parent.span_id:016x}" == root.span_id
                assert spans[0]["attributes"] == {
                    "http.request.method": "POST",
                    "url.path": PATH,
                    "server.address": "127.0.0.1",
                    "server.port": server.port,
                    "http.response.status_code": 404,
                    "error.type": "404",
                }
                assert spans[0]["status"][0] == "ERROR"


def test_forms_and_other_paths_pass_untouched(traces: Captured) -> None:
    async def form(url: str) -> None:
        data = aiohttp.FormData()
        data.add_field("file", io.BytesIO(b"abc"), filename="a.txt")
        data.add_field("model", "m")
        async with aiohttp.ClientSession() as session:
            for path in ("/v1/files", PATH):
                async with session.post(url + path, data=data()) as response:
                    await response.read()

    with ReplayServer(Answer.json({})) as server:
        asyncio.run(form(server.url))
        files: Any = {"file": ("a.txt", b"abc"), "messages": (None, "x")}
        httpx.post(server.url + PATH, files=files)
        requests.post(server.url + PATH, files=files, timeout=5)
        requests.post(server.url + "/upload", data=_pieces(b"x" * 100), timeout=5)
        httpx.post(server.url + "/upload", content=_pieces(b"x" * 100))
        names = [span.name for span in traces.spans()]
        assert b"".join(request.body for request in server.requests).count(b"abc") == 4
    assert names == ["POST", "POST"]


@pytest.mark.parametrize("module", [httpx, httpx2], ids=["httpx", "httpx2"])
def test_a_body_may_make_calls_of_its_own(traces: Captured, module: Any) -> None:
    """An answer that is sent on as it comes: the inner call is recorded, and no child of the outer one."""

    with ReplayServer(STREAM) as server, ReplayServer(PLAIN) as outer:

        def relayed() -> Iterator[bytes]:
            yield b'{"model": "m", "messages": [{"role": "user", "content": '
            with module.stream("POST", server.url + PATH, json={**REQUEST, "stream": True}) as response:
                text = "".join(response.iter_text())
            yield json.dumps(text).encode() + b"}]}"

        with llmtrace.span("root"):
            module.post(outer.url + PATH, content=relayed())
        spans = traces.spans()
    root = spans[-1].get_span_context()
    assert [span.name for span in spans] == ["chat gpt-4o-mini", "chat m", "root"]
    assert [span.parent for span in spans[:2]] == [root, root]


def test_errors_of_a_body_are_the_callers(traces: Captured) -> None:
    def failing() -> Iterator[bytes]:
        yield b'{"model": "m", '
        raise RuntimeError("no more")

    async def failing_async() -> AsyncIterator[bytes]:
        yield b'{"model": "m", '
        raise RuntimeError("no more")

    async def run(url: str) -> None:
        async with httpx.AsyncClient() as client:
            with pytest.raises(RuntimeError, match="no more"):
                await client.post(url, content=failing_async())

    with ReplayServer(PLAIN) as server:
        with pytest.raises(RuntimeError, match="no more"):
            httpx.post(server.url + PATH, content=failing())
        asyncio.run(run(server.url + PATH))
        spans = traces.snapshot()
    assert [span["attributes"]["error.type"] for span in spans] == ["RuntimeError", "RuntimeError"]


def test_redirects_send_a_file_again(traces: Captured) -> None:
    body = json.dumps(REQUEST).encode()
    with ReplayServer(PLAIN) as target:
        again = Answer(status=307, headers={"location": target.url + PATH})
        with ReplayServer(again) as server:
            answer = requests.post(server.url + PATH, data=io.BytesIO(body), headers=HEADERS, timeout=5)
            assert answer.json()["id"] == "chatcmpl-7"
        assert target.requests[0].body == body
    first, last = traces.snapshot()  # requests sends two
    assert first["attributes"]["http.response.status_code"] == 307
    assert last["attributes"]["gen_ai.usage.output_tokens"] == 12


def test_the_instrumentation_makes_no_second_span(traces: Captured) -> None:
    with ReplayServer(PLAIN) as server:
        httpx.get(server.url + "/tool")  # installs it
        assert HTTPXClientInstrumentor().is_instrumented_by_opentelemetry
        httpx.post(server.url + PATH, content=_pieces(json.dumps(REQUEST).encode()))
        with httpx.Client() as client:
            client._transport.handle_request(httpx.Request("POST", server.url + PATH, json=REQUEST)).read()
    assert [span.name for span in traces.spans()] == ["GET", "chat gpt-4o-mini", "chat gpt-4o-mini"]


@given(st.lists(st.one_of(st.binary(max_size=20), st.text(max_size=20)), max_size=20), st.integers(0, 20))
def test_pieces_are_passed_on_as_they_are(pieces: list[bytes | str], taken: int) -> None:
    body = StreamedBody()
    noted = body.noted(iter(pieces))
    passed = [piece for piece, _ in zip(noted, range(taken), strict=False)]
    assert passed == pieces[:taken]
    asked = pieces[: taken + 1] if taken < len(pieces) else pieces
    whole = b"".join(piece.encode() if isinstance(piece, str) else piece for piece in asked)
    if not whole.startswith(b"\x1f\x8b"):
        assert body.whole() == whole


def test_threads_do_not_mix_what_they_send(traces: Captured) -> None:
    def ask(url: str, name: str) -> None:
        body = json.dumps({**REQUEST, "model": name}).encode()
        httpx.post(url + PATH, content=_pieces(body))

    names = [f"m{number}" for number in range(8)]
    with ReplayServer(PLAIN) as server:
        threads = [threading.Thread(target=ask, args=(server.url, name)) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(span.name for span in traces.spans()) == [f"chat {name}" for name in names]

"""urllib3, requests, botocore, aiohttp: every way to read a body, and the caller sees no difference."""

from __future__ import annotations

import asyncio
import gc
import gzip
import importlib
import importlib.metadata
import io
import json
import struct
import subprocess
import sys
import zlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import boto3
import brotli
import httpx
import httpx2
import pytest
import requests
import urllib3
from backports import zstd
from botocore.config import Config as BotoConfig

from llmtrace.capture import content_encoding
from llmtrace.testing import Answer, Captured, ReplayServer, capture
from llmtrace.wire.provider_names import PROVIDER_HEADER

from .chat import PLAIN, REQUEST, STREAM, expected_span, pop_times
from .naive import FOLDER, recordings
from .test_recordings import answer_of

PATH = "/v1/chat/completions"
URLLIB3_1 = importlib.metadata.version("urllib3").startswith("1.")
BODY = b"".join(STREAM.chunks or ())
ASK = {**REQUEST, "stream": True}


def _requests(url: str) -> None:
    assert requests.post(url + PATH, json=REQUEST, timeout=5).json()["id"] == "chatcmpl-7"


def _requests_stream(url: str) -> None:
    with (
        requests.Session() as session,
        session.post(url + PATH, json=ASK, stream=True, timeout=5) as response,
    ):
        lines = [line for line in response.iter_lines() if line]
    assert len(lines) == 9


def _post(pool: urllib3.PoolManager, url: str, asked: Any, **options: Any) -> Any:
    """As `json=asked` of urllib3 2 does it, which urllib3 1 has not."""
    headers = {"content-type": "application/json"}
    return pool.request("POST", url + PATH, body=json.dumps(asked).encode(), headers=headers, **options)


def _urllib3(url: str) -> None:
    with urllib3.PoolManager() as pool:
        assert json.loads(_post(pool, url, REQUEST).data)["id"] == "chatcmpl-7"


def _urllib3_stream(url: str) -> None:
    with urllib3.PoolManager() as pool:
        response = _post(pool, url, ASK, preload_content=False)
        assert b"".join(response.stream(64)) == BODY
        response.release_conn()


def _aiohttp(url: str) -> None:
    async def run() -> None:
        async with aiohttp.ClientSession() as session, session.post(url + PATH, json=REQUEST) as response:
            assert (await response.json())["id"] == "chatcmpl-7"

    asyncio.run(run())


def _aiohttp_stream(url: str) -> None:
    async def run() -> None:
        async with aiohttp.ClientSession(url) as session, session.post(PATH, json=ASK) as response:
            assert b"".join([line async for line in response.content]) == BODY

    asyncio.run(run())


def _asgi(url: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-type", b"application/json"), (PROVIDER_HEADER.encode(), b"openai")],
            }
        )
        await send({"type": "http.response.body", "body": PLAIN.body})

    async def run() -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=url) as client:
            assert (await client.post(PATH, json=REQUEST)).json()["id"] == "chatcmpl-7"

    asyncio.run(run())


def _mock(url: str) -> None:
    answer = {"json": json.loads(PLAIN.body), "headers": {PROVIDER_HEADER: "openai"}}
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, **answer))
    with httpx2.Client(transport=transport) as client:
        assert client.post(url + PATH, json=REQUEST).json()["id"] == "chatcmpl-7"


CLIENTS: dict[str, tuple[Callable[[str], None], bool]] = {
    "requests": (_requests, False),
    "requests-stream": (_requests_stream, True),
    "urllib3": (_urllib3, False),
    "urllib3-stream": (_urllib3_stream, True),
    "aiohttp": (_aiohttp, False),
    "aiohttp-stream": (_aiohttp_stream, True),
    "asgi": (_asgi, False),
    "mock-transport": (_mock, False),
}


@pytest.mark.parametrize("client", CLIENTS)
def test_whole_span(traces: Captured, client: str) -> None:
    use, stream = CLIENTS[client]
    with ReplayServer(STREAM if stream else PLAIN) as server:
        use(server.url)
        (span,) = traces.snapshot()
        pop_times(span, stream=stream)
        assert span == expected_span(server, stream=stream)
        (recorded,) = traces.spans()
        assert recorded.context is not None
        if server.requests:
            (request,) = server.requests
            assert request.headers["traceparent"].split("-")[2] == f"{recorded.context.span_id:016x}"
            assert request.headers["content-type"].startswith("application/json")
            assert json.loads(request.body) == (ASK if stream else REQUEST)


def test_other_calls_pass_untouched(traces: Captured) -> None:
    async def run(url: str) -> None:
        headers = {"x-a": "1"}
        async with (
            aiohttp.ClientSession() as session,
            session.post(url + "/tool", json={"a": 1}, headers=headers) as response,
        ):
            await response.read()

    with ReplayServer(Answer.json({})) as server:
        requests.post(server.url + "/tool", json={"a": 1}, headers={"x-a": "1"}, timeout=5)
        asyncio.run(run(server.url))
        for request in server.requests:
            assert request.headers["x-a"] == "1"
            assert "traceparent" not in request.headers
            assert json.loads(request.body) == {"a": 1}
    assert traces.spans() == []


def test_the_callers_headers_stay_as_they_are(traces: Captured) -> None:
    headers = {"X-One": "1"}
    with ReplayServer(PLAIN) as server:
        response = requests.post(server.url + PATH, json=REQUEST, headers=headers, timeout=5)
        of_pool = {**headers, "content-type": "application/json"}
        urllib3.PoolManager(headers=of_pool).request("POST", server.url + PATH, body=json.dumps(REQUEST))
        assert headers == {"X-One": "1"}
        assert "traceparent" not in response.request.headers
        assert all(request.headers["x-one"] == "1" for request in server.requests)
    assert len(traces.spans()) == 2


def _frame(kind: str, payload: dict[str, Any]) -> bytes:
    headers = b""
    for name, value in (
        (":message-type", "event"),
        (":event-type", kind),
        (":content-type", "application/json"),
    ):
        headers += (
            struct.pack("!B", len(name)) + name.encode() + struct.pack("!BH", 7, len(value)) + value.encode()
        )
    body = json.dumps(payload).encode()
    head = struct.pack("!II", 16 + len(headers) + len(body), len(headers))
    head += struct.pack("!I", zlib.crc32(head))
    frame = head + headers + body
    return frame + struct.pack("!I", zlib.crc32(frame))


def _bedrock(url: str) -> Any:
    return boto3.client(
        "bedrock-runtime",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="AKIAIOSFODNN7EXAMPLE",
        aws_secret_access_key="none",
        config=BotoConfig(retries={"max_attempts": 1}),
    )


def test_bedrock(traces: Captured) -> None:
    usage = {"inputTokens": 3, "outputTokens": 4, "totalTokens": 7}
    message = {"role": "assistant", "content": [{"text": "hello"}]}
    plain = Answer.json(
        {
            "output": {"message": message},
            "stopReason": "end_turn",
            "usage": usage,
            "metrics": {"latencyMs": 1},
        }
    )
    frames = [
        _frame("messageStart", {"role": "assistant"}),
        _frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "hello"}}),
        _frame("contentBlockStop", {"contentBlockIndex": 0}),
        _frame("messageStop", {"stopReason": "end_turn"}),
        _frame("metadata", {"usage": usage, "metrics": {"latencyMs": 1}}),
    ]
    stream = Answer(headers={"content-type": "application/vnd.amazon.eventstream"}, chunks=frames)
    asked: dict[str, Any] = {
        "modelId": "amazon.nova-lite-v1:0",
        "messages": [{"role": "user", "content": [{"text": "hi"}]}],
    }
    with ReplayServer(plain, stream) as server:
        client = _bedrock(server.url)
        assert client.converse(**asked)["output"]["message"] == message
        events = list(client.converse_stream(**asked)["stream"])
        assert [next(iter(event)) for event in events] == [
            "messageStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata",
        ]  # fmt: skip
        assert all("traceparent" in request.headers for request in server.requests)
    for span in traces.snapshot():
        attributes = span["attributes"]
        assert span["name"] == "chat amazon.nova-lite-v1:0"
        assert attributes["gen_ai.usage.input_tokens"] == 3
        assert attributes["gen_ai.usage.output_tokens"] == 4
        assert "hello" in attributes["gen_ai.output.messages"]
        assert span["status"] == ("UNSET", None)
    assert len(traces.spans()) == 2


Reader = Callable[[Any], Any]


def _unpacked(body: bytes) -> bytes:
    """Without a word about decoding, a chunked body comes as it was sent."""
    return gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body


def _pieces(response: Any) -> Iterator[bytes]:
    # urllib3 1 gives nothing as long as it cannot decode what it has.
    while (piece := response.read(50)) or not response.closed:
        yield piece


URLLIB3_READERS: dict[str, Reader] = {
    "read": lambda response: response.read(),
    "read-pieces": lambda response: b"".join(_pieces(response)),
    "read1": lambda response: b"".join(iter(lambda: response.read1(), b"")),
    "readinto": lambda response: io.BufferedReader(response).read(),
    "lines": lambda response: b"".join(response),
    "readline": lambda response: b"".join(iter(response.readline, b"")),
    "stream": lambda response: b"".join(response.stream(33, decode_content=True)),
    "as-sent": lambda response: _unpacked(b"".join(response.stream(33))),
    "read_chunked": lambda response: b"".join(response.read_chunked(33, decode_content=True)),
    "data": lambda response: response.data,
}


@pytest.mark.parametrize("reader", URLLIB3_READERS)
@pytest.mark.parametrize("encoding_name", ["identity", "gzip"])
def test_urllib3_readers(traces: Captured, reader: str, encoding_name: str) -> None:
    if URLLIB3_1 and (reader == "read1" or (reader, encoding_name) == ("readline", "gzip")):
        pytest.skip("urllib3 1 cannot do that itself")
    packed = gzip.compress(BODY) if encoding_name == "gzip" else BODY
    headers = {"content-type": "text/event-stream", "content-encoding": encoding_name}
    answer = Answer(headers=headers, chunks=[packed[:100], packed[100:]])
    with ReplayServer(answer) as server, urllib3.PoolManager() as pool:
        response = _post(pool, server.url, ASK, preload_content=False)
        assert URLLIB3_READERS[reader](response) == BODY
        response.release_conn()
    (span,) = traces.snapshot()
    assert span["attributes"]["gen_ai.usage.output_tokens"] == 12
    assert "llmtrace.stream.abandoned" not in span["attributes"]


async def _all(iterator: Any) -> bytes:
    return b"".join([item if isinstance(item, bytes) else item[0] async for item in iterator])


async def _until_end(read: Callable[[], Awaitable[bytes]]) -> bytes:
    pieces = []
    while piece := await read():
        pieces.append(piece)
    return b"".join(pieces)


AIOHTTP_READERS: dict[str, Callable[[Any], Awaitable[bytes]]] = {
    "read": lambda response: response.read(),
    "content-read": lambda response: _until_end(lambda: response.content.read(40)),
    "lines": lambda response: _all(response.content),
    "any": lambda response: _all(response.content.iter_any()),
    "chunked": lambda response: _all(response.content.iter_chunked(40)),
    "chunks": lambda response: _all(response.content.iter_chunks()),
    "readline": lambda response: _until_end(response.content.readline),
    "exactly": lambda response: response.content.readexactly(len(BODY)),
}


@pytest.mark.parametrize("reader", AIOHTTP_READERS)
@pytest.mark.parametrize("compressed", [False, True], ids=["identity", "gzip"])
def test_aiohttp_readers(traces: Captured, reader: str, compressed: bool) -> None:
    packed = gzip.compress(BODY) if compressed else BODY
    headers = {"content-type": "text/event-stream", **({"content-encoding": "gzip"} if compressed else {})}

    async def run(url: str) -> None:
        async with aiohttp.ClientSession() as session, session.post(url + PATH, json=ASK) as response:
            assert await AIOHTTP_READERS[reader](response) == BODY

    with ReplayServer(Answer(headers=headers, chunks=[packed[:100], packed[100:]])) as server:
        asyncio.run(run(server.url))
    (span,) = traces.snapshot()
    assert span["attributes"]["gen_ai.usage.output_tokens"] == 12
    assert "llmtrace.stream.abandoned" not in span["attributes"]


def test_left_early(traces: Captured) -> None:
    """Closed, dropped, cancelled: as with httpx, the span ends then and says so."""
    slow = Answer(headers=STREAM.headers, chunks=list(STREAM.chunks or ())[:3] * 20, pause=0.02)

    async def leave(url: str) -> None:
        async with aiohttp.ClientSession() as session, session.post(url + PATH, json=ASK) as response:
            await response.content.readany()

    async def cancel(url: str) -> None:
        async def consume() -> None:
            async with aiohttp.ClientSession() as session, session.post(url + PATH, json=ASK) as response:
                await response.content.readany()
                await _all(response.content.iter_any())

        task = asyncio.create_task(consume())
        await asyncio.sleep(0.15)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with ReplayServer(slow) as server:
        response = requests.post(server.url + PATH, json=ASK, stream=True, timeout=5)
        next(response.iter_content(700))
        response.close()
        dropped = _post(urllib3.PoolManager(), server.url, ASK, preload_content=False)
        next(dropped.stream(700))
        del dropped
        gc.collect()
        asyncio.run(leave(server.url))
        asyncio.run(cancel(server.url))
        spans = traces.snapshot()
    assert len(spans) == 4
    for span in spans:
        assert span["attributes"]["llmtrace.stream.abandoned"] is True
        assert span["attributes"]["gen_ai.response.id"] == "chatcmpl-7"


def test_errors_are_the_callers(traces: Captured) -> None:
    refused = "http://127.0.0.1:9"

    async def run(url: str) -> None:
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientConnectorError):
                await session.post(refused + PATH, json=REQUEST)
            with pytest.raises(aiohttp.ClientPayloadError):
                async with session.post(url + PATH, json=ASK) as response:
                    await _all(response.content.iter_any())

    with ReplayServer(Answer(headers=STREAM.headers, chunks=(STREAM.chunks or ())[:2], cut=True)) as server:
        with pytest.raises(requests.ConnectionError):
            requests.post(refused + PATH, json=REQUEST, timeout=5)
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            requests.post(server.url + PATH, json=ASK, timeout=5)
        asyncio.run(run(server.url))
        spans = traces.snapshot()
    assert [span["status"][0] for span in spans] == ["ERROR"] * 4
    kinds = [span["attributes"]["error.type"] for span in spans]
    assert kinds == ["MaxRetryError", "ProtocolError", "ClientConnectorError", "ClientPayloadError"]


def _encoded(name: str) -> bytes:
    if name == "zstd":
        return zstd.compress(BODY)
    if name == "deflate":
        return zlib.compress(BODY)
    if name == "br":
        return bytes(brotli.compress(BODY))
    if name == "gzip, zstd":
        return zstd.compress(gzip.compress(BODY))
    return gzip.compress(BODY)


@pytest.mark.parametrize("name", ["gzip", "deflate", "zstd", "br", "gzip, zstd"])
def test_encodings_whole_and_torn(name: str) -> None:
    packed = _encoded(name)
    assert content_encoding.decoded([packed], name) == [BODY]
    half, size = packed[: len(packed) // 2], len(packed) // 2
    (torn,) = content_encoding.decoded([half], name)
    assert BODY.startswith(torn)
    pieces = content_encoding.decoded([packed[:1], packed[1:size], packed[size:]], name)
    assert (len(pieces), b"".join(pieces)) == (3, BODY)
    assert pieces[0] == b""
    assert content_encoding.decoded([packed, b"\x00garbage"], name)[0] == BODY
    assert content_encoding.decoded([b"\x00garbage"], name) == [b""]


def _raw_httpx(url: str) -> bytes:
    with httpx.stream("POST", url, json=ASK) as response:
        return b"".join(response.iter_raw())


def _read_httpx2(url: str) -> bytes:
    content: bytes = httpx2.post(url, json=ASK).content
    return content


def _read_requests(url: str) -> bytes:
    content: bytes = requests.post(url, json=ASK, timeout=5).content
    return content


@pytest.mark.parametrize(
    "client", [_raw_httpx, _read_httpx2, _read_requests], ids=["httpx", "httpx2", "requests"]
)
def test_brotli_over_the_wire(traces: Captured, client: Callable[[str], bytes]) -> None:
    """In pieces; the caller gets what it asked for, raw bytes or text."""
    packed = brotli.compress(BODY)
    headers = {"content-type": "text/event-stream", "content-encoding": "br"}
    with ReplayServer(Answer(headers=headers, chunks=[packed[:50], packed[50:]])) as server:
        assert client(server.url + PATH) in (packed, BODY)
        assert "br" in server.requests[0].headers["accept-encoding"]
    (span,) = traces.snapshot()
    assert span["attributes"]["gen_ai.usage.output_tokens"] == 12


@pytest.mark.parametrize("library", ["brotli", "brotlicffi"])
def test_brotli_by_whichever_library_the_client_has(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both have a Decompressor; neither is needed here, so a stand-in with their two interfaces is used."""

    class Machine:
        def __init__(self) -> None:
            self._inner = zlib.decompressobj()
            name = "process" if library == "brotli" else "decompress"
            setattr(self, name, lambda data: self._inner.decompress(data))

    module = type("Module", (), {"Decompressor": Machine})
    monkeypatch.setattr(importlib, "import_module", lambda name: _only(name, library, module))
    assert content_encoding.decoded([zlib.compress(BODY)], "br") == [BODY]


def _only(name: str, wanted: str, module: Any) -> Any:
    if name != wanted:
        raise ImportError(name)
    return module


def test_unknown_encodings_give_nothing() -> None:
    assert content_encoding.decoded([BODY], "rot13") == [b""]
    assert content_encoding.decoded([BODY], "identity") == [BODY]


def test_zstd_over_the_wire(traces: Captured) -> None:
    packed = zstd.compress(BODY)
    headers = {"content-type": "text/event-stream", "content-encoding": "zstd"}
    with ReplayServer(Answer(headers=headers, chunks=[packed[:50], packed[50:]])) as server:
        with httpx2.stream("POST", server.url + PATH, json=ASK) as response:
            assert b"".join(response.iter_raw()) == packed
        answer = requests.post(server.url + PATH, json=ASK, stream=True, timeout=5)
        assert answer.raw.read(decode_content=False) == packed
    for span in traces.snapshot():
        assert span["attributes"]["gen_ai.usage.output_tokens"] == 12
    assert len(traces.spans()) == 2


def _seen_by_httpx(client: Any, url: str, method: str, body: bytes) -> Any:
    try:
        with client.stream(method, url, content=body or None) as response:
            chunks = list(response.iter_raw())
            return response.status_code, response.headers.multi_items(), b"".join(chunks), response.is_closed
    except Exception as error:
        return type(error), str(error)


def _seen_by_requests(url: str, method: str, body: bytes) -> Any:
    try:
        with requests.request(method, url, data=body or None, stream=True, timeout=5) as response:
            return response.status_code, dict(response.headers), b"".join(response.iter_content(500))
    except Exception as error:
        return type(error), str(error)


async def _seen_by_aiohttp(session: aiohttp.ClientSession, url: str, method: str, body: bytes) -> Any:
    try:
        async with session.request(method, url, data=body or None) as response:
            return response.status, dict(response.headers), await _all(response.content.iter_any())
    except Exception as error:
        return type(error), str(error)


@pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no recorded traffic at {FOLDER}")
def test_every_recording_looks_the_same_with_and_without() -> None:
    """Status, headers, bytes and exceptions, by httpx for all, by the others for a share."""

    async def both() -> list[list[Any]]:
        results: list[list[Any]] = []
        async with aiohttp.ClientSession() as session:
            for index, (target, answer, method, body) in enumerate(_requests_of_recordings()):
                server.answer_with(answer)
                url = server.url + target
                seen = [_seen_by_httpx(first, url, method, body)]
                if index % 8 == 0:
                    seen.append(_seen_by_httpx(second, url, method, body))
                    seen.append(_seen_by_requests(url, method, body))
                    seen.append(await _seen_by_aiohttp(session, url, method, body))
                results.append([_without_date(outcome) for outcome in seen])
        return results

    with ReplayServer(Answer()) as server, httpx.Client() as first, httpx2.Client() as second:
        bare = asyncio.run(both())
        with capture(http_spans="none") as traces:
            traced = asyncio.run(both())
            assert len(traces.spans()) > 600
    assert len(bare) == len(traced) > 600
    for before, after in zip(bare, traced, strict=True):
        assert before == after


def _requests_of_recordings() -> Iterator[tuple[str, Answer, str, bytes]]:
    for index, recording in enumerate(recordings()):
        answer = answer_of(recording)
        if answer.chunks is not None and index % 5 == 0:  # some break off
            answer = Answer(headers=answer.headers, chunks=answer.chunks[: len(answer.chunks) // 2], cut=True)
        parts = urlsplit(recording.record["url"])
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        yield target, answer, recording.record["method"], recording.sent or b""


def _without_date(seen: Any) -> Any:
    return tuple(
        [item for item in part if item[0].lower() != "date"]
        if isinstance(part, list)
        else {key: value for key, value in part.items() if key.lower() != "date"}
        if isinstance(part, dict)
        else part
        for part in seen
    )


def test_a_library_that_is_imported_between_two_starts_is_hooked() -> None:
    """Programs start again (tests, notebooks), and import clients whenever they like."""
    code = """
import llmtrace.testing, sys
with llmtrace.testing.capture():
    import httpx
assert "httpx2" not in sys.modules
import httpx2
from llmtrace.capture.hooks import install
answer = llmtrace.testing.Answer.json({"choices": []})
with llmtrace.testing.ReplayServer(answer) as server, llmtrace.testing.capture() as captured:
    for module in (httpx, httpx2):
        module.post(server.url + "/v1/chat/completions", json={"model": "m", "messages": []})
    assert len(captured.calls) == 2, captured
    hooked = len(install._hooked)
with llmtrace.testing.capture():
    assert len(install._hooked) == hooked
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)

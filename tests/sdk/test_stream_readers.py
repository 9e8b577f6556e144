"""Every way to read a stream of httpx and httpx2 gives the bytes that were sent, and one whole span."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import httpx2
import openai
import pytest

import llmtrace
from llmtrace.testing import Captured, ReplayServer

from .chat import REQUEST, STREAM

PATH = "/v1/chat/completions"
ASK = {**REQUEST, "stream": True}
BODY = b"".join(STREAM.chunks or ())
TEXT = BODY.decode()
LINES = [line for line in TEXT.splitlines() if line]
MODULES = pytest.mark.parametrize("module", [httpx, httpx2], ids=["httpx", "httpx2"])

READERS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "bytes": (lambda response: b"".join(response.iter_bytes()), BODY),
    "raw": (lambda response: b"".join(response.iter_raw()), BODY),
    "text": (lambda response: "".join(response.iter_text()), TEXT),
    "lines": (lambda response: [line for line in response.iter_lines() if line], LINES),
    "read": (lambda response: response.read(), BODY),
}


async def _all(pieces: Any) -> list[Any]:
    return [piece async for piece in pieces]


ASYNC_READERS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any], Any]] = {
    "bytes": (lambda response: _all(response.aiter_bytes()), b"".join, BODY),
    "raw": (lambda response: _all(response.aiter_raw()), b"".join, BODY),
    "text": (lambda response: _all(response.aiter_text()), "".join, TEXT),
    "lines": (lambda response: _all(response.aiter_lines()), lambda lines: [*filter(None, lines)], LINES),
    "read": (lambda response: response.aread(), bytes, BODY),
}


def _is_whole(traces: Captured) -> None:
    (span,) = (candidate for candidate in traces.snapshot() if candidate["name"] == "chat gpt-4o-mini")
    assert span["attributes"]["gen_ai.usage.output_tokens"] == 12
    assert span["attributes"]["gen_ai.response.finish_reasons"] == ["tool_call"]
    assert "llmtrace.stream.abandoned" not in span["attributes"]


@MODULES
@pytest.mark.parametrize("reader", READERS)
def test_sync_readers(traces: Captured, module: Any, reader: str) -> None:
    read, expected = READERS[reader]
    with (
        ReplayServer(STREAM) as server,
        module.Client() as client,
        client.stream("POST", server.url + PATH, json=ASK) as response,
    ):
        assert read(response) == expected
    _is_whole(traces)


@MODULES
@pytest.mark.parametrize("reader", ASYNC_READERS)
def test_async_readers(traces: Captured, module: Any, reader: str) -> None:
    read, joined, expected = ASYNC_READERS[reader]

    async def run(url: str) -> Any:
        async with module.AsyncClient() as client, client.stream("POST", url + PATH, json=ASK) as response:
            return joined(await read(response))

    with ReplayServer(STREAM) as server:
        assert asyncio.run(run(server.url)) == expected
    _is_whole(traces)


def test_a_client_library_on_the_users_own_http_client(traces: Captured) -> None:
    """A subclass with a transport of its own, handed over as `http_client`."""

    class Own(httpx2.Client):
        pass

    with ReplayServer(STREAM) as server, Own(transport=httpx2.HTTPTransport(retries=1)) as http_client:
        client = openai.OpenAI(base_url=server.url + "/v1", api_key="k", http_client=http_client)
        assert len(list(client.chat.completions.create(**ASK))) == 8
    _is_whole(traces)


def test_read_in_another_thread_within_a_generator(traces: Captured) -> None:
    """Begun in one thread and read in the next: the span stays where the call was made."""

    def words(response: Any) -> Iterator[str]:
        yield from response.iter_lines()

    read: list[str] = []
    with ReplayServer(STREAM) as server, httpx.Client() as client:

        @llmtrace.observe(name="asked")
        def ask() -> Any:
            return client.send(client.build_request("POST", server.url + PATH, json=ASK), stream=True)

        response = ask()
        reader = threading.Thread(target=lambda: read.extend(words(response)))
        reader.start()
        reader.join(timeout=60)
        response.close()
    assert [line for line in read if line] == LINES
    _is_whole(traces)
    spans = {span.name: span for span in traces.spans()}
    assert spans["chat gpt-4o-mini"].parent == spans["asked"].get_span_context()

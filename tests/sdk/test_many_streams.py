"""Ten thousand streams at once: each becomes its span, and nothing is left of any."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from dataclasses import replace

import httpx2

import llmtrace
from llmtrace import config as configuration
from llmtrace.api import lifecycle
from llmtrace.capture.call import LlmCall
from llmtrace.capture.hooks.httpx_streams import StreamTypes
from llmtrace.capture.interceptor import StreamRecorder
from llmtrace.capture.llm_span import LlmSpan
from llmtrace.spans.retries import Retry
from llmtrace.testing import Captured

from .chat import REQUEST, STREAM

COUNT = 10_000
_PER_CALL = {kind.__module__ for kind in (LlmCall, LlmSpan, Retry, StreamRecorder, StreamTypes)}


class _Chunks(httpx2.AsyncByteStream):
    def __init__(self, gate: asyncio.Event) -> None:
        self._gate = gate

    async def __aiter__(self) -> AsyncIterator[bytes]:
        first, *rest = STREAM.chunks or ()
        yield first
        await self._gate.wait()  # all of them are open here
        for chunk in rest:
            yield chunk


async def _run() -> int:
    gate = asyncio.Event()
    opened = 0

    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers=STREAM.headers, stream=_Chunks(gate))

    async def stream_once(client: httpx2.AsyncClient, number: int) -> int:
        nonlocal opened
        with llmtrace.context(user_id=number):
            async with client.stream(
                "POST", "http://llm.example/v1/chat/completions", json={**REQUEST, "stream": True}
            ) as response:
                chunks = 0
                async for _ in response.aiter_raw():
                    opened += chunks == 0
                    chunks += 1
                    if opened == COUNT:
                        gate.set()
                    if number % 10 == 0 and chunks == 3:
                        break  # some leave early
                return chunks

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer)) as client:
        return sum(await asyncio.gather(*(stream_once(client, number) for number in range(COUNT))))


def _alive() -> int:
    """Calls, their spans, retries and wrapped streams that something still holds."""
    gc.collect()
    return sum(type(tracked).__module__ in _PER_CALL for tracked in gc.get_objects())


def test_ten_thousand_concurrent_streams() -> None:
    captured = Captured()
    config = configuration.resolve(http_spans="none")
    roomy = replace(config.delivery, max_queue_items=2 * COUNT, max_queue_bytes=2**30)
    config = replace(config, delivery=roomy)
    lifecycle.start(config, open_exporter=lambda: captured)
    before = _alive()
    assert asyncio.run(_run()) == COUNT // 10 * (3 + 9 * len(STREAM.chunks or ()))
    assert llmtrace.flush(60)
    assert llmtrace.stats() == llmtrace.Stats(generated=COUNT, sent=COUNT)
    spans = captured._spans
    assert len({span.attributes["user.id"] for span in spans if span.attributes}) == COUNT
    abandoned = sum("llmtrace.stream.abandoned" in (span.attributes or {}) for span in spans)
    assert abandoned == COUNT // 10
    assert _alive() == before
    running = lifecycle.current()
    assert running is not None
    assert running.delivery_worker._queue.bytes == 0

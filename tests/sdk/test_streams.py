"""Streams that end otherwise than at their end."""

from __future__ import annotations

import asyncio
import gc
import gzip
import json
from dataclasses import replace
from typing import Any

import httpx
import httpx2
import openai
import pytest

from llmtrace import config as configuration
from llmtrace.api import lifecycle
from llmtrace.testing import Answer, Captured, ReplayServer, sse

from .chat import EVENTS, REQUEST, STREAM

SLOW = sse(EVENTS, pause=0.02)


def _open(server: ReplayServer) -> Any:
    client = openai.OpenAI(base_url=server.url + "/v1", api_key="k", max_retries=0)
    return client.chat.completions.create(**REQUEST, stream=True)


def _is_abandoned(span: dict[str, Any]) -> None:
    assert span["attributes"]["llmtrace.stream.abandoned"] is True
    assert span["attributes"]["gen_ai.response.finish_reasons"] == ["error"]
    assert span["attributes"]["gen_ai.response.id"] == "chatcmpl-7"


def test_closed_early(traces: Captured) -> None:
    with ReplayServer(SLOW) as server:
        stream = _open(server)
        next(stream)
        next(stream)
        stream.close()
        (span,) = traces.snapshot()
    _is_abandoned(span)
    assert span["status"] == ("UNSET", None)
    assert "Let me" in span["attributes"]["gen_ai.output.messages"]


def test_garbage_collected(traces: Captured) -> None:
    with ReplayServer(SLOW) as server:
        response = httpx.Client().send(
            httpx.Request("POST", server.url + "/v1/chat/completions", json=REQUEST), stream=True
        )
        chunks = response.iter_raw()
        next(chunks)
        del response, chunks
        gc.collect()
        (span,) = traces.snapshot()
    _is_abandoned(span)


def test_never_read(traces: Captured) -> None:
    with ReplayServer(SLOW) as server, httpx2.Client() as client:
        response = client.send(
            client.build_request("POST", server.url + "/v1/chat/completions", json=REQUEST), stream=True
        )
        del response
        gc.collect()
        (span,) = traces.snapshot()
    assert span["attributes"]["gen_ai.response.finish_reasons"] == ["error"]
    assert span["attributes"]["llmtrace.stream.abandoned"] is True
    assert "gen_ai.response.time_to_first_chunk" not in span["attributes"]


def test_the_consumer_fails(traces: Captured) -> None:
    with ReplayServer(SLOW) as server:
        with pytest.raises(TypeError), _open(server) as stream:
            sum(stream)  # chunks are not numbers
        (span,) = traces.snapshot()
    _is_abandoned(span)


def test_the_last_event_was_enough(traces: Captured) -> None:
    """Closing after the finish reason is not giving up."""
    with ReplayServer(SLOW) as server:
        for chunk in (stream := _open(server)):
            if chunk.choices and chunk.choices[0].finish_reason:
                break
        stream.close()
        (span,) = traces.snapshot()
    assert span["attributes"]["gen_ai.response.finish_reasons"] == ["tool_call"]
    assert "llmtrace.stream.abandoned" not in span["attributes"]


def test_the_connection_breaks(traces: Captured) -> None:
    with ReplayServer(sse(EVENTS[:3], done=False, cut=True)) as server:
        with pytest.raises((openai.APIConnectionError, httpx2.TransportError)) as caught:
            list(_open(server))
        (span,) = traces.snapshot()
    broken = caught.value.__cause__ if isinstance(caught.value, openai.OpenAIError) else caught.value
    assert span["attributes"]["error.type"] == "RemoteProtocolError"
    assert span["attributes"]["gen_ai.response.finish_reasons"] == ["error"]
    assert span["status"] == ("ERROR", str(broken))
    assert "llmtrace.stream.abandoned" not in span["attributes"]


def test_a_cancelled_task(traces: Captured) -> None:
    async def run(url: str) -> None:
        client = openai.AsyncOpenAI(base_url=url + "/v1", api_key="k", max_retries=0)
        started = asyncio.Event()

        async def consume() -> None:
            async for _ in await client.chat.completions.create(**REQUEST, stream=True):
                started.set()

        task = asyncio.create_task(consume())
        await asyncio.wait_for(started.wait(), 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with ReplayServer(sse(EVENTS, pause=0.1)) as server:
        asyncio.run(run(server.url))
        (span,) = traces.snapshot()
    _is_abandoned(span)
    assert span["attributes"]["error.type"] == "CancelledError"


def test_an_error_inside_the_stream(traces: Captured) -> None:
    events = [EVENTS[1], {"error": {"message": "overloaded", "code": "server_error"}}]
    with ReplayServer(sse(events, done=False)) as server:
        with pytest.raises(openai.APIError):
            list(_open(server))
        (span,) = traces.snapshot()
    assert span["attributes"]["error.type"] == "server_error"
    assert span["status"] == ("ERROR", "overloaded")


def test_compressed_stream(traces: Captured) -> None:
    packed = gzip.compress(b"".join(STREAM.chunks or ()))
    headers = {"content-type": "text/event-stream", "content-encoding": "gzip"}
    answer = Answer(headers=headers, chunks=[packed[:50], packed[50:]])
    with ReplayServer(answer) as server:
        assert len(list(_open(server))) == 8
        (span,) = traces.snapshot()
    assert span["attributes"]["gen_ai.usage.output_tokens"] == 12


def test_odd_line_ends_and_many_choices(traces: Captured) -> None:
    lines = [
        b"event: message\r\ndata:" + json.dumps(event).encode() + b"\r\n\r\n"
        for event in (
            {"id": "r", "choices": [{"index": 1, "delta": {"content": "two\u2028"}}]},
            {"id": "r", "choices": [{"index": 0, "delta": {"content": "one"}, "finish_reason": "stop"}]},
            {"id": "r", "choices": [{"index": 1, "delta": {}, "finish_reason": "length"}]},
            {"choices": [], "x_groq": {"usage": {"prompt_tokens": 1, "completion_tokens": 2}}},
        )
    ]
    answer = Answer(headers={"content-type": "text/event-stream"}, chunks=[b": hello\r\n\r\n", *lines])
    with ReplayServer(answer) as server:
        httpx.post(server.url + "/v1/chat/completions", json=REQUEST)
        (span,) = traces.snapshot()
    attributes = span["attributes"]
    assert attributes["gen_ai.response.finish_reasons"] == ["stop", "length"]
    assert [m["parts"][0]["content"] for m in json.loads(attributes["gen_ai.output.messages"])] == [
        "one",
        "two\u2028",
    ]
    assert attributes["gen_ai.usage.output_tokens"] == 2


def test_a_long_stream_keeps_its_tail() -> None:
    """Beyond the bound the middle is left out; usage, at the end, is not."""
    captured = Captured()
    config = configuration.resolve()
    small = replace(config.delivery, max_queue_bytes=100_000)
    config = replace(config, max_body_bytes=20_000, delivery=small)
    lifecycle.start(config, open_exporter=lambda: captured)
    middle = [{"id": "r", "choices": [{"index": 0, "delta": {"content": "x" * 500}}]}] * 400  # 220 kB
    with ReplayServer(sse([EVENTS[0], *middle, *EVENTS[-2:]])) as server:
        list(_open(server))
        (span,) = captured.snapshot()
    assert span["attributes"]["llmtrace.body.truncated"] is True
    assert span["attributes"]["gen_ai.usage.input_tokens"] == 30
    assert span["attributes"]["gen_ai.response.finish_reasons"] == ["tool_call"]
    assert len(span["attributes"]["gen_ai.output.messages"]) < 120_000

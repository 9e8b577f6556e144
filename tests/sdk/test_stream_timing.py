"""When the bytes of an answer, its first output and its last came, as spans say it."""

from __future__ import annotations

import asyncio
import json
import struct
import threading
import zlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import httpx2
import openai
import pytest
import urllib3
from opentelemetry.sdk.trace import ReadableSpan

from llmtrace.testing import Answer, Captured, Received, ReplayServer
from llmtrace.wire.framing import output_events

from .chat import PLAIN, REQUEST

FIRST_BYTE = "llmtrace.response.time_to_first_byte"
FIRST_OUTPUT = "gen_ai.response.time_to_first_chunk"
LAST_OUTPUT = "llmtrace.response.time_to_last_token"
PAUSE = 0.05
#: A busy machine may hold up any piece, and so lengthen one pause and shorten another.
CLEAR = 0.2 * PAUSE
PATH = "/v1/chat/completions"


def _delta(**fields: Any) -> dict[str, Any]:
    return {"id": "r", "model": "m", "choices": [{"index": 0, "delta": fields, "finish_reason": None}]}


ROLE = _delta(role="assistant", content="")
WORDS = [_delta(content=f"word{n} ") for n in range(4)]
END = [
    {"id": "r", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    {"id": "r", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4}},
]


def _lines(events: Iterable[Any]) -> list[bytes]:
    return [b"data: " + json.dumps(event).encode() + b"\n\n" for event in events]


#: A role, four words, the finish reason, usage, and the mark of the end: a pause before each but the first.
CHUNKS = [*_lines([ROLE, *WORDS, *END]), b"data: [DONE]\n\n"]
STREAM = {"content-type": "text/event-stream"}


def _sync(url: str) -> None:
    client = openai.OpenAI(base_url=url + "/v1", api_key="k", max_retries=0)
    for _ in client.chat.completions.create(**REQUEST, stream=True):
        pass


def _async(url: str) -> None:
    async def run() -> None:
        async with (
            httpx2.AsyncClient() as client,
            client.stream("POST", url + PATH, json=REQUEST) as response,
        ):
            async for _ in response.aiter_raw():
                pass

    asyncio.run(run())


def _raw(url: str) -> bytes:
    with httpx.Client() as client, client.stream("POST", url + PATH, json=REQUEST) as response:
        return b"".join(response.iter_raw())


@pytest.mark.parametrize("use", [_sync, _async])
def test_the_times_of_a_stream(traces: Captured, use: Callable[[str], None]) -> None:
    answer = Answer(headers=STREAM, chunks=CHUNKS, pause=PAUSE, delay=PAUSE)
    with ReplayServer(answer) as server:
        use(server.url)
    (span,) = traces.spans()
    assert span.attributes is not None
    first_byte, first, last = (span.attributes[key] for key in (FIRST_BYTE, FIRST_OUTPUT, LAST_OUTPUT))
    assert isinstance(first_byte, float)
    assert isinstance(first, float)
    assert isinstance(last, float)
    assert span.end_time is not None
    assert span.start_time is not None
    duration = (span.end_time - span.start_time) / 1e9
    assert PAUSE <= first_byte < first < last < duration
    # One pause from the role to the first word, three to the last, and three more to the end.
    assert first - first_byte >= CLEAR
    assert last - first >= 2 * PAUSE
    assert duration - last >= 2 * PAUSE


def test_pieces_that_keep_to_no_events_bounds(traces: Captured) -> None:
    """An event is there when its last byte is."""
    body = b"".join(CHUNKS)
    inside = body.index(b"word0")
    after = body.index(b"word3") + 10
    pieces = [body[:inside], body[inside:after], body[after:]]
    with ReplayServer(Answer(headers=STREAM, chunks=pieces, pause=PAUSE)) as server:
        assert _raw(server.url) == body
    (span,) = traces.snapshot()
    times = [span["attributes"][key] for key in (FIRST_BYTE, FIRST_OUTPUT, LAST_OUTPUT)]
    assert times[1] - times[0] >= CLEAR
    assert times[2] - times[1] >= CLEAR


def test_a_compressed_stream(traces: Captured) -> None:
    pressing = zlib.compressobj(wbits=31)
    chunks = [pressing.compress(chunk) + pressing.flush(zlib.Z_SYNC_FLUSH) for chunk in CHUNKS]
    headers = {**STREAM, "content-encoding": "gzip"}
    with ReplayServer(Answer(headers=headers, chunks=chunks, pause=PAUSE)) as server:
        _sync(server.url)
    (span,) = traces.snapshot()
    times = [span["attributes"][key] for key in (FIRST_BYTE, FIRST_OUTPUT, LAST_OUTPUT)]
    assert times[1] - times[0] >= CLEAR
    assert times[2] - times[1] >= 2 * PAUSE


def test_a_plain_answer_has_a_first_byte_alone(traces: Captured) -> None:
    with ReplayServer(Answer(PLAIN.body, delay=PAUSE)) as server:
        httpx.post(server.url + PATH, json=REQUEST)
    (span,) = traces.snapshot()
    assert PAUSE <= span["attributes"][FIRST_BYTE] < 5
    assert FIRST_OUTPUT not in span["attributes"]
    assert LAST_OUTPUT not in span["attributes"]


def _times(span: ReadableSpan) -> tuple[float, float]:
    """Of the first byte and of the end, in seconds since the begin."""
    assert span.attributes is not None
    assert span.start_time is not None
    assert span.end_time is not None
    first_byte = span.attributes[FIRST_BYTE]
    assert isinstance(first_byte, float)
    return first_byte, (span.end_time - span.start_time) / 1e9


def test_what_urllib3_reads_whole_has_the_first_byte_of_its_own_head(traces: Captured) -> None:
    """The head of one comes late, that of the other early and its body late; both by one pool at once."""

    def respond(request: Received) -> Answer:
        chunks = [PLAIN.body[:40], PLAIN.body[40:]]
        if json.loads(request.body)["model"] == "late head":
            return Answer(chunks=chunks, delay=4 * PAUSE)
        return Answer(chunks=chunks, pause=4 * PAUSE)

    def post(model: str) -> None:
        begin.wait()
        body = json.dumps({**REQUEST, "model": model}).encode()
        answer = pool.request("POST", server.url + PATH, body=body)
        assert answer.data == PLAIN.body

    pool, begin = urllib3.PoolManager(maxsize=2), threading.Barrier(2)
    with ReplayServer(respond=respond) as server, ThreadPoolExecutor(2) as threads:
        list(threads.map(post, ("late head", "late body")))
    pool.clear()
    times = {span.name: _times(span) for span in traces.spans()}
    first_byte, end = times["chat late head"]
    assert 4 * PAUSE <= first_byte <= end
    first_byte, end = times["chat late body"]
    assert 0 < first_byte <= end - 3 * PAUSE


def test_the_head_of_the_last_of_redirected_requests(traces: Captured) -> None:
    moved = Answer(status=307, headers={"location": PATH + "?again"}, delay=2 * PAUSE)
    with (
        ReplayServer(moved, PLAIN) as server,
        urllib3.HTTPConnectionPool("127.0.0.1", server.port) as pool,
    ):
        assert pool.request("POST", PATH, body=json.dumps(REQUEST)).status == 200
    (span,) = traces.spans()
    first_byte, end = _times(span)
    assert 2 * PAUSE <= first_byte <= end


def test_a_connection_without_http_client_has_no_first_byte(traces: Captured) -> None:
    """As those of HTTP/2 and of browsers: what they return has no response of `http.client` in it."""

    class Connection(urllib3.connection.HTTPConnection):
        def getresponse(self) -> Any:
            response = super().getresponse()
            response.__dict__.pop("_llmtrace_head_at", None)  # urllib3 1 makes its own of it
            response.__dict__.pop("_original_response", None)
            return response

    with ReplayServer(PLAIN) as server, urllib3.HTTPConnectionPool("127.0.0.1", server.port) as pool:
        pool.ConnectionCls = Connection
        assert pool.request("POST", PATH, body=json.dumps(REQUEST)).status == 200
    (span,) = traces.snapshot()
    assert FIRST_BYTE not in span["attributes"]


def test_a_body_that_breaks_is_the_callers_error(traces: Captured) -> None:
    """A plain answer is read by the hook: what fails there fails as it would without."""
    answer = Answer(chunks=[PLAIN.body[:40]], cut=True)
    with ReplayServer(answer) as server, pytest.raises(httpx.RemoteProtocolError):
        httpx.post(server.url + PATH, json=REQUEST)
    (span,) = traces.snapshot()
    assert span["attributes"]["error.type"] == "RemoteProtocolError"


def test_no_output_no_time(traces: Captured) -> None:
    answer = Answer(headers=STREAM, chunks=_lines([ROLE, {"error": {"message": "overloaded"}}]))
    with ReplayServer(answer) as server:
        _raw(server.url)
    (span,) = traces.snapshot()
    assert FIRST_BYTE in span["attributes"]
    assert not {FIRST_OUTPUT, LAST_OUTPUT} & span["attributes"].keys()


_OF_RESPONSES = {"type": "function_call", "name": "f", "arguments": ""}

#: Per API: the events of a stream, and how many of them precede the first output and follow the last.
STREAMS: dict[str, tuple[list[Any], int, int]] = {
    "chat": ([ROLE, *WORDS, *END], 1, 2),
    "chat, reasoning": ([ROLE, _delta(reasoning_content="hm"), *WORDS, *END], 1, 2),
    "chat, a tool": (
        [ROLE, _delta(tool_calls=[{"index": 0, "function": {"name": "f", "arguments": ""}}]), *END],
        1,
        2,
    ),
    "chat, with the message so far": (
        [
            _delta(role="assistant", content="") | {"model": "sonar"},
            _delta(content="a"),
            {"choices": [{"delta": {"content": ""}, "message": {"content": "a"}, "finish_reason": "stop"}]},
        ],
        1,
        1,
    ),
    "completions": ([{"choices": [{"text": ""}]}, {"choices": [{"text": "a"}]}, *END], 1, 2),
    "responses": (
        [
            {"type": "response.created", "response": {"instructions": "x", "output": []}},
            {"type": "response.output_item.added", "item": {"type": "message", "content": []}},
            {"type": "response.content_part.added", "part": {"type": "output_text", "text": ""}},
            {"type": "response.output_text.delta", "delta": "Hi"},
            {"type": "response.output_text.delta", "delta": " you"},
            {"type": "response.output_text.done", "text": "Hi you"},
            {"type": "response.completed", "response": {"output": [{"content": [{"text": "Hi you"}]}]}},
        ],
        3,
        2,
    ),
    "responses, a tool": (
        [
            {"type": "response.created", "response": {"output": []}},
            {"type": "response.output_item.added", "item": {"type": "reasoning", "summary": []}},
            {"type": "response.output_item.added", "item": _OF_RESPONSES},
            {"type": "response.function_call_arguments.delta", "delta": "{}"},
            {"type": "response.function_call_arguments.done", "arguments": "{}"},
            {"type": "response.output_item.done", "item": {**_OF_RESPONSES, "arguments": "{}"}},
            {"type": "response.completed", "response": {"output": [_OF_RESPONSES]}},
        ],
        2,
        3,
    ),
    "responses, a tool without arguments": (
        [
            {"type": "response.output_item.added", "item": _OF_RESPONSES},
            {"type": "response.output_item.done", "item": _OF_RESPONSES},
        ],
        0,
        1,
    ),
    "assistants": (
        [
            {"id": "run_1", "object": "thread.run", "status": "queued"},
            {"object": "thread.message.delta", "delta": {"content": [{"index": 0, "text": {"value": "Hi"}}]}},
            {"object": "thread.message", "content": [{"type": "text", "text": {"value": "Hi"}}]},
        ],
        1,
        1,
    ),
    "anthropic": (
        [
            {"type": "message_start", "message": {"content": [], "usage": {"input_tokens": 3}}},
            {
                "type": "content_block_start",
                "index": 0,
                "content_block": {"type": "thinking", "thinking": ""},
            },
            {"type": "ping"},
            {"type": "content_block_delta", "delta": {"type": "thinking_delta", "thinking": "hm"}},
            {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Hi"}},
            {"type": "content_block_delta", "delta": {"type": "input_json_delta", "partial_json": "{}"}},
            {"type": "content_block_delta", "delta": {"type": "signature_delta", "signature": "abc"}},
            {"type": "content_block_stop"},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 4}},
            {"type": "message_stop"},
        ],
        3,
        4,
    ),
    "anthropic, a tool without arguments": (
        [
            {"type": "message_start", "message": {"content": [], "usage": {"input_tokens": 3}}},
            {"type": "content_block_start", "content_block": {"type": "tool_use", "name": "f", "input": {}}},
            {"type": "content_block_delta", "delta": {"type": "input_json_delta", "partial_json": ""}},
            {"type": "content_block_stop"},
            {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 4}},
        ],
        1,
        3,
    ),
    "gemini": (
        [
            {"candidates": [{"content": {"parts": [{"text": "Hi"}], "role": "model"}}]},
            {"candidates": [{"content": {"parts": [{"functionCall": {"name": "f", "args": {}}}]}}]},
            {"candidates": [{"content": {"parts": [{"text": ""}]}, "finishReason": "STOP"}]},
        ],
        0,
        1,
    ),
    "gemini, a call in pieces": (
        [
            {"candidates": [{"content": {"parts": [{"text": ""}], "role": "model"}}]},
            {"candidates": [{"content": {"parts": [{"functionCall": {"name": "f", "willContinue": True}}]}}]},
            {
                "candidates": [
                    {
                        "content": {
                            "parts": [
                                {"functionCall": {"partialArgs": [{"jsonPath": "$.a", "stringValue": "b"}]}}
                            ]
                        }
                    }
                ]
            },
            {"candidates": [{"content": {"parts": [{"functionCall": {}}]}, "finishReason": "STOP"}]},
        ],
        1,
        1,
    ),
    "chat, whole messages": (
        [
            {"choices": [{"index": 0, "message": {"role": "assistant", "content": ""}}]},
            {"choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}}]},
            {"choices": [{"index": 0, "message": {"content": ""}, "finish_reason": "stop"}]},
        ],
        1,
        1,
    ),
    "chat, a picture": (
        [
            ROLE,
            _delta(images=[{"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}}]),
            *END,
        ],
        1,
        2,
    ),
    "chat, sound": ([ROLE, _delta(audio={"id": "audio_1"}), _delta(audio={"data": "QUJD"}), *END], 2, 2),
    "images": (
        [
            {"type": "image_generation.partial_image", "b64_json": "QUJD"},
            {"type": "image_generation.completed", "b64_json": "QUJDREVG", "usage": {}},
        ],
        0,
        0,
    ),
    "interactions": (
        [
            {"event_type": "interaction.start", "interaction": {"id": "i"}},
            {"event_type": "step.start", "index": 0, "step": {"type": "model_output"}},
            {"event_type": "step.delta", "index": 0, "delta": {"type": "text", "text": "Hi"}},
            {
                "event_type": "step.delta",
                "index": 0,
                "delta": {"type": "thought_signature", "signature": "s"},
            },
            {"event_type": "interaction.complete", "interaction": {"usage": {"total_output_tokens": 2}}},
        ],
        2,
        2,
    ),
    "cohere": (
        [
            {"type": "message-start", "id": "c", "delta": {"message": {"role": "assistant"}}},
            {"type": "content-start", "delta": {"message": {"content": {"type": "text", "text": ""}}}},
            {"type": "content-delta", "delta": {"message": {"content": {"text": "Hi"}}}},
            {"type": "content-end", "index": 0},
            {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": {}}},
        ],
        2,
        2,
    ),
    "cohere, a tool": (
        [
            {"type": "message-start", "delta": {"message": {"role": "assistant", "tool_calls": []}}},
            {
                "type": "tool-call-start",
                "delta": {"message": {"tool_calls": {"function": {"name": "f", "arguments": ""}}}},
            },
            {"type": "tool-call-end", "index": 0},
        ],
        1,
        1,
    ),
    "hugging face": (
        [{"token": {"id": 1, "text": "Hi", "special": False}, "generated_text": None}, {"details": {}}],
        0,
        1,
    ),
}


def _positions(content_type: str, pieces: list[bytes]) -> tuple[int, int] | None:
    return output_events.first_and_last(content_type, b"".join(pieces), pieces)


@pytest.mark.parametrize("api", STREAMS)
def test_the_output_of_each_apis_stream(api: str) -> None:
    events, before, after = STREAMS[api]
    lines = _lines(events)
    positions = _positions("text/event-stream", lines)
    assert positions == (before, len(events) - 1 - after)
    assert _positions("text/event-stream", [b"".join(lines)]) == (0, 0)


def test_the_output_of_ollamas_lines() -> None:
    events = [
        {"model": "m", "message": {"role": "assistant", "thinking": "hm"}, "done": False},
        {"model": "m", "message": {"role": "assistant", "content": "Hi"}, "done": False},
        {"model": "m", "message": {"role": "assistant", "content": ""}, "done": True, "eval_count": 2},
    ]
    lines = [json.dumps(event).encode() + b"\n" for event in events]
    assert _positions("application/x-ndjson", lines) == (0, 1)


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_events_of_several_lines(end: bytes) -> None:
    pieces = []
    for event in (ROLE, *WORDS, *END):
        lines = json.dumps(event, indent=1).splitlines() if isinstance(event, dict) else [event]
        fields = (f"data: {line}".encode() for line in lines)
        pieces.append(end.join((b"event: message", *fields, b"", b"")))
    between = len(pieces) - 3
    assert _positions("text/event-stream", pieces) == (1, between)
    assert _positions("text/event-stream", [*pieces[:between], pieces[between].rstrip()]) == (1, between)


@pytest.mark.parametrize("between", ["\n", "\n\n"])
def test_a_torn_event_hides_no_other(between: str) -> None:
    torn = json.dumps(WORDS[0])[:-4]
    pieces = [f"data: {text}{between}".encode() for text in (*map(json.dumps, WORDS), "[DONE]")]
    assert _positions("text/event-stream", pieces) == (0, len(WORDS) - 1)
    cut = [*pieces[:-1], f"data: {torn}".encode()]
    assert _positions("text/event-stream", cut) == (0, len(WORDS) - 1)
    begun = [f"data: {torn}{between}".encode(), *pieces]
    assert _positions("text/event-stream", begun) == (1, len(WORDS))


def test_the_output_of_aws_event_streams() -> None:
    events = [
        ("messageStart", {"role": "assistant"}),
        ("contentBlockDelta", {"delta": {"reasoningContent": {"text": "hm"}}}),
        ("contentBlockDelta", {"delta": {"text": "Hi"}}),
        ("contentBlockStop", {"contentBlockIndex": 0}),
        ("messageStop", {"stopReason": "end_turn"}),
        ("metadata", {"usage": {"inputTokens": 3}, "trace": {"guardrail": {"text": "checked"}}}),
    ]
    messages = [_aws(name, payload) for name, payload in events]
    assert _positions("application/vnd.amazon.eventstream", messages) == (1, 2)
    called = [
        ("messageStart", {"role": "assistant"}),
        ("contentBlockStart", {"start": {"toolUse": {"name": "f", "toolUseId": "t"}}}),
        ("contentBlockDelta", {"delta": {"toolUse": {"input": ""}}}),
        ("contentBlockStop", {"contentBlockIndex": 0}),
    ]
    messages = [_aws(name, payload) for name, payload in called]
    assert _positions("application/vnd.amazon.eventstream", messages) == (1, 1)


def _aws(name: str, payload: Any) -> bytes:
    body = json.dumps(payload).encode()
    headers = b"".join(
        bytes([len(key)]) + key.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
        for key, value in ((":event-type", name), (":message-type", "event"))
    )
    total = 12 + len(headers) + len(body) + 4
    return struct.pack(">III", total, len(headers), 0) + headers + body + b"\0\0\0\0"


@pytest.mark.parametrize("body", [b"", b"\n\n", b"data: [DONE]\n\n", b"data: 7\n\ndata: null\n", b"<html>"])
def test_what_is_no_stream_of_output(body: bytes) -> None:
    assert _positions("text/event-stream", [body]) is None
    assert _positions("text/event-stream", []) is None

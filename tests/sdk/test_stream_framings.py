"""Streams in every framing, errors in them, and bytes that are no stream at all."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmtrace.testing import Answer, Captured, ReplayServer
from llmtrace.wire.framing import decode, output_events
from llmtrace.wire.provider_errors import provider_error
from tests.examples import examples

from .stream_reading import (
    CHAT,
    CONVERSE,
    GEMINI,
    INTERACTIONS,
    INVOKE,
    MESSAGES,
    RESPONSES,
    SENT,
    chat_delta,
    format_of,
    gemini_chunk,
)

ERRORS: list[tuple[Any, str, str]] = [
    ({"error": {"code": 429, "message": "slow"}}, "429", "slow"),
    ([{"error": {"code": 503, "message": "slow"}}], "503", "slow"),
    (
        {"error": {"code": 429, "message": "slow", "status": "RESOURCE_EXHAUSTED"}},
        "RESOURCE_EXHAUSTED",
        "slow",
    ),
    ({"error": {"code": 400, "message": "slow", "type": "BadRequestError"}}, "BadRequestError", "slow"),
    ({"error": {"status_code": 418, "message": "slow"}}, "418", "slow"),
    ({"object": "error", "message": "slow", "code": 40303}, "40303", "slow"),
    ({"choices": [{"error": {"code": 502, "message": "slow"}, "finish_reason": "error"}]}, "502", "slow"),
]


@pytest.mark.parametrize(("body", "kind", "message"), ERRORS)
@pytest.mark.parametrize("failed", [False, True])
def test_numbers_are_error_types(body: Any, kind: str, message: str, *, failed: bool) -> None:
    assert provider_error(body, failed=failed) == (kind, message)


def test_numbers_outside_of_an_error() -> None:
    assert provider_error({"errors": [{"code": 7003, "message": "no"}]}, failed=True) == ("7003", "no")
    assert provider_error({"code": 7003, "message": "no"}, failed=True) == ("7003", "no")
    assert provider_error({"code": 7003, "message": "fine"}, failed=False) == (None, None)
    assert provider_error({"error": {"code": 0, "message": "no"}}, failed=True) == (None, "no")
    assert provider_error({"error": {"code": True}}, failed=True) == (None, None)


FAILING: dict[str, tuple[str, bytes]] = {
    "an event's name": (CHAT, b'event: error\ndata: {"code": 429, "message": "slow"}\n\n'),
    "an event's name alone": (CHAT, b"event: error\ndata: slow\n\n"),
    "llama.cpp": (CHAT, b'data: {"choices": []}\n\nerror: {"code": 429, "message": "slow"}\n\n'),
    "vLLM": (CHAT, b'data: {"object": "error", "message": "slow", "code": 429}\n\n'),
    "OpenRouter": (
        CHAT,
        b'data: {"choices": [{"delta": {}, "error": {"code": 429, "message": "slow"}}]}\n\n',
    ),
    "completions": ("/v1/completions", b'data: {"error": {"code": 429, "message": "slow"}}\n\n'),
    "Anthropic": (
        MESSAGES,
        b'event: error\ndata: {"type": "error", "error": {"type": "429", "message": "slow"}}\n\n',
    ),
    "Anthropic, by a proxy": (MESSAGES, b'data: {"error": {"code": 429, "message": "slow"}}\n\n'),
    "Responses": (RESPONSES, b'event: error\ndata: {"type": "error", "code": "429", "message": "slow"}\n\n'),
    "Responses, by a proxy": (RESPONSES, b'data: {"error": {"code": 429, "message": "slow"}}\n\n'),
    "Gemini": (GEMINI, b'data: {"error": {"code": 429, "message": "slow"}}\r\n\r\n'),
    "Interactions": (
        INTERACTIONS,
        b'data: {"event_type": "error", "error": {"code": 429, "message": "slow"}}\n\n',
    ),
    "Cohere": ("/v2/chat", b'event: error\ndata: {"code": 429, "message": "slow"}\n\n'),
    "Ollama": ("/api/chat", b'{"error": "slow"}\n'),
}


@pytest.mark.parametrize("server", FAILING)
def test_errors_in_the_middle_of_streams(traces: Captured, server: str) -> None:
    path, body = FAILING[server]
    kind = "application/x-ndjson" if path == "/api/chat" else "text/event-stream"
    with ReplayServer(Answer(headers={"content-type": kind}, chunks=[body])) as replay:
        httpx.post(replay.url + path, json=SENT)
    (span,) = traces.snapshot()
    assert span["status"][0] == "ERROR"
    assert "slow" in span["status"][1]
    is_nameless = body.startswith((b"event: error\ndata: slow", b'{"error": "slow"'))
    assert span["attributes"]["error.type"] == ("_OTHER" if is_nameless else "429")


def test_exceptions_of_aws_streams() -> None:
    attributes = {":message-type": "exception", ":exception-type": "throttlingException"}
    for payload in (b'{"message": "slow"}', b"", b"slow"):
        (event,) = decode.events("application/vnd.amazon.eventstream", _aws(attributes, payload)) or []
        assert event["error"]["type"] == "throttlingException"
    attributes = {":message-type": "error", ":error-code": "500", ":error-message": "slow"}
    (event,) = decode.events("application/vnd.amazon.eventstream", _aws(attributes, b"")) or []
    assert event == {"error": {"type": "500", "message": "slow"}}
    broken = format_of(CONVERSE).fold([{"modelStreamErrorException": {"message": "slow"}}])
    assert provider_error(broken, failed=False) == ("modelStreamErrorException", "slow")


def _aws(headers: dict[str, str], payload: bytes) -> bytes:
    head = b"".join(
        bytes([len(key)]) + key.encode() + b"\x07" + len(value).to_bytes(2, "big") + value.encode()
        for key, value in headers.items()
    )
    total = 16 + len(head) + len(payload)
    return total.to_bytes(4, "big") + len(head).to_bytes(4, "big") + b"\0" * 4 + head + payload + b"\0" * 4


WORDS = [chat_delta(role="assistant", content=""), *(chat_delta(content=f"word {n} ") for n in range(3))]


TEXT = "word 0 word 1 word 2 "


FRAMINGS: dict[str, tuple[str, Callable[[list[bytes]], bytes]]] = {
    "a comment first": (
        "text/plain",
        lambda lines: b": ok\n\n" + b"".join(b"data: %s\n\n" % e for e in lines),
    ),
    "an id first": ("", lambda lines: b"id: 1\n" + b"".join(b"data:%s\n\n" % e for e in lines)),
    "a mark of byte order": (
        "text/event-stream",
        lambda lines: b"\xef\xbb\xbf" + b"".join(b"data: %s\n\n" % e for e in lines),
    ),
    "words in capitals": (
        "Text/Event-Stream",
        lambda lines: b"\n" * 70 + b"".join(b"data: %s\n\n" % e for e in lines),
    ),
    "carriage returns": ("text/event-stream", lambda lines: b"".join(b"data: %s\r\r" % e for e in lines)),
    "comments between": (
        "text/event-stream",
        lambda lines: b": KEEP-ALIVE\n\n".join(b"data: %s\n\n" % e for e in lines),
    ),
    "lines as plain JSON": ("application/json", lambda lines: b"\n".join(lines)),
    "lines with returns": ("application/json; charset=utf-8", lambda lines: b"\r\n".join(lines)),
    "lines": ("application/x-ndjson", lambda lines: b"\n\n".join(lines)),
}


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("is_packed", [False, True], ids=["plain", "gzip"])
def test_framings(traces: Captured, framing: str, *, is_packed: bool) -> None:
    kind, framed = FRAMINGS[framing]
    body = framed([json.dumps(event).encode() for event in WORDS])
    headers = {"content-type": kind, **({"content-encoding": "gzip"} if is_packed else {})}
    with (
        ReplayServer(Answer(gzip.compress(body) if is_packed else body, headers=headers)) as server,
        httpx.stream("POST", server.url + CHAT, json=SENT) as response,
    ):
        list(response.iter_raw())
    (span,) = traces.snapshot()
    (message,) = json.loads(span["attributes"]["gen_ai.output.messages"])
    assert message["parts"] == [{"type": "text", "content": TEXT}]
    assert span["attributes"]["gen_ai.request.stream"] is True
    assert "gen_ai.response.time_to_first_chunk" in span["attributes"]


def test_plain_json_that_calls_itself_a_stream(traces: Captured) -> None:
    body = json.dumps({"error": {"code": 429, "message": "slow"}}, indent=1).encode()
    with ReplayServer(Answer(body, 429, {"content-type": "text/event-stream"})) as server:
        httpx.post(server.url + CHAT, json=SENT)
    (span,) = traces.snapshot()
    assert span["attributes"]["error.type"] == "429"
    assert span["status"] == ("ERROR", "slow")


@given(st.data())
@settings(max_examples=examples(60))
def test_a_torn_array_keeps_its_entries(data: st.DataObject) -> None:
    """Gemini's stream without `alt=sse`: what was received is recorded, and when."""
    events = [
        gemini_chunk({"text": text})
        for text in data.draw(st.lists(st.text(min_size=1), min_size=1, max_size=5))
    ]
    ends: list[int] = []
    body = b"["
    for event in events:
        body += (b",\r\n" if ends else b"") + json.dumps(event, ensure_ascii=False).encode()
        ends.append(len(body))
    end = data.draw(st.integers(1, len(body)))
    received = decode.events("application/json", body[:end], may_be_array=True)
    assert received == events[: sum(place <= end for place in ends)]


@given(
    st.binary(max_size=300) | st.text(max_size=100).map(str.encode),
    st.sampled_from([b"data: ", b"", b"[", b'{"a":1}\n']),
)
@settings(max_examples=examples(200))
def test_bytes_that_are_no_stream(body: bytes, begin: bytes) -> None:
    for kind in (
        "text/event-stream",
        "application/x-ndjson",
        "application/json",
        "application/vnd.amazon.eventstream",
    ):
        for path in (
            CHAT,
            "/v1/completions",
            MESSAGES,
            RESPONSES,
            GEMINI,
            INTERACTIONS,
            CONVERSE,
            INVOKE,
            "/v2/chat",
            "/api/chat",
        ):
            wire_format = format_of(path)
            events = decode.events(
                kind, begin + body, wire_format.joined, may_be_array=wire_format.streams_arrays
            )
            translation = wire_format.response(wire_format.fold(events or []), True)
            assert isinstance(translation.attributes, dict), path


def test_a_character_in_two_events(traces: Captured) -> None:
    body = b"".join(
        b'data: {"choices": [{"index": 0, "delta": {"content": "' + half + b'"}}]}\n\n'
        for half in (b"Yo \\ud83d", b"\\ude00!", b"\\ud83d")
    )
    with ReplayServer(Answer(headers={"content-type": "text/event-stream"}, chunks=[body])) as server:
        httpx.post(server.url + CHAT, json=SENT)
    (message,) = json.loads(traces.snapshot()[0]["attributes"]["gen_ai.output.messages"])
    assert message["parts"][0]["content"] == "Yo \N{GRINNING FACE}!\N{REPLACEMENT CHARACTER}"


def test_a_long_stream_of_aws_without_its_middle() -> None:
    """What is left of it is read to its end, which has the usage."""
    messages = []
    for number in range(40):
        whole = _aws({":event-type": "contentBlockDelta"}, b'{"delta": {"text": "%d"}}' % number)
        lengths = whole[:8]
        messages.append(lengths + zlib.crc32(lengths).to_bytes(4, "big") + whole[12:])
    body = b"".join(messages)
    size = len(messages[-1])
    for first in range(size * 3, size * 4):
        received = body[:first] + body[-size * 6 - 7 :]
        events = decode.events("application/vnd.amazon.eventstream", received) or []
        texts = [event["contentBlockDelta"]["delta"]["text"] for event in events]
        assert texts[:3] == ["0", "1", "2"]
        assert texts[-4:] == ["36", "37", "38", "39"]


def test_odd_bytes_cost_their_characters_alone() -> None:
    assert decode.decoded(b'{"id": "a\xff"}') == {"id": "a\N{REPLACEMENT CHARACTER}"}
    assert decode.events("application/x-ndjson", b'{"a": 1}\n{"b": "\xff"}\n{"c') == [
        {"a": 1},
        {"b": "\N{REPLACEMENT CHARACTER}"},
    ]
    assert decode.events("text/event-stream", b'data: {"b": "\xff"}\n\n') == [
        {"b": "\N{REPLACEMENT CHARACTER}"}
    ]
    assert decode.decoded(b'{"torn": "\xff') is None


def test_output_after_many_empty_words() -> None:
    """Some servers send them while a model thinks."""
    silent = [json.dumps(chat_delta(content="")).encode() for _ in range(1000)]
    pieces = [b"data: " + line + b"\n\n" for line in [*silent, json.dumps(WORDS[1]).encode(), *silent]]
    assert output_events.first_and_last("text/event-stream", b"".join(pieces), pieces) == (1000, 1000)


def test_output_in_an_array() -> None:
    """Gemini's stream without `alt=sse` is timed as any other; places are of bytes, not of characters."""
    entries = [gemini_chunk({"text": text}) for text in ("", "é€\N{GRINNING FACE}", "b")]
    entries.append({"usageMetadata": {"promptTokenCount": 3}})
    pieces = [
        (b"[" if number == 0 else b"\n,\r\n") + json.dumps(entry, ensure_ascii=False).encode()
        for number, entry in enumerate(entries)
    ]
    assert output_events.first_and_last("application/json", b"".join(pieces), pieces) == (1, 2)
    assert output_events.first_and_last("application/json", b"".join(pieces[:2]), pieces[:2]) == (1, 1)

"""Tokens that nobody told: estimated from what went over the wire, marked, never where they were told."""

from __future__ import annotations

import gc
import json
from typing import Any

import httpx
import openai
import pytest

from llmtrace.testing import Answer, Captured, ReplayServer, capture, sse
from llmtrace.wire.token_estimate import MOST_CHARACTERS, estimated_tokens

from .chat import EVENTS, PLAIN, REQUEST, STREAM

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
REPORTED = ("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens")
INPUT, OUTPUT = "llmtrace.usage.estimated.input_tokens", "llmtrace.usage.estimated.output_tokens"
ESTIMATED = "llmtrace.usage.estimated"

ASKED = {
    "model": "claude-sonnet-4",
    "max_tokens": 90,
    "messages": [{"role": "user", "content": "Hello there"}],
}
STARTED = {
    "type": "message_start",
    "message": {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4", "content": [],
        "usage": {"input_tokens": 11, "cache_read_input_tokens": 0, "output_tokens": 1},
    },
}  # fmt: skip
BLOCK = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}


def _delta(text: str) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}


def _attributes(traces: Captured) -> dict[str, Any]:
    (span,) = traces.snapshot()
    attributes: dict[str, Any] = span["attributes"]
    return attributes


def _leave(url: str, path: str, body: dict[str, Any], chunks: int) -> None:
    """Read so many chunks of a stream and leave it."""
    with httpx.Client() as client:
        response = client.send(client.build_request("POST", url + path, json=body), stream=True)
        pieces = response.iter_raw()
        for _ in range(chunks):
            next(pieces)
        response.close()


def test_a_stream_that_was_left_is_estimated_from_what_was_received(traces: Captured) -> None:
    words = [_delta(f"word{number} of an answer, ") for number in range(30)]
    with ReplayServer(sse([STARTED, BLOCK, *words], pause=0.01)) as server:
        _leave(server.url, MESSAGES, ASKED, 12)
        attributes = _attributes(traces)
    assert attributes["llmtrace.stream.abandoned"] is True
    # What the first event told of the input is told; what it said of the output was a token then.
    assert attributes[REPORTED[0]] == 11
    assert REPORTED[1] not in attributes
    assert attributes[ESTIMATED] == "output"
    assert INPUT not in attributes
    received = json.loads(attributes["gen_ai.output.messages"])[0]["parts"][0]["content"]
    # Claude makes more tokens of the same text than GPT, to whose answers the estimate was fitted.
    assert 30 < estimated_tokens(received) < attributes[OUTPUT] < 1.2 * estimated_tokens(received)


def test_a_stream_without_usage_is_estimated_on_both_sides(traces: Captured) -> None:
    """OpenAI's streams tell usage only to those who ask for it."""
    with ReplayServer(sse(EVENTS[:-1])) as server:
        client = openai.OpenAI(base_url=server.url + "/v1", api_key="k", max_retries=0)
        list(client.chat.completions.create(**REQUEST, stream=True))
        attributes = _attributes(traces)
    assert attributes[ESTIMATED] == "input+output"
    assert not set(REPORTED) & set(attributes)
    texts = "Let me look.", "weather", '{"city": "Bonn"}'
    around_call = 8
    assert attributes[OUTPUT] == sum(map(estimated_tokens, texts)) + around_call
    assert 20 < attributes[INPUT] < 80


@pytest.mark.parametrize("captured", [True, False])
def test_content_need_not_be_recorded(captured: bool) -> None:
    with capture(capture_content=captured) as traces, ReplayServer(sse(EVENTS[:-1])) as server:
        httpx.post(server.url + CHAT, json=REQUEST)
        attributes = _attributes(traces)
    assert ("gen_ai.output.messages" in attributes) is captured
    assert (attributes[INPUT], attributes[OUTPUT]) == (_estimates()[0], _estimates()[1])


def _estimates() -> tuple[int, int]:
    with capture() as traces, ReplayServer(sse(EVENTS[:-1])) as server:
        httpx.post(server.url + CHAT, json=REQUEST)
        attributes = _attributes(traces)
    return attributes[INPUT], attributes[OUTPUT]


def _without_usage(status: int = 200, **changed: Any) -> Answer:
    body = json.loads(PLAIN.body)
    del body["usage"]
    return Answer.json({**body, **changed}, status)


def test_an_answer_without_usage(traces: Captured) -> None:
    with ReplayServer(_without_usage()) as server:
        httpx.post(server.url + CHAT, json=REQUEST)
        assert _attributes(traces)[ESTIMATED] == "input+output"


NOTHING: dict[str, Answer] = {
    "told": PLAIN,
    "told by a stream": STREAM,
    "an error": Answer.json({"error": {"message": "busy"}}, 503),
    "nothing was answered": _without_usage(choices=[]),
    "an error in place of a stream": sse([{"error": {"message": "overloaded"}}], done=False),
    "no JSON": Answer(b"<html>", 200, {"content-type": "text/html"}),
    "a cache's hit": Answer(
        _without_usage().body, 200, {"content-type": "application/json", "x-llmtrace-cache": "hit"}
    ),
}


@pytest.mark.parametrize("answer", NOTHING.values(), ids=NOTHING)
def test_nothing_is_estimated_where_it_was_told_or_no_model_ran(traces: Captured, answer: Answer) -> None:
    with ReplayServer(answer) as server:
        httpx.post(server.url + CHAT, json=REQUEST)
        assert not [key for key in _attributes(traces) if key.startswith(ESTIMATED)]


def test_a_response_in_the_background_is_not_estimated_before_it_is_there(traces: Captured) -> None:
    queued = {"id": "resp_1", "object": "response", "status": "queued", "model": "gpt-4o", "output": []}
    with ReplayServer(Answer.json(queued)) as server:
        httpx.post(server.url + "/v1/responses", json={"model": "gpt-4o", "input": "Hi", "background": True})
        assert ESTIMATED not in _attributes(traces)


def test_a_stream_that_was_left_before_its_first_word_was_asked_for_all_the_same(traces: Captured) -> None:
    with ReplayServer(sse(EVENTS, pause=0.05)) as server, httpx.Client() as client:
        response = client.send(client.build_request("POST", server.url + CHAT, json=REQUEST), stream=True)
        del response
        gc.collect()
        attributes = _attributes(traces)
    assert attributes["llmtrace.stream.abandoned"] is True
    assert (attributes[OUTPUT], attributes[INPUT] > 20) == (0, True)


def test_pictures_are_not_text(traces: Captured) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 40_000}}
    with ReplayServer(_without_usage()) as server:
        for parts in ([], [picture]):
            messages = [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, *parts]}]
            httpx.post(server.url + CHAT, json={"model": "gpt-4o", "messages": messages})
        first, second = traces.snapshot()
    assert first["attributes"][INPUT] == second["attributes"][INPUT] < 20


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("", 0, 0), ("a", 1, 1), ("Hello, world!", 3, 5),
        ("The quick brown fox jumps over the lazy dog.", 9, 12),
        ("敏捷的棕色狐狸跳过了懒狗。", 8, 18), ("素早い茶色の狐がのろまな犬を飛び越える。", 11, 24),
        ("빠른 갈색 여우가 게으른 개를 뛰어넘는다", 9, 26), ("Быстрая бурая лиса прыгает", 6, 16),
        ('{"city": "Bonn", "days": 3}', 8, 16), ("1234567890", 3, 5), (" " * 40, 1, 1), ("🎉🎉", 2, 6),
        ("x" * 1000, 100, 400),
    ],
)  # fmt: skip
def test_estimates_of_scripts(text: str, least: int, most: int) -> None:
    assert least <= estimated_tokens(text) <= most


def test_a_very_long_text_is_read_in_part() -> None:
    sentence = "A sentence of eight words, again and again. "
    whole = estimated_tokens(sentence * (2 * MOST_CHARACTERS // len(sentence)))
    assert whole == pytest.approx(
        2 * estimated_tokens(sentence * (MOST_CHARACTERS // len(sentence))), rel=0.01
    )

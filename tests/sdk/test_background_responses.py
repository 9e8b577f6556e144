"""Answers that are made in the background and polled, or fetched again: each counts once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from llmtrace.testing import Answer, Captured, ReplayServer, capture, sse

_USAGE = {
    "input_tokens": 5,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens": 3,
    "output_tokens_details": {"reasoning_tokens": 1},
    "total_tokens": 8,
}
_TEXT = {
    "type": "message",
    "id": "m",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "yo"}],
}
_USED = {"input_tokens": 5, "output_tokens": 3, "cache_read.input_tokens": 0, "reasoning.output_tokens": 1}


def _answer(status: str, *, background: bool = True) -> dict[str, Any]:
    done = status == "completed"
    return {
        "id": "resp_1",
        "object": "response",
        "model": "gpt-x-1",
        "status": status,
        "background": background,
        "output": [_TEXT] if done else [],
        "usage": _USAGE if done else None,
    }


@pytest.fixture
def server() -> Iterator[ReplayServer]:
    with ReplayServer(Answer()) as server:
        yield server


def _client(server: ReplayServer) -> Any:
    return openai.OpenAI(base_url=server.url + "/v1", api_key="k", max_retries=0)


def _calls(traces: Captured) -> list[tuple[str, str | None, dict[str, int]]]:
    """(operation, status, usage) of each span."""
    return [
        (
            span["attributes"]["gen_ai.operation.name"],
            span["attributes"].get("gen_ai.response.status"),
            {key.partition("usage.")[2]: n for key, n in span["attributes"].items() if ".usage." in key},
        )
        for span in traces.snapshot()
    ]


def test_a_polled_response_counts_once(traces: Captured, server: ReplayServer) -> None:
    states = ["queued", "queued", "in_progress", "completed", "completed"]
    server.answer_with(*(Answer.json(_answer(status)) for status in states))
    client = _client(server)
    response = client.responses.create(model="gpt-x", input="hi", background=True)
    for _ in states[1:]:
        client.responses.retrieve(response.id)
    assert _calls(traces) == [
        ("create_response", "queued", {}),
        ("fetch_response", "queued", {}),
        ("fetch_response", "in_progress", {}),
        ("chat", "completed", _USED),
        ("fetch_response", "completed", {}),
    ]
    assert traces.snapshot()[3]["name"] == "chat gpt-x-1"
    with capture() as others:  # its memory is its own
        client.responses.retrieve(response.id)
        assert _calls(others) == [("chat", "completed", _USED)]


def test_a_response_made_at_once_is_not_counted_again(traces: Captured, server: ReplayServer) -> None:
    server.answer_with(Answer.json(_answer("completed", background=False)))
    client = _client(server)
    client.responses.create(model="gpt-x", input="hi")
    client.responses.retrieve("resp_1")
    client.responses.create(model="gpt-x", input="hi")
    assert [call[0] for call in _calls(traces)] == ["chat", "fetch_response", "chat"]
    assert [call[2] for call in _calls(traces)] == [_USED, {}, _USED]


def test_a_streamed_response_that_is_resumed_counts_once(traces: Captured, server: ReplayServer) -> None:
    begun = {"type": "response.created", "sequence_number": 0, "response": _answer("in_progress")}
    ended = {"type": "response.completed", "sequence_number": 9, "response": _answer("completed")}
    server.answer_with(sse([begun], cut=True), sse([begun, ended]), sse([ended]))
    client = _client(server)
    with contextlib.suppress(Exception):
        list(client.responses.create(model="gpt-x", input="hi", background=True, stream=True))
    for _ in range(2):
        list(client.responses.retrieve("resp_1", stream=True))
    assert _calls(traces) == [
        ("create_response", "in_progress", {}),
        ("chat", "completed", _USED),
        ("fetch_response", "completed", {}),
    ]


def test_a_fetch_that_fails(traces: Captured, server: ReplayServer) -> None:
    error = {"error": {"message": "no such response", "type": "invalid_request_error", "code": None}}
    server.answer_with(Answer.json(error, 404))
    with pytest.raises(openai.NotFoundError):
        _client(server).responses.retrieve("resp_9")
    (span,) = traces.snapshot()
    assert span["name"] == "fetch_response"
    assert span["attributes"]["gen_ai.response.id"] == "resp_9"
    assert span["attributes"]["error.type"] == "invalid_request_error"
    assert span["status"] == ("ERROR", "no such response")

"""Failures: the caller gets exactly what it would have got, the span says what happened."""

from __future__ import annotations

import contextlib
import gc
import socket
import weakref
from typing import Any

import httpx
import httpx2
import openai
import pytest

import llmtrace
from llmtrace.testing import Answer, Captured, ReplayServer, capture

from .chat import PLAIN, REQUEST


def _error(status: int, code: str | None, message: str) -> Answer:
    return Answer.json({"error": {"message": message, "type": "some_error", "code": code}}, status)


def _raised(url: str, stream: bool) -> BaseException:
    client = openai.OpenAI(base_url=url + "/v1", api_key="sk-secret-1", max_retries=0)
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(**REQUEST, stream=stream)
    return caught.value


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize(
    ("status", "code", "error_type"),
    [(400, "context_length_exceeded", "context_length_exceeded"), (429, None, "some_error")],
)
def test_provider_errors(status: int, code: str | None, error_type: str, stream: bool) -> None:
    with ReplayServer(_error(status, code, "no; your key is sk-secret-1")) as server:
        bare = _raised(server.url, stream)
        with capture() as traces:
            traced = _raised(server.url, stream)
            (span,) = traces.snapshot()
    assert type(traced) is type(bare)
    assert str(traced) == str(bare)
    assert traced.__cause__ is bare.__cause__ is None
    attributes = span["attributes"]
    assert attributes["error.type"] == error_type
    assert attributes["http.response.status_code"] == status
    assert attributes["gen_ai.request.model"] == "gpt-4o-mini"
    assert "gen_ai.response.finish_reasons" not in attributes
    assert span["status"] == ("ERROR", "no; your key is [redacted]")


def test_each_attempt_is_a_span(traces: Captured) -> None:
    broken = Answer(b"<html>bad gateway</html>", 502, {"content-type": "text/html", "retry-after-ms": "1"})
    with ReplayServer(broken, PLAIN) as server:
        client = openai.OpenAI(base_url=server.url + "/v1", api_key="k", max_retries=1)
        client.chat.completions.create(**REQUEST)
        first, second = traces.snapshot()
    assert first["attributes"]["error.type"] == "502"
    assert first["status"] == ("ERROR", "<html>bad gateway</html>")
    assert "http.request.resend_count" not in first["attributes"]
    assert second["attributes"]["http.request.resend_count"] == 1
    assert second["status"] == ("UNSET", None)


@pytest.mark.parametrize("module", [httpx, httpx2], ids=["httpx", "httpx2"])
def test_connection_refused(traces: Captured, module: Any) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(module.ConnectError) as caught:
        module.post(f"http://127.0.0.1:{port}/v1/chat/completions", json=REQUEST)
    (span,) = traces.snapshot()
    assert span["attributes"]["error.type"] == "ConnectError"
    assert span["attributes"]["server.port"] == port
    assert span["status"] == ("ERROR", str(caught.value))
    assert "http.response.status_code" not in span["attributes"]


def test_a_failed_call_keeps_nothing_of_the_caller_alive(traces: Captured) -> None:
    class Held:
        """Something in a frame of the traceback."""

    def failing(url: str) -> weakref.ref[Held]:
        held = Held()
        with contextlib.suppress(httpx.ReadTimeout):
            httpx.post(url + "/v1/chat/completions", json=REQUEST, timeout=0.05)
        return weakref.ref(held)

    with ReplayServer(Answer(delay=0.2)) as server:
        gc.collect()
        assert failing(server.url)() is None
    assert len(traces.spans()) == 1


def test_timeout(traces: Captured) -> None:
    with ReplayServer(Answer(delay=0.5)) as server, pytest.raises(httpx.ReadTimeout):
        httpx.post(server.url + "/v1/chat/completions", json=REQUEST, timeout=0.05)
    (span,) = traces.snapshot()
    assert span["attributes"]["error.type"] == "ReadTimeout"
    assert span["status"][0] == "ERROR"


def test_an_answer_that_is_not_json(traces: Captured) -> None:
    with ReplayServer(Answer(b"\xff\x00 not json")) as server:
        assert httpx.post(server.url + "/v1/chat/completions", json=REQUEST).content == b"\xff\x00 not json"
    (span,) = traces.snapshot()
    assert span["attributes"]["gen_ai.request.model"] == "gpt-4o-mini"
    assert span["status"] == ("UNSET", None)


@pytest.mark.parametrize(
    "body",
    [
        {"model": 3, "messages": "text", "stop": {"a": 1}, "n": "x", "tools": [None, 5]},
        {"model": None, "messages": [None, 1, {"role": 5, "content": {"deep": [1]}}], "temperature": True},
        {"messages": [{"role": "assistant", "tool_calls": [{"function": {"arguments": "{torn"}}]}]},
    ],
)
def test_odd_requests_and_answers(traces: Captured, body: Any) -> None:
    """Nothing about a body's shape is trusted; in strict mode a translating failure would show."""
    answer = {"choices": [None, {"message": 3, "finish_reason": 9}], "usage": [], "model": {}, "id": "\ud800"}
    with ReplayServer(Answer.json(answer)) as server:
        httpx.post(server.url + "/chat/completions", json=body)
    (span,) = traces.snapshot()
    assert span["attributes"]["gen_ai.response.finish_reasons"] == ["error", "error"]
    assert not llmtrace.internal_errors.failures()

"""What HTTP makes of an engine that refuses, stalls or fails; a fake engine does so on cue."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from opentelemetry.trace import SpanKind
from pydantic import SecretStr

from llmtrace_inference.engine.interface import (
    Delta,
    Engine,
    EngineFull,
    EngineUnavailable,
    QueueTimeout,
    RequestTooLarge,
    Submission,
)
from llmtrace_inference.settings import InferenceSettings
from tests.inference.fakes import Characters, FakeEngine
from tests.inference.running import Running, serving, wait_until

BODY: dict[str, Any] = {"model": "fake", "messages": [{"role": "user", "content": "hi"}]}
SETTINGS = InferenceSettings(models={"fake": "x"}, max_request_bytes=2048, request_timeout_seconds=0.5)


class _Waiting(FakeEngine):
    """Never comes to a first token, or to a vector."""

    async def stream(self, submission: Submission) -> AsyncIterator[Delta]:
        await asyncio.Event().wait()
        yield Delta(())

    async def embed(self, sequences: list[list[int]]) -> list[list[float]]:
        await asyncio.Event().wait()
        return []


class _Faulty(Characters):
    """Has a fault in it."""

    def encode(self, text: str) -> list[int]:
        raise ZeroDivisionError("unforeseen")


def _servers(running: Running) -> list[dict[str, Any]]:
    """The attributes of the SERVER spans, once there are any."""

    def spans() -> list[dict[str, Any]]:
        finished = running.exporter.get_finished_spans()
        return [dict(span.attributes or {}) for span in finished if span.kind is SpanKind.SERVER]

    wait_until(lambda: bool(spans()), 5)
    return spans()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("refusal", "status", "retry"),
    [
        (EngineFull("full"), 503, "1"),
        (EngineUnavailable("down"), 503, "2"),
        (QueueTimeout("slow"), 503, "5"),
        (RequestTooLarge("big"), 400, None),
    ],
)
def test_refusals_map_to_status_and_retry_after(
    refusal: Any, status: int, retry: str | None, stream: bool
) -> None:
    with serving(SETTINGS, load=lambda *_: FakeEngine(refuse=refusal)) as running:
        response = httpx.post(f"{running.url}/v1/chat/completions", json=BODY | {"stream": stream})
    assert (response.status_code, response.headers.get("retry-after")) == (status, retry)
    assert response.json()["error"]["code"] == refusal.code


def test_errors_before_and_after_the_first_token() -> None:
    def answer(after: int, stream: bool) -> httpx.Response:
        engine = FakeEngine(fail_after=after, failure=EngineUnavailable("the engine failed"))
        with serving(SETTINGS, load=lambda *_: engine) as running:
            response = httpx.post(f"{running.url}/v1/chat/completions", json=BODY | {"stream": stream})
        assert engine.cancelled
        return response

    assert answer(0, stream=True).status_code == 503
    assert answer(3, stream=False).status_code == 503
    late = answer(3, stream=True)
    events = [e for e in late.text.split("\n\n") if e]
    assert late.status_code == 200
    assert json.loads(events[-1].removeprefix("data: "))["error"]["code"] == "engine_unavailable"
    assert "[DONE]" not in late.text


def test_a_fault_of_ours_in_a_stream_is_an_error_event_with_its_name_on_the_span() -> None:
    engine = FakeEngine(fail_after=3, failure=ZeroDivisionError("unforeseen"))
    with serving(SETTINGS, load=lambda *_: engine) as running:
        response = httpx.post(f"{running.url}/v1/chat/completions", json=BODY | {"stream": True})
        spans = _servers(running)
    last = [event for event in response.text.split("\n\n") if event][-1]
    assert json.loads(last.removeprefix("data: "))["error"]["code"] == "internal_error"
    assert "unforeseen" not in response.text
    assert [span["error.type"] for span in spans] == ["ZeroDivisionError"]
    assert [span["http.response.status_code"] for span in spans] == [200]


@pytest.mark.parametrize("path", ["chat/completions", "embeddings"])
def test_a_client_that_leaves_before_the_first_delta_frees_its_place(path: str) -> None:
    engine = _Waiting()
    body = BODY | {"stream": True} if path != "embeddings" else {"model": "fake", "input": "hi"}
    settings = SETTINGS.model_copy(update={"request_timeout_seconds": 60})
    with serving(settings, load=lambda *_: engine) as running:
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{running.url}/v1/{path}", json=body, timeout=0.3)
        spans = _servers(running)
    assert [span["error.type"] for span in spans] == ["client_disconnected"]
    assert bool(engine.cancelled) is (path != "embeddings")


def test_an_embedding_that_fails_unforeseen_is_answered_and_recorded() -> None:
    with serving(SETTINGS, load=lambda *_: FakeEngine(tokenizer=_Faulty())) as running:
        response = httpx.post(f"{running.url}/v1/embeddings", json={"model": "fake", "input": "hi"})
        spans = _servers(running)
    assert (response.status_code, response.json()["error"]["code"]) == (500, "internal_error")
    assert [span["error.type"] for span in spans] == ["ZeroDivisionError"]


def test_a_request_that_takes_too_long_is_cancelled() -> None:
    engine = FakeEngine(says="x" * 100, pause=0.1)
    with serving(SETTINGS, load=lambda *_: engine) as running:
        response = httpx.post(f"{running.url}/v1/chat/completions", json=BODY)
    assert response.status_code == 504
    assert response.json()["error"]["code"] == "request_timeout"
    assert engine.cancelled


def test_keys_size_and_loading() -> None:
    may_load = threading.Event()

    def load(*_: object) -> Engine:
        may_load.wait(10)
        return FakeEngine()

    keyed = SETTINGS.model_copy(update={"api_keys": (SecretStr("k1"), SecretStr("k2"))})
    with serving(keyed, load=load, ready=False) as running:
        url = f"{running.url}/v1/chat/completions"
        good = {"Authorization": "Bearer k2"}
        for headers in ({}, {"Authorization": "Bearer k3"}, {"Authorization": "Basic k1"}):
            refused = httpx.post(url, json=BODY, headers=headers)
            assert (refused.status_code, refused.json()["error"]["type"]) == (401, "authentication_error")
        assert httpx.get(f"{running.url}/v1/models").status_code == 401
        assert httpx.get(f"{running.url}/health/ready").status_code == 503
        loading = httpx.post(url, json=BODY, headers=good)
        assert (loading.status_code, loading.json()["error"]["code"]) == (503, "model_loading")
        may_load.set()
        for _ in range(100):
            answer = httpx.post(url, json=BODY, headers=good)
            if answer.status_code == 200:
                break
        assert answer.json()["choices"][0]["message"]["content"] == "hello"
        large = httpx.post(url, json=BODY | {"user": "x" * 4000}, headers=good)
        assert large.status_code == 413

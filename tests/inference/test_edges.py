"""What HTTP makes of an engine that refuses, stalls or fails; a fake engine does so on cue."""

from __future__ import annotations

import json
import threading
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from llmtrace_inference.engine.interface import (
    Engine,
    EngineFull,
    EngineUnavailable,
    QueueTimeout,
    RequestTooLarge,
)
from llmtrace_inference.settings import InferenceSettings
from tests.inference.fakes import FakeEngine
from tests.inference.running import serving

BODY: dict[str, Any] = {"model": "fake", "messages": [{"role": "user", "content": "hi"}]}
SETTINGS = InferenceSettings(models={"fake": "x"}, max_request_bytes=2048, request_timeout_seconds=0.5)


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

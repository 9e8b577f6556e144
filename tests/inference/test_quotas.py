"""What a key allows: 429 with Retry-After once it is used up, and headers that say how much is left."""

from __future__ import annotations

from typing import Any

import httpx
import openai
import pytest
from openai import OpenAI
from pydantic import SecretStr

from llmtrace_inference.access.auth import Caller
from llmtrace_inference.access.quotas import QuotaReservation, Quotas, RateLimited
from llmtrace_inference.settings import InferenceSettings, KeySettings
from tests.inference.fakes import FakeEngine
from tests.inference.running import serving, wait_until

BODY: dict[str, Any] = {"model": "fake", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 8}


def _key(name: str, **limits: Any) -> KeySettings:
    return KeySettings(name=name, key=SecretStr(f"k-{name}"), **limits)


def test_requests_and_tokens_per_minute_over_http() -> None:
    settings = InferenceSettings(
        models={"fake": "x"},
        keys=(
            _key("few", requests_per_minute=2),
            _key("short", tokens_per_minute=25, tokens_per_day=1000),
            _key("free"),
        ),
    )
    with serving(settings, load=lambda *_: FakeEngine()) as running:
        url = f"{running.url}/v1/chat/completions"

        def ask(key: str, **more: Any) -> httpx.Response:
            return httpx.post(url, json=BODY | more, headers={"Authorization": f"Bearer {key}"})

        first = ask("k-few")
        assert first.status_code == 200
        assert first.headers["x-ratelimit-limit-requests"] == "2"
        assert first.headers["x-ratelimit-remaining-requests"] == "1"
        assert ask("k-few").status_code == 200
        refused = ask("k-few")
        assert refused.status_code == 429
        assert 25 <= int(refused.headers["retry-after"]) <= 30
        assert refused.headers["x-ratelimit-remaining-requests"] == "0"
        assert refused.json()["error"]["code"] == "rate_limit_exceeded"
        assert ask("k-free").status_code == 200, "another key has its own account"
        assert "x-ratelimit-limit-requests" not in ask("k-free").headers

        # 2 prompt tokens and 8 for the answer are reserved, 2 + 5 used: the rest comes back.
        answer = ask("k-short")
        assert answer.json()["usage"]["total_tokens"] == 7
        stream = ask("k-short", stream=True)
        assert stream.status_code == 200
        left = ask("k-short", max_tokens=20)
        assert left.status_code == 429
        assert int(left.headers["x-ratelimit-remaining-tokens-day"]) == 1000 - 14
        assert 10 <= int(left.headers["x-ratelimit-remaining-tokens"]) <= 12
        with pytest.raises(openai.RateLimitError, match="per minute: lower max_tokens"):
            OpenAI(base_url=f"{running.url}/v1", api_key="k-short", max_retries=0).chat.completions.create(
                model="fake", messages=BODY["messages"], max_tokens=30
            )
        wait_until(lambda: len(running.exporter.get_finished_spans()) > 8)
        servers = [s for s in running.exporter.get_finished_spans() if s.name.startswith("chat")]
        limited = [s for s in servers if (s.attributes or {}).get("error.type") == "rate_limit_exceeded"]
        assert {(s.attributes or {})["llmtrace.inference.key"] for s in limited} == {"few", "short"}


def test_refill_and_the_day_by_a_clock_of_their_own() -> None:
    now = 86_400.0 * 20_000 - 100
    quotas = Quotas(clock=lambda: now)
    caller = Caller("a", _key("a", requests_per_minute=60, tokens_per_minute=600, tokens_per_day=1000))

    def spend(reserved: int, used: int) -> QuotaReservation:
        reservation = quotas.admit(caller)
        reservation.reserve(reserved)
        reservation.release_unused(used)
        reservation.release_unused(used)  # twice is once
        return reservation

    spend(500, 500)
    with pytest.raises(RateLimited) as soon:
        spend(200, 200)
    assert soon.value.retry_after_seconds == 10
    now += 10
    spend(200, 200)
    now += 60
    with pytest.raises(RateLimited, match="1000 tokens per day") as tomorrow:
        spend(400, 400)
    assert tomorrow.value.retry_after_seconds == 30
    over_midnight = quotas.admit(caller)
    over_midnight.reserve(300)
    now += 40
    spend(600, 600)
    over_midnight.release_unused(0)
    assert quotas.headers(caller)["x-ratelimit-remaining-tokens-day"] == "400"

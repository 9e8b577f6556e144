"""Whose call it was, and whether a cache answered: read from headers, never with the key itself."""

from __future__ import annotations

import hashlib

import httpx
import pytest

from llmtrace.testing import Answer, Captured, ReplayServer
from llmtrace.wire.response_headers import account

CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
ANSWER = {"id": "c-1", "object": "chat.completion", "model": "gpt-4o", "choices": []}


def test_a_key_leaves_a_mark_and_nothing_else(traces: Captured) -> None:
    key = "sk-proj-0123456789abcdefghij"
    with ReplayServer(Answer.json(ANSWER)) as server:
        for _ in range(2):
            httpx.post(
                f"{server.url}/v1/chat/completions", json=CHAT, headers={"authorization": f"Bearer {key}"}
            )
    first, second = traces.snapshot()
    mark = first["attributes"]["llmtrace.account"]
    assert mark == second["attributes"]["llmtrace.account"]
    assert mark == f"key-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
    assert key not in str(first)


@pytest.mark.parametrize(
    ("sent", "received", "kind"),
    [
        ({"x-api-key": "sk-ant-1"}, {}, "key-"),
        (
            {"authorization": "AWS4-HMAC-SHA256 Credential=AKIA1/20261120/us-east-1/x, Signature=1"},
            {},
            "key-",
        ),
        ({"authorization": "Bearer ya29.token"}, {"openai-organization": "org"}, "org-"),
        ({"authorization": "Bearer ya29.token"}, {}, None),
        ({}, {}, None),
    ],
)
def test_tokens_of_an_hour_are_no_account(
    sent: dict[str, str], received: dict[str, str], kind: str | None
) -> None:
    mark = account(sent, received)
    assert mark is None if kind is None else mark is not None and mark.startswith(kind)


def test_requests_that_are_signed_anew_are_of_one_account() -> None:
    form = "AWS4-HMAC-SHA256 Credential=AKIA1/2026112{day}/us-east-1/bedrock/aws4_request, Signature={day}"
    marks = {account({"authorization": form.format(day=day)}, {}) for day in (0, 1)}
    assert len(marks) == 1


def test_an_answer_out_of_a_gateways_cache_is_marked(traces: Captured) -> None:
    answers = [Answer.json(ANSWER, 200, **{"cf-aig-cache-status": status}) for status in ("HIT", "MISS")]
    with ReplayServer(*answers) as server:
        for _ in answers:
            httpx.post(f"{server.url}/v1/chat/completions", json=CHAT)
    hit, miss = traces.snapshot()
    assert hit["attributes"]["llmtrace.response.cache_hit"] is True
    assert "llmtrace.response.cache_hit" not in miss["attributes"]

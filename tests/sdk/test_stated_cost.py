"""What an answer says that the call cost: read from bodies and headers of every format, streamed or not."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import httpx
import pytest

from llmtrace.testing import Answer, ReplayServer, capture, sse
from llmtrace.wire.stated_cost import stated_cost

from .test_recordings import Loopback

_COST, _BY, _CURRENCY = (f"llmtrace.usage.stated_{name}" for name in ("cost", "by", "currency"))
_TOKENS = {"prompt_tokens": 5, "completion_tokens": 3}
_UPSTREAM = {"cost_details": {"upstream_inference_cost": 0.02}}

#: What an answer states → USD, who says it, another currency.
CASES: dict[str, tuple[dict[str, Any], dict[str, str], float | None, str | None, str | None]] = {
    "openrouter": ({"cost": 0.0034, **_UPSTREAM}, {}, 0.0034, "openrouter", None),
    "openrouter, free": ({"cost": 0, "is_byok": False}, {}, 0.0, "openrouter", None),
    "openrouter, own key": ({"cost": 0.001, "is_byok": True, **_UPSTREAM}, {}, 0.021, "openrouter", None),
    "openrouter, own key, no more said": ({"cost": 0.001, "is_byok": True}, {}, 0.001, "openrouter", None),
    "x_ai": ({"cost_in_usd_ticks": 37_756_000}, {}, 0.0037756, "x_ai", None),
    "perplexity": ({"cost": {"request_cost": 0.005, "total_cost": 0.0061}}, {}, 0.0061, "perplexity", None),
    "perplexity, agents": (
        {"cost": {"currency": "USD", "total_cost": 0.0061}}, {}, 0.0061, "perplexity", "USD",
    ),
    "litellm": ({}, {"x-litellm-response-cost": "3.45e-05"}, 3.45e-05, "litellm", None),
    "litellm, stream": ({"cost": 0.25}, {"x-litellm-version": "1.80"}, 0.25, "litellm", None),
    "litellm, no price": ({}, {"x-litellm-response-cost": "None"}, None, None, None),
    "litellm, body first": ({"cost": 0.25}, {"x-litellm-response-cost": "0.0"}, 0.25, "litellm", None),
    "gateway": ({"cost": 0.25}, {}, 0.25, "gateway", None),
    "gateway, text": ({"cost": "0.25"}, {}, 0.25, "gateway", None),
    "nothing": ({}, {}, None, None, None),
    "odd": ({"cost": [1], "cost_in_usd_ticks": True}, {}, None, None, None),
    "odd text": ({"cost": "much"}, {}, None, None, None),
}  # fmt: skip

_CHAT = {
    "id": "c1",
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "yo"}, "finish_reason": "stop"}],
}
_CHUNK = {
    "id": "c1",
    "model": "m",
    "choices": [{"index": 0, "delta": {"content": "yo"}, "finish_reason": "stop"}],
}
_RESPONSE = {"id": "resp_1", "object": "response", "model": "m", "status": "completed", "output": []}
_MESSAGE = {"id": "msg_1", "type": "message", "model": "m", "role": "assistant", "content": []}


def _answers(usage: dict[str, Any], headers: dict[str, str]) -> dict[str, tuple[str, dict[str, Any], Answer]]:
    """Format → path, request and the answer with this usage."""
    tokens = {**_TOKENS, **usage}
    newer = {"input_tokens": 5, "output_tokens": 3, **usage}
    prompt = {"messages": [{"role": "user", "content": "hi"}]}
    streams: dict[str, tuple[str, dict[str, Any], list[Any]]] = {
        "chat stream": ("/v1/chat/completions", prompt, [_CHUNK, {"choices": [], "usage": tokens}]),
        "responses stream": (
            "/v1/responses",
            {"input": "hi"},
            [{"type": "response.completed", "response": {**_RESPONSE, "usage": newer}}],
        ),
        "messages stream": (
            "/v1/messages",
            {**prompt, "max_tokens": 9},
            [
                {"type": "message_start", "message": {**_MESSAGE, "usage": {"input_tokens": 5}}},
                {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": newer},
            ],
        ),
    }
    wholes: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
        "chat": ("/v1/chat/completions", prompt, {**_CHAT, "usage": tokens}),
        "completions": ("/v1/completions", {"prompt": "hi"}, {"choices": [{"text": "yo"}], "usage": tokens}),
        "embeddings": ("/v1/embeddings", {"input": "hi"}, {"data": [{"embedding": [0.5]}], "usage": tokens}),
        "responses": ("/v1/responses", {"input": "hi"}, {**_RESPONSE, "usage": newer}),
        "messages": ("/v1/messages", {**prompt, "max_tokens": 9}, {**_MESSAGE, "usage": newer}),
        "images": ("/v1/images/generations", {"prompt": "hi"}, {"data": [], "usage": newer}),
    }
    answers = {
        name: (
            path,
            sent,
            replace(Answer.json(body), headers={"content-type": "application/json", **headers}),
        )
        for name, (path, sent, body) in wholes.items()
    }
    for name, (path, sent, events) in streams.items():
        answer = sse(events)
        answer = replace(answer, headers={**answer.headers, **headers})
        answers[name] = (path, {**sent, "stream": True}, answer)
    return answers


@pytest.mark.parametrize("name", CASES)
def test_every_format_streamed_or_not(name: str) -> None:
    usage, headers, cost, by, currency = CASES[name]
    answers = _answers(usage, headers)
    replay = ReplayServer(*(answer for _, _, answer in answers.values()))
    with replay as server, capture() as traces, httpx.Client(transport=Loopback(server)) as client:
        for path, sent, _ in answers.values():
            response = client.post(f"http://gateway.test{path}", json={"model": "m", **sent})
            assert response.status_code == 200
        spans = traces.spans()
    assert len(spans) == len(answers)
    for form, span in zip(answers, spans, strict=True):
        attributes = span.attributes or {}
        assert attributes.get(_COST) == (None if cost is None else pytest.approx(cost, rel=1e-12)), form
        assert (attributes.get(_BY), attributes.get(_CURRENCY)) == (by, currency), form


def test_openrouter_is_known_by_its_address() -> None:
    """Older answers of it state a cost and no details."""
    answer = Answer.json({**_CHAT, "usage": {**_TOKENS, "cost": 0}})
    with (
        ReplayServer(answer) as server,
        capture() as traces,
        httpx.Client(transport=Loopback(server)) as client,
    ):
        client.post("http://openrouter.ai/api/v1/chat/completions", json={"model": "m", "messages": []})
        (span,) = traces.spans()
    attributes = span.attributes or {}
    assert (attributes[_COST], attributes[_BY]) == (0.0, "openrouter")


def test_what_is_refused_later_is_passed_on() -> None:
    """One place judges costs, the collector: a cost that can be none arrives there."""
    for cost in (-1.0, 1e300, math.inf):
        assert stated_cost({"usage": {"cost": cost}}, {}, None)[_COST] == cost
    assert math.isnan(float(str(stated_cost({"usage": {"cost": math.nan}}, {}, None)[_COST])))


@pytest.mark.parametrize(
    "odd", [None, 3, "x", [], [{}], {"usage": None}, {"usage": {"cost": {}}}, {"usage": []}]
)
def test_odd_bodies_state_nothing(odd: Any) -> None:
    assert stated_cost(odd, {}, None) == {}

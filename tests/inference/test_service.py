"""The service as its users see it: the real openai client, over loopback, against real engines."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletion
from prometheus_client.parser import text_string_to_metric_families

from tests.inference.running import Running, wait_until

MODEL = "tiny-chat-s"
EXACT: Any = {"extra_body": {"ignore_eos": True}}
"""Answers of exactly max_tokens tokens."""
HELLO: Any = [{"role": "user", "content": "Hello, how are you today?"}]


def _idle(service: Running) -> bool:
    stats = service.engine(MODEL).stats()
    return stats.running == 0 and stats.waiting == 0


def test_completion(service: Running) -> None:
    raw = service.client.chat.completions.with_raw_response.create(
        model=MODEL, messages=HELLO, max_tokens=12, **EXACT
    )
    answer = raw.parse()
    assert raw.headers["x-llmtrace-provider"] == "llmtrace"
    choice, usage = answer.choices[0], answer.usage
    assert usage is not None
    assert choice.message.role == "assistant"
    assert choice.message.content
    assert choice.message.content.isprintable()
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert usage.completion_tokens == 12
    assert choice.finish_reason == "length"
    assert answer.model == MODEL
    assert [m.id for m in service.client.models.list()] == ["tiny-chat-s", "tiny-chat-m"]


def test_answers_end_by_themselves_in_words(service: Running) -> None:
    answers = [
        service.client.chat.completions.create(model=MODEL, messages=HELLO, max_tokens=100, seed=i)
        for i in range(8)
    ]
    assert {a.choices[0].finish_reason for a in answers} >= {"stop"}
    assert len({a.usage.completion_tokens for a in answers if a.usage is not None}) > 3
    for answer in answers:
        text = answer.choices[0].message.content or ""
        assert text.isascii()
        assert text.isprintable()
        assert len(text.split()) >= 2


def test_stream_is_the_same_text_in_order_with_usage_last(service: Running) -> None:
    ask: dict[str, Any] = {"model": MODEL, "messages": HELLO, "max_tokens": 20, "temperature": 0} | EXACT
    whole = service.client.chat.completions.create(**ask).choices[0].message.content
    chunks = list(
        service.client.chat.completions.create(**ask, stream=True, stream_options={"include_usage": True})
    )
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(c.choices[0].delta.content or "" for c in chunks[:-1]) == whole
    assert [c.choices[0].finish_reason for c in chunks[:-1]].count("length") == 1
    assert chunks[-2].choices[0].finish_reason == "length"
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 20
    assert len({c.id for c in chunks}) == 1


def test_stream_ends_with_done(service: Running) -> None:
    body = {"model": MODEL, "messages": HELLO, "max_tokens": 3, "stream": True}
    lines = httpx.post(f"{service.url}/v1/chat/completions", json=body).text.strip().split("\n\n")
    assert lines[-1] == "data: [DONE]"
    assert all(line.startswith("data: {") for line in lines[:-1])


def test_async_clients_at_once(service: Running) -> None:
    async def ask_all() -> list[ChatCompletion]:
        async with AsyncOpenAI(base_url=f"{service.url}/v1", api_key="none", max_retries=0) as client:
            return await asyncio.gather(
                *(
                    client.chat.completions.create(
                        model=name,
                        messages=[{"role": "user", "content": f"Question {i}?"}],
                        max_completion_tokens=8,
                    )
                    for i in range(12)
                    for name in ("tiny-chat-s", "tiny-chat-m")
                )
            )

    answers = asyncio.run(ask_all())
    assert all(a.usage is not None and 1 <= a.usage.completion_tokens <= 8 for a in answers)


@pytest.mark.parametrize("stream", [False, True])
def test_stop_string_cuts_before_it_and_frees_the_engine(service: Running, stream: bool) -> None:
    ask: dict[str, Any] = {"model": MODEL, "messages": HELLO, "max_tokens": 2000, "temperature": 0} | EXACT
    free = service.client.chat.completions.create(**{**ask, "max_tokens": 24}).choices[0].message.content
    assert free is not None
    stop = free[20:26]
    assert len(stop) == 6
    if stream:
        chunks = list(service.client.chat.completions.create(**ask, stop=[stop], stream=True))
        text = "".join(c.choices[0].delta.content or "" for c in chunks)
        finish = chunks[-1].choices[0].finish_reason
    else:
        answer = service.client.chat.completions.create(**ask, stop=stop)
        text, finish = answer.choices[0].message.content or "", answer.choices[0].finish_reason
    assert text == free[: free.index(stop)]
    assert finish == "stop"
    wait_until(lambda: _idle(service), 2)


def test_greedy_and_seeded_answers_repeat_whatever_else_runs(service: Running) -> None:
    def answer(**how: Any) -> str:
        response = service.client.chat.completions.create(
            model=MODEL, messages=HELLO, max_tokens=24, **EXACT, **how
        )
        return response.choices[0].message.content or ""

    greedy, seeded = answer(temperature=0), answer(seed=7)
    busy = service.client.chat.completions.create(
        model=MODEL, messages=HELLO, max_tokens=1500, stream=True, **EXACT
    )
    next(iter(busy))
    assert answer(temperature=0) == greedy
    assert answer(seed=7) == seeded
    assert answer(seed=8) != seeded
    busy.close()


KILLERS: list[tuple[dict[str, Any], str | None]] = [
    ({"messages": []}, "messages"),
    ({"top_k": 10_000_000}, "top_k"),
    ({"top_k": 0}, "top_k"),
    ({"temperature": -0.1}, "temperature"),
    ({"top_p": 0}, "top_p"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": 1_000_000}, "messages"),
    ({"messages": [{"role": "user", "content": "word " * 20_000}]}, "messages"),
]
UNSUPPORTED: list[tuple[dict[str, Any], str | None]] = [
    ({"n": 17}, "n"),
    ({"tools": []}, "tools"),
    ({"logit_bias": {"1": 2}}, "logit_bias"),
    ({"logprobs": 3}, "logprobs"),
    ({"top_logprobs": 3}, None),
    ({"presence_penalty": 2.5}, "presence_penalty"),
    ({"min_p": 1.5}, "min_p"),
    ({"response_format": {"type": "xml"}}, "response_format"),
    ({"tool_choice": "required"}, None),
    ({"messages": [{"role": "tool", "content": "4"}]}, "messages.0"),
    ({"ignore_eos": True, "response_format": {"type": "json_object"}}, None),
    ({"stream_options": {"include_usage": True}}, None),
    ({"max_tokens": 4, "max_completion_tokens": 5}, None),
    ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
    ({"invented": 1}, "invented"),
]


PLAIN_KILLERS: list[tuple[dict[str, Any], str | None]] = [
    ({"prompt": ""}, "prompt"),
    ({"prompt": []}, "prompt"),
    ({"prompt": [1, 10**6]}, "prompt"),
    ({"prompt": [-1]}, "prompt"),
    ({"prompt": [[1], [10**9]]}, "prompt"),
    ({"prompt": "word " * 20_000}, "prompt"),
    ({"prompt": "x", "max_tokens": 1_000_000}, "prompt"),
    ({"prompt": "x", "top_k": 10_000_000}, "top_k"),
    ({"prompt": "x", "temperature": -1}, "temperature"),
]


@pytest.mark.parametrize(
    ("change", "param"), [*KILLERS, *UNSUPPORTED, *PLAIN_KILLERS], ids=lambda value: str(value)[:40]
)
def test_bad_requests_get_a_400_and_the_next_one_works(
    service: Running, change: dict[str, Any], param: str | None
) -> None:
    restarts = service.engine(MODEL).stats().restarts
    plain = "prompt" in change
    body = {"model": MODEL, "max_tokens": 2} | ({} if plain else {"messages": HELLO}) | change
    refused = httpx.post(f"{service.url}/v1/{'' if plain else 'chat/'}completions", json=body)
    assert refused.status_code == 400, refused.text
    error = refused.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    assert error["param"] == param
    good = service.client.chat.completions.create(model=MODEL, messages=HELLO, max_tokens=2)
    assert good.usage is not None
    assert service.engine(MODEL).stats().restarts == restarts


EXTREMES: list[dict[str, Any]] = [
    {"temperature": 1e-45},
    {"temperature": 1e-5},
    {"temperature": 2, "top_p": 1e-45},
    {"top_p": 1e-9, "top_k": 1},
    {"seed": -(2**63)},
    {"seed": 2**63 - 1, "temperature": 0},
    {"stop": ["\u0000", "🙂"]},
    {"messages": [{"role": "user", "content": ""}]},
    {"messages": [{"role": "assistant", "content": "\u0000🙂<|im_end|>\u200b"}]},
    {"max_tokens": 1},
]


@pytest.mark.parametrize("change", EXTREMES)
def test_extreme_but_valid_values_work(service: Running, change: dict[str, Any]) -> None:
    body = {"model": MODEL, "messages": HELLO, "max_tokens": 3} | change
    answer = httpx.post(f"{service.url}/v1/chat/completions", json=body)
    assert answer.status_code == 200, answer.text
    assert service.engine(MODEL).stats().restarts == 0


def test_values_that_change_nothing_are_accepted(service: Running) -> None:
    plain = service.client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello!"}],
        max_tokens=6,
        seed=3,
        **EXACT,
    )
    answer = service.client.chat.completions.create(
        model=MODEL,
        messages=[
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Hello"}, {"type": "text", "text": "!"}]},
        ],
        max_tokens=6,
        seed=3,
        n=1,
        temperature=1,
        top_p=1,
        presence_penalty=0,
        frequency_penalty=0.0,
        logprobs=False,
        response_format={"type": "text"},
        metadata={"session_id": "s1"},
        store=False,
        parallel_tool_calls=True,
        extra_body={"ignore_eos": True, "min_p": 0.0, "priority": 0},
    )
    assert answer.choices[0].message.content == plain.choices[0].message.content
    assert answer.choices[0].finish_reason == plain.choices[0].finish_reason == "length"
    assert answer.choices[0].logprobs is None
    assert answer.usage is not None
    assert plain.usage is not None
    assert answer.usage.prompt_tokens == plain.usage.prompt_tokens


def test_unknown_model_and_broken_json(service: Running) -> None:
    with pytest.raises(openai.NotFoundError, match="not served here"):
        service.client.chat.completions.create(model="gpt-9", messages=HELLO)
    broken = httpx.post(f"{service.url}/v1/chat/completions", content=b"{nope")
    assert (broken.status_code, broken.json()["error"]["code"]) == (400, "invalid_json")


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_frees_its_place(service: Running, stream: bool) -> None:
    service.exporter.clear()
    body = {"model": MODEL, "messages": HELLO, "max_tokens": 3500, "stream": stream, "ignore_eos": True}
    url = f"{service.url}/v1/chat/completions"
    with httpx.Client() as client:
        if stream:
            with client.stream("POST", url, json=body) as response:
                lines = response.iter_lines()
                next(lines)
                assert service.engine(MODEL).stats().running == 1
        else:
            with pytest.raises(httpx.ReadTimeout):
                client.post(url, json=body, timeout=0.3)
    wait_until(lambda: _idle(service), 3)
    wait_until(
        lambda: any(
            (s.attributes or {}).get("error.type") == "client_disconnected"
            for s in service.exporter.get_finished_spans()
        ),
        2,
    )


def test_repeated_prefix_is_read_from_the_cache(service: Running) -> None:
    long: Any = [{"role": "system", "content": "Answer with care. " * 60}, *HELLO]
    first = service.client.chat.completions.create(model=MODEL, messages=long, max_tokens=2)
    again = service.client.chat.completions.create(model=MODEL, messages=long, max_tokens=2)
    assert first.usage is not None
    assert again.usage is not None
    assert again.usage.prompt_tokens_details is not None
    cached = again.usage.prompt_tokens_details.cached_tokens
    assert cached is not None
    assert again.usage.prompt_tokens - 32 <= cached < again.usage.prompt_tokens


def test_metrics_and_health(service: Running) -> None:
    def read() -> dict[str, float]:
        text = httpx.get(f"{service.url}/metrics").text
        samples = [s for family in text_string_to_metric_families(text) for s in family.samples]
        mine = [s for s in samples if MODEL in (s.labels.get("model"), s.labels.get("gen_ai_request_model"))]
        mine = [s for s in mine if s.labels.get("gen_ai_operation_name", "chat") == "chat"]
        return {
            f"{s.name}|{s.labels.get('error_type', '')}|{s.labels.get('kind', '')}": s.value for s in mine
        }

    before = read()
    service.client.chat.completions.create(model=MODEL, messages=HELLO, max_tokens=4, **EXACT)
    after = read()
    for name in ("request_duration", "time_to_first_token", "time_per_output_token"):
        key = f"gen_ai_server_{name}_seconds_count||"
        assert after[key] == before.get(key, 0) + 1
    tokens = "llmtrace_inference_tokens_total||output"
    assert after[tokens] == before.get(tokens, 0) + 4
    assert after["llmtrace_inference_requests_running||"] == 0
    assert after["llmtrace_inference_requests_waiting||"] == 0
    assert (
        0
        < after["llmtrace_inference_kv_blocks_used||"]
        < after["llmtrace_inference_kv_blocks_total||"]
        == 1024
    )
    assert httpx.get(f"{service.url}/health/live").status_code == 200
    assert httpx.get(f"{service.url}/health/ready").json()["models"] == {MODEL: True, "tiny-chat-m": True}

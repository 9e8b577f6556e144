"""Conformance by the real openai client: completions, choices, logprobs, sampling, formats, tools."""

from __future__ import annotations

import asyncio
import json
import math
import sys
from collections import Counter
from typing import Any

import jsonschema
import openai
import pytest
from openai import AsyncOpenAI
from pydantic import BaseModel

from llmtrace_inference.protocol.tool_calls import ToolCallParser
from llmtrace_inference.settings import InferenceSettings
from tests.inference.fakes import FakeEngine
from tests.inference.running import Running, serving

MODEL = "tiny-chat-s"
EXACT: Any = {"extra_body": {"ignore_eos": True}}
HELLO: Any = [{"role": "user", "content": "Hello, how are you today?"}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Weather of a place.",
        "parameters": {
            "type": "object",
            "properties": {"place": {"enum": ["Berlin", "Rome"]}, "days": {"enum": [1, 2, 3]}},
            "required": ["place", "days"],
            "additionalProperties": False,
        },
    },
}
CLOCK: Any = {"type": "function", "function": {"name": "clock", "parameters": {"type": "object"}}}


def test_plain_completions(service: Running) -> None:
    ask = service.client.completions.create
    answer = ask(model=MODEL, prompt="Hello! How", max_tokens=8, temperature=0, **EXACT)
    assert (answer.object, len(answer.choices), answer.choices[0].finish_reason) == (
        "text_completion",
        1,
        "length",
    )
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 8
    tokens = service.engine(MODEL).tokenizer.encode("Hello! How")
    assert answer.usage.prompt_tokens == len(tokens)
    by_ids = ask(model=MODEL, prompt=tokens, max_tokens=8, temperature=0, **EXACT)
    assert by_ids.choices[0].text == answer.choices[0].text

    many = ask(model=MODEL, prompt=["Hello! How", "Thank you"], n=2, max_tokens=8, temperature=0, **EXACT)
    assert [c.index for c in many.choices] == [0, 1, 2, 3]
    assert many.choices[0].text == many.choices[1].text == answer.choices[0].text
    assert many.choices[2].text == many.choices[3].text != answer.choices[0].text
    assert many.usage is not None
    assert many.usage.completion_tokens == 32

    chunks = list(ask(model=MODEL, prompt="Hello! How", max_tokens=8, temperature=0, stream=True, **EXACT))
    assert "".join(c.choices[0].text for c in chunks) == answer.choices[0].text
    assert chunks[-1].choices[0].finish_reason == "length"

    server, *_ = service.request_spans(answer.id)
    assert server.name == f"text_completion {MODEL}"
    assert (server.attributes or {})["url.path"] == "/v1/completions"
    for bad, param in (({"prompt": []}, "prompt"), ({"prompt": [10**6]}, "prompt"), ({"echo": True}, "echo")):
        with pytest.raises(openai.BadRequestError) as refused:
            ask(model=MODEL, prompt="x", extra_body=bad)
        assert refused.value.param == param


def test_several_choices(service: Running) -> None:
    def texts(**how: Any) -> list[str]:
        answer = service.client.chat.completions.create(
            model=MODEL, messages=HELLO, max_tokens=16, n=3, seed=5, **EXACT, **how
        )
        assert [c.index for c in answer.choices] == [0, 1, 2]
        assert answer.usage is not None
        assert answer.usage.completion_tokens == 48
        return [c.message.content or "" for c in answer.choices]

    whole = texts()
    assert len(set(whole)) == 3
    single = service.client.chat.completions.create(
        model=MODEL, messages=HELLO, max_tokens=16, seed=5, **EXACT
    )
    assert single.choices[0].message.content == whole[0]
    parts = Counter[int]()
    joined = ["", "", ""]
    for chunk in service.client.chat.completions.create(
        model=MODEL, messages=HELLO, max_tokens=16, n=3, seed=5, stream=True, **EXACT
    ):
        choice = chunk.choices[0]
        joined[choice.index] += choice.delta.content or ""
        parts[choice.index] += choice.finish_reason is not None
    assert joined == whole
    assert parts == {0: 1, 1: 1, 2: 1}
    server, *children = service.request_spans(chunk.id)
    assert (server.attributes or {})["gen_ai.request.choice.count"] == 3
    assert (server.attributes or {})["gen_ai.response.finish_reasons"] == ["length"] * 3
    decodes = [c for c in children if c.name == "decode"]
    assert [(c.attributes or {})["llmtrace.inference.choice"] for c in decodes] == [0, 1, 2]


@pytest.mark.parametrize("stream", [False, True])
def test_logprobs_are_the_models_own(service: Running, stream: bool) -> None:
    ask: dict[str, Any] = {"model": MODEL, "messages": HELLO, "max_tokens": 12, "temperature": 0} | EXACT
    plain = service.client.chat.completions.create(**ask).choices[0].message.content
    ask |= {"logprobs": True, "top_logprobs": 4}
    tokens: list[Any] = []
    if stream:
        for chunk in service.client.chat.completions.create(**ask, stream=True):
            logprobs = chunk.choices[0].logprobs
            tokens += logprobs.content or [] if logprobs is not None else []
    else:
        choice = service.client.chat.completions.create(**ask).choices[0]
        assert choice.logprobs is not None
        tokens = choice.logprobs.content or []
    assert len(tokens) == 12
    # ignore_eos goes on past end tokens, which are tokens but no text.
    text = b"".join(bytes(t.bytes or ()) for t in tokens).decode()
    assert text.replace("<|im_end|>", "") == plain
    for token in tokens:
        assert token.logprob <= 0
        assert [t.logprob for t in token.top_logprobs] == sorted(
            (t.logprob for t in token.top_logprobs), reverse=True
        )
        assert len(token.top_logprobs) == 4
        assert sum(math.exp(t.logprob) for t in token.top_logprobs) <= 1 + 1e-5
        assert token.token in [t.token for t in token.top_logprobs], "greedy takes a likely token"

    old = service.client.completions.create(
        model=MODEL, prompt="Hello", max_tokens=4, logprobs=2, **EXACT
    ).choices[0]
    assert old.logprobs is not None
    # ignore_eos goes on past end tokens, which are tokens but no text.
    assert "".join(old.logprobs.tokens or ()).replace("<|im_end|>", "") == old.text
    assert old.logprobs.text_offset == [sum(map(len, (old.logprobs.tokens or [])[:i])) for i in range(4)]
    assert all(len(top) <= 2 for top in old.logprobs.top_logprobs or ())


def test_penalties_and_min_p_change_what_is_drawn(service: Running) -> None:
    def words(**how: Any) -> list[str]:
        extra = {"ignore_eos": True} | how.pop("extra_body", {})
        answer = service.client.chat.completions.create(
            model=MODEL, messages=HELLO, max_tokens=120, seed=2, extra_body=extra, logprobs=True, **how
        ).choices[0]
        assert answer.logprobs is not None
        return [t.token for t in answer.logprobs.content or ()]

    free = words(temperature=0)
    penalised = words(temperature=0, frequency_penalty=2.0)
    assert max(Counter(penalised).values()) < max(Counter(free).values())
    assert len(set(words(temperature=0, presence_penalty=2.0))) > len(set(free))
    assert words(temperature=2, extra_body={"min_p": 1.0}) == free, "min_p 1 leaves only the likeliest"
    assert words(temperature=2) != free


class _Event(BaseModel):
    """What the openai client makes a strict schema of."""

    kind: bool
    rank: int


@pytest.mark.parametrize("stream", [False, True])
def test_json_schema_is_kept_to(service: Running, stream: bool) -> None:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {
            "city": {"enum": ["Berlin", "Rome", "Oslo"]},
            "sizes": {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 3},
            "note": {"type": "string", "maxLength": 12},
        },
        "required": ["city", "sizes", "note"],
        "additionalProperties": False,
    }
    format_: Any = {"type": "json_schema", "json_schema": {"name": "place", "schema": schema, "strict": True}}
    answers = set()
    for seed in range(4):
        ask: dict[str, Any] = {
            "model": MODEL, "messages": HELLO, "max_tokens": 300, "seed": seed, "response_format": format_,
        }  # fmt: skip
        if stream:
            chunks = list(service.client.chat.completions.create(**ask, stream=True))
            text = "".join(c.choices[0].delta.content or "" for c in chunks)
            finish = chunks[-1].choices[0].finish_reason
        else:
            choice = service.client.chat.completions.create(**ask).choices[0]
            text, finish = choice.message.content or "", choice.finish_reason
        if finish == "stop":
            jsonschema.validate(json.loads(text), schema)
            answers.add(text)
    assert len(answers) > 1, "different seeds, different valid answers"

    parsed = service.client.chat.completions.parse(
        model=MODEL, messages=HELLO, max_tokens=300, response_format=_Event, temperature=0.5, seed=1
    )
    assert isinstance(parsed.choices[0].message.parsed, _Event)


def test_json_object_and_unusable_schemas(service: Running) -> None:
    answer = service.client.chat.completions.create(
        model=MODEL, messages=HELLO, max_tokens=40, response_format={"type": "json_object"}, seed=1
    ).choices[0]
    assert (answer.message.content or "").startswith("{")
    if answer.finish_reason == "stop":
        assert isinstance(json.loads(answer.message.content or ""), dict)
    for schema in ({"type": "objec"}, {"type": "string", "pattern": "(?=a)b"}, {"$ref": "http://x/y"}):
        format_: Any = {"type": "json_schema", "json_schema": {"name": "bad", "schema": schema}}
        with pytest.raises(openai.BadRequestError) as refused:
            service.client.chat.completions.create(model=MODEL, messages=HELLO, response_format=format_)
        assert refused.value.param == "response_format.json_schema.schema"
    assert service.engine(MODEL).stats().restarts == 0


def test_without_the_grammar_package_a_400_says_what_to_install(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    vars(service.engine(MODEL).tokenizer).pop("_grammar_tokenizer", None)
    monkeypatch.setitem(sys.modules, "llguidance", None)
    monkeypatch.setitem(sys.modules, "llguidance.hf", None)
    with pytest.raises(openai.BadRequestError, match=r"pip install 'llmtrace\[inference\]'") as refused:
        service.client.chat.completions.create(
            model=MODEL, messages=HELLO, response_format={"type": "json_object"}
        )
    assert (refused.value.param, refused.value.code) == ("response_format", "unsupported_parameter")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "weather"}}])
def test_a_required_tool_is_called(service: Running, choice: Any, stream: bool) -> None:
    ask: dict[str, Any] = {
        "model": MODEL, "messages": HELLO, "tools": [WEATHER], "tool_choice": choice, "max_tokens": 200,
    }  # fmt: skip
    if stream:
        chunks = list(service.client.chat.completions.create(**ask, stream=True))
        assert all(not c.choices[0].delta.content for c in chunks)
        calls: Any = [call for c in chunks for call in c.choices[0].delta.tool_calls or ()]
        finish, response_id = chunks[-1].choices[0].finish_reason, chunks[0].id
    else:
        answer = service.client.chat.completions.create(**ask)
        message = answer.choices[0].message
        assert message.content is None
        calls, finish, response_id = message.tool_calls or [], answer.choices[0].finish_reason, answer.id
    assert finish == "tool_calls"
    assert [call.function.name for call in calls] == ["weather"]
    arguments = json.loads(calls[0].function.arguments)
    jsonschema.validate(arguments, WEATHER["function"]["parameters"])

    server, *_ = service.request_spans(response_id)
    part = json.loads(str((server.attributes or {})["gen_ai.output.messages"]))[0]["parts"][0]
    assert (part["type"], part["name"], part["arguments"]) == ("tool_call", "weather", arguments)
    assert (server.attributes or {})["gen_ai.response.finish_reasons"] == ["tool_call"]

    # The call and its result go back into the conversation.
    history: Any = [
        *HELLO,
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
    ]
    after = service.client.chat.completions.create(
        model=MODEL, messages=history, tools=[WEATHER, CLOCK], tool_choice="none", max_tokens=4
    )
    assert after.choices[0].message.tool_calls is None


def test_calls_that_a_model_makes_by_itself_are_parsed() -> None:
    says = 'Let me see.\n<tool_call>\n{"name": "clock", "arguments": {"zone": "UTC"}}\n</tool_call>\n'
    says += '<tool_call>{"name": "weather", "arguments": {}}</tool_call>'
    with serving(InferenceSettings(models={"fake": "x"}), load=lambda *_: FakeEngine(says=says)) as running:
        ask: dict[str, Any] = {"model": "fake", "messages": HELLO, "tools": [CLOCK, WEATHER]}
        message = running.client.chat.completions.create(**ask).choices[0].message
        assert message.content == "Let me see.\n"
        calls: Any = message.tool_calls or []
        assert [c.function.name for c in calls] == ["clock", "weather"]
        assert json.loads(calls[0].function.arguments) == {"zone": "UTC"}
        chunks = list(running.client.chat.completions.create(**ask, stream=True))
        deltas = [c.choices[0].delta for c in chunks]
        assert "".join(d.content or "" for d in deltas) == "Let me see.\n"
        streamed: Any = [call for d in deltas for call in d.tool_calls or ()]
        assert [(c.index, c.function.name) for c in streamed] == [(0, "clock"), (1, "weather")]
        assert chunks[-1].choices[0].finish_reason == "tool_calls"
        plain = running.client.chat.completions.create(**ask, tool_choice="none").choices[0]
        assert plain.message.content == says


def test_tool_text_that_is_no_call_is_shown() -> None:
    for text in ("a < b", "<tool_call>not json</tool_call>!", "<tool_call>{}", '<tool_call>{"name": 1}'):
        parser = ToolCallParser()
        visible = ""
        for character in text:
            text_part, calls = parser.feed(character)
            assert not calls
            visible += text_part
        assert visible + parser.flush() == text


def test_the_async_client(service: Running) -> None:
    async def ask() -> None:
        async with AsyncOpenAI(base_url=f"{service.url}/v1", api_key="none", max_retries=0) as client:
            stream = await client.chat.completions.create(
                model=MODEL, messages=HELLO, max_tokens=6, stream=True, n=2, logprobs=True
            )
            assert {chunk.choices[0].index async for chunk in stream} == {0, 1}
            stream = await client.chat.completions.create(
                model=MODEL, messages=HELLO, max_tokens=3000, stream=True, n=2, **EXACT
            )
            async for _ in stream:
                break
            await stream.close()
            with pytest.raises(openai.BadRequestError):
                await client.completions.create(model=MODEL, prompt="x", suffix="y")

    asyncio.run(ask())

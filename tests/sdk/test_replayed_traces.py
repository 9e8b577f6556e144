"""A recorded trace played to a program again: through every client, to any host, and to no other."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import socket
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest

import llmtrace
from llmtrace.testing import Captured, EntryError, FillIn, ReplayedTrace, capture
from llmtrace.testing.entry import find, run_entry
from llmtrace.testing.redirect import NetworkRefused

ARGUMENTS = {"city": "Bonn", "days": [1, 2]}
ASKED = [{"role": "user", "parts": [{"type": "text", "content": "Weather?"}]}]
CALL: dict[str, Any] = {
    "model": "m",
    "input": ASKED,
    "output": [
        {
            "role": "assistant",
            "parts": [
                {"type": "text", "content": "Let me look at that, it will not take long."},
                {"type": "tool_call", "id": "call_1", "name": "weather", "arguments": ARGUMENTS},
            ],
        }
    ],
    "finish_reasons": ["tool_call"],
    "usage": {"input_tokens": 30, "output_tokens": 12, "cache_read.input_tokens": 16},
}
MESSAGES = [{"role": "user", "content": "Weather?"}]
Read = tuple[str, str, Any]
"""Text, the name of the tool and its arguments, as a client gives them."""


def client_class(module: str, name: str) -> Any:
    """A client of a library, untyped: the test reads what comes, whatever may come."""
    return getattr(importlib.import_module(module), name)


@pytest.fixture
def captured() -> Iterator[Captured]:
    with capture() as traces:
        yield traces


def played(captured: Captured, *calls: Any, **options: Any) -> AbstractContextManager[ReplayedTrace]:
    return ReplayedTrace.started(calls or (CALL,), captured, **options)


def _openai_chat(stream: bool) -> Read:
    OpenAI = client_class("openai", "OpenAI")

    create = OpenAI().chat.completions.create
    if not stream:
        message = create(model="m", messages=MESSAGES).choices[0].message
        tool = message.tool_calls[0].function
        return message.content, tool.name, json.loads(tool.arguments)
    text = name = arguments = ""
    options = {"include_usage": True}
    for chunk in create(model="m", messages=MESSAGES, stream=True, stream_options=options):
        for choice in chunk.choices:
            text += choice.delta.content or ""
            for tool in choice.delta.tool_calls or ():
                name += tool.function.name or ""
                arguments += tool.function.arguments or ""
    assert chunk.usage.prompt_tokens == 30
    return text, name, json.loads(arguments)


def _azure(stream: bool) -> Read:
    AsyncAzureOpenAI = client_class("openai", "AsyncAzureOpenAI")

    async def run() -> Read:
        async with AsyncAzureOpenAI(azure_endpoint="https://our.openai.azure.com", api_version="1") as client:
            if not stream:
                answer = await client.chat.completions.create(model="m", messages=MESSAGES)
                message = answer.choices[0].message
            else:
                async with client.chat.completions.stream(model="m", messages=MESSAGES) as events:
                    message = (await events.get_final_completion()).choices[0].message
        return (
            message.content,
            message.tool_calls[0].function.name,
            json.loads(message.tool_calls[0].function.arguments),
        )

    return asyncio.run(run())


def _openai_responses(stream: bool) -> Read:
    OpenAI = client_class("openai", "OpenAI")

    if not stream:
        response = OpenAI().responses.create(model="m", input="Weather?")
    else:
        deltas = ""
        with OpenAI().responses.stream(model="m", input="Weather?") as events:
            for event in events:
                deltas += event.delta if event.type == "response.output_text.delta" else ""
            response = events.get_final_response()
        assert deltas == response.output_text
    tool = response.output[1]
    return response.output_text, tool.name, json.loads(tool.arguments)


def _anthropic(stream: bool) -> Read:
    Anthropic = client_class("anthropic", "Anthropic")

    client = Anthropic()
    if not stream:
        message = client.messages.create(model="m", max_tokens=9, messages=MESSAGES)
    else:
        with client.messages.stream(model="m", max_tokens=9, messages=MESSAGES) as events:
            message = events.get_final_message()
    assert (message.usage.input_tokens, message.usage.cache_read_input_tokens) == (14, 16)
    assert message.stop_reason == "tool_use"
    text, tool = message.content
    return text.text, tool.name, tool.input


def _gemini(stream: bool) -> Read:
    client = client_class("google.genai", "Client")()
    if not stream:
        parts = client.models.generate_content(model="m", contents="Weather?").candidates[0].content.parts
    else:
        chunks = client.models.generate_content_stream(model="m", contents="Weather?")
        parts = [part for chunk in chunks for part in chunk.candidates[0].content.parts or ()]
    (call,) = (part.function_call for part in parts if part.function_call)
    return "".join(part.text or "" for part in parts), call.name, call.args


def _bedrock(stream: bool) -> Read:
    client = client_class("boto3", "client")("bedrock-runtime", region_name="eu-central-1")
    messages = [{"role": "user", "content": [{"text": "Weather?"}]}]
    if not stream:
        answer = client.converse(modelId="m", messages=messages)
        text, tool = answer["output"]["message"]["content"]
        return text["text"], tool["toolUse"]["name"], tool["toolUse"]["input"]
    text = name = arguments = ""
    for event in client.converse_stream(modelId="m", messages=messages)["stream"]:
        begin = event.get("contentBlockStart", {}).get("start", {}).get("toolUse", {})
        name += begin.get("name", "")
        delta = event.get("contentBlockDelta", {}).get("delta", {})
        text += delta.get("text", "")
        arguments += delta.get("toolUse", {}).get("input", "")
    return text, name, json.loads(arguments)


def _claude_on_bedrock(stream: bool) -> Read:
    AnthropicBedrock = client_class("anthropic", "AnthropicBedrock")

    client = AnthropicBedrock(aws_region="us-east-1")
    if not stream:
        message = client.messages.create(model="m", max_tokens=9, messages=MESSAGES)
        text, tool = message.content
        return text.text, tool.name, tool.input
    text = arguments = name = ""
    for event in client.messages.create(model="m", max_tokens=9, messages=MESSAGES, stream=True):
        if event.type == "content_block_start" and event.content_block.type == "tool_use":
            name = event.content_block.name
        if event.type == "content_block_delta":
            text += getattr(event.delta, "text", "")
            arguments += getattr(event.delta, "partial_json", "")
    return text, name, json.loads(arguments)


def _cohere(stream: bool) -> Read:
    client = client_class("cohere", "ClientV2")()
    if not stream:
        message = client.chat(model="m", messages=MESSAGES).message
        tool = message.tool_calls[0].function
        return message.content[0].text, tool.name, json.loads(tool.arguments)
    text = name = arguments = ""
    for event in client.chat_stream(model="m", messages=MESSAGES):
        if event.type == "content-delta":
            text += event.delta.message.content.text
        elif event.type == "tool-call-start":
            name = event.delta.message.tool_calls.function.name
        elif event.type == "tool-call-delta":
            arguments += event.delta.message.tool_calls.function.arguments
    return text, name, json.loads(arguments)


def _mistral(stream: bool) -> Read:
    Mistral = client_class("mistralai.client", "Mistral")

    with Mistral(api_key=os.environ["MISTRAL_API_KEY"]) as client:
        if not stream:
            message = client.chat.complete(model="m", messages=MESSAGES).choices[0].message
            tool = message.tool_calls[0].function
            return message.content, tool.name, json.loads(tool.arguments)
        text = name = arguments = ""
        for event in client.chat.stream(model="m", messages=MESSAGES):
            delta = event.data.choices[0].delta
            text += delta.content or ""
            for tool in delta.tool_calls or ():
                name += tool.function.name or ""
                arguments += tool.function.arguments or ""
        return text, name, json.loads(arguments)


def _ollama(stream: bool) -> Read:
    client = client_class("ollama", "Client")(host="http://gpu.internal:11434")
    if not stream:
        message = client.chat(model="m", messages=MESSAGES).message
        return message.content, message.tool_calls[0].function.name, message.tool_calls[0].function.arguments
    text, tools = "", list[Any]()
    for chunk in client.chat(model="m", messages=MESSAGES, stream=True):
        text += chunk.message.content or ""
        tools += chunk.message.tool_calls or ()
    return text, tools[0].function.name, tools[0].function.arguments


BODY = {"model": "m", "messages": MESSAGES}
PAGE = "https://llm.example.org/v1/chat/completions?team=a"


def _read(answer: Any) -> Read:
    message = answer["choices"][0]["message"]
    tool = message["tool_calls"][0]["function"]
    return message["content"], tool["name"], json.loads(tool["arguments"])


def _requests(stream: bool) -> Read:
    import requests

    return _read(requests.Session().post(PAGE, json=BODY, timeout=5).json())


def _urllib(stream: bool) -> Read:
    sent = urllib.request.Request(PAGE, json.dumps(BODY).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(sent, timeout=5) as response:
        return _read(json.load(response))


def _aiohttp(stream: bool) -> Read:
    import aiohttp

    async def run() -> Read:
        async with aiohttp.ClientSession() as session, session.post(PAGE, json=BODY) as response:
            return _read(await response.json())

    return asyncio.run(run())


def _proxied_httpx(stream: bool) -> Read:
    import httpx

    with httpx.Client(proxy="http://proxy.example.org:3128", verify=False) as client:
        return _read(client.post(PAGE, json=BODY).json())


CLIENTS: dict[Callable[[bool], Read], tuple[bool, ...]] = {
    **dict.fromkeys(
        (
            *(_openai_chat, _azure, _openai_responses, _anthropic, _gemini, _bedrock, _claude_on_bedrock),
            *(_cohere, _mistral, _ollama),
        ),
        (False, True),
    ),
    **dict.fromkeys((_requests, _urllib, _aiohttp, _proxied_httpx), (False,)),
}


@pytest.mark.parametrize(
    ("client", "stream"),
    [(client, stream) for client, streams in CLIENTS.items() for stream in streams],
    ids=lambda value: value.__name__ if callable(value) else "streamed" if value else "whole",
)
def test_every_client_gets_the_recorded_answer(
    captured: Captured, client: Callable[[bool], Read], stream: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever host it is set up for, in its own format; without keys and without differences."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-real")
    for name in ("ANTHROPIC_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY", "CO_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with warnings.catch_warnings(), played(captured) as trace:
        warnings.simplefilter("error", ResourceWarning)
        assert client(stream) == (
            "Let me look at that, it will not take long.",
            "weather",
            ARGUMENTS,
        )
        assert os.environ["OPENAI_API_KEY"] == "replay"
        assert trace.differences == []
        assert trace.unanswered == []
        assert trace.status == "ok"
    assert os.environ["OPENAI_API_KEY"] == "sk-real"
    if client is not _urllib:
        (call,) = captured.calls
        assert call.finish_reasons in (("tool_call",), ("stop",))
        assert (call.tokens.input, call.tokens.output) == (30, 12)


def ask(text: str, model: str = "m") -> str:
    OpenAI = client_class("openai", "OpenAI")

    answer = OpenAI(max_retries=0).chat.completions.create(
        model=model, messages=[{"role": "user", "content": text}]
    )
    return str(answer.choices[0].message.content)


def said(question: str, answer: str, **more: Any) -> dict[str, Any]:
    return {
        "model": "m",
        "input": [{"role": "user", "parts": [{"type": "text", "content": question}]}],
        "output": [{"role": "assistant", "parts": [{"type": "text", "content": answer}]}],
        "finish_reasons": ["stop"],
        **more,
    }


def test_requests_are_matched_by_what_they_ask_else_by_order(captured: Captured) -> None:
    calls = [said(f"What is {number}?", f"A{number}") for number in range(4)]
    with played(captured, *calls) as trace:
        assert ask("What is 2?") == "A2"
        assert ask("What is 0?") == "A0"
        assert ask("And now something else") == "A1"
        (changed, missing) = trace.differences
    assert missing == "recorded request 4 was not made: chat m"
    assert changed.splitlines()[:2] == ["--- recorded request 2", "+++ request 2 now"]
    assert "-  What is 1?" in changed
    assert "+  And now something else" in changed


def test_parallel_requests_each_get_their_own_answer(captured: Captured) -> None:
    from concurrent.futures import ThreadPoolExecutor

    calls = [said(f"Question {number}", f"Answer {number}") for number in range(12)]
    with played(captured, *calls) as trace, ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(ask, [f"Question {number}" for number in range(12)]))
        assert answers == [f"Answer {number}" for number in range(12)]
        assert trace.differences == []


def test_what_is_recorded_redacted_or_in_another_api_is_compared_as_recorded(captured: Captured) -> None:
    OpenAI = client_class("openai", "OpenAI")

    secret = "sk-" + "a1" * 20
    with played(captured, said("key [redacted:key]", "ok")) as trace:
        assert OpenAI().responses.create(model="m", input=f"key {secret}").output_text == "ok"
        assert trace.differences == []


def test_failures_are_replayed_and_retried_as_recorded(captured: Captured) -> None:
    from openai import APIStatusError

    OpenAI = client_class("openai", "OpenAI")
    slow = said("Hi", "", output=[], finish_reasons=[], status=429, error=["rate_limit", "slow down"])
    with played(captured, slow, said("Hi", "Hello")) as trace:
        answer = OpenAI(max_retries=1).chat.completions.create(
            model="m", messages=[{"role": "user", "content": "Hi"}]
        )
        assert answer.choices[0].message.content == "Hello"
        assert trace.status == "ok"
        assert [call.counted for call in captured.calls] == [False, True]
    with played(captured, slow) as trace, pytest.raises(APIStatusError, match="slow down"):
        trace.run(find_here("ask"), {"text": "Hi"})
    assert trace.status == "failed"
    lost = said("Hi", "", output=[], finish_reasons=[], status=0, error=["ConnectTimeout", ""])
    with played(captured, lost), pytest.raises(Exception, match="Connection error"):
        ask("Hi")


def find_here(name: str) -> str:
    return f"{__name__}:{name}"


def swallowing() -> str:
    ask("Hi")
    try:
        return ask("and again")
    except Exception:
        return "sorry"


def test_a_request_that_nothing_was_recorded_for_fails_though_the_program_goes_on(captured: Captured) -> None:
    with (
        played(captured, said("Hi", "Hello")) as trace,
        pytest.raises(AssertionError, match=r"no answer was recorded for this request \(chat m\)"),
    ):
        trace.run(find_here("swallowing"), {})


def test_beyond_the_recording_a_stand_in_answers(captured: Captured) -> None:
    with played(captured, said("Hi", "Hello"), beyond=said("", "(beyond)")) as trace:
        assert trace.run(find_here("swallowing"), {}) == "(beyond)"
        assert trace.differences == ["a request beyond the recorded ones: chat m"]


def fetches() -> None:
    import httpx

    httpx.get("https://weather.example.org/bonn")


async def fetches_async() -> None:
    import aiohttp

    async with aiohttp.ClientSession() as session:
        await session.get("http://192.0.2.1/bonn")


def connects() -> None:
    socket.create_connection(("db.example.org", 5432), timeout=1)


@pytest.mark.parametrize(
    ("function", "address"),
    [
        ("fetches", "weather.example.org:443"),
        ("fetches_async", "192.0.2.1:80"),
        ("connects", "db.example.org:5432"),
    ],
)
def test_no_other_host_is_reached(captured: Captured, function: str, address: str) -> None:
    with played(captured) as trace, pytest.raises(Exception, match=f"wants to reach {address}"):
        trace.run(find_here(function), {})
    assert trace.status == "failed"


def test_this_machine_is_reached_as_ever(captured: Captured) -> None:
    import httpx

    from llmtrace.testing import Answer, ReplayServer

    with ReplayServer(Answer.json({"warm": True})) as weather, played(captured):
        assert httpx.get(weather.url.replace("127.0.0.1", "localhost")).json() == {"warm": True}
        with pytest.raises(NetworkRefused):
            socket.getaddrinfo("example.org", 80)


def test_embeddings_have_vectors_of_their_size(captured: Captured) -> None:
    OpenAI = client_class("openai", "OpenAI")

    call = {"operation": "embeddings", "model": "e", "dimensions": 8, "usage": {"input_tokens": 4}}
    with played(captured, call, call) as trace:
        first = OpenAI().embeddings.create(model="e", input=["rain", "sun", "rain"])
        rain, sun, again = (entry.embedding for entry in first.data)
        assert len(rain) == 8
        assert sum(value * value for value in rain) == pytest.approx(1)
        assert rain == again != sun
        second = OpenAI().embeddings.create(model="e", input="rain", encoding_format="float")
        assert second.data[0].embedding == pytest.approx(rain, abs=1e-6)
        assert trace.unanswered == []


@llmtrace.tool
def broken_tool(x: int) -> int:
    raise ValueError(x)


def recovers() -> str:
    try:
        broken_tool(1)
    except ValueError:
        return "recovered"
    return "never"


class Agent:
    def answer(self) -> None: ...

    @staticmethod
    def ready() -> str:
        return "ready"


async def counts(upto: int) -> Any:
    for number in range(upto):
        yield number


def test_how_the_program_is_called(captured: Captured) -> None:
    with played(captured) as trace:
        assert trace.run(f"{__name__}.recovers", {}) == "recovered"
        assert trace.status == "recovered"
    assert run_entry(f"{__name__}.Agent.ready", {}) == "ready"
    assert run_entry(find_here("counts"), {"upto": 3}) == [0, 1, 2]
    assert find("json.dumps") is json.dumps
    for entry, arguments, why in (
        (f"{__name__}.Agent.answer", {}, "is a method and needs its object"),
        ("no_such_module.answer", {}, "no module of 'no_such_module.answer' can be imported"),
        ("no_such_module:answer", {}, "there is no module 'no_such_module'"),
        (find_here("nothing"), {}, "there is no 'nothing' in"),
        (find_here("CALL"), {}, "is no function"),
        (find_here("ask"), {"question": 1}, "cannot be called with question"),
        (FillIn("name it"), {}, "fill in ENTRY in this test: name it"),
        (find_here("ask"), FillIn("write them"), "fill in ARGUMENTS in this test: write them"),
    ):
        with pytest.raises(EntryError, match=why):
            run_entry(entry, arguments)

"""One table of calls, made by both halves of the openai client, sync and async."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI

from llmtrace_inference.engine.interface import EngineFull, QueueTimeout
from llmtrace_inference.settings import InferenceSettings
from tests.inference.fakes import FakeEngine
from tests.inference.running import Running, serving, wait_until
from tests.inference.test_openai import CLOCK, WEATHER

MODEL = "tiny-chat-s"
HELLO: Any = [{"role": "user", "content": "Hello, how are you today?"}]
EXACT: Any = {"extra_body": {"ignore_eos": True}}
PLACE: Any = {
    "type": "json_schema",
    "json_schema": {
        "name": "place",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {"city": {"enum": ["Oslo", "Rome"]}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
Call = tuple[str, dict[str, Any]]


def _chat(**how: Any) -> Call:
    return "chat.completions.create", {"model": MODEL, "messages": HELLO, "max_tokens": 12} | how


class _Asker:
    """Makes a call by one half of the client; a stream comes back as the list of its chunks."""

    def __init__(self, url: str, half: str) -> None:
        self._how: dict[str, Any] = {"base_url": f"{url}/v1", "api_key": "none", "max_retries": 0}
        self._half = half

    def __call__(self, call: Call) -> Any:
        path, arguments = call
        if self._half == "async":
            return asyncio.run(self._ask_async(path, arguments))
        with openai.OpenAI(**self._how) as client:
            answer = _find(client, path)(**arguments)
            return list(answer) if isinstance(answer, openai.Stream) else answer

    async def _ask_async(self, path: str, arguments: dict[str, Any]) -> Any:
        async with AsyncOpenAI(**self._how) as client:
            answer = _find(client, path)(**arguments)
            if inspect.isawaitable(answer):
                answer = await answer
            if isinstance(answer, openai.AsyncStream) or hasattr(answer, "__aiter__"):
                return [item async for item in answer]
            return answer


def _find(client: Any, path: str) -> Any:
    for name in path.split("."):
        client = getattr(client, name)
    return client


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest, service: Running) -> Callable[[Call], Any]:
    return _Asker(service.url, request.param)


def _text(answer: Any, index: int = 0) -> str:
    if isinstance(answer, list):
        mine = [c.choices[0] for c in answer if c.choices and c.choices[0].index == index]
        return "".join(choice.delta.content or "" for choice in mine)
    return answer.choices[index].message.content or ""


Asker = Callable[[Call], Any]


def test_models_and_embeddings(ask: Asker) -> None:
    assert MODEL in [model.id for model in ask(("models.list", {}))]
    assert ask(("models.retrieve", {"model": MODEL})).owned_by == "llmtrace"
    vectors = ask(("embeddings.create", {"model": MODEL, "input": ["a", "b"]}))
    assert [len(vector.embedding) for vector in vectors.data] == [128, 128]


def test_streams_say_what_whole_answers_say_and_count_it(ask: Asker) -> None:
    how: dict[str, Any] = {"temperature": 0, **EXACT}
    whole = ask(_chat(**how))
    chunks = ask(_chat(**how, stream=True, stream_options={"include_usage": True}))
    assert _text(chunks) == _text(whole) != ""
    assert chunks[-1].usage.total_tokens == whole.usage.total_tokens
    assert chunks[-1].usage.completion_tokens == 12
    assert chunks[-1].choices == []
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "length"
    plain = ("completions.create", {"model": MODEL, "prompt": "Hello", "max_tokens": 5, **how})
    streamed = ask((plain[0], plain[1] | {"stream": True}))
    assert "".join(c.choices[0].text for c in streamed) == ask(plain).choices[0].text


def test_n_seed_and_stop(ask: Asker) -> None:
    first, again = (ask(_chat(n=2, seed=11, **EXACT)) for _ in range(2))
    assert [_text(first, i) for i in (0, 1)] == [_text(again, i) for i in (0, 1)]
    assert _text(first, 0) != _text(first, 1)
    assert _text(ask(_chat(seed=12, **EXACT))) != _text(first, 0)
    stop = _text(first, 0)[6:10]
    cut = ask(_chat(seed=11, stop=[stop], **EXACT))
    assert _text(cut) == _text(first, 0).partition(stop)[0]
    assert cut.choices[0].finish_reason == "stop"
    chunks = ask(_chat(n=2, seed=11, stream=True, **EXACT))
    assert [_text(chunks, i) for i in (0, 1)] == [_text(first, i) for i in (0, 1)]


def test_sampling_parameters(ask: Asker) -> None:
    def text(**how: Any) -> str:
        extra = {"ignore_eos": True} | how.pop("extra_body", {})
        return _text(ask(_chat(max_tokens=40, seed=3, extra_body=extra, **how)))

    greedy = text(temperature=0)
    assert text(temperature=2, extra_body={"top_k": 1}) == greedy
    assert text(temperature=2, extra_body={"min_p": 1.0}) == greedy
    assert text(temperature=2, top_p=1e-6) == greedy
    assert text(temperature=2) != greedy
    assert text(temperature=0, frequency_penalty=2) != greedy
    assert text(temperature=0, presence_penalty=2) != greedy


def test_logprobs(ask: Asker) -> None:
    content = ask(_chat(logprobs=True, top_logprobs=3, **EXACT)).choices[0].logprobs.content
    assert len(content) == 12
    assert all(len(token.top_logprobs) == 3 and token.logprob <= 0 for token in content)
    chunks = ask(_chat(logprobs=True, stream=True, **EXACT))
    tokens = [t for c in chunks if c.choices[0].logprobs for t in c.choices[0].logprobs.content or ()]
    assert len(tokens) == 12


@pytest.mark.parametrize("stream", [False, True])
def test_json_and_tools(ask: Asker, stream: bool) -> None:
    answer = ask(_chat(response_format=PLACE, max_tokens=100, seed=1, stream=stream))
    assert json.loads(_text(answer))["city"] in ("Oslo", "Rome")
    answer = ask(_chat(tools=[WEATHER, CLOCK], tool_choice="required", max_tokens=300, seed=1, stream=stream))
    if stream:
        calls = [call for c in answer if c.choices for call in c.choices[0].delta.tool_calls or ()]
        finish = answer[-1].choices[0].finish_reason
    else:
        calls, finish = answer.choices[0].message.tool_calls, answer.choices[0].finish_reason
    if finish == "tool_calls":  # else the arguments of the free one went on too long
        assert calls[0].function.name in ("weather", "clock")
        assert isinstance(json.loads(calls[0].function.arguments), dict)
    else:
        assert finish == "length"


def test_errors_of_the_request(ask: Asker) -> None:
    for call, param in (
        (_chat(temperature=3), "temperature"),
        (_chat(extra_body={"invented": 1}), "invented"),
        (
            _chat(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]),
            None,
        ),
        (
            _chat(
                response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": 3}}}
            ),
            None,
        ),
        (("completions.create", {"model": MODEL, "prompt": "x", "echo": True}), "echo"),
    ):
        with pytest.raises(openai.BadRequestError) as refused:
            ask(call)
        assert refused.value.type == "invalid_request_error"
        assert param is None or refused.value.param == param
    with pytest.raises(openai.NotFoundError) as missing:
        ask(_chat(model="gpt-none"))
    assert missing.value.code == "model_not_found"


@pytest.mark.parametrize("half", ["sync", "async"])
@pytest.mark.parametrize(
    ("engine", "kind", "code"),
    [
        (FakeEngine(refuse=EngineFull("full")), openai.InternalServerError, "engine_full"),
        (FakeEngine(refuse=QueueTimeout("slow")), openai.InternalServerError, "queue_timeout"),
        (FakeEngine(says="x" * 50, pause=0.2), openai.InternalServerError, "request_timeout"),
    ],
)
def test_errors_of_the_engine(half: str, engine: FakeEngine, kind: Any, code: str) -> None:
    settings = InferenceSettings(models={MODEL: "x"}, request_timeout_seconds=0.5)
    with serving(settings, load=lambda *_: engine) as running:
        for stream in (False, True):
            if stream and code == "request_timeout":
                kind = openai.APIError  # the headers are gone: an event in the stream says so
            with pytest.raises(kind) as refused:
                _Asker(running.url, half)(_chat(stream=stream))
            assert refused.value.code == code


@pytest.mark.parametrize("half", ["sync", "async"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_cancelled_call_frees_the_engine(service: Running, half: str, stream: bool) -> None:
    long: dict[str, Any] = {"model": MODEL, "messages": HELLO, "max_tokens": 3500, "stream": stream} | EXACT

    def running() -> bool:
        return service.engine(MODEL).stats().running > 0

    async def cancel() -> None:
        async with AsyncOpenAI(base_url=f"{service.url}/v1", api_key="none", max_retries=0) as client:
            asking = asyncio.create_task(client.chat.completions.create(**long))
            for _ in range(500):
                if running():
                    break
                await asyncio.sleep(0.01)
            if stream:
                await (await asking).close()
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    if half == "async":
        asyncio.run(cancel())
    elif stream:
        with service.client.chat.completions.create(**long) as chunks:
            next(iter(chunks))
            assert running()
    else:
        with pytest.raises(openai.APITimeoutError):
            service.client.with_options(timeout=0.5).chat.completions.create(**long)
    wait_until(lambda: not running(), 20)

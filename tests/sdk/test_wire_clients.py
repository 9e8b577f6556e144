"""Cohere, Mistral and Ollama through their own libraries, with answers as their references give them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

import cohere
import ollama
import pytest
from mistralai.client import Mistral

from llmtrace.testing import Answer, Captured, ReplayServer, sse

_TOOL = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}
_CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}


@pytest.fixture
def server() -> Iterator[ReplayServer]:
    with ReplayServer(Answer()) as server:
        yield server


def _only(traces: Captured) -> dict[str, Any]:
    (span,) = traces.snapshot()
    return dict(span["attributes"])


def _used(attributes: dict[str, Any]) -> dict[str, int]:
    return {key.partition("usage.")[2]: value for key, value in attributes.items() if ".usage." in key}


def _output_parts(attributes: dict[str, Any]) -> list[Any]:
    return [part for message in json.loads(attributes["gen_ai.output.messages"]) for part in message["parts"]]


_EVENTS: list[dict[str, Any]] = [
    {"id": "co1", "type": "message-start", "delta": {"message": {"role": "assistant", "content": []}}},
    {"type": "tool-plan-delta", "delta": {"message": {"tool_plan": "I will "}}},
    {"type": "tool-plan-delta", "delta": {"message": {"tool_plan": "look"}}},
    {
        "type": "tool-call-start",
        "index": 0,
        "delta": {"message": {"tool_calls": {**_CALL, "function": {"name": "f", "arguments": ""}}}},
    },
    {
        "type": "tool-call-delta",
        "index": 0,
        "delta": {"message": {"tool_calls": {"function": {"arguments": '{"a": 1}'}}}},
    },
    {"type": "tool-call-end", "index": 0},
    {
        "type": "content-start",
        "index": 0,
        "delta": {"message": {"content": {"type": "text", "text": ""}}},
    },
    {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "Hel"}}}},
    {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "lo"}}}},
    {"type": "content-end", "index": 0},
    {
        "type": "message-end",
        "delta": {
            "finish_reason": "TOOL_CALL",
            "usage": {
                "billed_units": {"input_tokens": 5, "output_tokens": 7},
                "tokens": {"input_tokens": 105, "output_tokens": 9},
                "cached_tokens": 2,
            },
        },
    },
]


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_cohere_chat(traces: Captured, server: ReplayServer, stream: bool) -> None:
    message = {"role": "assistant", "tool_plan": "I will look", "tool_calls": [_CALL]}
    message["content"] = [{"type": "text", "text": "Hello"}]
    plain = Answer.json({"id": "co1", "message": message, **_EVENTS[-1]["delta"]})
    server.answer_with(sse(_EVENTS, done=False) if stream else plain)
    client: Any = cohere.ClientV2("key", base_url=server.url)
    call = client.chat_stream if stream else client.chat
    answer: Any = call(
        model="command-a",
        messages=[{"role": "user", "content": "hi"}],
        tools=[_TOOL],
        p=0.5,
        k=3,
        stop_sequences=["E"],
    )
    if stream:
        assert len(list(answer)) == len(_EVENTS)
    attributes = _only(traces)
    assert attributes["gen_ai.provider.name"] == "cohere"
    assert attributes["gen_ai.operation.name"] == "chat"
    assert attributes["gen_ai.request.model"] == "command-a"
    assert attributes["gen_ai.request.top_p"] == 0.5
    assert attributes["gen_ai.request.top_k"] == 3
    assert attributes["gen_ai.request.stop_sequences"] == ["E"]
    assert attributes["gen_ai.response.id"] == "co1"
    assert attributes["gen_ai.response.finish_reasons"] == ["tool_call"]
    assert attributes.get("gen_ai.request.stream", False) == stream
    assert _used(attributes) == {"input_tokens": 5, "output_tokens": 7}
    assert _output_parts(attributes) == [
        {"type": "reasoning", "content": "I will look"},
        {"type": "text", "content": "Hello"},
        {"type": "tool_call", "id": "c1", "name": "f", "arguments": {"a": 1}},
    ]
    assert json.loads(attributes["gen_ai.tool.definitions"])[0]["name"] == "f"


def test_cohere_embed_and_rerank(traces: Captured, server: ReplayServer) -> None:
    client: Any = cohere.ClientV2("key", base_url=server.url)
    meta = {"api_version": {"version": "2"}, "billed_units": {"input_tokens": 4}}
    embeddings = {"id": "e1", "embeddings": {"float": [[0.1, 0.2, 0.3]]}, "texts": ["hi"], "meta": meta}
    server.answer_with(Answer.json(embeddings))
    client.embed(model="embed-v4", texts=["hi"], input_type="search_query", embedding_types=["float"])
    ranked = {
        "id": "r1",
        "results": [{"index": 1, "relevance_score": 0.9}],
        "meta": {"billed_units": {"search_units": 1}},
    }
    server.answer_with(Answer.json(ranked))
    client.rerank(model="rerank-v4", query="which?", documents=["a", "b"], top_n=1)
    first, second = (span["attributes"] for span in traces.snapshot())
    assert first["gen_ai.operation.name"] == "embeddings"
    assert first["gen_ai.embeddings.dimension.count"] == 3
    assert first["gen_ai.request.encoding_formats"] == ["float"]
    assert _used(first) == {"input_tokens": 4}
    assert second["gen_ai.operation.name"] == "rerank"
    assert second["gen_ai.request.model"] == "rerank-v4"
    assert second["gen_ai.retrieval.top_k"] == 1
    assert second["gen_ai.retrieval.query.text"] == "which?"
    assert json.loads(second["gen_ai.retrieval.documents"]) == [{"id": "1", "score": 0.9}]
    assert _used(second) == {"rerank_searches": 1}


def _chunk(content: Any, finish: str | None = None, **more: Any) -> dict[str, Any]:
    delta = {"role": "assistant", "content": content}
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "mi1", "object": "x", "created": 1, "model": "magistral", "choices": [choice], **more}


_USAGE = {"prompt_tokens": 4, "completion_tokens": 6, "total_tokens": 10}


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_mistral(traces: Captured, server: ReplayServer, stream: bool) -> None:
    def thought(*words: str) -> dict[str, Any]:
        return {"type": "thinking", "thinking": [{"type": "text", "text": word} for word in words]}

    events = [
        _chunk([thought("H")]),
        _chunk([thought("m")]),
        _chunk("So"),
        _chunk("!", "stop", usage=_USAGE),
    ]
    content = [thought("H", "m"), {"type": "text", "text": "So!"}]
    plain = {**_chunk(""), "usage": _USAGE}
    plain["choices"] = [{"index": 0, "message": {"content": content}, "finish_reason": "stop"}]
    server.answer_with(sse(events) if stream else Answer.json(plain))
    client = Mistral(api_key="key", server_url=server.url)
    asked: Any = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "random_seed": 3}
    if stream:
        assert len(list(client.chat.stream(**asked))) == len(events)
    else:
        client.chat.complete(**asked)
    attributes = _only(traces)
    assert attributes["gen_ai.request.model"] == "m"
    assert attributes["gen_ai.request.seed"] == 3
    assert attributes["gen_ai.response.model"] == "magistral"
    assert attributes["gen_ai.response.finish_reasons"] == ["stop"]
    assert _used(attributes) == {"input_tokens": 4, "output_tokens": 6}
    assert _output_parts(attributes) == [
        {"type": "reasoning", "content": "Hm"},
        {"type": "text", "content": "So!"},
    ]


def _lines(events: Sequence[Any]) -> Answer:
    chunks = [json.dumps(event).encode() + b"\n" for event in events]
    return Answer(headers={"content-type": "application/x-ndjson"}, chunks=chunks)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_ollama_chat(traces: Captured, server: ReplayServer, stream: bool) -> None:
    call = {"function": {"name": "f", "arguments": {"a": 1}}}
    last = {"done": True, "done_reason": "stop", "prompt_eval_count": 8, "eval_count": 3}
    events: list[dict[str, Any]] = [
        {"model": "qwen", "message": {"role": "assistant", "content": "", "thinking": "Hm"}, "done": False},
        {"model": "qwen", "message": {"role": "assistant", "content": "Hel"}, "done": False},
        {
            "model": "qwen",
            "message": {"role": "assistant", "content": "lo", "tool_calls": [call]},
            "done": False,
        },
        {"model": "qwen", "message": {"role": "assistant", "content": ""}, **last},
    ]
    message = {"role": "assistant", "content": "Hello", "thinking": "Hm", "tool_calls": [call]}
    server.answer_with(
        _lines(events) if stream else Answer.json({"model": "qwen", "message": message, **last})
    )
    client: Any = ollama.Client(host=server.url)
    answer: Any = client.chat(
        model="qwen",
        messages=[{"role": "user", "content": "hi", "images": [b"abc"]}],
        options={"temperature": 0.5, "num_predict": 9},
        stream=stream,
    )
    if stream:
        assert len(list(answer)) == len(events)
    attributes = _only(traces)
    assert attributes["gen_ai.provider.name"] == "ollama"
    assert attributes["gen_ai.request.model"] == attributes["gen_ai.response.model"] == "qwen"
    assert attributes["gen_ai.request.temperature"] == 0.5
    assert attributes["gen_ai.request.max_tokens"] == 9
    assert attributes.get("gen_ai.request.stream", False) == stream
    assert attributes["gen_ai.response.finish_reasons"] == ["tool_call"]
    assert _used(attributes) == {"input_tokens": 8, "output_tokens": 3}
    assert _output_parts(attributes) == [
        {"type": "reasoning", "content": "Hm"},
        {"type": "text", "content": "Hello"},
        {"type": "tool_call", "id": None, "name": "f", "arguments": {"a": 1}},
    ]
    (asked,) = json.loads(attributes["gen_ai.input.messages"])
    assert asked["parts"][1] == {
        "type": "blob",
        "modality": "image",
        "mime_type": None,
        "content": "",
        "size": 3,
        "sha256": hashlib.sha256(b"abc").hexdigest(),
    }
    server.answer_with(_lines([*events[:2], {"error": "out of memory"}]))
    with pytest.raises(ollama.ResponseError):
        list(client.chat(model="qwen", messages=[{"role": "user", "content": "hi"}], stream=True))
    broken = traces.snapshot()[-1]
    assert broken["status"] == ("ERROR", "out of memory")
    assert broken["attributes"]["gen_ai.response.finish_reasons"] == ["error"]

"""Translation of what providers send, case by case."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest
from backports import zstd

from llmtrace.testing import Answer, Captured, ReplayServer
from llmtrace.wire.framing import decode, sse
from llmtrace.wire.openai import chat
from llmtrace.wire.render import render

from .chat import PLAIN, REQUEST, STREAM


def _messages(*messages: Any) -> Any:
    body = {"model": "m", "messages": list(messages)}
    return chat.request(body, "/v1/chat/completions", True).content["gen_ai.input.messages"]


def test_message_parts() -> None:
    assert _messages(
        {"role": "developer", "content": "be kind"},
        {
            "role": "user",
            "name": "ann",
            "content": [
                {"type": "text", "text": "look"},
                {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}},
                {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "wav"}},
                {"type": "file", "file": {"file_id": "file-1"}},
                {"type": "later", "value": 1},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "reasoning_content": "hm",
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": [1]}'}},
                {"id": "c2", "type": "custom", "custom": {"name": "g", "input": "free text"}},
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "4"}]},
        {"role": "assistant", "refusal": "no", "function_call": {"name": "old", "arguments": "{}"}},
    ) == [
        {"role": "developer", "parts": [{"type": "text", "content": "be kind"}]},
        {
            "role": "user",
            "name": "ann",
            "parts": [
                {"type": "text", "content": "look"},
                {"type": "uri", "modality": "image", "uri": "https://x/y.png"},
                {"type": "blob", "modality": "image", "mime_type": "image/png", "content": "QUJD"},
                {"type": "blob", "modality": "audio", "mime_type": "audio/wav", "content": "QUJD"},
                {"type": "file", "modality": "document", "file_id": "file-1"},
                {"type": "later", "value": 1},
            ],
        },
        {
            "role": "assistant",
            "parts": [
                {"type": "reasoning", "content": "hm"},
                {"type": "tool_call", "id": "c1", "name": "f", "arguments": {"a": [1]}},
                {"type": "tool_call", "id": "c2", "name": "g", "arguments": "free text"},
            ],
        },
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "4"}]},
        {
            "role": "assistant",
            "parts": [
                {"type": "refusal", "content": "no"},
                {"type": "tool_call", "id": None, "name": "old", "arguments": {}},
            ],
        },
    ]


def test_large_content_is_cut_visibly_and_stays_json() -> None:
    long = [{"role": "user", "parts": [{"type": "text", "content": "x" * 300_000}]}] * 20
    for limit in (2_000_000, 100_000, 5_000, 100):
        text = render(long, limit)
        assert len(text) <= max(limit, 150)
        assert "llmtrace left out" in json.dumps(json.loads(text), ensure_ascii=False)
    assert json.loads(render(long[:1], 10**7)) != long[:1]


USAGES: list[tuple[dict[str, Any], dict[str, int]]] = [
    (
        {"prompt_tokens": 0, "completion_tokens": 0, "prompt_tokens_details": None},
        {"input_tokens": 0, "output_tokens": 0},
    ),
    (
        {"prompt_tokens": 9, "completion_tokens": 1, "prompt_cache_hit_tokens": 4},
        {"input_tokens": 9, "output_tokens": 1, "cache_read.input_tokens": 4},
    ),
    (
        {"prompt_tokens": 9, "completion_tokens": 1, "cached_tokens": 5},
        {"input_tokens": 9, "output_tokens": 1, "cache_read.input_tokens": 5},
    ),
    (  # reasoning outside completion, as xAI counts
        {
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "total_tokens": 115,
            "completion_tokens_details": {"reasoning_tokens": 100},
        },
        {"input_tokens": 10, "output_tokens": 105, "reasoning.output_tokens": 100},
    ),
    ({"prompt_tokens": "9", "completion_tokens": True}, {}),
    (
        {
            "prompt_tokens": 9.0,
            "completion_tokens": 2,
            "prompt_tokens_details": {"audio_tokens": 3, "cached_tokens": 0, "cache_write_tokens": 2},
        },
        {
            "input_tokens": 9,
            "output_tokens": 2,
            "cache_read.input_tokens": 0,
            "cache_write.input_tokens": 2,
            "audio.input_tokens": 3,
        },
    ),
]


@pytest.mark.parametrize(("usage", "expected"), USAGES)
def test_usage(usage: dict[str, Any], expected: dict[str, int]) -> None:
    attributes = chat.response({"usage": usage}, True).attributes
    assert attributes == {f"gen_ai.usage.{key}": value for key, value in expected.items()}


def test_request_params() -> None:
    body = {
        "messages": [],
        "n": 3,
        "max_tokens": 1,
        "max_completion_tokens": 2,
        "reasoning_effort": "low",
        "response_format": {"type": "json_schema"},
        "service_tier": "flex",
        "frequency_penalty": 1,
        "stop": "END",
    }
    path = "/openai/deployments/my-gpt/chat/completions"
    assert chat.request(body, path, False).attributes == {
        "openai.api.type": "chat_completions",
        "gen_ai.request.model": "my-gpt",
        "gen_ai.request.choice.count": 3,
        "gen_ai.request.max_tokens": 2,
        "gen_ai.request.reasoning.level": "low",
        "gen_ai.output.type": "json",
        "openai.request.service_tier": "flex",
        "gen_ai.request.frequency_penalty": 1.0,
        "gen_ai.request.stop_sequences": ["END"],
    }
    assert not chat.request(body, path, False).content


@pytest.mark.parametrize(
    "body",
    [
        b'data: {"a":1}\n\ndata: {"b":2}\n\ndata: [DONE]\n\n',
        b'\xef\xbb\xbf\ndata:{"a":1}\r\n\r\nid: 7\r\ndata:{"b":2}',
        b'data: {"a":\ndata: 1}\n\n: comment\n\ndata: {"b":2}\n\ndata: {"torn',
        b'data: {"a":1}\ndata: {"b":2}\ndata: [DONE]\n',
    ],
)
def test_events(body: bytes) -> None:
    assert sse.events(body) == [{"a": 1}, {"b": 2}]


def test_a_server_may_name_itself(traces: Captured) -> None:
    answer = Answer(PLAIN.body, headers={**PLAIN.headers, "x-llmtrace-provider": "llmtrace"})
    with ReplayServer(answer) as server:
        httpx2.post(server.url + "/v1/chat/completions", json=REQUEST)
    assert traces.snapshot()[0]["attributes"]["gen_ai.provider.name"] == "llmtrace"


def test_zstd(traces: Captured) -> None:
    packed = zstd.compress(b"".join(STREAM.chunks or ()))
    headers = {"content-type": "text/event-stream", "content-encoding": "zstd"}
    with ReplayServer(Answer(headers=headers, chunks=[packed])) as server, httpx2.Client() as client:
        url = server.url + "/v1/chat/completions"
        with client.stream("POST", url, json=REQUEST) as response:
            # Clients of before that encoding leave it to the caller.
            assert response.read() in (b"".join(STREAM.chunks or ()), packed)
        server.answer_with(Answer(headers=headers, chunks=[packed[:20], packed[20:]], pause=0.1))
        with client.stream("POST", url, json=REQUEST) as response:
            next(response.iter_raw())
    whole, torn = traces.snapshot()
    assert whole["attributes"]["gen_ai.usage.input_tokens"] == 30
    assert torn["attributes"]["gen_ai.response.finish_reasons"] == ["error"]
    assert torn["attributes"]["llmtrace.stream.abandoned"] is True


def test_many_vectors_are_not_decoded(traces: Captured) -> None:
    vectors = [{"index": index, "embedding": [index + 0.5] * 300} for index in range(200)]
    body = {
        "object": "list",
        "data": vectors,
        "model": "e-1",
        "usage": {"prompt_tokens": 7, "total_tokens": 7},
    }
    packed = json.dumps(body).encode()
    slim = decode.without_vectors(packed)
    assert len(slim) < len(packed) / 10
    assert [len(vector["embedding"]) for vector in json.loads(slim)["data"]] == [300] + [0] * 199
    lookalike = json.dumps(
        {"texts": ["[" + "x" * 70_000 + "]"], "rows": [["a" * 600], [{"b": 1}] * 99]}
    ).encode()
    assert json.loads(decode.without_vectors(lookalike)) == json.loads(lookalike)
    for cut in range(0, len(packed), 997):
        decode.without_vectors(packed[cut:])
    with ReplayServer(Answer(packed)) as server:
        httpx2.post(server.url + "/v1/embeddings", json={"model": "e", "input": ["a"] * 200})
    attributes = traces.snapshot()[0]["attributes"]
    assert attributes["gen_ai.usage.input_tokens"] == 7
    assert attributes["gen_ai.embeddings.dimension.count"] == 300

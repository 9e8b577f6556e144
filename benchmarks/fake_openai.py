"""The openai client on a transport in memory: what every SDK is measured against."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import openai

if TYPE_CHECKING or importlib.util.find_spec("httpx2") is not None:
    import httpx2 as http
else:
    import httpx as http

TEXT = "Observability of language models: what was asked, what came back, how long it took. " * 6
MESSAGES: list[Any] = [
    {"role": "system", "content": "You answer briefly."},
    {"role": "user", "content": TEXT},
]
_USAGE = {
    "prompt_tokens": 120,
    "completion_tokens": 100,
    "total_tokens": 220,
    "prompt_tokens_details": {"cached_tokens": 64},
    "completion_tokens_details": {"reasoning_tokens": 0},
}
_HEAD = {
    "id": "chatcmpl-1",
    "created": 1,
    "model": "gpt-4o-mini-2024-07-18",
    "service_tier": "default",
    "system_fingerprint": "fp_1",
}


class _Chunks(http.SyncByteStream):
    def __init__(self, chunks: Sequence[bytes]) -> None:
        self._chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        yield from self._chunks


def client() -> openai.OpenAI:
    """Answers each call at once: one completion, or a stream of 100 chunks."""
    plain = json.dumps(
        {
            **_HEAD,
            "object": "chat.completion",
            "choices": [
                {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": TEXT}}
            ],
            "usage": _USAGE,
        }
    ).encode()
    deltas: list[dict[str, Any]] = [
        {"choices": [{"index": 0, "delta": {"content": "token "}, "finish_reason": None}]} for _ in range(98)
    ]
    deltas.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    deltas.append({"choices": [], "usage": _USAGE})
    chunks = [
        b"data: " + json.dumps({**_HEAD, "object": "chat.completion.chunk", **delta}).encode() + b"\n\n"
        for delta in deltas
    ]
    chunks.append(b"data: [DONE]\n\n")

    def answer(request: http.Request) -> http.Response:
        if b'"stream":true' in request.content:
            return http.Response(200, headers={"content-type": "text/event-stream"}, stream=_Chunks(chunks))
        return http.Response(200, headers={"content-type": "application/json"}, content=plain)

    return openai.OpenAI(
        api_key="none",
        base_url="https://api.openai.com/v1",
        http_client=openai.DefaultHttpxClient(transport=http.MockTransport(answer)),
    )


def plain(client: openai.OpenAI) -> None:
    """One call."""
    client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, temperature=0.2)


def stream(client: openai.OpenAI) -> None:
    """One streamed call, read to its end."""
    for _ in client.chat.completions.create(
        model="gpt-4o-mini", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    ):
        pass

"""OpenAI's chat completions and embeddings."""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping
from typing import Any

from .model_answer import Api, ModelAnswer, ToolCall, sse

CREATED = 1790000000

#: Model that was asked for → model that answers.
ANSWERING = {"gpt-4o-mini": "gpt-4o-mini-2024-07-18", "o4-mini": "o4-mini-2025-04-16"}


def answering(body: Mapping[str, Any]) -> str:
    """The name of the model that answers."""
    asked = str(body.get("model", "gpt-4o-mini"))
    return ANSWERING.get(asked, asked)


def tool_call_id(number: str, place: int) -> str:
    """The id of a tool call."""
    return f"call_conf{number}x{place}"


def _usage(answer: ModelAnswer) -> dict[str, Any]:
    return {
        "prompt_tokens": answer.input_tokens,
        "completion_tokens": answer.output_tokens,
        "total_tokens": answer.input_tokens + answer.output_tokens,
        "prompt_tokens_details": {"cached_tokens": answer.cache_read, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": answer.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _tool_call(call: ToolCall, number: str, place: int) -> dict[str, Any]:
    return {
        "id": tool_call_id(number, place),
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments_text},
    }


def _reason(answer: ModelAnswer) -> str:
    return "tool_calls" if answer.tool_calls else "stop"


def _chat(answer: ModelAnswer, number: str, path: str, body: Mapping[str, Any]) -> Any:
    message: dict[str, Any] = {
        "role": "assistant",
        "content": answer.text or None,
        "refusal": None,
        "annotations": [],
    }
    if answer.tool_calls:
        message["tool_calls"] = [
            _tool_call(call, number, place) for place, call in enumerate(answer.tool_calls)
        ]
    return {
        "id": f"chatcmpl-conf{number}x",
        "object": "chat.completion",
        "created": CREATED,
        "model": answering(body),
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": _reason(answer)}],
        "usage": _usage(answer),
        "service_tier": "default",
        "system_fingerprint": "fp_conf",
    }


def _chat_stream(answer: ModelAnswer, number: str, path: str, body: Mapping[str, Any]) -> list[bytes]:
    def chunk(delta: dict[str, Any] | None, reason: str | None = None) -> dict[str, Any]:
        choices = [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}]
        return {
            "id": f"chatcmpl-conf{number}x",
            "object": "chat.completion.chunk",
            "created": CREATED,
            "model": answering(body),
            "service_tier": "default",
            "system_fingerprint": "fp_conf",
            "choices": [] if delta is None else choices,
            "usage": _usage(answer) if delta is None else None,
        }

    events = [chunk({"role": "assistant", "content": "", "refusal": None})]
    if answer.tool_calls:
        for place, call in enumerate(answer.tool_calls):
            opened = {"index": place, **_tool_call(call, number, place)}
            opened["function"] = {"name": call.name, "arguments": ""}
            events.append(chunk({"tool_calls": [opened]}))
            text = call.arguments_text
            events += [
                chunk({"tool_calls": [{"index": place, "function": {"arguments": piece}}]})
                for piece in (text[:4], text[4:])
            ]
    else:
        events += [chunk({"content": word}) for word in answer.words]
    events.append(chunk({}, _reason(answer)))
    options = body.get("stream_options") or {}
    if options.get("include_usage"):
        events.append(chunk(None))
    return sse(*events, done=True)


def _embeddings(answer: ModelAnswer, number: str, path: str, body: Mapping[str, Any]) -> Any:
    texts = body.get("input", [])
    vectors: list[Any] = [
        [0.25, -0.5, 0.125, 0.75] for _ in range(1 if isinstance(texts, str) else len(texts))
    ]
    if body.get("encoding_format") == "base64":
        vectors = [base64.b64encode(struct.pack("<4f", *vector)).decode() for vector in vectors]
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": place, "embedding": vector}
            for place, vector in enumerate(vectors)
        ],
        "model": answering(body),
        "usage": {"prompt_tokens": answer.input_tokens, "total_tokens": answer.input_tokens},
    }


def error(status: int) -> Any:
    """A refusal in OpenAI's words."""
    busy = status == 429
    return {
        "error": {
            "message": "Rate limit reached" if busy else "Unsupported value: 'temperature'",
            "type": "requests" if busy else "invalid_request_error",
            "param": None,
            "code": "rate_limit_exceeded" if busy else "unsupported_value",
        }
    }


CHAT = Api(
    "openai chat",
    "openai",
    lambda path: path.endswith("/chat/completions"),
    lambda path, body: bool(body.get("stream")),
    _chat,
    _chat_stream,
    error,
    begins=lambda chunk: (
        b"arguments" in chunk or (b'"content": "' in chunk and b'"content": ""' not in chunk)
    ),
)
EMBEDDINGS = Api(
    "openai embeddings",
    "openai",
    lambda path: path.endswith("/embeddings"),
    lambda path, body: False,
    _embeddings,
    lambda *_: [],
    error,
)

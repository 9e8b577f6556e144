"""Cohere's chat and embeddings, version 2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .model_answer import Api, ModelAnswer, ToolCall, sse


def _tool_call(call: ToolCall, number: str, place: int) -> dict[str, Any]:
    return {
        "id": f"bridge_conf{number}x{place}",
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments_text},
    }


def _usage(answer: ModelAnswer) -> dict[str, Any]:
    return {
        "billed_units": {"input_tokens": answer.input_tokens, "output_tokens": answer.output_tokens},
        "tokens": {"input_tokens": answer.input_tokens + 60, "output_tokens": answer.output_tokens + 2},
    }


def _reason(answer: ModelAnswer) -> str:
    return "TOOL_CALL" if answer.tool_calls else "COMPLETE"


def _whole(answer: ModelAnswer, number: str, path: str, body: Mapping[str, Any]) -> Any:
    message: dict[str, Any] = {"role": "assistant"}
    if answer.tool_calls:
        message["tool_plan"] = "I will look it up."
        message["tool_calls"] = [
            _tool_call(call, number, place) for place, call in enumerate(answer.tool_calls)
        ]
    else:
        message["content"] = [{"type": "text", "text": answer.text}]
    return {
        "id": f"cohere-conf{number}x",
        "finish_reason": _reason(answer),
        "message": message,
        "usage": _usage(answer),
    }


def _stream(answer: ModelAnswer, number: str, path: str, body: Mapping[str, Any]) -> list[bytes]:
    start = {
        "type": "message-start",
        "id": f"cohere-conf{number}x",
        "delta": {"message": {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": []}},
    }
    opened = {"message": {"content": {"type": "text", "text": ""}}}
    return sse(
        start,
        {"type": "content-start", "index": 0, "delta": opened},
        *(
            {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": word}}}}
            for word in answer.words
        ),
        {"type": "content-end", "index": 0},
        {"type": "message-end", "delta": {"finish_reason": _reason(answer), "usage": _usage(answer)}},
        named=True,
    )


def _embeddings(answer: ModelAnswer, number: str, path: str, body: Mapping[str, Any]) -> Any:
    texts = body.get("texts") or ["", ""]
    vector = [0.25, -0.5, 0.125, 0.75]
    return {
        "id": f"cohere-conf{number}x",
        "texts": texts,
        "embeddings": {"float": [vector for _ in texts]} if "/v2/" in path else [vector for _ in texts],
        "response_type": "embeddings_by_type" if "/v2/" in path else "embeddings_floats",
        "meta": {"api_version": {"version": "2"}, "billed_units": {"input_tokens": answer.input_tokens}},
    }


def _error(status: int) -> Any:
    return {
        "id": "cohere-error",
        "message": "too many requests" if status == 429 else "invalid request: temperature",
    }


CHAT = Api(
    "cohere chat",
    "cohere",
    lambda path: path.endswith("/v2/chat"),
    lambda path, body: bool(body.get("stream")),
    _whole,
    _stream,
    _error,
    begins=lambda chunk: b"content-delta" in chunk,
)
EMBEDDINGS = Api(
    "cohere embeddings",
    "cohere",
    lambda path: path.endswith("/embed"),
    lambda path, body: False,
    _embeddings,
    lambda *_: [],
    _error,
)

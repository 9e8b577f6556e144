"""Anthropic's Messages API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .model_answer import Api, ModelAnswer, sse


def _content(answer: ModelAnswer, number: str) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    if answer.reasoning:
        parts.append({"type": "thinking", "thinking": answer.reasoning, "signature": "c2ln"})
    if answer.text:
        parts.append({"type": "text", "text": answer.text})
    parts += [
        {
            "type": "tool_use",
            "id": f"toolu_conf{number}x{place}",
            "name": call.name,
            "input": dict(call.arguments),
        }
        for place, call in enumerate(answer.tool_calls)
    ]
    return parts


def _usage(answer: ModelAnswer) -> dict[str, Any]:
    return {
        "input_tokens": answer.input_tokens - answer.cache_read - answer.cache_written,
        "cache_creation_input_tokens": answer.cache_written,
        "cache_read_input_tokens": answer.cache_read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": answer.cache_written,
            "ephemeral_1h_input_tokens": 0,
        },
        "output_tokens": answer.output_tokens,
        "service_tier": "standard",
    }


def _message(answer: ModelAnswer, number: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": f"msg_conf{number}x",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": _content(answer, number),
        "stop_reason": "tool_use" if answer.tool_calls else "end_turn",
        "stop_sequence": None,
        "usage": _usage(answer),
    }


def _stream(answer: ModelAnswer, number: str, path: str, body: Mapping[str, Any]) -> list[bytes]:
    message = _message(answer, number, path, body)
    begun = {
        **message,
        "content": [],
        "stop_reason": None,
        "usage": {**message["usage"], "output_tokens": 1},
    }
    events: list[dict[str, Any]] = [{"type": "message_start", "message": begun}]
    for index, part in enumerate(message["content"]):
        events += _part_events(answer, part, index)
    usage = {key: value for key, value in message["usage"].items() if key.endswith("_tokens")}
    delta = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    events += [{"type": "message_delta", "delta": delta, "usage": usage}, {"type": "message_stop"}]
    return sse(*events, named=True)


def _part_events(answer: ModelAnswer, part: dict[str, Any], index: int) -> list[dict[str, Any]]:
    empty: dict[str, Any] = {"type": part["type"]}
    deltas: list[dict[str, Any]] = []
    if part["type"] == "text":
        empty["text"] = ""
        deltas = [{"type": "text_delta", "text": word} for word in answer.words]
    elif part["type"] == "thinking":
        empty |= {"thinking": "", "signature": ""}
        deltas = [
            {"type": "thinking_delta", "thinking": part["thinking"]},
            {"type": "signature_delta", "signature": part["signature"]},
        ]
    else:
        (call,) = [call for call in answer.tool_calls if dict(call.arguments) == part["input"]]
        empty |= {"id": part["id"], "name": part["name"], "input": {}}
        deltas = [{"type": "input_json_delta", "partial_json": call.arguments_text}]
    return [
        {"type": "content_block_start", "index": index, "content_block": empty},
        {"type": "ping"},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def error(status: int) -> Any:
    """A refusal in Anthropic's words."""
    kind = "rate_limit_error" if status == 429 else "invalid_request_error"
    return {
        "type": "error",
        "error": {"type": kind, "message": "temperature: range: 0..1"},
        "request_id": "req_conf",
    }


MESSAGES = Api(
    "anthropic messages",
    "anthropic",
    lambda path: path.endswith("/messages"),
    lambda path, body: bool(body.get("stream")),
    _message,
    _stream,
    error,
    begins=lambda chunk: b"content_block_delta" in chunk,
)

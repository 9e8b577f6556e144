"""Anthropic's messages, also as Bedrock passes them on."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any, Final

from llmtrace import semconv
from llmtrace.testing.replay import Answer
from llmtrace.wire.format import Json

from . import aws_events
from .recorded import (
    REDACTED_THOUGHT,
    Builder,
    NotRebuildable,
    RecordedCall,
    as_json,
    asks_for_stream,
    error_text,
    pieces,
    without_none,
)

_REASONS: Final = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_call": "tool_use",
    "content_filter": "refusal",
}


def body(call: RecordedCall, request: Any) -> Json:
    """A message with its blocks."""
    word = call.reason()
    reason = "stop_sequence" if "stop_sequence" in call.flags else _REASONS.get(word, word)
    parts = [part for message in call.messages for part in message]
    return {
        "id": call.response_id or "msg_replay",
        "type": "message",
        "role": "assistant",
        "model": call.response_model or request.get("model") or call.model,
        "content": [_block(part) for part in parts],
        "stop_reason": reason or None,
        "stop_sequence": None,
        "usage": _usage(call),
    }


def _usage(call: RecordedCall) -> dict[str, Any]:
    """Anthropic's input leaves out what was read from and written to the cache."""
    read = call.count(semconv.USAGE_CACHE_READ_INPUT_TOKENS)
    written = call.count(semconv.USAGE_CACHE_WRITE_INPUT_TOKENS)
    sent = call.count(semconv.USAGE_INPUT_TOKENS)
    ages = {
        "ephemeral_5m_input_tokens": call.count(semconv.USAGE_CACHE_WRITE_5M),
        "ephemeral_1h_input_tokens": call.count(semconv.USAGE_CACHE_WRITE_1H),
    }
    searches = call.count(semconv.USAGE_WEB_SEARCHES)
    thoughts = call.count(semconv.USAGE_REASONING_OUTPUT_TOKENS)
    return without_none(
        {
            "input_tokens": None if sent is None else sent - (read or 0) - (written or 0),
            "output_tokens": call.count(semconv.USAGE_OUTPUT_TOKENS),
            "cache_read_input_tokens": read,
            "cache_creation_input_tokens": written,
            "cache_creation": without_none(ages) or None,
            "server_tool_use": None if searches is None else {"web_search_requests": searches},
            "output_tokens_details": None if thoughts is None else {"thinking_tokens": thoughts},
        }
    )


def _block(part: Any) -> dict[str, Any]:
    kind = part["type"]
    if kind == "text":
        return {"type": "text", "text": part["content"]}
    if kind == "reasoning" and part["content"] == REDACTED_THOUGHT:
        return {"type": "redacted_thinking", "data": ""}
    if kind == "reasoning":
        return {"type": "thinking", "thinking": part["content"], "signature": ""}
    if kind == "tool_call":
        arguments = part.get("arguments")
        return {"type": "tool_use", "id": part.get("id"), "name": part.get("name"), "input": arguments}
    if kind in {"server_tool_call", "server_tool_call_response"}:
        return dict(part[kind])
    return dict(part)  # a block that the translation passed on as it came


def events(body: Any) -> Iterator[dict[str, Any]]:
    """The events of a stream of the message."""
    begun = {**body, "content": [], "stop_reason": None, "usage": {**body["usage"], "output_tokens": 1}}
    yield {"type": "message_start", "message": begun}
    for index, block in enumerate(body["content"]):
        begin, deltas = _deltas(block)
        yield {"type": "content_block_start", "index": index, "content_block": begin}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    ended = {"stop_reason": body["stop_reason"], "stop_sequence": body["stop_sequence"]}
    usage = {"output_tokens": body["usage"].get("output_tokens")}
    yield {"type": "message_delta", "delta": ended, "usage": without_none(usage)}
    yield {"type": "message_stop"}


def _deltas(block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """How a block begins, and what follows."""
    kind = block["type"]
    if kind in {"text", "thinking"}:
        texts = [{"type": f"{kind}_delta", kind: piece} for piece in pieces(block[kind])]
        return {**block, kind: ""}, texts
    if kind == "compaction":
        texts = [{"type": "compaction_delta", "content": piece} for piece in pieces(block["content"] or "")]
        return {**block, "content": ""}, texts
    if kind in {"tool_use", "server_tool_use"} and block.get("input"):
        arguments = pieces(as_json(block["input"]))
        texts = [{"type": "input_json_delta", "partial_json": piece} for piece in arguments]
        return {**block, "input": {}}, texts
    return block, []


def stream(body: Any, request: Any, path: str) -> Answer:
    """Server-sent events, each with its name."""
    chunks = [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events(body)]
    return Answer(headers={"content-type": "text/event-stream"}, chunks=chunks)


def error(call: RecordedCall) -> Json:
    """A refusal."""
    kind, message = error_text(call)
    return {"type": "error", "error": {"type": kind or "api_error", "message": message}}


def invoked_body(call: RecordedCall, request: Any) -> Json:
    """What Bedrock's InvokeModel answers for Claude; other models' bodies are not known here."""
    if "anthropic_version" not in request:
        raise NotRebuildable("of Bedrock's InvokeModel only Claude's answers can be rebuilt; use Converse")
    return body(call, request)


def invoked_stream(body: Any, request: Any, path: str) -> Answer:
    """The same events, packed as Bedrock packs them."""
    packed = (base64.b64encode(json.dumps(event).encode()).decode() for event in events(body))
    return aws_events.answer(("chunk", {"bytes": text}) for text in packed)


MESSAGES: Final = Builder(body, asks_for_stream, stream, error)
INVOKED: Final = Builder(
    invoked_body,
    lambda request, path: path.endswith("-stream"),
    invoked_stream,
    lambda call: {"message": error_text(call)[1]},
)

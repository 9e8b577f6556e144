"""Reads of streams by the formats alone, and the events that tests stream."""

from __future__ import annotations

import json
from typing import Any

from llmtrace.wire import registry
from llmtrace.wire.format import WireFormat

CHAT, MESSAGES, RESPONSES = "/v1/chat/completions", "/v1/messages", "/v1/responses"


GEMINI, INTERACTIONS = "/v1beta/models/m:streamGenerateContent", "/v1beta/interactions"


CONVERSE, INVOKE = "/model/m/converse-stream", "/model/m/invoke-with-response-stream"


SENT = {"messages": [], "max_tokens": 1, "model": "m", "contents": [], "input": "hi", "prompt": "hi"}


def format_of(path: str) -> WireFormat:
    wire_format = registry.recognise(path, json.dumps(SENT).encode())
    assert wire_format is not None
    return wire_format


def read_stream(path: str, events: list[Any]) -> tuple[dict[str, Any], list[Any]]:
    """(attributes, parts of the answer) of a stream."""
    wire_format = format_of(path)
    translation = wire_format.response(wire_format.fold(events), True)
    messages = translation.content.get("gen_ai.output.messages", [])
    return translation.attributes, [part for message in messages for part in message["parts"]]


def chat_delta(**delta: Any) -> Any:
    return {"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}


def gemini_chunk(*parts: Any) -> Any:
    return {"candidates": [{"content": {"role": "model", "parts": list(parts)}}]}

"""Bedrock's Converse."""

from __future__ import annotations

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
    error_text,
    pieces,
    without_none,
)

_REASONS: Final = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_call": "tool_use",
    "content_filter": "content_filtered",
}


def body(call: RecordedCall, request: Any) -> Json:
    """A message, why it ended, and usage."""
    word = call.reason()
    reason = "stop_sequence" if "stop_sequence" in call.flags else _REASONS.get(word, word)
    parts = [part for message in call.messages for part in message]
    return {
        "output": {"message": {"role": "assistant", "content": [_block(part) for part in parts]}},
        "stopReason": reason or "end_turn",
        "usage": _usage(call),
        "metrics": {"latencyMs": 1},
    }


def _usage(call: RecordedCall) -> dict[str, Any]:
    """Bedrock's input leaves out what was read from and written to the cache."""
    read = call.count(semconv.USAGE_CACHE_READ_INPUT_TOKENS)
    written = call.count(semconv.USAGE_CACHE_WRITE_INPUT_TOKENS)
    sent, output = call.count(semconv.USAGE_INPUT_TOKENS), call.count(semconv.USAGE_OUTPUT_TOKENS)
    counts = {
        "inputTokens": None if sent is None else sent - (read or 0) - (written or 0),
        "outputTokens": output,
        "totalTokens": None if sent is None and output is None else (sent or 0) + (output or 0),
        "cacheReadInputTokens": read,
        "cacheWriteInputTokens": written,
    }
    return without_none(counts)


def _block(part: Any) -> dict[str, Any]:
    kind = part["type"]
    if kind == "text":
        return {"text": part["content"]}
    if kind == "reasoning" and part["content"] == REDACTED_THOUGHT:
        return {"reasoningContent": {"redactedContent": ""}}
    if kind == "reasoning":
        return {"reasoningContent": {"reasoningText": {"text": part["content"], "signature": ""}}}
    if kind == "tool_call":
        called = {"toolUseId": part.get("id"), "name": part.get("name"), "input": part.get("arguments")}
        return {"toolUse": called}
    raise NotRebuildable(f"Converse has no form for a recorded part of the kind {kind!r}")


def stream(body: Any, request: Any, path: str) -> Answer:
    """An event stream."""
    return aws_events.answer(_events(body))


def _events(body: Any) -> Iterator[tuple[str, Any]]:
    yield "messageStart", {"role": "assistant"}
    for index, block in enumerate(body["output"]["message"]["content"]):
        if called := block.get("toolUse"):
            begin = {"toolUseId": called["toolUseId"], "name": called["name"]}
            yield "contentBlockStart", {"contentBlockIndex": index, "start": {"toolUse": begin}}
        for delta in _deltas(block):
            yield "contentBlockDelta", {"contentBlockIndex": index, "delta": delta}
        yield "contentBlockStop", {"contentBlockIndex": index}
    yield "messageStop", {"stopReason": body["stopReason"]}
    yield "metadata", {"usage": body["usage"], "metrics": body["metrics"]}


def _deltas(block: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "text" in block:
        yield from ({"text": piece} for piece in pieces(block["text"]))
    elif "toolUse" in block:
        arguments = as_json(block["toolUse"]["input"])
        yield from ({"toolUse": {"input": piece}} for piece in pieces(arguments))
    elif thought := block["reasoningContent"].get("reasoningText"):
        yield from ({"reasoningContent": {"text": piece}} for piece in pieces(thought["text"]))
    else:
        yield {"reasoningContent": {"redactedContent": ""}}


CONVERSE: Final = Builder(
    body,
    lambda request, path: path.endswith("-stream"),
    stream,
    lambda call: {"message": error_text(call)[1]},
)

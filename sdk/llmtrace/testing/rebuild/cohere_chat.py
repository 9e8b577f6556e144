"""Cohere's chat."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from llmtrace import semconv
from llmtrace.testing.replay import Answer, sse
from llmtrace.wire.format import Json, items

from .openai_chat import message
from .recorded import Builder, RecordedCall, asks_for_stream, error_text, pieces, without_none

_REASONS: Final = {"stop": "COMPLETE", "length": "MAX_TOKENS", "tool_call": "TOOL_CALL"}


def body(call: RecordedCall, request: Any) -> Json:
    """A message; its plan for the tools is the thought before them."""
    parts = [part for message in call.messages for part in message]
    calls = message([part for part in parts if part["type"] == "tool_call"]).get("tool_calls", [])
    content: list[dict[str, Any]] = []
    answer: dict[str, Any] = {"role": "assistant"}
    for part in parts:
        if part["type"] == "text":
            content.append({"type": "text", "text": part["content"]})
        elif part["type"] == "reasoning" and calls and "tool_plan" not in answer and not content:
            answer["tool_plan"] = part["content"]
        elif part["type"] == "reasoning":
            content.append({"type": "thinking", "thinking": part["content"]})
    word = call.reason()
    return {
        "id": call.response_id or "replay",
        "finish_reason": _REASONS.get(word, word.upper() or "COMPLETE"),
        "message": {
            **answer,
            **({"content": content} if content else {}),
            **({"tool_calls": calls} if calls else {}),
        },
        **_usage(call),
    }


def _usage(call: RecordedCall) -> dict[str, Any]:
    counts = without_none(
        {
            "input_tokens": call.count(semconv.USAGE_INPUT_TOKENS),
            "output_tokens": call.count(semconv.USAGE_OUTPUT_TOKENS),
        }
    )
    return {"usage": {"billed_units": counts, "tokens": counts}} if counts else {}


def stream(body: Any, request: Any, path: str) -> Answer:
    """Events of content, of the plan and of the tools."""
    return sse(_events(body), done=False)


def _events(body: Any) -> Iterator[dict[str, Any]]:
    answer = body["message"]
    yield {"type": "message-start", "id": body["id"], "delta": {"message": {"role": "assistant"}}}
    for piece in pieces(answer.get("tool_plan", "")):
        yield {"type": "tool-plan-delta", "delta": {"message": {"tool_plan": piece}}}
    for index, part in enumerate(items(answer.get("content"))):
        kind = str(part["type"])
        place: dict[str, Any] = {"index": index}
        begin = {"message": {"content": {"type": kind, kind: ""}}}
        yield {"type": "content-start", **place, "delta": begin}
        for piece in pieces(part[kind]):
            yield {"type": "content-delta", **place, "delta": {"message": {"content": {kind: piece}}}}
        yield {"type": "content-end", **place}
    for index, called in enumerate(items(answer.get("tool_calls"))):
        place = {"index": index}
        started: dict[str, Any] = {**called, "function": {**called["function"], "arguments": ""}}
        yield {"type": "tool-call-start", **place, "delta": {"message": {"tool_calls": started}}}
        for piece in pieces(called["function"]["arguments"]):
            delta = {"message": {"tool_calls": {"function": {"arguments": piece}}}}
            yield {"type": "tool-call-delta", **place, "delta": delta}
        yield {"type": "tool-call-end", **place}
    ended = {key: body[key] for key in ("finish_reason", "usage") if key in body}
    yield {"type": "message-end", "id": body["id"], "delta": ended}


CHAT: Final = Builder(body, asks_for_stream, stream, lambda call: {"message": error_text(call)[1]})

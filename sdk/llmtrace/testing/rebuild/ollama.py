"""Ollama's chat and generate."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from llmtrace import semconv
from llmtrace.testing.replay import Answer
from llmtrace.wire.format import Json, items

from .recorded import Builder, RecordedCall, error_text, pieces, without_none

_BEGINNING: Final = "1970-01-01T00:00:00Z"


def body(call: RecordedCall, request: Any) -> Json:
    """One message."""
    return {**_head(call, request), "message": _message(call)}


def generated_body(call: RecordedCall, request: Any) -> Json:
    """One text."""
    answer = _message(call)
    thought = {"thinking": answer["thinking"]} if "thinking" in answer else {}
    return {**_head(call, request), "response": answer["content"], **thought}


def _head(call: RecordedCall, request: Any) -> dict[str, Any]:
    word = call.reason()
    return without_none(
        {
            "model": call.response_model or request.get("model") or call.model,
            "created_at": _BEGINNING,
            "done": True,
            "done_reason": "stop" if word == "tool_call" else word or "stop",
            "prompt_eval_count": call.count(semconv.USAGE_INPUT_TOKENS),
            "eval_count": call.count(semconv.USAGE_OUTPUT_TOKENS),
        }
    )


def _message(call: RecordedCall) -> dict[str, Any]:
    parts = [part for message in call.messages for part in message]
    texts = {"text": "content", "reasoning": "thinking"}
    answer: dict[str, Any] = {"role": "assistant", "content": ""}
    for part in parts:
        if name := texts.get(part["type"]):
            answer[name] = answer.get(name, "") + str(part["content"])
        elif part["type"] == "tool_call":
            function = {"name": part.get("name"), "arguments": part.get("arguments")}
            identified = without_none({"id": part.get("id")})
            answer.setdefault("tool_calls", []).append({**identified, "function": function})
        elif part["type"] == "blob":
            answer.setdefault("images", []).append(part.get("content"))
    return answer


def stream(body: Any, request: Any, path: str) -> Answer:
    """Lines of JSON."""
    lines = [json.dumps(line).encode() + b"\n" for line in _lines(body)]
    return Answer(headers={"content-type": "application/x-ndjson"}, chunks=lines)


def _lines(body: Any) -> Iterator[dict[str, Any]]:
    begin = {"model": body.get("model"), "created_at": _BEGINNING, "done": False}
    if "message" in body:
        answer = body["message"]
        for name in ("thinking", "content"):
            for piece in pieces(answer.get(name, "")):
                texts = {"content": "", name: piece}
                yield {**begin, "message": {"role": "assistant", **texts}}
        if calls := items(answer.get("tool_calls")):
            yield {**begin, "message": {"role": "assistant", "content": "", "tool_calls": calls}}
        yield {**body, "message": {"role": "assistant", "content": ""}}
    else:
        for name in ("thinking", "response"):
            for piece in pieces(body.get(name, "")):
                yield {**begin, "response": "", name: piece}
        rest = {key: value for key, value in body.items() if key != "thinking"}
        yield {**rest, "response": ""}


def _is_stream(request: Any, path: str) -> bool:
    return request.get("stream") is not False


def error(call: RecordedCall) -> Json:
    """A refusal."""
    return {"error": error_text(call)[1]}


CHAT: Final = Builder(body, _is_stream, stream, error)
GENERATE: Final = Builder(generated_body, _is_stream, stream, error)

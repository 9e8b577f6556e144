"""Gemini's generateContent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from llmtrace import semconv
from llmtrace.testing.replay import Answer, sse
from llmtrace.wire.format import Json

from .recorded import Builder, RecordedCall, error_text, pieces, without_none

_REASONS: Final = {
    "stop": "STOP",
    "tool_call": "STOP",
    "length": "MAX_TOKENS",
    "content_filter": "SAFETY",
}


def body(call: RecordedCall, request: Any) -> Json:
    """A response with its candidates."""
    candidates = [
        without_none(
            {
                "index": number,
                "content": {"role": "model", "parts": [_part(part) for part in parts]},
                "finishReason": _REASONS.get(call.reason(number), call.reason(number).upper()) or None,
            }
        )
        for number, parts in enumerate(call.messages)
    ]
    if not candidates and call.reason() == "content_filter":
        candidates_or_block: dict[str, Any] = {"promptFeedback": {"blockReason": "SAFETY"}}
    else:
        candidates_or_block = {"candidates": candidates}
    return {
        **candidates_or_block,
        "usageMetadata": _usage(call),
        **without_none({"modelVersion": call.response_model or None, "responseId": call.response_id or None}),
    }


def _usage(call: RecordedCall) -> dict[str, Any]:
    """Gemini's candidates leave out thoughts."""
    sent, output = call.count(semconv.USAGE_INPUT_TOKENS), call.count(semconv.USAGE_OUTPUT_TOKENS)
    thoughts = call.count(semconv.USAGE_REASONING_OUTPUT_TOKENS)
    counts = {
        "promptTokenCount": sent,
        "candidatesTokenCount": None if output is None else output - (thoughts or 0),
        "thoughtsTokenCount": thoughts,
        "cachedContentTokenCount": call.count(semconv.USAGE_CACHE_READ_INPUT_TOKENS),
        "totalTokenCount": None if sent is None and output is None else (sent or 0) + (output or 0),
    }
    details = {
        "promptTokensDetails": semconv.USAGE_MODALITY_INPUT,
        "candidatesTokensDetails": semconv.USAGE_MODALITY_OUTPUT,
        "cacheTokensDetails": semconv.USAGE_MODALITY_CACHE_READ,
    }
    listed = {
        field: [
            {"modality": name.upper(), "tokenCount": count}
            for name in ("text", "image", "audio", "video")
            if (count := call.count(key.format(modality=name))) is not None
        ]
        for field, key in details.items()
    }
    return {**without_none(counts), **{field: entries for field, entries in listed.items() if entries}}


def _part(part: Any) -> dict[str, Any]:
    kind = part["type"]
    if kind == "text":
        return {"text": part["content"]}
    if kind == "reasoning":
        return {"text": part["content"], "thought": True}
    if kind == "tool_call":
        arguments = part.get("arguments")
        called = {"id": part.get("id"), "name": part.get("name"), "args": arguments}
        return {"functionCall": without_none(called)}
    if kind == "blob":
        return {"inlineData": without_none({"mimeType": part.get("mime_type"), "data": part.get("content")})}
    if kind == "uri":
        return {"fileData": without_none({"mimeType": part.get("mime_type"), "fileUri": part.get("uri")})}
    if kind in {"server_tool_call", "server_tool_call_response"}:
        name = "executableCode" if kind == "server_tool_call" else "codeExecutionResult"
        return {name: {key: value for key, value in part[kind].items() if key != "type"}}
    return {key: value for key, value in part.items() if key != "type"}


def stream(body: Any, request: Any, path: str) -> Answer:
    """Chunks as server-sent events, or without `alt=sse` as one array."""
    last = {key: value for key, value in body.items() if key != "candidates"}
    begin = {key: value for key, value in last.items() if key != "usageMetadata"}
    chunks: list[dict[str, Any]] = [
        {
            **begin,
            "candidates": [{"index": candidate["index"], "content": {"role": "model", "parts": [part]}}],
        }
        for candidate in body.get("candidates", [])
        for part in _streamed_parts(candidate["content"]["parts"])
    ]
    ends = [
        {**candidate, "content": {"role": "model", "parts": []}} for candidate in body.get("candidates", [])
    ]
    chunks.append({**last, "candidates": ends} if ends else last)
    if "alt=sse" in path:
        return sse(chunks, done=False)
    return Answer.json(chunks)


def _streamed_parts(parts: list[Any]) -> Iterator[dict[str, Any]]:
    for part in parts:
        if "text" in part:
            yield from ({**part, "text": piece} for piece in pieces(part["text"]))
        else:
            yield part


def error(call: RecordedCall) -> Json:
    """A refusal."""
    kind, message = error_text(call)
    return {"error": {"code": call.status, "message": message, "status": kind or "UNKNOWN"}}


GENERATE_CONTENT: Final = Builder(body, lambda request, path: ":streamGenerateContent" in path, stream, error)

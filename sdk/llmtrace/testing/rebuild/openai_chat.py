"""OpenAI's chat completions, and the text completions that are like them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, Final

from llmtrace import semconv
from llmtrace.testing.replay import Answer, sse
from llmtrace.wire.format import Json, items, mapping

from .recorded import Builder, RecordedCall, as_json, asks_for_stream, error_text, pieces, without_none

REASONS: Final = {"tool_call": "tool_calls"}


def body(call: RecordedCall, request: Any) -> Json:
    """A completion; each message is a choice."""
    custom = {
        mapping(tool.get("custom")).get("name") or tool.get("name")
        for tool in map(mapping, items(request.get("tools")))
        if tool.get("type") == "custom"
    }
    choices = [
        {
            "index": number,
            "finish_reason": reason(call, number),
            "logprobs": None,
            "message": message(parts, custom),
        }
        for number, parts in enumerate(call.messages or [[]])
    ]
    return {**head(call, request, "chatcmpl-replay", "chat.completion"), "choices": choices, **usage(call)}


def head(call: RecordedCall, request: Any, identifier: str, kind: str) -> dict[str, Any]:
    """What every answer of this family begins with."""
    return {
        "id": call.response_id or identifier,
        "object": kind,
        "created": 0,
        "model": call.response_model or request.get("model") or call.model,
    }


def reason(call: RecordedCall, number: int) -> str | None:
    """Why it stopped, in OpenAI's word."""
    word = call.reason(number)
    return REASONS.get(word, word) or None


def usage(call: RecordedCall) -> dict[str, Any]:
    """`{"usage": …}`, or nothing where nobody reported it."""
    sent, output = call.count(semconv.USAGE_INPUT_TOKENS), call.count(semconv.USAGE_OUTPUT_TOKENS)
    if sent is None and output is None:
        return {}
    prompt_details = without_none(
        {
            "cached_tokens": call.count(semconv.USAGE_CACHE_READ_INPUT_TOKENS),
            "cache_write_tokens": call.count(semconv.USAGE_CACHE_WRITE_INPUT_TOKENS),
            "audio_tokens": call.count(semconv.USAGE_AUDIO_INPUT_TOKENS),
            "image_tokens": call.count(semconv.USAGE_IMAGE_INPUT_TOKENS),
            "video_tokens": call.count(semconv.USAGE_VIDEO_INPUT_TOKENS),
        }
    )
    completion_details = without_none(
        {
            "reasoning_tokens": call.count(semconv.USAGE_REASONING_OUTPUT_TOKENS),
            "audio_tokens": call.count(semconv.USAGE_AUDIO_OUTPUT_TOKENS),
            "image_tokens": call.count(semconv.USAGE_IMAGE_OUTPUT_TOKENS),
        }
    )
    counts = {
        "prompt_tokens": sent,
        "completion_tokens": output,
        "total_tokens": (sent or 0) + (output or 0),
        "prompt_tokens_details": prompt_details or None,
        "completion_tokens_details": completion_details or None,
    }
    return {"usage": without_none(counts)}


def message(parts: list[Json], custom: set[Any] | None = None) -> dict[str, Any]:
    """The assistant's message; `custom` are names of tools that take a text."""
    result: dict[str, Any] = {"role": "assistant", "content": None}
    content = [part for part in parts if part["type"] in {"text", "reasoning"}]
    kinds = [part["type"] for part in content]
    if kinds in ([], ["text"], ["reasoning"], ["reasoning", "text"]):
        texts = {part["type"]: part["content"] for part in content}
        result["content"] = texts.get("text")
        if "reasoning" in texts:
            result["reasoning_content"] = texts["reasoning"]
    else:
        result["content"] = [_content_part(part) for part in content]
    for part in parts:
        kind = part["type"]
        if kind == "refusal":
            result["refusal"] = part["content"]
        elif kind == "blob":
            more = {key: value for key, value in part.items() if key not in _OF_BLOBS}
            result["audio"] = {**more, "data": part["content"]}
        elif kind == "tool_call":
            result.setdefault("tool_calls", []).append(_tool_call(part, custom or set()))
        elif kind not in {"text", "reasoning"}:
            listed = result["content"] if isinstance(result["content"], list) else []
            texts_before = [{"type": "text", "text": result["content"]}] if result["content"] else []
            result["content"] = [*(listed or texts_before), part]
    return result


_OF_BLOBS: Final = frozenset({"type", "modality", "mime_type", "content"})


def _content_part(part: Any) -> Json:
    if part["type"] == "reasoning":  # as Mistral writes it
        return {"type": "thinking", "thinking": [{"type": "text", "text": part["content"]}]}
    return {"type": "text", "text": part["content"]}


def _tool_call(part: Any, custom: set[Any]) -> Json:
    identified = {"id": part.get("id"), "type": "function"}
    if part.get("name") in custom:
        called = {"name": part["name"], "input": part.get("arguments")}
        return {**identified, "type": "custom", "custom": called}
    arguments = as_json(part.get("arguments"))
    return {**identified, "function": {"name": part.get("name"), "arguments": arguments}}


def stream(body: Any, request: Any, path: str, *, whole_tools: bool = False) -> Answer:
    """Chunks. Usage has a chunk of its own where the request asks for it, else it is on the last choice's:
    programs that did not ask for it may not know one without choices.

    whole_tools: calls of tools come in one piece.
    """
    begin = {key: body[key] for key in ("id", "created", "model")} | {"object": "chat.completion.chunk"}
    chunks = [
        {**begin, "choices": [{"index": choice["index"], "delta": delta, "finish_reason": finish}]}
        for choice in body["choices"]
        for delta, finish in _deltas(choice, whole_tools)
    ]
    if counts := body.get("usage"):
        if mapping(request.get("stream_options")).get("include_usage"):
            chunks.append({**begin, "choices": [], "usage": counts})
        else:
            chunks[-1]["usage"] = counts
    return sse(chunks)


def _deltas(choice: Any, whole_tools: bool) -> Iterator[tuple[dict[str, Any], str | None]]:
    message = choice["message"]
    yield {"role": "assistant", "content": ""}, None
    for key in ("reasoning_content", "content", "refusal"):
        text = message.get(key)
        if isinstance(text, list):
            yield {key: text}, None
        for piece in pieces(text) if isinstance(text, str) else ():
            yield {key: piece}, None
    for index, call in enumerate(items(message.get("tool_calls"))):
        kind = call["type"]
        if whole_tools:
            yield {"tool_calls": [{**call, "index": index}]}, None
            continue
        name, field = call[kind]["name"], "arguments" if kind == "function" else "input"
        begin = {"index": index, "id": call["id"], "type": kind, kind: {"name": name, field: ""}}
        yield {"tool_calls": [begin]}, None
        for piece in pieces(call[kind][field] or ""):
            yield {"tool_calls": [{"index": index, kind: {field: piece}}]}, None
    yield {}, choice["finish_reason"]


def error(call: RecordedCall) -> Json:
    """A refusal."""
    kind, text = error_text(call)
    return {"error": {"message": text, "type": kind, "param": None, "code": kind or None}}


def completion_body(call: RecordedCall, request: Any) -> Json:
    """A text completion."""
    choices = [
        {
            "index": number,
            "finish_reason": reason(call, number),
            "logprobs": None,
            "text": "".join(str(part.get("content") or "") for part in parts),
        }
        for number, parts in enumerate(call.messages or [[]])
    ]
    return {**head(call, request, "cmpl-replay", "text_completion"), "choices": choices, **usage(call)}


def completion_stream(body: Any, request: Any, path: str) -> Answer:
    """Chunks of a text completion."""
    begin = {key: body[key] for key in ("id", "created", "model", "object")}
    chunks: list[dict[str, Any]] = []
    for choice in body["choices"]:
        index = choice["index"]
        chunks += [{**begin, "choices": [{"index": index, "text": text}]} for text in pieces(choice["text"])]
        end = {"index": index, "text": "", "finish_reason": choice["finish_reason"]}
        chunks.append({**begin, "choices": [end]})
    if counts := body.get("usage"):
        chunks[-1]["usage"] = counts
    return sse(chunks)


CHAT: Final = Builder(body, asks_for_stream, stream, error)
MISTRAL: Final = Builder(body, asks_for_stream, partial(stream, whole_tools=True), error)
COMPLETIONS: Final = Builder(completion_body, asks_for_stream, completion_stream, error)

"""Cloudflare Workers AI: `POST …/ai/run/{model}` with what the model takes: messages, a prompt, texts, …

The answer is in a `result`; of models that speak OpenAI's chat it is one of those.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from llmtrace import semconv

from . import message_parts
from .finish_reasons import finish_reason
from .format import Json, Translation, WireFormat, between, either, items, mapping, put_int, put_text, word
from .openai import chat, chat_messages, completions
from .openai.completions import inputs
from .openai.shared import put_usage, usage_of
from .request_params import put_request_params
from .without_tokens import without_tokens

_PLACE: Final = "/ai/run/"


def matches(path: str, body: bytes) -> bool:
    """By the place of the model in the path."""
    return _PLACE in path


def request(body: Json, path: str, content: bool) -> Translation:
    """Request body to attributes; a body says what kind of model it asks."""
    payload = mapping(body)
    asked = payload.get("text")
    if "messages" in payload:
        translation = Translation()
        messages = [chat_messages.message(sent) for sent in items(payload["messages"])]
    elif "prompt" in payload:
        translation = Translation({semconv.OPERATION_NAME: "text_completion"})
        messages = inputs(payload["prompt"])
    elif "text" in payload and "source_lang" not in payload and "target_lang" not in payload:
        translation = Translation({semconv.OPERATION_NAME: "embeddings"})
        messages = inputs(asked)
    else:
        translation = without_tokens()
        messages = inputs(asked) if isinstance(asked, str) else []
    attributes = translation.attributes
    put_text(attributes, semconv.REQUEST_MODEL, between(path, _PLACE, "?"))
    put_request_params(attributes, payload)
    if payload.get("stream") is True:
        attributes[semconv.REQUEST_STREAM] = True
    if content and messages:
        translation.content[semconv.INPUT_MESSAGES] = messages
        if tools := chat_messages.tools(payload):
            translation.content[semconv.TOOL_DEFINITIONS] = tools
    return translation


def response(body: Json, content: bool) -> Translation:
    """Response body to attributes."""
    payload = mapping(body)
    result = mapping(payload.get("result", payload))
    if items(result.get("choices")):
        return _api(_has_texts(result)).response(result, content)
    translation = Translation()
    attributes = translation.attributes
    put_usage(attributes, mapping(result.get("usage")))
    written, calls = either(result, "response", "summary", "translated_text"), items(result.get("tool_calls"))
    vector = next(iter(items(result.get("data"))), None)
    put_int(attributes, semconv.EMBEDDINGS_DIMENSION_COUNT, len(items(vector)) or None)
    if result.get("image"):
        attributes[semconv.OPERATION_NAME] = "generate_content"
        attributes[semconv.OUTPUT_TYPE] = "image"
    if "response" in result:
        reason = "tool_call" if calls else result.get("finish_reason", "stop")
        attributes[semconv.RESPONSE_FINISH_REASONS] = [finish_reason(reason)]
    if content and (written is not None or calls or result.get("image")):
        parts = [message_parts.text(written)] if written not in (None, "") else []
        if result.get("image"):
            parts.append(message_parts.blob("image", "image/png", result["image"]))
        parts += [_call(mapping(call)) for call in calls]
        translation.content[semconv.OUTPUT_MESSAGES] = [message_parts.message("assistant", parts)]
    return translation


def _call(call: Any) -> Json:
    """A call of a tool: as OpenAI writes it, or plain."""
    named = mapping(call.get("function")) or call
    return message_parts.tool_call(call.get("id"), named.get("name"), named.get("arguments"))


def fold(events: Iterable[Json]) -> Json:
    """Chunks to the answer: pieces of a `response`, or OpenAI's."""
    chunks = [event for event in events if isinstance(event, dict)]
    if any(items(chunk.get("choices")) for chunk in chunks):
        return _api(any(map(_has_texts, chunks))).fold(chunks)
    result: dict[str, Any] = {}
    words: list[str] = []
    for chunk in chunks:
        if isinstance(chunk.get("response"), str):
            words.append(word(chunk, "response"))
        if usage := usage_of(chunk):
            result["usage"] = usage
        if calls := items(chunk.get("tool_calls")):
            result["tool_calls"] = [*items(result.get("tool_calls")), *calls]
    if words or result:
        result["response"] = "".join(words)
    body: dict[str, Any] = {"result": result}
    failures = [chunk.get("error") or chunk.get("errors") for chunk in chunks]
    for failure in filter(None, failures):
        body["error"] = failure
    return body


def _api(has_texts: bool) -> WireFormat:
    return completions.FORMAT if has_texts else chat.FORMAT


def _has_texts(payload: Any) -> bool:
    """Whether its choices are completions of a prompt."""
    return any("text" in mapping(choice) for choice in items(payload.get("choices")))


FORMAT: Final = WireFormat(
    provider="cloudflare",
    operation="chat",
    endings=(),
    words=("run",),
    matches=matches,
    request=request,
    response=response,
    fold=fold,
)

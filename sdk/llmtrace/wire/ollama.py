"""Ollama's own API: `POST …/api/chat`, `/api/generate` and `/api/embed`.

The first two stream lines of JSON, unless asked not to.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Any, Final

from opentelemetry.util.types import AttributeValue

from llmtrace import semconv

from . import message_parts
from .finish_reasons import finish_reason
from .format import Json, Translation, WireFormat, items, mapping, put_int, put_text, whole
from .framing.stream_joiner import StreamJoiner
from .openai import chat_messages
from .openai.completions import inputs
from .request_params import put_request_params

_TEXTS: Final = ("content", "response", "thinking")


def matches_chat(path: str, body: bytes) -> bool:
    """By the end of the path and the fields every request has."""
    return path.endswith("/api/chat") and b'"messages"' in body and b'"model"' in body


def matches_generate(path: str, body: bytes) -> bool:
    """By the end of the path and the field every request has; without a prompt it only loads the model."""
    return path.endswith("/api/generate") and b'"model"' in body and b'"prompt"' in body


def matches_embed(path: str, body: bytes) -> bool:
    """The present and the former way."""
    return (path.endswith("/api/embed") and b'"input"' in body) or (
        path.endswith("/api/embeddings") and b'"prompt"' in body
    )


def request(body: Json, path: str, content: bool) -> Translation:
    """Request body of a chat or a completion to attributes."""
    payload = mapping(body)
    translation = Translation()
    attributes = translation.attributes
    _put_request_params(attributes, payload)
    if payload.get("stream") is not False:
        attributes[semconv.REQUEST_STREAM] = True
    if content:
        if instructions := message_parts.instructions(payload.get("system")):
            translation.content[semconv.SYSTEM_INSTRUCTIONS] = instructions
        input_messages = [_message(mapping(raw_message)) for raw_message in items(payload.get("messages"))]
        if "messages" not in payload:
            input_messages = [
                _message({"role": "user", "content": payload.get("prompt"), "images": payload.get("images")})
            ]
        translation.content[semconv.INPUT_MESSAGES] = input_messages
        if tools := chat_messages.tools(payload):
            translation.content[semconv.TOOL_DEFINITIONS] = tools
    return translation


def request_embed(body: Json, path: str, content: bool) -> Translation:
    """Request body of an embedding to attributes."""
    payload = mapping(body)
    translation = Translation()
    _put_request_params(translation.attributes, payload)
    put_int(translation.attributes, semconv.EMBEDDINGS_DIMENSION_COUNT, payload.get("dimensions"))
    if content:
        translation.content[semconv.INPUT_MESSAGES] = inputs(payload.get("input", payload.get("prompt")))
    return translation


def _put_request_params(attributes: dict[str, AttributeValue], payload: Any) -> None:
    options = mapping(payload.get("options"))
    put_text(attributes, semconv.REQUEST_MODEL, payload.get("model"))
    put_request_params(attributes, options)
    put_text(attributes, semconv.REQUEST_REASONING_LEVEL, payload.get("think"))
    if payload.get("format"):
        attributes[semconv.OUTPUT_TYPE] = "json"


def response(body: Json, content: bool) -> Translation:
    """Response body, or the lines of a stream put together, to attributes."""
    payload = mapping(body)
    translation = Translation()
    attributes = translation.attributes
    put_text(attributes, semconv.RESPONSE_MODEL, payload.get("model"))
    put_int(attributes, semconv.USAGE_INPUT_TOKENS, payload.get("prompt_eval_count"))
    put_int(attributes, semconv.USAGE_OUTPUT_TOKENS, payload.get("eval_count"))
    message = mapping(payload.get("message"))
    if "response" in payload:
        message = {"content": payload["response"], "thinking": payload.get("thinking")}
    if "done" in payload:
        reason = payload.get("done_reason") or ("stop" if payload["done"] is True else None)
        is_tool_call = reason == "stop" and message.get("tool_calls")
        attributes[semconv.RESPONSE_FINISH_REASONS] = ["tool_call" if is_tool_call else finish_reason(reason)]
    if content and message:
        translation.content[semconv.OUTPUT_MESSAGES] = [_message({"role": "assistant", **message})]
    return translation


def response_embed(body: Json, content: bool) -> Translation:
    """Response body of an embedding to attributes."""
    payload = mapping(body)
    translation = Translation()
    attributes = translation.attributes
    put_text(attributes, semconv.RESPONSE_MODEL, payload.get("model"))
    put_int(attributes, semconv.USAGE_INPUT_TOKENS, payload.get("prompt_eval_count"))
    vectors = items(payload.get("embeddings")) or [payload.get("embedding")]
    put_int(attributes, semconv.EMBEDDINGS_DIMENSION_COUNT, len(items(vectors[0])) or None)
    return translation


def _message(raw_message: Any) -> Json:
    message = chat_messages.message({**raw_message, "reasoning": raw_message.get("thinking")})
    if raw_message.get("role") == "tool":
        return {**message, "name": raw_message["tool_name"]} if raw_message.get("tool_name") else message
    message["parts"].extend(
        message_parts.blob("image", None, image) for image in items(raw_message.get("images"))
    )
    return message


def fold(events: Iterable[Json]) -> Json:
    """Lines to the response they add up to: the last one has the counts."""
    body: dict[str, Any] = {}
    texts: dict[str, list[str]] = {}
    calls: list[Json] = []
    chat = False
    for event in map(mapping, events):
        body.update(event)
        message = event.get("message")
        chat = chat or isinstance(message, dict)
        delta = mapping(message) if isinstance(message, dict) else event
        calls.extend(items(delta.get("tool_calls")))
        for key in _TEXTS:
            if isinstance(delta.get(key), str):
                texts.setdefault(key, []).append(delta[key])
    joined: dict[str, Any] = {key: "".join(pieces) for key, pieces in texts.items()}
    if chat:
        # Where a stream mixes both kinds of events, the messages are the answer: what the last event alone
        # says at the top would depend on whether it was joined with others.
        body = {key: value for key, value in body.items() if key not in _TEXTS}
        body["message"] = {**joined, "tool_calls": calls}
    else:
        body.update(joined)
    return body


def _sole_text(event: Json) -> Json:
    """See `StreamJoiner`."""
    fields = mapping(event)
    delta = mapping(fields.get("message")) or fields
    texts = [delta[key] for key in _TEXTS if delta.get(key)]
    return texts[0] if len(texts) == 1 and not delta.get("tool_calls") else None


FORMAT: Final = WireFormat(
    provider="ollama",
    operation="chat",
    endings=("chat",),
    matches=matches_chat,
    request=request,
    response=response,
    fold=fold,
    joined=StreamJoiner(
        fields=_TEXTS,
        sole_text=_sole_text,
        strip_noise=partial(re.compile(rb'"created_at":"[^"\\]*",').sub, b""),
        line=b"",
    ).joined,
)
GENERATE: Final = replace(
    FORMAT, operation="text_completion", endings=("generate",), matches=matches_generate
)
EMBED: Final = replace(
    FORMAT,
    operation="embeddings",
    endings=("embed", "embeddings"),
    matches=matches_embed,
    request=request_embed,
    response=response_embed,
    fold=whole,
    joined=None,
)

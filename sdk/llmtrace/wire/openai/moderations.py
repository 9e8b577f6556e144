"""Moderation: `POST …/moderations` with an `input`: texts and pictures that are judged.

OpenAI's cost nothing and tell no usage; others of this shape (Mistral) are billed by tokens.
"""

from __future__ import annotations

from typing import Any, Final

from llmtrace import semconv
from llmtrace.wire import message_parts
from llmtrace.wire.format import Json, Translation, WireFormat, items, mapping, whole

from .chat_messages import message
from .shared import put_common, put_head, put_model, put_usage


def matches(path: str, body: bytes) -> bool:
    """By the one field every request has."""
    return path.endswith("/moderations") and b'"input"' in body


def request(body: Json, path: str, content: bool) -> Translation:
    """Request body to attributes; each text is a message, and so is a list of parts."""
    payload = mapping(body)
    translation = Translation()
    put_model(translation.attributes, payload, path)
    put_common(translation.attributes, payload)
    if content:
        raw = payload.get("input")
        values = raw if isinstance(raw, list) else [raw]
        texts = [value for value in values if isinstance(value, str)]
        messages = [message_parts.message("user", [message_parts.text(text)]) for text in texts]
        if parts := [value for value in values if isinstance(value, dict) and "type" in value]:
            messages.append(message({"role": "user", "content": parts}))
        translation.content[semconv.INPUT_MESSAGES] = messages
    return translation


def response(body: Json, content: bool) -> Translation:
    """Response body to attributes; of each result the categories that it was found to be of."""
    payload = mapping(body)
    translation = Translation()
    put_head(translation.attributes, payload)
    put_usage(translation.attributes, mapping(payload.get("usage")))
    for key in (semconv.USAGE_OUTPUT_TOKENS, semconv.USAGE_REASONING_OUTPUT_TOKENS):
        translation.attributes.pop(key, None)  # a judgement has none, whatever the total adds
    results = [mapping(result) for result in items(payload.get("results"))]
    if content and results:
        translation.content[semconv.OUTPUT_MESSAGES] = [
            message_parts.message("assistant", [message_parts.text(_judgement(result))]) for result in results
        ]
    return translation


def _judgement(result: Any) -> str:
    flagged = [name for name, holds in mapping(result.get("categories")).items() if holds is True]
    return f"flagged: {', '.join(flagged)}" if flagged or result.get("flagged") is True else "not flagged"


FORMAT: Final = WireFormat(
    provider="openai",
    operation="moderation",
    endings=("moderations",),
    matches=matches,
    request=request,
    response=response,
    fold=whole,
)

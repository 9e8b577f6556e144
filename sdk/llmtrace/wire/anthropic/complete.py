"""Anthropic's first API: `POST …/complete` with a `prompt`, which is continued. It tells no tokens."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from llmtrace import semconv
from llmtrace.wire import message_parts
from llmtrace.wire.finish_reasons import finish_reason
from llmtrace.wire.format import Json, Translation, WireFormat, mapping, put_int, put_text, word
from llmtrace.wire.request_params import put_request_params


def matches(path: str, body: bytes) -> bool:
    """By the one field that only this has."""
    return b'"max_tokens_to_sample"' in body and b'"prompt"' in body


def request(body: Json, path: str, content: bool) -> Translation:
    """Request body to attributes."""
    payload = mapping(body)
    translation = Translation()
    attributes = translation.attributes
    put_text(attributes, semconv.REQUEST_MODEL, payload.get("model"))
    put_request_params(attributes, payload)
    put_int(attributes, semconv.REQUEST_MAX_TOKENS, payload.get("max_tokens_to_sample"))
    put_text(attributes, semconv.USER_ID, mapping(payload.get("metadata")).get("user_id"))
    if payload.get("stream") is True:
        attributes[semconv.REQUEST_STREAM] = True
    if content:
        translation.content[semconv.INPUT_MESSAGES] = [
            message_parts.message("user", [message_parts.text(payload.get("prompt"))])
        ]
    return translation


def response(body: Json, content: bool) -> Translation:
    """Response body to attributes."""
    payload = mapping(body)
    translation = Translation()
    attributes = translation.attributes
    put_text(attributes, semconv.RESPONSE_ID, payload.get("id"))
    put_text(attributes, semconv.RESPONSE_MODEL, payload.get("model"))
    if "completion" in payload:
        attributes[semconv.RESPONSE_FINISH_REASONS] = [finish_reason(payload.get("stop_reason"))]
        if content:
            translation.content[semconv.OUTPUT_MESSAGES] = [
                message_parts.message("assistant", [message_parts.text(payload["completion"])])
            ]
    return translation


def fold(events: Iterable[Json]) -> Json:
    """Events to the completion that they add up to."""
    body: dict[str, Any] = {}
    words: list[str] = []
    for event in map(mapping, events):
        if word(event, "type") == "error" or event.get("error"):
            body["error"] = event.get("error")
        elif "completion" in event:
            words.append(word(event, "completion"))
            body.update({key: value for key, value in event.items() if value is not None})
    if words:
        body["completion"] = "".join(words)
    return body


FORMAT: Final = WireFormat(
    provider="anthropic",
    operation="text_completion",
    endings=("complete",),
    matches=matches,
    request=request,
    response=response,
    fold=fold,
)

"""Cohere's first chat API: `POST …/v1/chat` with a `message` and the turns before it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from llmtrace import semconv
from llmtrace.wire import message_parts
from llmtrace.wire.finish_reasons import finish_reason
from llmtrace.wire.format import Json, Translation, WireFormat, items, mapping, put_text, word
from llmtrace.wire.openai.shared import put_format
from llmtrace.wire.request_params import put_request_params

from .chat import put_usage

_ROLES: Final = {"USER": "user", "CHATBOT": "assistant", "SYSTEM": "system", "TOOL": "tool"}


def matches(path: str, body: bytes) -> bool:
    """By the version in the path and the one field every request has; Writer's chat there has `messages`."""
    return path.endswith("/v1/chat") and b'"message"' in body


def request(body: Json, path: str, content: bool) -> Translation:
    """Request body to attributes."""
    payload = mapping(body)
    translation = Translation()
    attributes = translation.attributes
    put_text(attributes, semconv.REQUEST_MODEL, payload.get("model"))
    put_text(attributes, semconv.CONVERSATION_ID, payload.get("conversation_id"))
    put_request_params(attributes, payload)
    put_format(attributes, payload.get("response_format"))
    if payload.get("stream") is True:
        attributes[semconv.REQUEST_STREAM] = True
    if content:
        if instructions := message_parts.instructions(payload.get("preamble")):
            translation.content[semconv.SYSTEM_INSTRUCTIONS] = instructions
        results = [
            message_parts.tool_response(None, mapping(result).get("outputs"))
            for result in items(payload.get("tool_results"))
        ]
        asked = payload.get("message")
        translation.content[semconv.INPUT_MESSAGES] = [
            *(_message(mapping(earlier)) for earlier in items(payload.get("chat_history"))),
            *([message_parts.message("tool", results)] if results else []),
            *([message_parts.message("user", [message_parts.text(asked)])] if asked else []),
        ]
        tools = [
            message_parts.function(
                tool.get("name"), tool.get("description"), tool.get("parameter_definitions")
            )
            for tool in map(mapping, items(payload.get("tools")))
        ]
        if tools:
            translation.content[semconv.TOOL_DEFINITIONS] = tools
    return translation


def response(body: Json, content: bool) -> Translation:
    """Response body to attributes."""
    payload = mapping(body)
    translation = Translation()
    attributes = translation.attributes
    put_text(attributes, semconv.RESPONSE_ID, payload.get("generation_id"))
    put_usage(attributes, mapping(payload.get("meta")))
    has_answer = "text" in payload or bool(payload.get("tool_calls"))
    if has_answer or payload.get("finish_reason"):
        attributes[semconv.RESPONSE_FINISH_REASONS] = [finish_reason(payload.get("finish_reason"))]
    if content and has_answer:
        translation.content[semconv.OUTPUT_MESSAGES] = [
            _message(
                {
                    "role": "CHATBOT",
                    "message": payload.get("text"),
                    "tool_calls": payload.get("tool_calls"),
                }
            )
        ]
    return translation


def _message(turn: Any) -> Json:
    role = word(turn, "role")
    parts = [message_parts.text(turn["message"])] if turn.get("message") else []
    parts += [
        message_parts.tool_call(None, call.get("name"), call.get("parameters"))
        for call in map(mapping, items(turn.get("tool_calls")))
    ]
    parts += [
        message_parts.tool_response(None, mapping(result).get("outputs"))
        for result in items(turn.get("tool_results"))
    ]
    return message_parts.message(_ROLES.get(role.upper(), role.lower()), parts)


def fold(events: Iterable[Json]) -> Json:
    """Events to the response, which the last of them repeats whole."""
    body: dict[str, Any] = {}
    words: list[str] = []
    for event in map(mapping, events):
        kind = word(event, "event_type")
        if kind == "text-generation":
            words.append(word(event, "text"))
        elif kind == "tool-calls-generation":
            body["tool_calls"] = event.get("tool_calls")
        elif kind == "stream-end":
            body.update(mapping(event.get("response")))
            body.setdefault("finish_reason", event.get("finish_reason"))
        elif event.get("generation_id"):
            body["generation_id"] = event["generation_id"]
        elif event.get("error"):
            body["error"] = event["error"]
    if words:
        body.setdefault("text", "".join(words))
    return body


FORMAT: Final = WireFormat(
    provider="cohere",
    operation="chat",
    endings=("chat",),
    matches=matches,
    request=request,
    response=response,
    fold=fold,
)

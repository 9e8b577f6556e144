"""Runs of OpenAI's assistants: `POST …/threads/{id}/runs`, then `GET …/runs/{id}` until it is over.

A run is made in the background and polled, or streamed. The call that finds it finished counts, see
`background_responses`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

from llmtrace import semconv
from llmtrace.wire import background_responses, message_parts
from llmtrace.wire.finish_reasons import finish_reason
from llmtrace.wire.format import (
    Json,
    Translation,
    WireFormat,
    between,
    index_or_id,
    items,
    mapping,
    put_text,
    word,
)

from . import chat_messages
from .shared import put_completion, put_head, put_model, put_usage


def matches(path: str, body: bytes) -> bool:
    """A run of a thread, a run with its thread, or the answers to a run's tool calls."""
    if path.endswith("/submit_tool_outputs"):
        return "/threads/" in path
    return "/threads/" in path and path.endswith("/runs") and b'"assistant_id"' in body


def request(body: Json, path: str, content: bool) -> Translation:
    """Request body to attributes."""
    payload = mapping(body)
    translation = Translation()
    attributes = translation.attributes
    put_model(attributes, payload, path)
    put_completion(attributes, payload)
    put_text(attributes, semconv.AGENT_ID, payload.get("assistant_id"))
    _put_conversation(translation, path)
    if content:
        raw_messages = items(payload.get("additional_messages")) + items(
            mapping(payload.get("thread")).get("messages")
        )
        answers = [
            message_parts.tool_response(
                mapping(tool_output).get("tool_call_id"), mapping(tool_output).get("output")
            )
            for tool_output in items(payload.get("tool_outputs"))
        ]
        translation.content[semconv.INPUT_MESSAGES] = [
            *(chat_messages.message(raw_message) for raw_message in raw_messages),
            *([message_parts.message("tool", answers)] if answers else []),
        ]
        instructions = message_parts.instructions(payload.get("instructions"))
        instructions += message_parts.instructions(payload.get("additional_instructions"))
        if instructions:
            translation.content[semconv.SYSTEM_INSTRUCTIONS] = instructions
    return translation


def request_fetch(body: Json, path: str, content: bool) -> Translation:
    """The path says which run of which thread."""
    translation = Translation()
    put_text(translation.attributes, semconv.RESPONSE_ID, between(path, "/runs/"))
    _put_conversation(translation, path)
    return translation


def response(body: Json, content: bool) -> Translation:
    """A run to attributes; one that is not over has a status and no usage."""
    payload = mapping(body)
    translation = Translation()
    attributes = translation.attributes
    status = payload.get("status")
    put_head(attributes, payload)
    put_text(attributes, semconv.REQUEST_MODEL, payload.get("model"))
    put_text(attributes, semconv.RESPONSE_STATUS, status)
    put_text(attributes, semconv.AGENT_ID, payload.get("assistant_id"))
    put_text(attributes, semconv.CONVERSATION_ID, payload.get("thread_id"))
    required_action = mapping(mapping(payload.get("required_action")).get("submit_tool_outputs"))
    calls = items(required_action.get("tool_calls"))
    if status and not background_responses.is_pending(status):
        attributes[semconv.OPERATION_NAME] = "chat"
        put_usage(attributes, mapping(payload.get("usage")))
        reason = mapping(payload.get("incomplete_details")).get("reason")
        attributes[semconv.RESPONSE_FINISH_REASONS] = [finish_reason(reason or status)]
    elif calls:
        attributes[semconv.RESPONSE_FINISH_REASONS] = ["tool_call"]
    if content:
        instructions = message_parts.instructions(payload.get("instructions"))
        if instructions:
            translation.content[semconv.SYSTEM_INSTRUCTIONS] = instructions
        if tools := chat_messages.tools(payload):
            translation.content[semconv.TOOL_DEFINITIONS] = tools
        output_messages = [_answer(message) for message in items(payload.get("messages"))]
        if calls:
            output_messages.append(chat_messages.message({"role": "assistant", "tool_calls": calls}))
        if output_messages:
            translation.content[semconv.OUTPUT_MESSAGES] = output_messages
    return translation


def fold(events: Iterable[Json]) -> Json:
    """The run as it was last seen, with the messages that were written meanwhile."""
    run: dict[str, Any] = {}
    messages_by_id: dict[Any, Json] = {}
    for event in map(mapping, events):
        kind = word(event, "object")
        if kind == "thread.run":
            run = dict(event)
        elif kind == "thread.message":
            messages_by_id[index_or_id(event.get("id"))] = event
        elif kind == "thread.message.delta":
            _append(messages_by_id, event)
        elif not kind and ("error" in event or "message" in event):
            run["error"] = mapping(event.get("error")) or event
    run["messages"] = list(messages_by_id.values())
    return run


def _append(messages_by_id: dict[Any, Json], event: Any) -> None:
    message = dict(mapping(messages_by_id.get(index_or_id(event.get("id")))))
    message["content"] = [*items(message.get("content")), *items(mapping(event.get("delta")).get("content"))]
    messages_by_id[index_or_id(event.get("id"))] = message


def _answer(message: Json) -> Json:
    parts: list[Json] = []
    for part in map(mapping, items(mapping(message).get("content"))):
        kind = word(part, "type")
        if kind == "text":
            words = mapping(part.get("text")).get("value") or ""
            if parts and parts[-1]["type"] == "text":
                words = parts.pop()["content"] + words
            parts.append(message_parts.text(words))
        elif kind == "image_file":
            parts.append(message_parts.file("image", mapping(part.get("image_file")).get("file_id")))
        elif kind == "image_url":
            parts.append(message_parts.uri("image", mapping(part.get("image_url")).get("url")))
        else:
            parts.append(message_parts.unknown(dict(part)))
    return message_parts.message("assistant", parts)


def _put_conversation(translation: Translation, path: str) -> None:
    thread = between(path, "/threads/")
    put_text(translation.attributes, semconv.CONVERSATION_ID, None if thread == "runs" else thread)


def _matches_fetch(path: str, body: bytes) -> bool:
    return "/threads/" in path


FORMAT: Final = WireFormat(
    provider="openai",
    operation="invoke_agent",
    endings=("runs", "submit_tool_outputs"),
    matches=matches,
    request=request,
    response=response,
    fold=fold,
    fetched_again=True,
)
FETCH: Final = replace(
    FORMAT,
    operation=background_responses.FETCH,
    endings=("runs",),
    method="GET",
    matches=_matches_fetch,
    request=request_fetch,
)

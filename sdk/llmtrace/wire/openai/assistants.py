"""Runs of OpenAI's assistants: `POST …/threads/{id}/runs`, then `GET …/runs/{id}` until it is over.

A run is made in the background and polled, or streamed. The call that meets its end counts; see `deferred`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

from llmtrace import semconv
from llmtrace.wire import background_responses, message_parts
from llmtrace.wire.finish_reasons import finish_reason
from llmtrace.wire.format import Json, Translation, WireFormat, between, items, mapping, place, put_text, word

from . import chat_messages as messages
from .shared import put_completion, put_head, put_model, put_usage


def matches(path: str, body: bytes) -> bool:
    """A run of a thread, a run with its thread, or the answers to a run's tool calls."""
    if path.endswith("/submit_tool_outputs"):
        return "/threads/" in path
    return "/threads/" in path and path.endswith("/runs") and b'"assistant_id"' in body


def request(body: Json, path: str, content: bool) -> Translation:
    """Request body to attributes."""
    sent = mapping(body)
    translation = Translation()
    put = translation.attributes
    put_model(put, sent, path)
    put_completion(put, sent)
    put_text(put, semconv.AGENT_ID, sent.get("assistant_id"))
    _put_conversation(translation, path)
    if content:
        given = items(sent.get("additional_messages")) + items(mapping(sent.get("thread")).get("messages"))
        answers = [
            message_parts.tool_response(mapping(each).get("tool_call_id"), mapping(each).get("output"))
            for each in items(sent.get("tool_outputs"))
        ]
        translation.content[semconv.INPUT_MESSAGES] = [
            *(messages.message(each) for each in given),
            *([message_parts.message("tool", answers)] if answers else []),
        ]
        told = message_parts.instructions(sent.get("instructions"))
        told += message_parts.instructions(sent.get("additional_instructions"))
        if told:
            translation.content[semconv.SYSTEM_INSTRUCTIONS] = told
    return translation


def request_fetch(body: Json, path: str, content: bool) -> Translation:
    """The path says which run of which thread."""
    translation = Translation()
    put_text(translation.attributes, semconv.RESPONSE_ID, between(path, "/runs/"))
    _put_conversation(translation, path)
    return translation


def response(body: Json, content: bool) -> Translation:
    """A run to attributes; one that is not over has a status and no usage."""
    received = mapping(body)
    translation = Translation()
    put = translation.attributes
    status = received.get("status")
    put_head(put, received)
    put_text(put, semconv.REQUEST_MODEL, received.get("model"))
    put_text(put, semconv.RESPONSE_STATUS, status)
    put_text(put, semconv.AGENT_ID, received.get("assistant_id"))
    put_text(put, semconv.CONVERSATION_ID, received.get("thread_id"))
    asked = mapping(mapping(received.get("required_action")).get("submit_tool_outputs"))
    calls = items(asked.get("tool_calls"))
    if status and not background_responses.is_pending(status):
        put[semconv.OPERATION_NAME] = "chat"
        put_usage(put, mapping(received.get("usage")))
        why = mapping(received.get("incomplete_details")).get("reason")
        put[semconv.RESPONSE_FINISH_REASONS] = [finish_reason(why or status)]
    elif calls:
        put[semconv.RESPONSE_FINISH_REASONS] = ["tool_call"]
    if content:
        told = message_parts.instructions(received.get("instructions"))
        if told:
            translation.content[semconv.SYSTEM_INSTRUCTIONS] = told
        if tools := messages.tools(received):
            translation.content[semconv.TOOL_DEFINITIONS] = tools
        answered = [_answer(each) for each in items(received.get("messages"))]
        if calls:
            answered.append(messages.message({"role": "assistant", "tool_calls": calls}))
        if answered:
            translation.content[semconv.OUTPUT_MESSAGES] = answered
    return translation


def fold(events: Iterable[Json]) -> Json:
    """The run as it was last seen, with the messages that were written meanwhile."""
    run: dict[str, Any] = {}
    written: dict[Any, Json] = {}
    for event in map(mapping, events):
        kind = word(event, "object")
        if kind == "thread.run":
            run = dict(event)
        elif kind == "thread.message":
            written[place(event.get("id"))] = event
        elif kind == "thread.message.delta":
            _append(written, event)
        elif not kind and ("error" in event or "message" in event):
            run["error"] = mapping(event.get("error")) or event
    run["messages"] = list(written.values())
    return run


def _append(written: dict[Any, Json], event: Any) -> None:
    message = dict(mapping(written.get(place(event.get("id")))))
    message["content"] = [*items(message.get("content")), *items(mapping(event.get("delta")).get("content"))]
    written[place(event.get("id"))] = message


def _answer(message: Json) -> Json:
    made: list[Json] = []
    for part in map(mapping, items(mapping(message).get("content"))):
        kind = word(part, "type")
        if kind == "text":
            words = mapping(part.get("text")).get("value") or ""
            if made and made[-1]["type"] == "text":
                words = made.pop()["content"] + words
            made.append(message_parts.text(words))
        elif kind == "image_file":
            made.append(message_parts.file("image", mapping(part.get("image_file")).get("file_id")))
        elif kind == "image_url":
            made.append(message_parts.uri("image", mapping(part.get("image_url")).get("url")))
        else:
            made.append(message_parts.unknown(dict(part)))
    return message_parts.message("assistant", made)


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

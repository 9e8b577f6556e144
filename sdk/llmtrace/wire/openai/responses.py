"""OpenAI Responses: `POST …/responses`, and `GET …/responses/{id}` for what was made in the background.

Compaction (`POST …/responses/compact`) answers the same way. Items are translated in `openai_items`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from opentelemetry.util.types import AttributeValue

from llmtrace import semconv
from llmtrace.wire import background_responses, message_parts
from llmtrace.wire.finish_reasons import finish_reason
from llmtrace.wire.format import (
    Json,
    Translation,
    WireFormat,
    between,
    items,
    mapping,
    put_int,
    put_text,
    word,
)
from llmtrace.wire.request_params import put_settings

from . import response_items as item_parts
from .responses_stream import fold, last_event
from .shared import OUTPUT_TYPES, put_common, put_head, put_model, put_newer_usage

_CALLS: Final = frozenset({"function_call", "custom_tool_call", "computer_call", "local_shell_call"})

#: Tools that OpenAI runs, but for searches.
_BUILT_IN: Final = frozenset({"code_interpreter_call", "image_generation_call", "mcp_call", "shell_call"})


def matches(path: str, body: bytes) -> bool:
    """By the end of the path and what every request has: a model, or a stored prompt that names one."""
    return path.endswith(("/responses", "/responses/compact")) and (b'"model"' in body or b'"prompt"' in body)


def request(body: Json, path: str, content: bool) -> Translation:
    """Request body to attributes."""
    sent = mapping(body)
    translation = Translation()
    put = translation.attributes
    put[semconv.OPENAI_API_TYPE] = "responses"
    put_model(put, sent, path)
    put_common(put, sent)
    put_settings(put, sent)
    put_text(put, semconv.REQUEST_REASONING_LEVEL, mapping(sent.get("reasoning")).get("effort"))
    put_text(put, semconv.REQUEST_PREVIOUS_RESPONSE_ID, sent.get("previous_response_id"))
    conversation = sent.get("conversation")
    put_text(put, semconv.CONVERSATION_ID, mapping(conversation).get("id") or conversation)
    kind = word(mapping(mapping(sent.get("text")).get("format")), "type")
    if kind in OUTPUT_TYPES:
        put[semconv.OUTPUT_TYPE] = OUTPUT_TYPES[kind]
    if content:
        if told := message_parts.instructions(sent.get("instructions")):
            translation.content[semconv.SYSTEM_INSTRUCTIONS] = told
        translation.content[semconv.INPUT_MESSAGES] = item_parts.messages(sent.get("input"))
        if tools := [_tool(mapping(each)) for each in items(sent.get("tools"))]:
            translation.content[semconv.TOOL_DEFINITIONS] = tools
    return translation


def response(body: Json, content: bool) -> Translation:
    """Response body to attributes; one that is still being made has a status and nothing else."""
    received = mapping(body)
    translation = Translation()
    put = translation.attributes
    put_head(put, received)
    put_text(put, semconv.RESPONSE_STATUS, received.get("status"))
    if background_responses.is_pending(received.get("status")):
        put[semconv.OPERATION_NAME] = background_responses.QUEUED
        return translation
    put_newer_usage(put, mapping(received.get("usage")))
    output = [mapping(each) for each in items(received.get("output"))]
    _put_tool_calls(put, output)
    if received.get("status") or output:
        put[semconv.RESPONSE_FINISH_REASONS] = [_finish_reason(received, output)]
    if any(each.get("type") == "compaction" for each in output):
        put[semconv.CONVERSATION_COMPACTED] = True
    if content and output:
        answered = [part for each in output for part in item_parts.item(each)]
        translation.content[semconv.OUTPUT_MESSAGES] = [message_parts.message("assistant", answered)]
    return translation


def _finish_reason(received: Any, output: list[Any]) -> str:
    status = received.get("status")
    if "status" in received and status is None:
        return "error"  # a stream that was left or torn
    if status == "incomplete":
        return finish_reason(mapping(received.get("incomplete_details")).get("reason") or status)
    if status is None or status == "completed":
        if any(word(each, "type") in _CALLS for each in output):
            return "tool_call"
        return "compaction" if received.get("object") == "response.compaction" else "stop"
    return finish_reason(status)


def _put_tool_calls(put: dict[str, AttributeValue], output: list[Any]) -> None:
    """Runs of OpenAI's own tools, which are billed beside the tokens."""
    kinds = [word(each, "type") for each in output]
    put_int(put, semconv.USAGE_WEB_SEARCHES, kinds.count("web_search_call") or None)
    put_int(put, semconv.USAGE_FILE_SEARCHES, kinds.count("file_search_call") or None)
    for kind in sorted(_BUILT_IN.intersection(kinds)):
        key = semconv.USAGE_TOOL_CALLS.format(tool=kind.removesuffix("_call"))
        put[key] = kinds.count(kind)


def _tool(tool: Any) -> Json:
    if word(tool, "type") in {"function", "custom"}:
        described = message_parts.function(
            tool.get("name"), tool.get("description"), tool.get("parameters"), tool["type"]
        )
        return {**described, "format": tool["format"]} if "format" in tool else described
    return {"name": tool.get("server_label") or tool.get("type"), **tool}


def matches_fetch(path: str, body: bytes) -> bool:
    """By the form of the id, since many an API has `/responses/`."""
    return (between(path, "/responses/") or "").startswith("resp_")


def request_fetch(body: Json, path: str, content: bool) -> Translation:
    """All that a fetch says is the id."""
    translation = Translation()
    translation.attributes[semconv.OPENAI_API_TYPE] = "responses"
    put_text(translation.attributes, semconv.RESPONSE_ID, between(path, "/responses/"))
    return translation


def response_fetch(body: Json, content: bool) -> Translation:
    """What was made in the background is the call now; what was not has been one when it was made."""
    received = mapping(body)
    translation = response(body, content)
    put = translation.attributes
    if (
        received.get("status")
        and received.get("background")
        and not background_responses.is_pending(received["status"])
    ):
        put[semconv.OPERATION_NAME] = "chat"
        put_text(put, semconv.REQUEST_MODEL, received.get("model"))
        return translation
    put[semconv.OPERATION_NAME] = background_responses.FETCH
    for key in [key for key in put if ".usage." in key]:
        del put[key]
    return translation


FORMAT: Final = WireFormat(
    provider="openai",
    operation="chat",
    endings=("responses", "compact"),
    matches=matches,
    request=request,
    response=response,
    fold=fold,
    joined=last_event,
    fetched_again=True,
)
FETCH: Final = replace(
    FORMAT,
    operation=background_responses.FETCH,
    endings=("responses",),
    method="GET",
    matches=matches_fetch,
    request=request_fetch,
    response=response_fetch,
)

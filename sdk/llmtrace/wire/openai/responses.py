"""OpenAI Responses: `POST …/responses`, and `GET …/responses/{id}` for what was made in the background.

Compaction (`POST …/responses/compact`) answers the same way. Items are translated in `response_items`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from opentelemetry.util.types import AttributeValue

from llmtrace import semconv
from llmtrace.wire import background_responses, message_parts
from llmtrace.wire.finish_reasons import finish_reason
from llmtrace.wire.format import (
    InnerCall,
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
from llmtrace.wire.request_params import put_request_params

from . import response_items
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
    payload = mapping(body)
    translation = Translation()
    attributes = translation.attributes
    attributes[semconv.OPENAI_API_TYPE] = "responses"
    put_model(attributes, payload, path)
    put_common(attributes, payload)
    put_request_params(attributes, payload)
    put_text(attributes, semconv.REQUEST_REASONING_LEVEL, mapping(payload.get("reasoning")).get("effort"))
    put_text(attributes, semconv.REQUEST_PREVIOUS_RESPONSE_ID, payload.get("previous_response_id"))
    conversation = payload.get("conversation")
    put_text(attributes, semconv.CONVERSATION_ID, mapping(conversation).get("id") or conversation)
    kind = word(mapping(mapping(payload.get("text")).get("format")), "type")
    if kind in OUTPUT_TYPES:
        attributes[semconv.OUTPUT_TYPE] = OUTPUT_TYPES[kind]
    if content:
        if instructions := message_parts.instructions(payload.get("instructions")):
            translation.content[semconv.SYSTEM_INSTRUCTIONS] = instructions
        translation.content[semconv.INPUT_MESSAGES] = response_items.messages(payload.get("input"))
        if tools := [tool_definition(mapping(definition)) for definition in items(payload.get("tools"))]:
            translation.content[semconv.TOOL_DEFINITIONS] = tools
    return translation


def response(body: Json, content: bool) -> Translation:
    """Response body to attributes; one that is still being made has a status and nothing else."""
    payload = mapping(body)
    translation = Translation()
    attributes = translation.attributes
    put_head(attributes, payload)
    put_text(attributes, semconv.RESPONSE_STATUS, payload.get("status"))
    if background_responses.is_pending(payload.get("status")):
        attributes[semconv.OPERATION_NAME] = background_responses.QUEUED
        return translation
    put_newer_usage(attributes, mapping(payload.get("usage")))
    output = [mapping(item) for item in items(payload.get("output"))]
    tool_usage = mapping(payload.get("tool_usage"))
    _put_tool_calls(attributes, output, tool_usage)
    if image_call := _image_generation(payload, mapping(tool_usage.get("image_gen"))):
        translation.inner_calls.append(image_call)
    if payload.get("status") or output:
        attributes[semconv.RESPONSE_FINISH_REASONS] = [_finish_reason(payload, output)]
    if any(item.get("type") == "compaction" for item in output):
        attributes[semconv.CONVERSATION_COMPACTED] = True
    if content and output:
        translation.content[semconv.OUTPUT_MESSAGES] = response_items.answers(output)
    return translation


def _finish_reason(payload: Any, output: list[Any]) -> str:
    status = payload.get("status")
    if "status" in payload and status is None:
        return "error"  # a stream that was left or torn
    if status == "incomplete":
        return finish_reason(mapping(payload.get("incomplete_details")).get("reason") or status)
    if status is None or status == "completed":
        if any(word(item, "type") in _CALLS for item in output):
            return "tool_call"
        return "compaction" if payload.get("object") == "response.compaction" else "stop"
    return finish_reason(status)


def _put_tool_calls(attributes: dict[str, AttributeValue], output: list[Any], tool_usage: Any) -> None:
    """Runs of OpenAI's own tools, which are billed beside the tokens: of the web's what searched, not what
    opened a page or looked for words in it, and of the code interpreter its containers."""
    kinds = [word(item, "type") for item in output]
    searches = mapping(tool_usage.get("web_search")).get("num_requests")
    if type(searches) is not int:
        actions = [mapping(item.get("action")) for item in output if item.get("type") == "web_search_call"]
        searches = sum(action.get("type", "search") == "search" for action in actions)
    put_int(attributes, semconv.USAGE_WEB_SEARCHES, searches or None)
    put_int(attributes, semconv.USAGE_FILE_SEARCHES, kinds.count("file_search_call") or None)
    containers = {
        str(item.get("container_id")) for item in output if item.get("type") == "code_interpreter_call"
    }
    put_int(attributes, semconv.USAGE_CODE_CONTAINERS, len(containers) or None)
    for kind in sorted(_BUILT_IN.intersection(kinds)):
        key = semconv.USAGE_TOOL_CALLS.format(tool=kind.removesuffix("_call"))
        attributes[key] = kinds.count(kind)


def _image_generation(payload: Any, usage: Any) -> InnerCall | None:
    """The image model that drew for the answer; its tokens are in no count of the answer's own."""
    attributes: dict[str, AttributeValue] = {}
    put_newer_usage(attributes, usage)
    if not any(attributes.values()):
        return None
    tools = [mapping(tool) for tool in items(payload.get("tools"))]
    models = [tool.get("model") for tool in tools if tool.get("type") == "image_generation"]
    put_text(attributes, semconv.REQUEST_MODEL, next(iter(models), None))
    attributes[semconv.OUTPUT_TYPE] = "image"
    return InnerCall("image_generation", "generate_content", attributes)


def tool_definition(tool: Any) -> Json:
    """A tool of a request, in the convention's schema."""
    if word(tool, "type") in {"function", "custom"}:
        definition = message_parts.function(
            tool.get("name"), tool.get("description"), tool.get("parameters"), tool["type"]
        )
        return {**definition, "format": tool["format"]} if "format" in tool else definition
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
    payload = mapping(body)
    translation = response(body, content)
    attributes = translation.attributes
    if (
        payload.get("status")
        and payload.get("background")
        and not background_responses.is_pending(payload["status"])
    ):
        attributes[semconv.OPERATION_NAME] = "chat"
        put_text(attributes, semconv.REQUEST_MODEL, payload.get("model"))
        return translation
    attributes[semconv.OPERATION_NAME] = background_responses.FETCH
    for key in [key for key in attributes if ".usage." in key]:
        del attributes[key]
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

"""Gemini interactions: `POST …/interactions`, and `GET …/interactions/{id}` for what was made before.

An interaction may be made in the background, then fetched or streamed, and a broken stream resumed; it counts
once, see `background_responses`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

from opentelemetry.util.types import AttributeValue

from llmtrace import semconv
from llmtrace.wire import background_responses, base64_pieces, message_parts
from llmtrace.wire.finish_reasons import finish_reason
from llmtrace.wire.format import (
    Json,
    Translation,
    WireFormat,
    between,
    either,
    index_or_id,
    items,
    mapping,
    parsed,
    put_int,
    put_sum,
    put_text,
    word,
)

from .generate_content import put_config, put_modalities

_OPERATION: Final = "generate_content"
_STEP_EVENTS: Final = frozenset({"step.start", "step.delta", "content.start", "content.delta"})
_VERSIONS: Final = tuple(f"/{version}/interactions" for version in ("v1", "v1beta", "v1alpha", "v1beta1"))


def matches(path: str, body: bytes) -> bool:
    """By an API version before the last word, and what every request has."""
    return path.endswith(_VERSIONS) and b'"input"' in body and (b'"model"' in body or b'"agent"' in body)


def matches_fetch(path: str, body: bytes) -> bool:
    """By an API version before the last word but one."""
    return path.rpartition("/")[0].endswith(_VERSIONS)


def request(body: Json, path: str, content: bool) -> Translation:
    """Request body to attributes."""
    payload = mapping(body)
    translation = Translation()
    attributes = translation.attributes
    put_text(attributes, semconv.REQUEST_MODEL, payload.get("model"))
    put_text(attributes, semconv.AGENT_ID, payload.get("agent"))
    put_text(attributes, semconv.REQUEST_PREVIOUS_RESPONSE_ID, payload.get("previous_interaction_id"))
    put_text(attributes, semconv.REQUEST_SERVICE_TIER, payload.get("service_tier"))
    put_config(attributes, mapping(payload.get("generation_config")))
    if payload.get("stream") is True:
        attributes[semconv.REQUEST_STREAM] = True
    if content:
        if instructions := message_parts.instructions(payload.get("system_instruction")):
            translation.content[semconv.SYSTEM_INSTRUCTIONS] = instructions
        translation.content[semconv.INPUT_MESSAGES] = _inputs(payload.get("input"))
        if tools := [
            {"name": word(tool, "type"), **tool} for tool in map(mapping, items(payload.get("tools")))
        ]:
            translation.content[semconv.TOOL_DEFINITIONS] = tools
    return translation


def request_fetch(body: Json, path: str, content: bool) -> Translation:
    """All that a fetch says is the id."""
    translation = Translation()
    put_text(translation.attributes, semconv.RESPONSE_ID, between(path, "/interactions/"))
    return translation


def response(body: Json, content: bool) -> Translation:
    """An interaction to attributes; one that is still being made has a status and no usage."""
    payload = mapping(body)
    translation = Translation()
    attributes = translation.attributes
    status = payload.get("status")
    put_text(attributes, semconv.RESPONSE_ID, payload.get("id"))
    put_text(attributes, semconv.RESPONSE_MODEL, payload.get("model"))
    put_text(attributes, semconv.RESPONSE_STATUS, status)
    put_text(attributes, semconv.RESPONSE_SERVICE_TIER, payload.get("service_tier"))
    steps = [mapping(step) for step in items(either(payload, "steps", "outputs"))]
    if status == "in_progress":
        attributes[semconv.OPERATION_NAME] = background_responses.QUEUED
    elif status:
        attributes[semconv.OPERATION_NAME] = _OPERATION
        attributes[semconv.RESPONSE_FINISH_REASONS] = [finish_reason(status)]
        _put_usage(attributes, mapping(payload.get("usage")))
    if content:
        whole_steps = [_with_joined_contents(step) for step in steps if step.get("type") != "user_input"]
        parts = [part for step in whole_steps for part in _parts(step)]
        if parts:
            translation.content[semconv.OUTPUT_MESSAGES] = [message_parts.message("assistant", parts)]
    return translation


def response_fetch(body: Json, content: bool) -> Translation:
    """As above; of an unfinished one it is only a poll."""
    translation = response(body, content)
    attributes = translation.attributes
    if attributes.get(semconv.OPERATION_NAME) == _OPERATION:
        put_text(attributes, semconv.REQUEST_MODEL, attributes.get(semconv.RESPONSE_MODEL))
    else:
        attributes[semconv.OPERATION_NAME] = background_responses.FETCH
    return translation


def _put_usage(attributes: dict[str, AttributeValue], usage: Any) -> None:
    thoughts = usage.get("total_thought_tokens")
    put_sum(
        attributes,
        semconv.USAGE_INPUT_TOKENS,
        usage.get("total_input_tokens"),
        usage.get("total_tool_use_tokens"),
    )
    put_sum(attributes, semconv.USAGE_OUTPUT_TOKENS, usage.get("total_output_tokens"), thoughts)
    put_int(attributes, semconv.USAGE_CACHE_READ_INPUT_TOKENS, usage.get("total_cached_tokens"))
    put_int(attributes, semconv.USAGE_REASONING_OUTPUT_TOKENS, thoughts)
    put_modalities(attributes, usage.get("input_tokens_by_modality"), semconv.USAGE_MODALITY_INPUT)
    put_modalities(attributes, usage.get("output_tokens_by_modality"), semconv.USAGE_MODALITY_OUTPUT)


def _inputs(raw_input: Json) -> list[Json]:
    """A text, one content, or a list of contents, turns (`role`) or steps."""
    if isinstance(raw_input, str):
        return [message_parts.message("user", [message_parts.text(raw_input)])]
    messages: list[Json] = []
    for entry in map(mapping, items(raw_input) or [raw_input]):
        kind = word(entry, "type")
        content = entry.get("content") if "role" in entry else None
        if isinstance(content, str):
            messages.append(message_parts.message(_role(entry), [message_parts.text(content)]))
        elif isinstance(content, list):
            messages.append(message_parts.message(_role(entry), [_part(mapping(part)) for part in content]))
        else:
            role = "assistant" if kind in {"model_output", "thought", "function_call"} else "user"
            messages.append(message_parts.message(role, _parts(entry)))
    return messages


def _role(message: Any) -> Json:
    return "assistant" if message.get("role") == "model" else message.get("role")


def _parts(step: Any) -> list[Json]:
    """The parts of a step, or of a mere content."""
    kind = word(step, "type")
    if kind in {"user_input", "model_output"}:
        return [_part(mapping(content)) for content in items(step.get("content"))]
    if kind == "thought":
        texts = [mapping(summary).get("text") for summary in items(step.get("summary"))]
        return [message_parts.reasoning(text) for text in texts if isinstance(text, str)]
    return [_part(step)]


def _part(part: Any) -> Json:
    kind = word(part, "type")
    if kind == "text":
        return message_parts.text(part.get("text"))
    if kind == "function_call":
        return message_parts.tool_call(part.get("id"), part.get("name"), part.get("arguments") or {})
    if kind == "function_result":
        return message_parts.tool_response(part.get("call_id"), part.get("result"))
    if kind in {"image", "audio", "video", "document"}:
        if "uri" in part:
            return message_parts.uri(kind, part["uri"], part.get("mime_type"))
        return message_parts.blob(kind, part.get("mime_type"), part.get("data"))
    if kind.endswith("_call"):
        return message_parts.server_tool_call(part.get("id"), kind.removesuffix("_call"), dict(part))
    if kind.endswith("_result"):
        return message_parts.server_tool_response(part.get("call_id"), dict(part))
    return message_parts.unknown(dict(part))


def fold(events: Iterable[Json]) -> Json:
    """The interaction with the steps that were streamed, or with the contents of the API's first version."""
    body: dict[str, Any] = {}
    steps: list[dict[str, Any]] = []
    latest: dict[int | str, dict[str, Any]] = {}
    for event in map(mapping, events):
        body.update({key: value for key, value in mapping(event.get("interaction")).items() if value})
        kind = word(event, "event_type")
        if kind == "error" or event.get("error"):
            body["error"] = event.get("error")
        elif kind in _STEP_EVENTS:
            index = index_or_id(event.get("index"))
            step = latest.get(index)
            if step is None or kind in {"step.start", "content.start"}:
                begun = mapping(event.get("step")) or mapping(event.get("content"))
                step = latest[index] = dict(begun)
                steps.append(step)
            if kind == "step.delta":
                _append(step, mapping(event.get("delta")))
            elif kind == "content.delta":
                _append_to_content(step, mapping(event.get("delta")))
        elif event.get("status"):
            body["status"] = event["status"]
    for step in steps:
        if word(step, "type") == "function_call":
            step["arguments"] = parsed(step.get("arguments") or {})
    if steps:
        body["steps"] = steps
    return body


def _append(step: dict[str, Any], delta: Any) -> None:
    kind = word(delta, "type")
    if kind == "thought_summary":
        step["summary"] = _joined([*items(step.get("summary")), mapping(delta.get("content"))])
    elif kind in {"arguments", "arguments_delta"}:
        arguments_delta = either(delta, "partial_arguments", "arguments")
        before = step.get("arguments")
        step["arguments"] = f"{before if isinstance(before, str) else ''}{arguments_delta or ''}"
        step.setdefault("type", "function_call")
    elif kind != "thought_signature":
        step["content"] = _joined([*items(step.get("content")), dict(delta)])
        step.setdefault("type", "model_output")


def _append_to_content(content: dict[str, Any], delta: Any) -> None:
    """A content is its own step: a text or sound grows, all else is told whole."""
    if word(delta, "type") in {"thought_summary", "thought_signature", "arguments", "arguments_delta"}:
        content.setdefault("type", "thought" if "thought" in word(delta, "type") else "function_call")
        _append(content, delta)
        return
    before = dict(content)
    content.update(delta)
    for key in ("text", "data"):
        if isinstance(before.get(key), str) and isinstance(delta.get(key), str):
            content[key] = before[key] + delta[key]


def _with_joined_contents(step: Any) -> Any:
    """A step as its stream would give it: where one text ends and the next begins, that does not say."""
    for key in ("content", "summary"):
        contents: list[Json] = []
        for content in items(step.get(key)):
            contents = _joined([*contents, content])
        if contents:
            step = {**step, key: contents}
    return step


def _joined(contents: list[Json]) -> list[Json]:
    """Neighbouring texts as one, and pieces of one sound."""
    last, previous = contents[-1], mapping(contents[-2]) if len(contents) > 1 else {}
    kind = word(mapping(last), "type")
    if kind != word(previous, "type") or kind not in {"text", "audio"}:
        return contents
    key = "text" if kind == "text" else "data"
    pieces = [word(previous, key), word(last, key)]
    whole = "".join(pieces) if kind == "text" else base64_pieces.join(pieces)
    return [*contents[:-2], {**last, **previous, key: whole}]


FORMAT: Final = WireFormat(
    provider="gcp.gemini",
    operation=_OPERATION,
    endings=("interactions",),
    matches=matches,
    request=request,
    response=response,
    fold=fold,
    fetched_again=True,
)
FETCH: Final = replace(
    FORMAT,
    operation=background_responses.FETCH,
    method="GET",
    matches=matches_fetch,
    request=request_fetch,
    response=response_fetch,
)

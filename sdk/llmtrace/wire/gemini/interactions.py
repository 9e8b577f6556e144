"""Gemini interactions: `POST …/interactions`, and `GET …/interactions/{id}` for what was made before.

An interaction may be made in the background, then fetched or streamed, and a broken stream resumed; it counts
once, see `deferred`.
"""

from __future__ import annotations

from collections.abc import Iterable
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
    either,
    items,
    mapping,
    place,
    put_int,
    put_sum,
    put_text,
    word,
)

from .generate_content import put_config, put_modalities

_OPERATION: Final = "generate_content"
_VERSIONS: Final = tuple(f"/{each}/interactions" for each in ("v1", "v1beta", "v1alpha", "v1beta1"))


def matches(path: str, body: bytes) -> bool:
    """By an API version before the last word, and what every request has."""
    return path.endswith(_VERSIONS) and b'"input"' in body and (b'"model"' in body or b'"agent"' in body)


def matches_fetch(path: str, body: bytes) -> bool:
    """By an API version before the last word but one."""
    return path.rpartition("/")[0].endswith(_VERSIONS)


def request(body: Json, path: str, content: bool) -> Translation:
    """Request body to attributes."""
    sent = mapping(body)
    translation = Translation()
    put = translation.attributes
    put_text(put, semconv.REQUEST_MODEL, sent.get("model"))
    put_text(put, semconv.AGENT_ID, sent.get("agent"))
    put_text(put, semconv.REQUEST_PREVIOUS_RESPONSE_ID, sent.get("previous_interaction_id"))
    put_text(put, semconv.REQUEST_SERVICE_TIER, sent.get("service_tier"))
    put_config(put, mapping(sent.get("generation_config")))
    if sent.get("stream") is True:
        put[semconv.REQUEST_STREAM] = True
    if content:
        if told := message_parts.instructions(sent.get("system_instruction")):
            translation.content[semconv.SYSTEM_INSTRUCTIONS] = told
        translation.content[semconv.INPUT_MESSAGES] = _inputs(sent.get("input"))
        if tools := [{"name": word(each, "type"), **each} for each in map(mapping, items(sent.get("tools")))]:
            translation.content[semconv.TOOL_DEFINITIONS] = tools
    return translation


def request_fetch(body: Json, path: str, content: bool) -> Translation:
    """All that a fetch says is the id."""
    translation = Translation()
    put_text(translation.attributes, semconv.RESPONSE_ID, between(path, "/interactions/"))
    return translation


def response(body: Json, content: bool) -> Translation:
    """An interaction to attributes; one that is still being made has a status and no usage."""
    received = mapping(body)
    translation = Translation()
    put = translation.attributes
    status = received.get("status")
    put_text(put, semconv.RESPONSE_ID, received.get("id"))
    put_text(put, semconv.RESPONSE_MODEL, received.get("model"))
    put_text(put, semconv.RESPONSE_STATUS, status)
    put_text(put, semconv.RESPONSE_SERVICE_TIER, received.get("service_tier"))
    steps = [mapping(each) for each in items(either(received, "steps", "outputs"))]
    if status == "in_progress":
        put[semconv.OPERATION_NAME] = background_responses.QUEUED
    elif status:
        put[semconv.OPERATION_NAME] = _OPERATION
        put[semconv.RESPONSE_FINISH_REASONS] = [finish_reason(status)]
        _put_usage(put, mapping(received.get("usage")))
    if content:
        answered = [part for each in steps if each.get("type") != "user_input" for part in _parts(each)]
        if answered:
            translation.content[semconv.OUTPUT_MESSAGES] = [message_parts.message("assistant", answered)]
    return translation


def response_fetch(body: Json, content: bool) -> Translation:
    """As above; what is not finished is but a look at it."""
    translation = response(body, content)
    put = translation.attributes
    if put.get(semconv.OPERATION_NAME) == _OPERATION:
        put_text(put, semconv.REQUEST_MODEL, put.get(semconv.RESPONSE_MODEL))
    else:
        put[semconv.OPERATION_NAME] = background_responses.FETCH
    return translation


def _put_usage(put: dict[str, AttributeValue], usage: Any) -> None:
    thoughts = usage.get("total_thought_tokens")
    put_sum(
        put,
        semconv.USAGE_INPUT_TOKENS,
        usage.get("total_input_tokens"),
        usage.get("total_tool_use_tokens"),
    )
    put_sum(put, semconv.USAGE_OUTPUT_TOKENS, usage.get("total_output_tokens"), thoughts)
    put_int(put, semconv.USAGE_CACHE_READ_INPUT_TOKENS, usage.get("total_cached_tokens"))
    put_int(put, semconv.USAGE_REASONING_OUTPUT_TOKENS, thoughts)
    put_modalities(put, usage.get("input_tokens_by_modality"), semconv.USAGE_MODALITY_INPUT)
    put_modalities(put, usage.get("output_tokens_by_modality"), semconv.USAGE_MODALITY_OUTPUT)


def _inputs(given: Json) -> list[Json]:
    """A text, one content, or a list of contents, turns (`role`) or steps."""
    if isinstance(given, str):
        return [message_parts.message("user", [message_parts.text(given)])]
    made: list[Json] = []
    for each in map(mapping, items(given) or [given]):
        kind = word(each, "type")
        said = each.get("content") if "role" in each else None
        if isinstance(said, str):
            made.append(message_parts.message(_role(each), [message_parts.text(said)]))
        elif isinstance(said, list):
            made.append(message_parts.message(_role(each), [_part(mapping(part)) for part in said]))
        else:
            theirs = kind in {"model_output", "thought", "function_call"}
            made.append(message_parts.message("assistant" if theirs else "user", _parts(each)))
    return made


def _role(turn: Any) -> Json:
    return "assistant" if turn.get("role") == "model" else turn.get("role")


def _parts(step: Any) -> list[Json]:
    """The parts of a step, or of a mere content."""
    kind = word(step, "type")
    if kind in {"user_input", "model_output"}:
        return [_part(mapping(each)) for each in items(step.get("content"))]
    if kind == "thought":
        texts = [mapping(each).get("text") for each in items(step.get("summary"))]
        return [message_parts.reasoning(each) for each in texts if isinstance(each, str)]
    return [_part(step)]


def _part(part: Any) -> Json:
    kind = word(part, "type")
    if kind == "text":
        return message_parts.text(part.get("text"))
    if kind == "function_call":
        return message_parts.tool_call(part.get("id"), part.get("name"), part.get("arguments"))
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
    """The interaction with the steps that were streamed."""
    body: dict[str, Any] = {}
    steps: dict[Any, dict[str, Any]] = {}
    for event in map(mapping, events):
        body.update({key: value for key, value in mapping(event.get("interaction")).items() if value})
        kind = word(event, "event_type")
        if kind == "error" or event.get("error"):
            body["error"] = event.get("error")
        elif kind == "step.start":
            steps[place(event.get("index"))] = dict(mapping(event.get("step")))
        elif kind == "step.delta":
            _append(steps.setdefault(place(event.get("index")), {}), mapping(event.get("delta")))
        elif event.get("status"):
            body["status"] = event["status"]
    if steps:
        body["steps"] = list(steps.values())
    return body


def _append(step: dict[str, Any], delta: Any) -> None:
    kind = word(delta, "type")
    if kind == "thought_summary":
        step["summary"] = [*items(step.get("summary")), mapping(delta.get("content"))]
    elif kind in {"arguments", "arguments_delta"}:
        told = either(delta, "partial_arguments", "arguments")
        before = step.get("arguments")
        step["arguments"] = f"{before if isinstance(before, str) else ''}{told}"
    elif kind != "thought_signature":
        said = [dict(mapping(each)) for each in items(step.get("content"))]
        if kind == "text" and said and said[-1].get("type") == "text":
            said[-1]["text"] = f"{said[-1].get('text') or ''}{delta.get('text') or ''}"
        else:
            said.append(dict(delta))
        step.setdefault("type", "model_output")
        step["content"] = said


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

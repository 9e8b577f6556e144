"""Amazon Bedrock Converse: `POST /model/{id}/converse` and `/converse-stream` (an AWS event stream)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from opentelemetry.util.types import AttributeValue

from llmtrace import semconv
from llmtrace.wire import message_parts
from llmtrace.wire.finish_reasons import finish_reason
from llmtrace.wire.format import (
    Json,
    Translation,
    WireFormat,
    between,
    items,
    mapping,
    parsed,
    place,
    put_int,
    put_sum,
    put_text,
)
from llmtrace.wire.request_params import put_settings


def matches(path: str, body: bytes) -> bool:
    """By the model's place in the path."""
    return "/model/" in path


def request(body: Json, path: str, content: bool) -> Translation:
    """Request body to attributes; the model is in the path."""
    sent = mapping(body)
    translation = Translation()
    put = translation.attributes
    put_text(put, semconv.REQUEST_MODEL, between(path, "/model/"))
    if path.endswith("-stream"):
        put[semconv.REQUEST_STREAM] = True
    more = mapping(sent.get("additionalModelRequestFields"))
    put_settings(put, {"top_k": more.get("top_k"), **mapping(sent.get("inferenceConfig"))})
    put_text(put, semconv.REQUEST_SERVICE_TIER, mapping(sent.get("serviceTier")).get("type"))
    guardrail = mapping(sent.get("guardrailConfig")).get("guardrailIdentifier")
    put_text(put, semconv.AWS_BEDROCK_GUARDRAIL_ID, guardrail)
    if content:
        if told := message_parts.instructions(sent.get("system")):
            translation.content[semconv.SYSTEM_INSTRUCTIONS] = told
        translation.content[semconv.INPUT_MESSAGES] = [_message(each) for each in items(sent.get("messages"))]
        tools = [_tool(mapping(each)) for each in items(mapping(sent.get("toolConfig")).get("tools"))]
        if tools := [each for each in tools if each is not None]:
            translation.content[semconv.TOOL_DEFINITIONS] = tools
    return translation


def response(body: Json, content: bool) -> Translation:
    """Response body to attributes."""
    received = mapping(body)
    translation = Translation()
    put = translation.attributes
    put_usage(put, mapping(received.get("usage")))
    put_text(put, semconv.RESPONSE_SERVICE_TIER, mapping(received.get("serviceTier")).get("type"))
    message = mapping(mapping(received.get("output")).get("message"))
    if message or received.get("stopReason"):
        put[semconv.RESPONSE_FINISH_REASONS] = [finish_reason(received.get("stopReason"))]
    if content and message:
        translation.content[semconv.OUTPUT_MESSAGES] = [_message({"role": "assistant", **message})]
    return translation


def put_usage(put: dict[str, AttributeValue], usage: Any) -> None:
    """The convention's input includes what was read from and written to the cache; Bedrock's does not."""
    read, written = usage.get("cacheReadInputTokens"), usage.get("cacheWriteInputTokens")
    put_sum(put, semconv.USAGE_INPUT_TOKENS, usage.get("inputTokens"), read, written)
    put_int(put, semconv.USAGE_OUTPUT_TOKENS, usage.get("outputTokens"))
    put_int(put, semconv.USAGE_CACHE_READ_INPUT_TOKENS, read)
    put_int(put, semconv.USAGE_CACHE_WRITE_INPUT_TOKENS, written)
    ages = {"5m": semconv.USAGE_CACHE_WRITE_5M, "1h": semconv.USAGE_CACHE_WRITE_1H}
    for detail in map(mapping, items(usage.get("cacheDetails"))):
        if (key := ages.get(str(detail.get("ttl")))) is not None:
            put_int(put, key, detail.get("inputTokens"))


def _message(value: Json) -> Json:
    sent = mapping(value)
    made = [_part(mapping(each)) for each in items(sent.get("content"))]
    return message_parts.message(sent.get("role"), [each for each in made if each is not None])


def _part(part: Any) -> Json:
    """One content block: an object with one key, which is its kind. Cache points are no content."""
    kind, value = next(iter(part.items()), ("", None))
    inner = mapping(value)
    if kind == "text":
        return message_parts.text(value)
    if kind == "reasoningContent":
        thought = mapping(inner.get("reasoningText")).get("text")
        return message_parts.reasoning("[redacted by the provider]" if thought is None else thought)
    if kind == "toolUse":
        return message_parts.tool_call(inner.get("toolUseId"), inner.get("name"), inner.get("input"))
    if kind == "toolResult":
        answer = message_parts.tool_response(inner.get("toolUseId"), _answer(items(inner.get("content"))))
        return {**answer, "is_error": True} if inner.get("status") == "error" else answer
    if kind in {"image", "document", "video", "audio"}:
        source = mapping(inner.get("source"))
        place = mapping(source.get("s3Location")).get("uri")
        mime = f"{'application' if kind == 'document' else kind}/{inner.get('format')}"
        return (
            message_parts.uri(kind, place, mime)
            if place
            else message_parts.blob(kind, mime, source.get("bytes"))
        )
    if kind == "guardContent":
        return message_parts.text(mapping(inner.get("text")).get("text"))
    return None if kind in {"cachePoint", ""} else message_parts.unknown(dict(part))


def _answer(content: list[Json]) -> Json:
    """A tool's answer: the value itself where there is only one."""
    made = [each.get("json", each.get("text", each)) for each in map(mapping, content)]
    return made[0] if len(made) == 1 else made


def _tool(tool: Any) -> Json:
    described = mapping(tool.get("toolSpec"))
    if described:
        schema = mapping(described.get("inputSchema")).get("json")
        return message_parts.function(described.get("name"), described.get("description"), schema)
    built_in = mapping(tool.get("systemTool"))
    return {"type": "systemTool", "name": built_in.get("name")} if built_in else None


def fold(events: Iterable[Json]) -> Json:
    """Events, each an object with its kind as key, to the response they add up to."""
    body: dict[str, Any] = {}
    blocks: dict[Any, dict[str, Any]] = {}
    for event in map(mapping, events):
        kind, value = next(iter(event.items()), ("", None))
        inner = mapping(value)
        if kind == "error":
            body["error"] = value
        elif kind in {"metadata", "messageStop"}:
            body.update(inner)
        elif kind in {"contentBlockStart", "contentBlockDelta"}:
            block = blocks.setdefault(place(inner.get("contentBlockIndex")), {})
            _append(block, mapping(inner.get("start") or inner.get("delta")))
    if blocks:
        for block in blocks.values():
            if "toolUse" in block:
                block["toolUse"]["input"] = parsed(block["toolUse"].get("input"))
        body["output"] = {"message": {"role": "assistant", "content": list(blocks.values())}}
    return body


def _append(block: dict[str, Any], delta: Any) -> None:
    for kind, value in delta.items():
        if kind == "text":
            block["text"] = block.get("text", "") + str(value)
        elif kind == "toolUse":
            call = block.setdefault("toolUse", {"input": ""})
            given = mapping(value)
            call["input"] += str(given.get("input", ""))
            call.update({key: each for key, each in given.items() if key != "input"})
        elif kind == "reasoningContent":
            thought = block.setdefault("reasoningContent", {})
            if words := mapping(value).get("text"):
                before = mapping(thought.get("reasoningText")).get("text", "")
                thought["reasoningText"] = {"text": f"{before}{words}"}


FORMAT: Final = WireFormat(
    provider="aws.bedrock",
    operation="chat",
    endings=("converse", "converse-stream"),
    matches=matches,
    request=request,
    response=response,
    fold=fold,
)

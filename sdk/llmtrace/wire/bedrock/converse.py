"""Amazon Bedrock Converse: `POST /model/{id}/converse` and `/converse-stream` (an AWS event stream)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from opentelemetry.util.types import AttributeValue

from llmtrace import semconv
from llmtrace.wire import base64_pieces, message_parts
from llmtrace.wire.finish_reasons import finish_reason
from llmtrace.wire.format import (
    Json,
    Translation,
    WireFormat,
    between,
    index_or_id,
    items,
    mapping,
    parsed,
    put_int,
    put_sum,
    put_text,
)
from llmtrace.wire.request_params import put_request_params


def matches(path: str, body: bytes) -> bool:
    """By the model's place in the path."""
    return "/model/" in path


def request(body: Json, path: str, content: bool) -> Translation:
    """Request body to attributes; the model is in the path."""
    payload = mapping(body)
    translation = Translation()
    attributes = translation.attributes
    put_text(attributes, semconv.REQUEST_MODEL, between(path, "/model/"))
    if path.endswith("-stream"):
        attributes[semconv.REQUEST_STREAM] = True
    additional_fields = mapping(payload.get("additionalModelRequestFields"))
    put_request_params(
        attributes, {"top_k": additional_fields.get("top_k"), **mapping(payload.get("inferenceConfig"))}
    )
    put_text(attributes, semconv.REQUEST_SERVICE_TIER, mapping(payload.get("serviceTier")).get("type"))
    guardrail = mapping(payload.get("guardrailConfig")).get("guardrailIdentifier")
    put_text(attributes, semconv.AWS_BEDROCK_GUARDRAIL_ID, guardrail)
    if content:
        if instructions := message_parts.instructions(payload.get("system")):
            translation.content[semconv.SYSTEM_INSTRUCTIONS] = instructions
        translation.content[semconv.INPUT_MESSAGES] = [
            _message(raw_message) for raw_message in items(payload.get("messages"))
        ]
        tools = [
            _tool(mapping(definition))
            for definition in items(mapping(payload.get("toolConfig")).get("tools"))
        ]
        if tools := [tool for tool in tools if tool is not None]:
            translation.content[semconv.TOOL_DEFINITIONS] = tools
    return translation


def response(body: Json, content: bool) -> Translation:
    """Response body to attributes."""
    payload = mapping(body)
    translation = Translation()
    attributes = translation.attributes
    put_usage(attributes, mapping(payload.get("usage")))
    put_text(attributes, semconv.RESPONSE_SERVICE_TIER, mapping(payload.get("serviceTier")).get("type"))
    message = mapping(mapping(payload.get("output")).get("message"))
    if message or payload.get("stopReason"):
        attributes[semconv.RESPONSE_FINISH_REASONS] = [finish_reason(payload.get("stopReason"))]
        if payload.get("stopReason") == "stop_sequence":
            attributes[semconv.RESPONSE_STOP_SEQUENCE] = True
    if content and message:
        translation.content[semconv.OUTPUT_MESSAGES] = [_message({"role": "assistant", **message})]
    return translation


def put_usage(attributes: dict[str, AttributeValue], usage: Any) -> None:
    """The convention's input includes what was read from and written to the cache; Bedrock's does not."""
    cache_reads, cache_writes = usage.get("cacheReadInputTokens"), usage.get("cacheWriteInputTokens")
    put_sum(attributes, semconv.USAGE_INPUT_TOKENS, usage.get("inputTokens"), cache_reads, cache_writes)
    put_int(attributes, semconv.USAGE_OUTPUT_TOKENS, usage.get("outputTokens"))
    put_int(attributes, semconv.USAGE_CACHE_READ_INPUT_TOKENS, cache_reads)
    put_int(attributes, semconv.USAGE_CACHE_WRITE_INPUT_TOKENS, cache_writes)
    ages = {"5m": semconv.USAGE_CACHE_WRITE_5M, "1h": semconv.USAGE_CACHE_WRITE_1H}
    for detail in map(mapping, items(usage.get("cacheDetails"))):
        if (key := ages.get(str(detail.get("ttl")))) is not None:
            put_int(attributes, key, detail.get("inputTokens"))


def _message(value: Json) -> Json:
    raw_message = mapping(value)
    parts = [_part(mapping(block)) for block in items(raw_message.get("content"))]
    return message_parts.message(raw_message.get("role"), [part for part in parts if part is not None])


def _part(part: Any) -> Json:
    """One content block: an object with one key, which is its kind. Cache points are no content."""
    kind, value = next(iter(part.items()), ("", None))
    inner = mapping(value)
    if kind == "text":
        return message_parts.text(value)
    if kind == "reasoningContent":
        thought = mapping(inner.get("reasoningText")).get("text")
        return message_parts.reasoning("[redacted by the provider]" if thought is None else thought)
    if kind == "citationsContent":
        texts = [mapping(generated).get("text") for generated in items(inner.get("content"))]
        return message_parts.text("".join(text for text in texts if isinstance(text, str)))
    if kind == "toolUse" and inner.get("type") == "server_tool_use":
        return message_parts.server_tool_call(inner.get("toolUseId"), inner.get("name"), dict(inner))
    if kind == "toolUse":
        return message_parts.tool_call(inner.get("toolUseId"), inner.get("name"), inner.get("input"))
    if kind == "toolResult":
        answer = message_parts.tool_response(inner.get("toolUseId"), _answer(items(inner.get("content"))))
        return {**answer, "is_error": True} if inner.get("status") == "error" else answer
    if kind in {"image", "document", "video", "audio"}:
        source = mapping(inner.get("source"))
        s3_uri = mapping(source.get("s3Location")).get("uri")
        mime = f"{'application' if kind == 'document' else kind}/{inner.get('format')}"
        return (
            message_parts.uri(kind, s3_uri, mime)
            if s3_uri
            else message_parts.blob(kind, mime, source.get("bytes"))
        )
    if kind == "guardContent":
        return message_parts.text(mapping(inner.get("text")).get("text"))
    return None if kind in {"cachePoint", ""} else message_parts.unknown(dict(part))


def _answer(content: list[Json]) -> Json:
    """A tool's answer: the value itself where there is only one."""
    results = [block.get("json", block.get("text", block)) for block in map(mapping, content)]
    return results[0] if len(results) == 1 else results


def _tool(tool: Any) -> Json:
    spec = mapping(tool.get("toolSpec"))
    if spec:
        schema = mapping(spec.get("inputSchema")).get("json")
        return message_parts.function(spec.get("name"), spec.get("description"), schema)
    system_tool = mapping(tool.get("systemTool"))
    return {"type": "systemTool", "name": system_tool.get("name")} if system_tool else None


def fold(events: Iterable[Json]) -> Json:
    """Events, each an object with its kind as key, to the response they add up to."""
    body: dict[str, Any] = {}
    blocks: list[dict[str, Any]] = []
    latest: dict[int | str, dict[str, Any]] = {}
    for event in map(mapping, events):
        kind, value = next(iter(event.items()), ("", None))
        inner = mapping(value)
        if kind == "error":
            body["error"] = value
        elif kind.endswith("Exception"):
            body["error"] = {"type": kind, "message": inner.get("message")}
        elif kind in {"metadata", "messageStop"}:
            body.update(inner)
        elif kind in {"contentBlockStart", "contentBlockDelta"}:
            index = index_or_id(inner.get("contentBlockIndex"))
            block = latest.get(index)
            if block is None or kind == "contentBlockStart":
                block = latest[index] = {}
                blocks.append(block)
            _append(block, mapping(inner.get("start") or inner.get("delta")))
    if blocks:
        for block in blocks:
            if "toolUse" in block:
                block["toolUse"]["input"] = parsed(block["toolUse"].get("input"))
        body["output"] = {"message": {"role": "assistant", "content": blocks}}
    return body


def _append(block: dict[str, Any], delta: Any) -> None:
    for kind, value in delta.items():
        if kind == "text":
            block["text"] = block.get("text", "") + str(value)
        elif kind == "toolUse":
            call = block.setdefault("toolUse", {"input": ""})
            call_delta = mapping(value)
            call["input"] += str(call_delta.get("input", ""))
            call.update({key: entry for key, entry in call_delta.items() if key != "input"})
        elif kind == "reasoningContent":
            thought = block.setdefault("reasoningContent", {})
            if words := mapping(value).get("text"):
                before = mapping(thought.get("reasoningText")).get("text", "")
                thought["reasoningText"] = {"text": f"{before}{words}"}
        elif kind == "toolResult":
            result = block.setdefault("toolResult", {"content": []})
            if isinstance(value, list):
                result["content"] = _joined_texts([*result["content"], *value])
            else:
                result.update(mapping(value))
                result["content"] = items(result.get("content"))
        elif kind == "image":
            image = block.setdefault("image", {})
            piece = mapping(mapping(value).get("source")).get("bytes")
            before = mapping(image.get("source")).get("bytes")
            image.update(mapping(value))
            if isinstance(piece, str) and isinstance(before, str):
                image["source"] = {"bytes": base64_pieces.join((before, piece))}
        elif kind != "citation":
            block.setdefault(kind, value)


def _joined_texts(content: list[Json]) -> list[Json]:
    """A tool's answer with its neighbouring texts as one."""
    joined: list[Json] = []
    for part in map(mapping, content):
        if joined and "text" in part and "text" in joined[-1]:
            joined[-1] = {"text": f"{joined[-1]['text']}{part['text']}"}
        else:
            joined.append(part)
    return joined


FORMAT: Final = WireFormat(
    provider=semconv.PROVIDER_AWS_BEDROCK,
    operation="chat",
    endings=("converse", "converse-stream"),
    matches=matches,
    request=request,
    response=response,
    fold=fold,
)

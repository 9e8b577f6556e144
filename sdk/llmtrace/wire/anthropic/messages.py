"""Anthropic messages: `POST …/v1/messages`; on Vertex AI `…/models/{model}:rawPredict`.

Bedrock carries the same bodies; `bedrock.invoke_model` hands them here.
"""

from __future__ import annotations

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
    put_int,
    put_text,
)
from llmtrace.wire.price_tiers import FAST, REGIONAL, put_price_tier
from llmtrace.wire.request_params import put_request_params

from . import iterations
from .content_blocks import message, tool
from .message_stream import JOINER, fold


def matches(path: str, body: bytes) -> bool:
    """By the two fields every request has; threads have `/messages` too."""
    if not (b'"max_tokens"' in body and b'"messages"' in body):
        return False
    return path.endswith("/messages") or "/publishers/anthropic/" in path


def request(body: Json, path: str, content: bool) -> Translation:
    """Request body to attributes."""
    payload = mapping(body)
    translation = Translation()
    attributes = translation.attributes
    put_text(attributes, semconv.REQUEST_MODEL, payload.get("model") or between(path, "/models/", ":"))
    if "/publishers/anthropic/" in path:
        put_price_tier(attributes, None, "" if "/locations/global/" in path else REGIONAL)
    put_request_params(attributes, payload)
    if payload.get("stream") is True:
        attributes[semconv.REQUEST_STREAM] = True
    output_config = mapping(payload.get("output_config"))
    put_text(attributes, semconv.REQUEST_REASONING_LEVEL, output_config.get("effort"))
    if mapping(output_config.get("format") or payload.get("output_format")).get("type") == "json_schema":
        attributes[semconv.OUTPUT_TYPE] = "json"
    if payload.get("service_tier") != "auto":
        put_text(attributes, semconv.ANTHROPIC_REQUEST_SERVICE_TIER, payload.get("service_tier"))
    put_text(attributes, semconv.USER_ID, mapping(payload.get("metadata")).get("user_id"))
    if content:
        if instructions := message_parts.instructions(payload.get("system")):
            translation.content[semconv.SYSTEM_INSTRUCTIONS] = instructions
        translation.content[semconv.INPUT_MESSAGES] = [
            message(raw_message) for raw_message in items(payload.get("messages"))
        ]
        if tools := [tool(mapping(definition)) for definition in items(payload.get("tools"))]:
            translation.content[semconv.TOOL_DEFINITIONS] = tools
    return translation


def response(body: Json, content: bool) -> Translation:
    """Response body to attributes."""
    payload = mapping(body)
    translation = Translation()
    attributes = translation.attributes
    put_text(attributes, semconv.RESPONSE_ID, payload.get("id"))
    put_text(attributes, semconv.RESPONSE_MODEL, payload.get("model"))
    usage = mapping(payload.get("usage"))
    put_usage(attributes, usage)
    translation.inner_calls += iterations.inner_calls(usage)
    put_text(attributes, semconv.RESPONSE_MODEL, iterations.fallback_model(usage))
    put_text(attributes, semconv.ANTHROPIC_RESPONSE_SERVICE_TIER, usage.get("service_tier"))
    put_price_tier(
        attributes,
        usage.get("service_tier"),
        FAST if usage.get("speed") == "fast" else "",
        "us" if usage.get("inference_geo") == "us" else "",
    )
    blocks = items(payload.get("content"))
    if payload.get("type") == "message" or blocks:
        attributes[semconv.RESPONSE_FINISH_REASONS] = [finish_reason(payload.get("stop_reason"))]
        if payload.get("stop_reason") == "stop_sequence":
            attributes[semconv.RESPONSE_STOP_SEQUENCE] = True
    if any(mapping(block).get("type") == "compaction" for block in blocks):
        attributes[semconv.CONVERSATION_COMPACTED] = True
    if content and blocks:
        translation.content[semconv.OUTPUT_MESSAGES] = [message({"role": "assistant", "content": blocks})]
    return translation


def put_usage(attributes: dict[str, AttributeValue], usage: Any) -> None:
    """Usage of the call itself: what other models used is `iterations.inner_calls`."""
    iterations.put_tokens(attributes, iterations.of_the_call(usage))
    searches = mapping(usage.get("server_tool_use")).get("web_search_requests")
    put_int(attributes, semconv.USAGE_WEB_SEARCHES, searches or None)
    thinking_tokens = mapping(usage.get("output_tokens_details")).get("thinking_tokens")
    put_int(attributes, semconv.USAGE_REASONING_OUTPUT_TOKENS, thinking_tokens)


FORMAT: Final = WireFormat(
    provider="anthropic",
    operation="chat",
    endings=("messages", "rawPredict", "streamRawPredict"),
    matches=matches,
    request=request,
    response=response,
    fold=fold,
    joined=JOINER.joined,
)

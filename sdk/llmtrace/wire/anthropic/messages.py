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
    put_sum,
    put_text,
)
from llmtrace.wire.request_params import put_request_params

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
        attributes[semconv.PROVIDER_NAME] = "gcp.vertex_ai"
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
    put_text(attributes, semconv.ANTHROPIC_RESPONSE_SERVICE_TIER, usage.get("service_tier"))
    blocks = items(payload.get("content"))
    if payload.get("type") == "message" or blocks:
        attributes[semconv.RESPONSE_FINISH_REASONS] = [finish_reason(payload.get("stop_reason"))]
    if any(mapping(block).get("type") == "compaction" for block in blocks):
        attributes[semconv.CONVERSATION_COMPACTED] = True
    if content and blocks:
        translation.content[semconv.OUTPUT_MESSAGES] = [message({"role": "assistant", "content": blocks})]
    return translation


def put_usage(attributes: dict[str, AttributeValue], usage: Any) -> None:
    """The convention's input includes what was read from and written to the cache; Anthropic's does not.

    Neither do its totals include what compacting the conversation took, which is billed as well.
    """
    iterations = map(mapping, items(usage.get("iterations")))
    usages = [usage, *(iteration for iteration in iterations if iteration.get("type") == "compaction")]
    cache_reads = [counts.get("cache_read_input_tokens") for counts in usages]
    cache_writes = [counts.get("cache_creation_input_tokens") for counts in usages]
    uncached = [counts.get("input_tokens") for counts in usages]
    put_sum(attributes, semconv.USAGE_INPUT_TOKENS, *uncached, *cache_reads, *cache_writes)
    put_sum(attributes, semconv.USAGE_OUTPUT_TOKENS, *(counts.get("output_tokens") for counts in usages))
    put_sum(attributes, semconv.USAGE_CACHE_READ_INPUT_TOKENS, *cache_reads)
    put_sum(attributes, semconv.USAGE_CACHE_WRITE_INPUT_TOKENS, *cache_writes)
    by_age = mapping(usage.get("cache_creation"))
    put_int(attributes, semconv.USAGE_CACHE_WRITE_5M, by_age.get("ephemeral_5m_input_tokens"))
    put_int(attributes, semconv.USAGE_CACHE_WRITE_1H, by_age.get("ephemeral_1h_input_tokens"))
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

"""Anthropic messages: `POST …/v1/messages`; on Vertex AI `…/models/{model}:rawPredict`.

Bedrock carries the same bodies; `bedrock_invoke` hands them here.
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
from llmtrace.wire.request_params import put_settings

from .content_blocks import message, tool
from .message_stream import RUNS, fold


def matches(path: str, body: bytes) -> bool:
    """By the two fields every request has; threads have `/messages` too."""
    if not (b'"max_tokens"' in body and b'"messages"' in body):
        return False
    return path.endswith("/messages") or "/publishers/anthropic/" in path


def request(body: Json, path: str, content: bool) -> Translation:
    """Request body to attributes."""
    sent = mapping(body)
    translation = Translation()
    put = translation.attributes
    put_text(put, semconv.REQUEST_MODEL, sent.get("model") or between(path, "/models/", ":"))
    if "/publishers/anthropic/" in path:
        put[semconv.PROVIDER_NAME] = "gcp.vertex_ai"
    put_settings(put, sent)
    if sent.get("stream") is True:
        put[semconv.REQUEST_STREAM] = True
    wanted = mapping(sent.get("output_config"))
    put_text(put, semconv.REQUEST_REASONING_LEVEL, wanted.get("effort"))
    if mapping(wanted.get("format") or sent.get("output_format")).get("type") == "json_schema":
        put[semconv.OUTPUT_TYPE] = "json"
    if sent.get("service_tier") != "auto":
        put_text(put, semconv.ANTHROPIC_REQUEST_SERVICE_TIER, sent.get("service_tier"))
    put_text(put, semconv.USER_ID, mapping(sent.get("metadata")).get("user_id"))
    if content:
        if told := message_parts.instructions(sent.get("system")):
            translation.content[semconv.SYSTEM_INSTRUCTIONS] = told
        translation.content[semconv.INPUT_MESSAGES] = [message(each) for each in items(sent.get("messages"))]
        if tools := [tool(mapping(each)) for each in items(sent.get("tools"))]:
            translation.content[semconv.TOOL_DEFINITIONS] = tools
    return translation


def response(body: Json, content: bool) -> Translation:
    """Response body to attributes."""
    received = mapping(body)
    translation = Translation()
    put = translation.attributes
    put_text(put, semconv.RESPONSE_ID, received.get("id"))
    put_text(put, semconv.RESPONSE_MODEL, received.get("model"))
    usage = mapping(received.get("usage"))
    put_usage(put, usage)
    put_text(put, semconv.ANTHROPIC_RESPONSE_SERVICE_TIER, usage.get("service_tier"))
    blocks = items(received.get("content"))
    if received.get("type") == "message" or blocks:
        put[semconv.RESPONSE_FINISH_REASONS] = [finish_reason(received.get("stop_reason"))]
    if any(mapping(each).get("type") == "compaction" for each in blocks):
        put[semconv.CONVERSATION_COMPACTED] = True
    if content and blocks:
        translation.content[semconv.OUTPUT_MESSAGES] = [message({"role": "assistant", "content": blocks})]
    return translation


def put_usage(put: dict[str, AttributeValue], usage: Any) -> None:
    """The convention's input includes what was read from and written to the cache; Anthropic's does not.

    Neither do its totals include what compacting the conversation took, which is billed as well.
    """
    iterations = map(mapping, items(usage.get("iterations")))
    counted = [usage, *(each for each in iterations if each.get("type") == "compaction")]
    read = [each.get("cache_read_input_tokens") for each in counted]
    written = [each.get("cache_creation_input_tokens") for each in counted]
    fresh = [each.get("input_tokens") for each in counted]
    put_sum(put, semconv.USAGE_INPUT_TOKENS, *fresh, *read, *written)
    put_sum(put, semconv.USAGE_OUTPUT_TOKENS, *(each.get("output_tokens") for each in counted))
    put_sum(put, semconv.USAGE_CACHE_READ_INPUT_TOKENS, *read)
    put_sum(put, semconv.USAGE_CACHE_WRITE_INPUT_TOKENS, *written)
    by_age = mapping(usage.get("cache_creation"))
    put_int(put, semconv.USAGE_CACHE_WRITE_5M, by_age.get("ephemeral_5m_input_tokens"))
    put_int(put, semconv.USAGE_CACHE_WRITE_1H, by_age.get("ephemeral_1h_input_tokens"))
    searches = mapping(usage.get("server_tool_use")).get("web_search_requests")
    put_int(put, semconv.USAGE_WEB_SEARCHES, searches or None)
    thought = mapping(usage.get("output_tokens_details")).get("thinking_tokens")
    put_int(put, semconv.USAGE_REASONING_OUTPUT_TOKENS, thought)


FORMAT: Final = WireFormat(
    provider="anthropic",
    operation="chat",
    endings=("messages", "rawPredict", "streamRawPredict"),
    matches=matches,
    request=request,
    response=response,
    fold=fold,
    joined=RUNS.joined,
)

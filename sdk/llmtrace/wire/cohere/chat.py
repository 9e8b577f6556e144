"""Cohere chat: `POST …/v2/chat`. Messages and tools are written as OpenAI writes them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from opentelemetry.util.types import AttributeValue

from llmtrace import semconv
from llmtrace.wire.finish_reasons import finish_reason
from llmtrace.wire.format import (
    Json,
    Translation,
    WireFormat,
    index_or_id,
    items,
    mapping,
    put_int,
    put_text,
    word,
)
from llmtrace.wire.framing.stream_joiner import StreamJoiner
from llmtrace.wire.openai import chat_messages
from llmtrace.wire.openai.shared import put_format
from llmtrace.wire.request_params import put_request_params


def matches(path: str, body: bytes) -> bool:
    """By the version in the path and the one field every request has."""
    return path.endswith("/v2/chat") and b'"messages"' in body


def request(body: Json, path: str, content: bool) -> Translation:
    """Request body to attributes."""
    payload = mapping(body)
    translation = Translation()
    attributes = translation.attributes
    put_text(attributes, semconv.REQUEST_MODEL, payload.get("model"))
    put_request_params(attributes, payload)
    put_format(attributes, payload.get("response_format"))
    if payload.get("stream") is True:
        attributes[semconv.REQUEST_STREAM] = True
    if content:
        input_messages = [
            chat_messages.message(raw_message) for raw_message in items(payload.get("messages"))
        ]
        translation.content[semconv.INPUT_MESSAGES] = input_messages
        if tools := chat_messages.tools(payload):
            translation.content[semconv.TOOL_DEFINITIONS] = tools
    return translation


def response(body: Json, content: bool) -> Translation:
    """Response body to attributes."""
    payload = mapping(body)
    translation = Translation()
    attributes = translation.attributes
    put_text(attributes, semconv.RESPONSE_ID, payload.get("id"))
    put_usage(attributes, mapping(payload.get("usage")))
    message = payload.get("message")
    if isinstance(message, dict) or payload.get("finish_reason"):
        attributes[semconv.RESPONSE_FINISH_REASONS] = [finish_reason(payload.get("finish_reason"))]
    if content and isinstance(message, dict):
        translation.content[semconv.OUTPUT_MESSAGES] = [
            chat_messages.message({"role": "assistant", **message})
        ]
    return translation


def put_usage(attributes: dict[str, AttributeValue], usage: Any) -> None:
    """The convention wants the billed count where there is one besides the consumed.

    Cached tokens are a part of what was consumed, and of what was billed no part at all.
    """
    billed, consumed = mapping(usage.get("billed_units")), mapping(usage.get("tokens"))
    counts = billed if "input_tokens" in billed else consumed
    put_int(attributes, semconv.USAGE_INPUT_TOKENS, counts.get("input_tokens"))
    put_int(attributes, semconv.USAGE_OUTPUT_TOKENS, counts.get("output_tokens"))
    put_int(attributes, semconv.USAGE_IMAGE_INPUT_TOKENS, billed.get("image_tokens"))
    put_int(attributes, semconv.USAGE_RERANK_SEARCHES, billed.get("search_units"))
    if counts is consumed:
        put_int(attributes, semconv.USAGE_CACHE_READ_INPUT_TOKENS, usage.get("cached_tokens"))


def fold(events: Iterable[Json]) -> Json:
    """Events of a stream to the response they add up to."""
    body: dict[str, Any] = {}
    content: dict[Any, dict[str, Any]] = {}
    calls: list[dict[str, Any]] = []
    latest: dict[int | str, dict[str, Any]] = {}
    plan: list[str] = []
    for event in map(mapping, events):
        kind, delta = word(event, "type"), mapping(event.get("delta"))
        message = mapping(delta.get("message"))
        if kind == "message-start":
            body["id"] = event.get("id")
        elif kind in {"content-start", "content-delta"}:
            part = content.setdefault(index_or_id(event.get("index")), {"type": "text"})
            for key, value in mapping(message.get("content")).items():
                part[key] = value if key == "type" else f"{part.get(key) or ''}{value or ''}"
        elif kind == "tool-plan-delta":
            plan.append(str(message.get("tool_plan") or ""))
        elif kind in {"tool-call-start", "tool-call-delta"}:
            call_delta = mapping(message.get("tool_calls"))
            index = index_or_id(event.get("index"))
            call = latest.get(index)
            if call is None or kind == "tool-call-start":
                call = latest[index] = {"id": None, "function": {"arguments": ""}}
                calls.append(call)
            call["id"] = call_delta.get("id") or call["id"]
            function = mapping(call_delta.get("function"))
            call["function"]["name"] = function.get("name") or call["function"].get("name")
            call["function"]["arguments"] += word(function, "arguments")
        elif kind == "message-end":
            body.update(delta)
        elif event.get("error"):
            body["error"] = event["error"]
    if content or calls or plan:
        body["message"] = {"content": list(content.values()), "tool_calls": calls}
        body["message"]["tool_plan"] = "".join(plan)
    return body


def _sole_text(event: Json) -> Json:
    """See `StreamJoiner`."""
    fields = mapping(event)
    content = mapping(mapping(mapping(fields.get("delta")).get("message")).get("content"))
    texts = [value for key, value in content.items() if key != "type"]
    return texts[0] if fields.get("type") == "content-delta" and len(texts) == 1 else None


FORMAT: Final = WireFormat(
    provider="cohere",
    operation="chat",
    endings=("chat",),
    matches=matches,
    request=request,
    response=response,
    fold=fold,
    joined=StreamJoiner(fields=("text", "thinking"), sole_text=_sole_text).joined,
)

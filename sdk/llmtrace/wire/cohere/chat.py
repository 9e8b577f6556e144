"""Cohere chat: `POST …/v2/chat`. Messages and tools are written as OpenAI writes them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from opentelemetry.util.types import AttributeValue

from llmtrace import semconv
from llmtrace.wire.finish_reasons import finish_reason
from llmtrace.wire.format import Json, Translation, WireFormat, items, mapping, place, put_int, put_text, word
from llmtrace.wire.framing.stream_joiner import StreamJoiner
from llmtrace.wire.openai import chat_messages as messages
from llmtrace.wire.openai.shared import put_format
from llmtrace.wire.request_params import put_settings


def matches(path: str, body: bytes) -> bool:
    """By the version in the path and the one field every request has."""
    return path.endswith("/v2/chat") and b'"messages"' in body


def request(body: Json, path: str, content: bool) -> Translation:
    """Request body to attributes."""
    sent = mapping(body)
    translation = Translation()
    put = translation.attributes
    put_text(put, semconv.REQUEST_MODEL, sent.get("model"))
    put_settings(put, sent)
    put_format(put, sent.get("response_format"))
    if sent.get("stream") is True:
        put[semconv.REQUEST_STREAM] = True
    if content:
        given = [messages.message(each) for each in items(sent.get("messages"))]
        translation.content[semconv.INPUT_MESSAGES] = given
        if tools := messages.tools(sent):
            translation.content[semconv.TOOL_DEFINITIONS] = tools
    return translation


def response(body: Json, content: bool) -> Translation:
    """Response body to attributes."""
    received = mapping(body)
    translation = Translation()
    put = translation.attributes
    put_text(put, semconv.RESPONSE_ID, received.get("id"))
    put_usage(put, mapping(received.get("usage")))
    message = received.get("message")
    if isinstance(message, dict) or received.get("finish_reason"):
        put[semconv.RESPONSE_FINISH_REASONS] = [finish_reason(received.get("finish_reason"))]
    if content and isinstance(message, dict):
        translation.content[semconv.OUTPUT_MESSAGES] = [messages.message({"role": "assistant", **message})]
    return translation


def put_usage(put: dict[str, AttributeValue], usage: Any) -> None:
    """The convention wants the billed count where there is one besides the consumed."""
    billed, consumed = mapping(usage.get("billed_units")), mapping(usage.get("tokens"))
    counts = billed if "input_tokens" in billed else consumed
    put_int(put, semconv.USAGE_INPUT_TOKENS, counts.get("input_tokens"))
    put_int(put, semconv.USAGE_OUTPUT_TOKENS, counts.get("output_tokens"))
    put_int(put, semconv.USAGE_IMAGE_INPUT_TOKENS, billed.get("image_tokens"))
    put_int(put, semconv.USAGE_CACHE_READ_INPUT_TOKENS, usage.get("cached_tokens"))


def fold(events: Iterable[Json]) -> Json:
    """Events of a stream to the response they add up to."""
    body: dict[str, Any] = {}
    content: dict[Any, dict[str, Any]] = {}
    calls: dict[Any, dict[str, Any]] = {}
    plan: list[str] = []
    for event in map(mapping, events):
        kind, delta = word(event, "type"), mapping(event.get("delta"))
        message = mapping(delta.get("message"))
        if kind == "message-start":
            body["id"] = event.get("id")
        elif kind in {"content-start", "content-delta"}:
            part = content.setdefault(place(event.get("index")), {"type": "text"})
            for key, value in mapping(message.get("content")).items():
                part[key] = value if key == "type" else f"{part.get(key) or ''}{value}"
        elif kind == "tool-plan-delta":
            plan.append(str(message.get("tool_plan") or ""))
        elif kind in {"tool-call-start", "tool-call-delta"}:
            told = mapping(message.get("tool_calls"))
            call = calls.setdefault(place(event.get("index")), {"id": None, "function": {"arguments": ""}})
            call["id"] = told.get("id") or call["id"]
            function = mapping(told.get("function"))
            call["function"]["name"] = function.get("name") or call["function"].get("name")
            call["function"]["arguments"] += word(function, "arguments")
        elif kind == "message-end":
            body.update(delta)
    if content or calls or plan:
        body["message"] = {"content": list(content.values()), "tool_calls": list(calls.values())}
        body["message"]["tool_plan"] = "".join(plan)
    return body


def _sole_text(event: Json) -> Json:
    """See `runs.Runs`."""
    told = mapping(event)
    content = mapping(mapping(mapping(told.get("delta")).get("message")).get("content"))
    given = [value for key, value in content.items() if key != "type"]
    return given[0] if told.get("type") == "content-delta" and len(given) == 1 else None


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

"""Gemini: `POST …/models/{model}:generateContent` and `:streamGenerateContent`, by API key or on Vertex AI.

Google's JSON has two spellings, `topP` and `top_p`; servers take both, so both are read.
"""

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
    either,
    items,
    mapping,
    place,
    put_int,
    put_sum,
    put_text,
)
from llmtrace.wire.request_params import put_settings

from . import contents

_MODALITIES: Final = {"TEXT": "text", "IMAGE": "image", "AUDIO": "audio", "VIDEO": "video"}


def matches(path: str, body: bytes) -> bool:
    """By the one field every request has."""
    return b'"contents"' in body


def request(body: Json, path: str, content: bool) -> Translation:
    """Request body to attributes; the model is in the path."""
    sent = mapping(body)
    translation = Translation()
    put = translation.attributes
    put_place(put, path)
    if path.endswith(":streamGenerateContent"):
        put[semconv.REQUEST_STREAM] = True
    put_config(put, mapping(either(sent, "generationConfig", "generation_config")))
    if content:
        told = mapping(either(sent, "systemInstruction", "system_instruction"))
        if instructions := message_parts.instructions(told.get("parts")):
            translation.content[semconv.SYSTEM_INSTRUCTIONS] = instructions
        given = sent.get("contents")
        translation.content[semconv.INPUT_MESSAGES] = [
            contents.message(each) for each in (given if isinstance(given, list) else [given])
        ]
        if tools := contents.tools(sent.get("tools")):
            translation.content[semconv.TOOL_DEFINITIONS] = tools
    return translation


def put_place(put: dict[str, AttributeValue], path: str) -> None:
    """The model in the path, and whether that is one of Vertex AI's paths."""
    named = (between(path, mark, ":") for mark in ("/models/", "/tunedModels/", "/endpoints/"))
    put_text(put, semconv.REQUEST_MODEL, next(filter(None, named), None))
    if "/projects/" in path or "/publishers/" in path:
        put[semconv.PROVIDER_NAME] = "gcp.vertex_ai"


def put_config(put: dict[str, AttributeValue], settings: Any) -> None:
    """`generationConfig` as attributes."""
    put_settings(put, settings)
    thinking = mapping(either(settings, "thinkingConfig", "thinking_config")) or settings
    put_text(put, semconv.REQUEST_REASONING_LEVEL, either(thinking, "thinkingLevel", "thinking_level"))
    if either(settings, "responseMimeType", "response_mime_type") == "application/json":
        put[semconv.OUTPUT_TYPE] = "json"


def response(body: Json, content: bool) -> Translation:
    """Response body to attributes; without `alt=sse` a stream is one array of chunks."""
    received = mapping(fold(body) if isinstance(body, list) else body)
    translation = Translation()
    put = translation.attributes
    put_text(put, semconv.RESPONSE_ID, received.get("responseId"))
    put_text(put, semconv.RESPONSE_MODEL, received.get("modelVersion"))
    put_usage(put, mapping(received.get("usageMetadata")))
    candidates = [mapping(each) for each in items(received.get("candidates"))]
    blocked = mapping(received.get("promptFeedback")).get("blockReason")
    if candidates:
        put[semconv.RESPONSE_FINISH_REASONS] = [
            finish_reason(each.get("finishReason")) for each in candidates
        ]
    elif blocked:
        put[semconv.RESPONSE_FINISH_REASONS] = ["content_filter"]
    if content and candidates:
        translation.content[semconv.OUTPUT_MESSAGES] = [
            contents.message({"role": "model", **mapping(each.get("content"))}) for each in candidates
        ]
    return translation


def put_usage(put: dict[str, AttributeValue], usage: Any) -> None:
    """Thoughts and the tokens of tools' answers stand beside the counts that the convention has them in."""
    thoughts = usage.get("thoughtsTokenCount")
    put_sum(
        put,
        semconv.USAGE_INPUT_TOKENS,
        usage.get("promptTokenCount"),
        usage.get("toolUsePromptTokenCount"),
    )
    put_sum(put, semconv.USAGE_OUTPUT_TOKENS, usage.get("candidatesTokenCount"), thoughts)
    put_int(put, semconv.USAGE_CACHE_READ_INPUT_TOKENS, usage.get("cachedContentTokenCount"))
    put_int(put, semconv.USAGE_REASONING_OUTPUT_TOKENS, thoughts)
    reserved = usage.get("trafficType") == "PROVISIONED_THROUGHPUT"
    tier = "provisioned_throughput" if reserved else usage.get("serviceTier")
    put_text(put, semconv.RESPONSE_SERVICE_TIER, tier)
    prompt = either(usage, "promptTokensDetails", "promptTokenDetails")
    put_modalities(put, prompt, semconv.USAGE_MODALITY_INPUT)
    put_modalities(put, usage.get("candidatesTokensDetails"), semconv.USAGE_MODALITY_OUTPUT)
    put_modalities(put, usage.get("cacheTokensDetails"), semconv.USAGE_MODALITY_CACHE_READ)


def put_modalities(put: dict[str, AttributeValue], details: Json, key: str) -> None:
    """Tokens of each modality, which may be listed in several pieces; `key` has a `{modality}`."""
    totals: dict[str, int] = {}
    for each in map(mapping, items(details)):
        name = _MODALITIES.get(str(each.get("modality")).upper())
        count = either(each, "tokenCount", "tokens")
        if name is not None and type(count) is int:
            totals[name] = totals.get(name, 0) + count
    for name, count in totals.items():
        put[key.format(modality=name)] = count


def fold(events: Iterable[Json]) -> Json:
    """Chunks to the response they add up to."""
    body: dict[str, Any] = {}
    candidates: dict[Any, dict[str, Any]] = {}
    for event in map(mapping, events):
        body.update({key: value for key, value in event.items() if key != "candidates" and value})
        for each in map(mapping, items(event.get("candidates"))):
            candidate = candidates.setdefault(place(each.get("index")), {"content": {"parts": []}})
            candidate["content"]["parts"] += items(mapping(each.get("content")).get("parts"))
            if reason := each.get("finishReason"):
                candidate["finishReason"] = reason
    for candidate in candidates.values():
        candidate["content"]["parts"] = contents.joined(candidate["content"]["parts"])
    if candidates:
        body["candidates"] = list(candidates.values())
    return body


FORMAT: Final = WireFormat(
    provider="gcp.gemini",
    operation="generate_content",
    endings=("generateContent", "streamGenerateContent"),
    matches=matches,
    request=request,
    response=response,
    fold=fold,
)

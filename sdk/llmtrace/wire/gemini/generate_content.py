"""Gemini: `POST …/models/{model}:generateContent` and `:streamGenerateContent`, by API key or on Vertex AI.

Google's JSON has two spellings, `topP` and `top_p`; servers take both, so both are read.
"""

from __future__ import annotations

import re
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
    index_or_id,
    items,
    mapping,
    put_int,
    put_sum,
    put_text,
)
from llmtrace.wire.request_params import put_request_params

from . import contents, enums, streamed_parts

_VERSION: Final = re.compile(r"gemini-(\d{1,3})")
_FIRST_BY_QUERY: Final = 3


def matches(path: str, body: bytes) -> bool:
    """By the one field every request has."""
    return b'"contents"' in body


def request(body: Json, path: str, content: bool) -> Translation:
    """Request body to attributes; the model is in the path."""
    payload = mapping(body)
    translation = Translation()
    attributes = translation.attributes
    put_model(attributes, path)
    if path.endswith(":streamGenerateContent"):
        attributes[semconv.REQUEST_STREAM] = True
    put_config(attributes, mapping(either(payload, "generationConfig", "generation_config")))
    if content:
        system_instruction = mapping(either(payload, "systemInstruction", "system_instruction"))
        if instructions := message_parts.instructions(system_instruction.get("parts")):
            translation.content[semconv.SYSTEM_INSTRUCTIONS] = instructions
        raw_contents = payload.get("contents")
        translation.content[semconv.INPUT_MESSAGES] = [
            contents.message(raw_content)
            for raw_content in (raw_contents if isinstance(raw_contents, list) else [raw_contents])
        ]
        if tools := contents.tools(payload.get("tools")):
            translation.content[semconv.TOOL_DEFINITIONS] = tools
    return translation


def put_model(attributes: dict[str, AttributeValue], path: str) -> None:
    """The model in the path."""
    models = (between(path, mark, ":") for mark in ("/models/", "/tunedModels/", "/endpoints/"))
    put_text(attributes, semconv.REQUEST_MODEL, next(filter(None, models), None))


def put_config(attributes: dict[str, AttributeValue], config: Any) -> None:
    """`generationConfig` as attributes."""
    put_request_params(attributes, config)
    thinking = mapping(either(config, "thinkingConfig", "thinking_config")) or config
    put_text(attributes, semconv.REQUEST_REASONING_LEVEL, either(thinking, "thinkingLevel", "thinking_level"))
    if either(config, "responseMimeType", "response_mime_type") == "application/json":
        attributes[semconv.OUTPUT_TYPE] = "json"


def response(body: Json, content: bool) -> Translation:
    """Response body to attributes; without `alt=sse` a stream is one array of chunks."""
    payload = mapping(fold(body) if isinstance(body, list) else body)
    translation = Translation()
    attributes = translation.attributes
    put_text(attributes, semconv.RESPONSE_ID, payload.get("responseId"))
    put_text(attributes, semconv.RESPONSE_MODEL, payload.get("modelVersion"))
    usage = mapping(payload.get("usageMetadata"))
    put_usage(attributes, usage)
    is_vertex = "trafficType" in usage or "createTime" in payload
    candidates = [mapping(candidate) for candidate in items(payload.get("candidates"))]
    put_int(attributes, semconv.USAGE_WEB_SEARCHES, _searches(payload, candidates) or None)
    block_reason = mapping(payload.get("promptFeedback")).get("blockReason")
    if candidates:
        attributes[semconv.RESPONSE_FINISH_REASONS] = [
            finish_reason(enums.finish_reason_name(candidate.get("finishReason"), is_vertex=is_vertex))
            for candidate in candidates
        ]
    elif block_reason:
        attributes[semconv.RESPONSE_FINISH_REASONS] = ["content_filter"]
    if content and candidates:
        translation.content[semconv.OUTPUT_MESSAGES] = [
            contents.message({"role": "model", **_joined(candidate.get("content"))})
            for candidate in candidates
        ]
    return translation


def _joined(content: Json) -> dict[str, Json]:
    """An answer's content; where one text ends and the next begins, a stream does not say."""
    return {**mapping(content), "parts": streamed_parts.joined(items(mapping(content).get("parts")))}


def put_usage(attributes: dict[str, AttributeValue], usage: Any) -> None:
    """Thoughts and the tokens of tools' answers are not in the counts that the convention has them in."""
    thoughts = usage.get("thoughtsTokenCount")
    put_sum(
        attributes,
        semconv.USAGE_INPUT_TOKENS,
        usage.get("promptTokenCount"),
        usage.get("toolUsePromptTokenCount"),
    )
    put_sum(attributes, semconv.USAGE_OUTPUT_TOKENS, usage.get("candidatesTokenCount"), thoughts)
    put_int(attributes, semconv.USAGE_CACHE_READ_INPUT_TOKENS, usage.get("cachedContentTokenCount"))
    put_int(attributes, semconv.USAGE_REASONING_OUTPUT_TOKENS, thoughts)
    tier = enums.traffic_tier(usage.get("trafficType")) or usage.get("serviceTier")
    put_text(attributes, semconv.RESPONSE_SERVICE_TIER, tier)
    prompt_details = items(either(usage, "promptTokensDetails", "promptTokenDetails"))
    tool_details = items(usage.get("toolUsePromptTokensDetails"))
    put_modalities(attributes, [*prompt_details, *tool_details], semconv.USAGE_MODALITY_INPUT)
    put_modalities(attributes, usage.get("candidatesTokensDetails"), semconv.USAGE_MODALITY_OUTPUT)
    put_modalities(attributes, usage.get("cacheTokensDetails"), semconv.USAGE_MODALITY_CACHE_READ)


def put_modalities(attributes: dict[str, AttributeValue], details: Json, key: str) -> None:
    """Tokens of each modality, which may be listed in several pieces; `key` has a `{modality}`."""
    totals: dict[str, int] = {}
    for detail in map(mapping, items(details)):
        name = enums.modality(detail.get("modality"))
        count = either(detail, "tokenCount", "tokens")
        if name is not None and type(count) is int:
            totals[name] = totals.get(name, 0) + count
    for name, count in totals.items():
        attributes[key.format(modality=name)] = count


def _searches(payload: Any, candidates: list[Any]) -> int:
    """Searches as Google bills them: each query from Gemini 3 on, before it each prompt that was grounded."""
    groundings = [mapping(candidate.get("groundingMetadata")) for candidate in candidates]
    queries = [
        query for grounding in groundings for query in items(grounding.get("webSearchQueries")) if query
    ]
    version = _VERSION.search(str(payload.get("modelVersion")))
    is_by_query = version is not None and int(version[1]) >= _FIRST_BY_QUERY
    return len(queries) if is_by_query else min(len(queries), 1)


def fold(events: Iterable[Json]) -> Json:
    """Chunks to the response they add up to."""
    body: dict[str, Any] = {}
    candidates: dict[Any, dict[str, Any]] = {}
    for event in map(mapping, events):
        body.update({key: value for key, value in event.items() if key != "candidates" and value})
        for chunk in map(mapping, items(event.get("candidates"))):
            candidate = candidates.setdefault(index_or_id(chunk.get("index")), {"content": {"parts": []}})
            candidate["content"]["parts"] += items(mapping(chunk.get("content")).get("parts"))
            if reason := chunk.get("finishReason"):
                candidate["finishReason"] = reason
            if grounding := mapping(chunk.get("groundingMetadata")):
                candidate["groundingMetadata"] = {**mapping(candidate.get("groundingMetadata")), **grounding}
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
    streams_arrays=True,
)

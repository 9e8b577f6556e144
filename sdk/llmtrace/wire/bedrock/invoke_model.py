"""Amazon Bedrock InvokeModel: `POST /model/{id}/invoke` and `/invoke-with-response-stream`.

The body is the model's own: those of Anthropic, Nova (as in Converse) and of models that speak OpenAI's chat
go to their formats; Titan, Llama, Mistral and Cohere on Bedrock have small ones, read here. Where a body has
no counts, the transport's headers have (`wire.response_headers`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from llmtrace import semconv
from llmtrace.wire import message_parts
from llmtrace.wire.anthropic import messages
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
from llmtrace.wire.openai import chat, completions
from llmtrace.wire.openai.completions import inputs
from llmtrace.wire.request_params import put_request_params

from . import converse

_METRICS: Final = "amazon-bedrock-invocationMetrics"
#: Where the answers of Titan, Mistral and Cohere are, how each model names its text, and why it stopped.
_ANSWERS: Final = ("results", "outputs", "generations")
_TEXTS: Final = ("outputText", "generation", "text")
_REASONS: Final = ("completionReason", "stop_reason", "finish_reason")


def matches(path: str, body: bytes) -> bool:
    """By the model's place in the path."""
    return "/model/" in path


def request(body: Json, path: str, content: bool) -> Translation:
    """Request body to attributes; the model is in the path."""
    payload = mapping(body)
    if "anthropic_version" in payload:
        translation = messages.request(body, path, content)
    elif "inferenceConfig" in payload or "schemaVersion" in payload:
        translation = converse.request(body, path, content)
    elif "messages" in payload:
        translation = chat.request(body, path, content)
        translation.attributes.pop(semconv.OPENAI_API_TYPE)
    else:
        translation = _request(payload, content)
    attributes = translation.attributes
    put_text(attributes, semconv.REQUEST_MODEL, between(path, "/model/"))
    if path.endswith("-stream"):
        attributes[semconv.REQUEST_STREAM] = True
    return translation


def _request(payload: Any, content: bool) -> Translation:
    translation = Translation()
    attributes = translation.attributes
    params = mapping(payload.get("textGenerationConfig")) or payload
    put_request_params(attributes, params)
    prompt = either(payload, "prompt", "message", "inputText", "texts")
    embeds = "texts" in payload or ("inputText" in payload and "textGenerationConfig" not in payload)
    attributes[semconv.OPERATION_NAME] = "embeddings" if embeds else "text_completion"
    put_int(attributes, semconv.EMBEDDINGS_DIMENSION_COUNT, payload.get("dimensions"))
    if content and prompt is not None:
        translation.content[semconv.INPUT_MESSAGES] = inputs(prompt)
    return translation


def response(body: Json, content: bool) -> Translation:
    """Response body to attributes, by its own shape."""
    payload = mapping(body)
    if payload.get("type") == "message":
        translation = messages.response(body, content)
    elif "output" in payload:
        translation = converse.response(body, content)
    elif "choices" in payload:
        translation = (completions if _has_texts(payload) else chat).response(body, content)
    else:
        translation = _response(payload, content)
    metrics = mapping(payload.get(_METRICS))
    cache_reads, cache_writes = (
        metrics.get("cacheReadInputTokenCount"),
        metrics.get("cacheWriteInputTokenCount"),
    )
    attributes = translation.attributes
    if semconv.USAGE_INPUT_TOKENS not in attributes:
        put_sum(
            attributes, semconv.USAGE_INPUT_TOKENS, metrics.get("inputTokenCount"), cache_reads, cache_writes
        )
        put_int(attributes, semconv.USAGE_CACHE_READ_INPUT_TOKENS, cache_reads)
        put_int(attributes, semconv.USAGE_CACHE_WRITE_INPUT_TOKENS, cache_writes)
    if semconv.USAGE_OUTPUT_TOKENS not in attributes:
        put_int(attributes, semconv.USAGE_OUTPUT_TOKENS, metrics.get("outputTokenCount"))
    return translation


def _has_texts(payload: Any) -> bool:
    """Whether its choices are completions of a prompt, as DeepSeek's are."""
    return any("text" in mapping(choice) for choice in items(payload.get("choices")))


def _response(payload: Any, content: bool) -> Translation:
    translation = Translation()
    attributes = translation.attributes
    answers = [mapping(answer) for key in _ANSWERS for answer in items(payload.get(key))]
    if "generation" in payload or ("text" in payload and not answers):
        answers = [payload]
    put_int(
        attributes, semconv.USAGE_INPUT_TOKENS, either(payload, "inputTextTokenCount", "prompt_token_count")
    )
    output_counts = [payload.get("generation_token_count"), *(answer.get("tokenCount") for answer in answers)]
    put_sum(attributes, semconv.USAGE_OUTPUT_TOKENS, *output_counts)
    put_int(attributes, semconv.EMBEDDINGS_DIMENSION_COUNT, len(items(payload.get("embedding"))) or None)
    if answers:
        attributes[semconv.RESPONSE_FINISH_REASONS] = [
            finish_reason(either(answer, *_REASONS)) for answer in answers
        ]
    if content and answers:
        translation.content[semconv.OUTPUT_MESSAGES] = [
            message_parts.message("assistant", [message_parts.text(either(answer, *_TEXTS))])
            for answer in answers
        ]
    return translation


def fold(events: Iterable[Json]) -> Json:
    """Chunks to the body they add up to, by the shape of the first."""
    chunks = [event for event in events if isinstance(event, dict)]
    if any("type" in chunk for chunk in chunks):
        body = messages.FORMAT.fold(chunks)
        body["type"] = "message"
    elif any("choices" in chunk for chunk in chunks):
        body = (completions if any(map(_has_texts, chunks)) else chat).fold(chunks)
    elif any("contentBlockDelta" in chunk or "messageStart" in chunk for chunk in chunks):
        body = converse.fold(chunks)
    else:
        body = _fold(chunks)
    for chunk in chunks:
        if _METRICS in chunk:
            body[_METRICS] = chunk[_METRICS]
        if "error" in chunk:
            body["error"] = chunk["error"]
    return body


def _fold(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    """Llama, Titan, Mistral, Cohere: each chunk is a body with a few more words of an answer."""
    body: dict[str, Any] = {}
    answers: dict[int | str, dict[str, Any]] = {}
    for chunk in chunks:
        rest = (item for item in chunk.items() if item[0] not in _ANSWERS)
        body.update({key: value for key, value in rest if value is not None})
        listed = [mapping(answer) for key in _ANSWERS for answer in items(chunk.get(key))]
        for place, inner in enumerate(listed or [chunk]):
            piece, reason = either(inner, *_TEXTS), either(inner, *_REASONS)
            if isinstance(piece, str) or reason is not None:
                index = index_or_id(inner.get("index", place))
                answer = answers.setdefault(index, {"words": [], "finish_reason": None})
                answer["words"].append(piece if isinstance(piece, str) else "")
                answer["finish_reason"] = reason or answer["finish_reason"]
    if "totalOutputTextTokenCount" in body:
        body["generation_token_count"] = body["totalOutputTextTokenCount"]
    if answers:
        for key in _TEXTS:
            body.pop(key, None)  # a chunk's own words
        body["outputs"] = [
            {"text": "".join(answer["words"]), "finish_reason": answer["finish_reason"]}
            for answer in answers.values()
        ]
    return body


FORMAT: Final = WireFormat(
    provider=semconv.PROVIDER_AWS_BEDROCK,
    operation="chat",
    endings=("invoke", "invoke-with-response-stream"),
    matches=matches,
    request=request,
    response=response,
    fold=fold,
)

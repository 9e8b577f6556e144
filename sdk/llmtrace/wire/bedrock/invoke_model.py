"""Amazon Bedrock InvokeModel: `POST /model/{id}/invoke` and `/invoke-with-response-stream`.

The body is the model's own: those of Anthropic, Nova (as in Converse) and of models that speak OpenAI's chat
go to their formats; Titan, Llama, Mistral and Cohere on Bedrock have small ones, read here. Where a body has
no counts, the transport's headers have (`wire.headers`).
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
    items,
    mapping,
    put_int,
    put_sum,
    put_text,
)
from llmtrace.wire.openai import chat
from llmtrace.wire.openai.completions import inputs
from llmtrace.wire.request_params import put_settings

from . import converse

_METRICS: Final = "amazon-bedrock-invocationMetrics"


def matches(path: str, body: bytes) -> bool:
    """By the model's place in the path."""
    return "/model/" in path


def request(body: Json, path: str, content: bool) -> Translation:
    """Request body to attributes; the model is in the path."""
    sent = mapping(body)
    if "anthropic_version" in sent:
        translation = messages.request(body, path, content)
    elif "inferenceConfig" in sent or "schemaVersion" in sent:
        translation = converse.request(body, path, content)
    elif "messages" in sent:
        translation = chat.request(body, path, content)
        translation.attributes.pop(semconv.OPENAI_API_TYPE)
    else:
        translation = _request(sent, content)
    put = translation.attributes
    put_text(put, semconv.REQUEST_MODEL, between(path, "/model/"))
    if path.endswith("-stream"):
        put[semconv.REQUEST_STREAM] = True
    return translation


def _request(sent: Any, content: bool) -> Translation:
    translation = Translation()
    put = translation.attributes
    settings = mapping(sent.get("textGenerationConfig")) or sent
    put_settings(put, settings)
    given = either(sent, "prompt", "message", "inputText", "texts")
    embeds = "texts" in sent or ("inputText" in sent and "textGenerationConfig" not in sent)
    put[semconv.OPERATION_NAME] = "embeddings" if embeds else "text_completion"
    put_int(put, semconv.EMBEDDINGS_DIMENSION_COUNT, sent.get("dimensions"))
    if content and given is not None:
        translation.content[semconv.INPUT_MESSAGES] = inputs(given)
    return translation


def response(body: Json, content: bool) -> Translation:
    """Response body to attributes, by its own shape."""
    received = mapping(body)
    if received.get("type") == "message":
        translation = messages.response(body, content)
    elif "output" in received:
        translation = converse.response(body, content)
    elif "choices" in received:
        translation = chat.response(body, content)
    else:
        translation = _response(received, content)
    metrics = mapping(received.get(_METRICS))
    read, written = metrics.get("cacheReadInputTokenCount"), metrics.get("cacheWriteInputTokenCount")
    put = translation.attributes
    if semconv.USAGE_INPUT_TOKENS not in put:
        put_sum(put, semconv.USAGE_INPUT_TOKENS, metrics.get("inputTokenCount"), read, written)
    if semconv.USAGE_OUTPUT_TOKENS not in put:
        put_int(put, semconv.USAGE_OUTPUT_TOKENS, metrics.get("outputTokenCount"))
    return translation


def _response(received: Any, content: bool) -> Translation:
    translation = Translation()
    put = translation.attributes
    answers = [
        mapping(each) for key in ("results", "outputs", "generations") for each in items(received.get(key))
    ]
    if "generation" in received or ("text" in received and not answers):
        answers = [received]
    put_int(put, semconv.USAGE_INPUT_TOKENS, either(received, "inputTextTokenCount", "prompt_token_count"))
    counted = [received.get("generation_token_count"), *(each.get("tokenCount") for each in answers)]
    put_sum(put, semconv.USAGE_OUTPUT_TOKENS, *counted)
    put_int(put, semconv.EMBEDDINGS_DIMENSION_COUNT, len(items(received.get("embedding"))) or None)
    if answers:
        put[semconv.RESPONSE_FINISH_REASONS] = [
            finish_reason(either(each, "completionReason", "stop_reason", "finish_reason"))
            for each in answers
        ]
    if content and answers:
        translation.content[semconv.OUTPUT_MESSAGES] = [
            message_parts.message(
                "assistant", [message_parts.text(either(each, "outputText", "generation", "text"))]
            )
            for each in answers
        ]
    return translation


def fold(events: Iterable[Json]) -> Json:
    """Chunks to the body they add up to, by the shape of the first."""
    seen = [event for event in events if isinstance(event, dict)]
    if any("type" in event for event in seen):
        body = messages.FORMAT.fold(seen)
        body["type"] = "message"
    elif any("choices" in event for event in seen):
        body = chat.fold(seen)
    elif any("contentBlockDelta" in event or "messageStart" in event for event in seen):
        body = converse.fold(seen)
    else:
        body = _fold(seen)
    for event in seen:
        if _METRICS in event:
            body[_METRICS] = event[_METRICS]
        if "error" in event:
            body["error"] = event["error"]
    return body


def _fold(seen: list[dict[str, Any]]) -> dict[str, Any]:
    """Llama, Titan, Mistral, Cohere: each chunk is a body with a few more words."""
    body: dict[str, Any] = {}
    words: list[str] = []
    for event in seen:
        inner = mapping(next(iter(items(event.get("outputs"))), event))
        piece = either(inner, "generation", "outputText", "text")
        if isinstance(piece, str):
            words.append(piece)
        body.update({key: value for key, value in inner.items() if value is not None})
    if "totalOutputTextTokenCount" in body:
        body["generation_token_count"] = body["totalOutputTextTokenCount"]
    if words:
        body["generation"] = "".join(words)
    return body


FORMAT: Final = WireFormat(
    provider="aws.bedrock",
    operation="chat",
    endings=("invoke", "invoke-with-response-stream"),
    matches=matches,
    request=request,
    response=response,
    fold=fold,
)

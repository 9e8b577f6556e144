"""Gemini embeddings: `…/models/{model}:embedContent`, `:batchEmbedContents`; on Vertex AI also `:predict`."""

from __future__ import annotations

from typing import Any, Final

from llmtrace import semconv
from llmtrace.wire import message_parts
from llmtrace.wire.format import (
    Json,
    Translation,
    WireFormat,
    either,
    items,
    mapping,
    put_int,
    put_sum,
    whole,
)

from . import contents
from .generate_content import put_modalities, put_model


def matches(path: str, body: bytes) -> bool:
    """By the fields requests have; `:predict` serves every model of Vertex AI, so its name decides."""
    if path.endswith(":predict"):
        return b'"instances"' in body and "embedding" in path
    return b'"content"' in body or b'"contents"' in body or b'"requests"' in body


def request(body: Json, path: str, content: bool) -> Translation:
    """Request body to attributes; each text is a message."""
    payload = mapping(body)
    translation = Translation()
    attributes = translation.attributes
    put_model(attributes, path)
    requests = [mapping(item) for item in items(payload.get("requests"))] or [payload]
    options = mapping(payload.get("parameters")) or mapping(payload.get("embedContentConfig")) or requests[0]
    size = either(options, "outputDimensionality", "output_dimensionality")
    put_int(attributes, semconv.EMBEDDINGS_DIMENSION_COUNT, size)
    if content:
        translation.content[semconv.INPUT_MESSAGES] = [
            message_parts.message("user", [message_parts.text(instance.get("content"))])
            for instance in map(mapping, items(payload.get("instances")))
        ] or [
            contents.message(raw_content)
            for embed_request in requests
            for raw_content in _contents(embed_request)
        ]
    return translation


def _contents(embed_request: Any) -> list[Json]:
    return [embed_request["content"]] if "content" in embed_request else items(embed_request.get("contents"))


def response(body: Json, content: bool) -> Translation:
    """Response body to attributes."""
    payload = mapping(body)
    translation = Translation()
    attributes = translation.attributes
    usage = mapping(payload.get("usageMetadata"))
    predictions = [
        mapping(mapping(prediction).get("embeddings")) for prediction in items(payload.get("predictions"))
    ]
    vectors = [payload.get("embedding"), *items(payload.get("embeddings")), *predictions]
    token_counts = [
        either(mapping(vector.get("statistics")), "tokenCount", "token_count")
        for vector in map(mapping, vectors)
    ]
    put_sum(attributes, semconv.USAGE_INPUT_TOKENS, usage.get("promptTokenCount"), *token_counts)
    prompt_details = either(usage, "promptTokensDetails", "promptTokenDetails")
    put_modalities(attributes, prompt_details, semconv.USAGE_MODALITY_INPUT)
    sizes = [len(items(vector.get("values"))) for vector in map(mapping, vectors)]
    put_int(attributes, semconv.EMBEDDINGS_DIMENSION_COUNT, max(sizes) or None)
    return translation


FORMAT: Final = WireFormat(
    provider="gcp.gemini",
    operation="embeddings",
    endings=("embedContent", "batchEmbedContents", "predict"),
    matches=matches,
    request=request,
    response=response,
    fold=whole,
)

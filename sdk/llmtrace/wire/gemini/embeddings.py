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
from .generate_content import put_modalities, put_place


def matches(path: str, body: bytes) -> bool:
    """By the fields requests have; `:predict` serves every model of Vertex AI, so its name decides."""
    if path.endswith(":predict"):
        return b'"instances"' in body and "embedding" in path
    return b'"content"' in body or b'"contents"' in body or b'"requests"' in body


def request(body: Json, path: str, content: bool) -> Translation:
    """Request body to attributes; each text is a message."""
    sent = mapping(body)
    translation = Translation()
    put = translation.attributes
    put_place(put, path)
    wanted = [mapping(each) for each in items(sent.get("requests"))] or [sent]
    options = mapping(sent.get("parameters")) or mapping(sent.get("embedContentConfig")) or wanted[0]
    size = either(options, "outputDimensionality", "output_dimensionality")
    put_int(put, semconv.EMBEDDINGS_DIMENSION_COUNT, size)
    if content:
        translation.content[semconv.INPUT_MESSAGES] = [
            message_parts.message("user", [message_parts.text(each.get("content"))])
            for each in map(mapping, items(sent.get("instances")))
        ] or [contents.message(each) for given in wanted for each in _contents(given)]
    return translation


def _contents(given: Any) -> list[Json]:
    return [given["content"]] if "content" in given else items(given.get("contents"))


def response(body: Json, content: bool) -> Translation:
    """Response body to attributes."""
    received = mapping(body)
    translation = Translation()
    put = translation.attributes
    usage = mapping(received.get("usageMetadata"))
    predictions = [mapping(mapping(each).get("embeddings")) for each in items(received.get("predictions"))]
    vectors = [received.get("embedding"), *items(received.get("embeddings")), *predictions]
    counted = [
        either(mapping(vector.get("statistics")), "tokenCount", "token_count")
        for vector in map(mapping, vectors)
    ]
    put_sum(put, semconv.USAGE_INPUT_TOKENS, usage.get("promptTokenCount"), *counted)
    prompt = either(usage, "promptTokensDetails", "promptTokenDetails")
    put_modalities(put, prompt, semconv.USAGE_MODALITY_INPUT)
    sizes = [len(items(vector.get("values"))) for vector in map(mapping, vectors)]
    put_int(put, semconv.EMBEDDINGS_DIMENSION_COUNT, max(sizes) or None)
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

"""Cohere embeddings: `POST …/v2/embed` with `texts`, `images` or mixed `inputs`."""

from __future__ import annotations

from typing import Final

from llmtrace import semconv
from llmtrace.wire import message_parts
from llmtrace.wire.format import (
    Json,
    Translation,
    WireFormat,
    items,
    mapping,
    put_int,
    put_sum,
    put_text,
    put_texts,
    whole,
)
from llmtrace.wire.openai.chat_messages import message

from .chat import put_usage


def matches(path: str, body: bytes) -> bool:
    """By the version in the path and the fields that hold the input."""
    return path.endswith(("/v2/embed", "/v1/embed")) and (
        b'"texts"' in body or b'"images"' in body or b'"inputs"' in body
    )


def request(body: Json, path: str, content: bool) -> Translation:
    """Request body to attributes; each text, image or mixed input is a message."""
    payload = mapping(body)
    translation = Translation()
    attributes = translation.attributes
    put_text(attributes, semconv.REQUEST_MODEL, payload.get("model"))
    put_texts(attributes, semconv.REQUEST_ENCODING_FORMATS, payload.get("embedding_types"))
    put_int(attributes, semconv.EMBEDDINGS_DIMENSION_COUNT, payload.get("output_dimension"))
    if content:
        texts = [message_parts.text(text) for text in items(payload.get("texts"))]
        images = [message_parts.reference(url, "image") for url in items(payload.get("images"))]
        translation.content[semconv.INPUT_MESSAGES] = [
            *(message_parts.message("user", [part]) for part in texts + images),
            *(
                message({"role": "user", **mapping(mixed_input)})
                for mixed_input in items(payload.get("inputs"))
            ),
        ]
    return translation


def response(body: Json, content: bool) -> Translation:
    """Response body to attributes; vectors come as a list (v1) or by their type (v2)."""
    payload = mapping(body)
    translation = Translation()
    attributes = translation.attributes
    put_text(attributes, semconv.RESPONSE_ID, payload.get("id"))
    meta = mapping(payload.get("meta"))
    put_usage(attributes, meta)
    billed = mapping(meta.get("billed_units"))
    attributes.pop(semconv.USAGE_OUTPUT_TOKENS, None)
    # Texts and images are billed apart; the convention has the one in the other.
    put_sum(attributes, semconv.USAGE_INPUT_TOKENS, billed.get("input_tokens"), billed.get("image_tokens"))
    embeddings = payload.get("embeddings")
    vectors = items(mapping(embeddings).get("float") if isinstance(embeddings, dict) else embeddings)
    put_int(attributes, semconv.EMBEDDINGS_DIMENSION_COUNT, len(items(next(iter(vectors), None))) or None)
    return translation


FORMAT: Final = WireFormat(
    provider="cohere",
    operation="embeddings",
    endings=("embed",),
    matches=matches,
    request=request,
    response=response,
    fold=whole,
)

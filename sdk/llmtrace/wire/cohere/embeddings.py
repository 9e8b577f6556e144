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
    put_text,
    put_texts,
    whole,
)
from llmtrace.wire.openai.chat_messages import message
from llmtrace.wire.render import url_part

from .chat import put_usage


def matches(path: str, body: bytes) -> bool:
    """By the version in the path and the fields that hold the input."""
    return path.endswith(("/v2/embed", "/v1/embed")) and (
        b'"texts"' in body or b'"images"' in body or b'"inputs"' in body
    )


def request(body: Json, path: str, content: bool) -> Translation:
    """Request body to attributes; each text, image or mixed input is a message."""
    sent = mapping(body)
    translation = Translation()
    put = translation.attributes
    put_text(put, semconv.REQUEST_MODEL, sent.get("model"))
    put_texts(put, semconv.REQUEST_ENCODING_FORMATS, sent.get("embedding_types"))
    put_int(put, semconv.EMBEDDINGS_DIMENSION_COUNT, sent.get("output_dimension"))
    if content:
        texts = [message_parts.text(each) for each in items(sent.get("texts"))]
        images = [url_part(each, "image") for each in items(sent.get("images"))]
        translation.content[semconv.INPUT_MESSAGES] = [
            *(message_parts.message("user", [part]) for part in texts + images),
            *(message({"role": "user", **mapping(each)}) for each in items(sent.get("inputs"))),
        ]
    return translation


def response(body: Json, content: bool) -> Translation:
    """Response body to attributes; vectors come as a list (v1) or by their type (v2)."""
    received = mapping(body)
    translation = Translation()
    put = translation.attributes
    put_text(put, semconv.RESPONSE_ID, received.get("id"))
    meta = mapping(received.get("meta"))
    put_usage(put, meta)
    billed = mapping(meta.get("billed_units"))
    put.pop(semconv.USAGE_OUTPUT_TOKENS, None)
    if semconv.USAGE_INPUT_TOKENS not in put:
        put_int(put, semconv.USAGE_INPUT_TOKENS, billed.get("image_tokens"))
    given = received.get("embeddings")
    vectors = items(mapping(given).get("float") if isinstance(given, dict) else given)
    put_int(put, semconv.EMBEDDINGS_DIMENSION_COUNT, len(items(next(iter(vectors), None))) or None)
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

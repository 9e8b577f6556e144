"""OpenAI embeddings, spoken by Azure OpenAI, Mistral, vLLM, Ollama and many more.

`POST …/embeddings` with an `input`: a text, several, or tokens. The vectors are not recorded.
"""

from __future__ import annotations

from typing import Final

from llmtrace import semconv
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

from .completions import inputs
from .shared import put_common, put_model, put_usage


def matches(path: str, body: bytes) -> bool:
    """By the one field every request has."""
    return path.endswith("/embeddings") and b'"input"' in body


def request(body: Json, path: str, content: bool) -> Translation:
    """Request body to attributes; each text is a message."""
    payload = mapping(body)
    translation = Translation()
    attributes = translation.attributes
    put_model(attributes, payload, path)
    put_common(attributes, payload)
    put_texts(attributes, semconv.REQUEST_ENCODING_FORMATS, payload.get("encoding_format"))
    put_int(
        attributes,
        semconv.EMBEDDINGS_DIMENSION_COUNT,
        payload.get("dimensions") or payload.get("output_dimension"),
    )
    if content:
        translation.content[semconv.INPUT_MESSAGES] = inputs(payload.get("input"))
    return translation


def response(body: Json, content: bool) -> Translation:
    """Response body to attributes."""
    payload = mapping(body)
    translation = Translation()
    attributes = translation.attributes
    put_text(attributes, semconv.RESPONSE_ID, payload.get("id"))
    put_text(attributes, semconv.RESPONSE_MODEL, payload.get("model"))
    usage = mapping(payload.get("usage"))
    put_usage(attributes, usage)
    for key in (semconv.USAGE_OUTPUT_TOKENS, semconv.USAGE_REASONING_OUTPUT_TOKENS):
        attributes.pop(key, None)  # some servers say 0: there is none
    if semconv.USAGE_INPUT_TOKENS not in attributes:
        put_int(attributes, semconv.USAGE_INPUT_TOKENS, usage.get("total_tokens"))
    vector = items(mapping(next(iter(items(payload.get("data"))), None)).get("embedding"))
    put_int(attributes, semconv.EMBEDDINGS_DIMENSION_COUNT, len(vector) or None)
    return translation


FORMAT: Final = WireFormat(
    provider="openai",
    operation="embeddings",
    endings=("embeddings",),
    matches=matches,
    request=request,
    response=response,
    fold=whole,
)

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
    sent = mapping(body)
    translation = Translation()
    put = translation.attributes
    put_model(put, sent, path)
    put_common(put, sent)
    put_texts(put, semconv.REQUEST_ENCODING_FORMATS, sent.get("encoding_format"))
    put_int(put, semconv.EMBEDDINGS_DIMENSION_COUNT, sent.get("dimensions") or sent.get("output_dimension"))
    if content:
        translation.content[semconv.INPUT_MESSAGES] = inputs(sent.get("input"))
    return translation


def response(body: Json, content: bool) -> Translation:
    """Response body to attributes."""
    received = mapping(body)
    translation = Translation()
    put = translation.attributes
    put_text(put, semconv.RESPONSE_ID, received.get("id"))
    put_text(put, semconv.RESPONSE_MODEL, received.get("model"))
    put_usage(put, mapping(received.get("usage")))
    put.pop(semconv.USAGE_OUTPUT_TOKENS, None)  # some servers say 0: there is none
    vector = items(mapping(next(iter(items(received.get("data"))), None)).get("embedding"))
    put_int(put, semconv.EMBEDDINGS_DIMENSION_COUNT, len(vector) or None)
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

"""Embeddings beside OpenAI's form: Voyage's of several media, or of chunks in a document; vLLM's poolings.

`POST …/multimodalembeddings`, `…/contextualizedembeddings` with `inputs`; `POST …/pooling` with an `input`.
"""

from __future__ import annotations

from typing import Any, Final

from llmtrace import semconv

from . import message_parts
from .format import Json, Translation, WireFormat, items, mapping, put_int, put_text, whole, word
from .openai import embeddings
from .openai.completions import inputs


def matches(path: str, body: bytes) -> bool:
    """By the one field every request has."""
    return b'"input' in body or b'"messages"' in body


def request(body: Json, path: str, content: bool) -> Translation:
    """Request body to attributes; each text, chunk or mixed input is a message."""
    payload = mapping(body)
    translation = embeddings.request(body, path, False)
    if content:
        mixed = [mapping(entry) for entry in items(payload.get("inputs"))]
        translation.content[semconv.INPUT_MESSAGES] = [
            message_parts.message("user", map(_part, map(mapping, items(entry.get("content")))))
            for entry in mixed
            if "content" in entry
        ] or inputs(payload.get("inputs", payload.get("input")))
    return translation


def _part(part: Any) -> dict[str, Json]:
    if word(part, "type") == "text":
        return message_parts.text(part.get("text"))
    for kind in ("image", "video"):
        for key in (f"{kind}_url", f"{kind}_base64"):
            if key in part:
                return message_parts.reference(part[key], kind)
    return message_parts.unknown(dict(part))


def response(body: Json, content: bool) -> Translation:
    """Response body to attributes; images are billed as the tokens that the total has for them."""
    payload = mapping(body)
    translation = embeddings.response(body, content)
    put_text(translation.attributes, semconv.RESPONSE_ID, payload.get("id"))
    usage = mapping(payload.get("usage"))
    if "text_tokens" in usage:
        put_int(translation.attributes, semconv.USAGE_INPUT_TOKENS, usage.get("total_tokens"))
    return translation


FORMAT: Final = WireFormat(
    provider="openai",
    operation="embeddings",
    endings=("multimodalembeddings", "contextualizedembeddings", "pooling"),
    matches=matches,
    request=request,
    response=response,
    fold=whole,
)

"""Reranking: `POST …/rerank` of Cohere, and of those who speak it (Jina, Voyage, vLLM, TEI)."""

from __future__ import annotations

from typing import Any, Final

from llmtrace import semconv
from llmtrace.wire.format import (
    Json,
    Translation,
    WireFormat,
    either,
    items,
    mapping,
    put_int,
    put_text,
    whole,
    word,
)

from .chat import put_usage


def matches(path: str, body: bytes) -> bool:
    """By the end of the path and the one field every request has."""
    return path.endswith("/rerank") and b'"query"' in body


def request(body: Json, path: str, content: bool) -> Translation:
    """Request body to attributes; the query is content, the documents are recorded with their scores."""
    payload = mapping(body)
    translation = Translation()
    attributes = translation.attributes
    put_text(attributes, semconv.REQUEST_MODEL, payload.get("model"))
    put_int(attributes, semconv.RETRIEVAL_TOP_K, either(payload, "top_n", "top_k"))
    if content and (query := word(payload, "query")):
        translation.texts[semconv.RETRIEVAL_QUERY_TEXT] = query
    return translation


def response(body: Json, content: bool) -> Translation:
    """Response body to attributes; a document's id is its place in the request."""
    payload = mapping(body)
    translation = Translation()
    attributes = translation.attributes
    put_text(attributes, semconv.RESPONSE_ID, payload.get("id"))
    put_text(attributes, semconv.RESPONSE_MODEL, payload.get("model"))
    put_usage(attributes, mapping(payload.get("meta")))
    usage = mapping(payload.get("usage"))
    put_int(attributes, semconv.USAGE_INPUT_TOKENS, either(usage, "prompt_tokens", "total_tokens"))
    ranked = body if isinstance(body, list) else items(either(payload, "results", "data"))
    if content and ranked:
        translation.content[semconv.RETRIEVAL_DOCUMENTS] = [_document(mapping(result)) for result in ranked]
    return translation


def _document(result: Any) -> Json:
    entry = {"id": str(result.get("index")), "score": either(result, "relevance_score", "score")}
    document = result.get("document")
    text = mapping(document).get("text") if isinstance(document, dict) else document
    return {**entry, "content": text} if isinstance(text, str) else entry


FORMAT: Final = WireFormat(
    provider="cohere",
    operation="rerank",
    endings=("rerank",),
    matches=matches,
    request=request,
    response=response,
    fold=whole,
)

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
)

from .chat import put_usage


def matches(path: str, body: bytes) -> bool:
    """By the end of the path and the one field every request has."""
    return path.endswith("/rerank") and b'"query"' in body


def request(body: Json, path: str, content: bool) -> Translation:
    """Request body to attributes; the query is content, the documents are told with their scores."""
    sent = mapping(body)
    translation = Translation()
    put = translation.attributes
    put_text(put, semconv.REQUEST_MODEL, sent.get("model"))
    put_int(put, semconv.RETRIEVAL_TOP_K, either(sent, "top_n", "top_k"))
    if content:
        put_text(put, semconv.RETRIEVAL_QUERY_TEXT, sent.get("query"))
    return translation


def response(body: Json, content: bool) -> Translation:
    """Response body to attributes; a document's id is its place in the request."""
    received = mapping(body)
    translation = Translation()
    put = translation.attributes
    put_text(put, semconv.RESPONSE_ID, received.get("id"))
    put_text(put, semconv.RESPONSE_MODEL, received.get("model"))
    put_usage(put, mapping(received.get("meta")))
    usage = mapping(received.get("usage"))
    put_int(put, semconv.USAGE_INPUT_TOKENS, either(usage, "prompt_tokens", "total_tokens"))
    ranked = body if isinstance(body, list) else items(either(received, "results", "data"))
    if content and ranked:
        translation.content[semconv.RETRIEVAL_DOCUMENTS] = [_document(mapping(each)) for each in ranked]
    return translation


def _document(result: Any) -> Json:
    found = {"id": str(result.get("index")), "score": either(result, "relevance_score", "score")}
    document = result.get("document")
    text = mapping(document).get("text") if isinstance(document, dict) else document
    return {**found, "content": text} if isinstance(text, str) else found


FORMAT: Final = WireFormat(
    provider="cohere",
    operation="rerank",
    endings=("rerank",),
    matches=matches,
    request=request,
    response=response,
    fold=whole,
)

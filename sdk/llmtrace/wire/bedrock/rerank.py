"""Amazon Bedrock's ranking: `POST /rerank` with a `rerankingConfiguration`."""

from __future__ import annotations

from typing import Any, Final

from llmtrace import semconv
from llmtrace.wire.format import Json, Translation, WireFormat, items, mapping, put_int, put_text, whole, word

from .knowledge_bases import model_of_arn

_DOCUMENTS_OF_QUERY: Final = 100


def matches(path: str, body: bytes) -> bool:
    """By the one field every request has."""
    return b'"rerankingConfiguration"' in body


def request(body: Json, path: str, content: bool) -> Translation:
    """Request body to attributes; the query is content."""
    payload = mapping(body)
    ranking = mapping(mapping(payload.get("rerankingConfiguration")).get("bedrockRerankingConfiguration"))
    translation = Translation()
    attributes = translation.attributes
    model = model_of_arn(mapping(ranking.get("modelConfiguration")).get("modelArn"))
    put_text(attributes, semconv.REQUEST_MODEL, model)
    put_int(attributes, semconv.RETRIEVAL_TOP_K, ranking.get("numberOfResults"))
    queries = [
        word(mapping(mapping(query).get("textQuery")), "text") for query in items(payload.get("queries"))
    ]
    if content and any(queries):
        translation.texts[semconv.RETRIEVAL_QUERY_TEXT] = "\n".join(queries)
    return translation


def response(body: Json, content: bool) -> Translation:
    """Response body to attributes. A query with up to a hundred documents is billed as one; the answer has at
    most as many as were sent."""
    translation = Translation()
    results = [mapping(result) for result in items(mapping(body).get("results"))]
    if results:
        searches = -(-len(results) // _DOCUMENTS_OF_QUERY)
        translation.attributes[semconv.USAGE_RERANK_SEARCHES] = searches
    if content and results:
        translation.content[semconv.RETRIEVAL_DOCUMENTS] = [_document(result) for result in results]
    return translation


def _document(result: Any) -> Json:
    entry = {"id": str(result.get("index")), "score": result.get("relevanceScore")}
    written = mapping(mapping(result.get("document")).get("textDocument")).get("text")
    return {**entry, "content": written} if isinstance(written, str) else entry


FORMAT: Final = WireFormat(
    provider=semconv.PROVIDER_AWS_BEDROCK,
    operation="rerank",
    endings=("rerank",),
    matches=matches,
    request=request,
    response=response,
    fold=whole,
)

"""Milvus and Zilliz Cloud: `POST /v2/vectordb/entities/search`, `…/hybrid_search`, `POST /v1/vector/search`.

Failures come with status 200: a `code` that is neither 0 nor 200, and a `message`.
"""

from __future__ import annotations

from typing import Final

from llmtrace.wire.format import Json, Translation, WireFormat, either, items, mapping

from . import shared

_PATHS: Final = (
    "/v2/vectordb/entities/search",
    "/v2/vectordb/entities/hybrid_search",
    "/v2/vectordb/entities/advanced_search",
    "/v1/vector/search",
)
_SUCCESS: Final = (0, 200)


def matches(path: str, body: bytes) -> bool:
    """By the path and the one field every request has."""
    return path.endswith(_PATHS) and b'"collectionName"' in body


def request(body: Json, path: str, content: bool) -> Translation:
    """Request body to attributes. `data` holds vectors, or texts where the server makes the vectors."""
    payload = mapping(body)
    searches = [payload, *map(mapping, items(payload.get("search")))]
    limit = next((search["limit"] for search in searches if "limit" in search), None)
    texts = [text for search in searches for text in items(search.get("data"))]
    return shared.query(
        "milvus",
        collection=payload.get("collectionName"),
        namespace=payload.get("dbName"),
        top_k=limit,
        texts=texts if content else (),
    )


def response(body: Json, content: bool) -> Translation:
    """Response body to attributes: entities with `distance`; a primary key of another name is not known."""
    hits = map(mapping, items(mapping(body).get("data")))
    return shared.documents([(hit.get("id"), either(hit, "distance", "score")) for hit in hits], content)


def failure(body: Json) -> tuple[str | None, str | None]:
    """(error type, message) of an answer that says so itself."""
    payload = mapping(body)
    code, message = payload.get("code"), payload.get("message")
    if type(code) is not int or code in _SUCCESS:
        return None, None
    return str(code), message if isinstance(message, str) else None


FORMAT: Final[WireFormat] = shared.retrieval_format(
    "milvus",
    ("search", "hybrid_search", "advanced_search"),
    matches,
    request,
    response,
    failure=failure,
)

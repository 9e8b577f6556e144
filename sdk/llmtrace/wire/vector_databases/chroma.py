"""Chroma: `POST /api/v2/tenants/…/databases/…/collections/{id}/query` or `/search`, in its first version
`/api/v1/collections/{id}/query`.

A collection has an id in the path; its name is not sent.
"""

from __future__ import annotations

import re
from typing import Final

from llmtrace.wire.format import Json, Translation, WireFormat, between, items, mapping

from . import shared

_PATH: Final = re.compile(
    r"/api/(?:v1|v2/tenants/[^/]+/databases/[^/]+)/collections/[^/]+/(?:query|search)\Z"
)


def matches(path: str, body: bytes) -> bool:
    """By the whole path and the one field every request has."""
    if b'"query_embeddings"' not in body and b'"searches"' not in body:
        return False
    return _PATH.search(path) is not None


def request(body: Json, path: str, content: bool) -> Translation:
    """Request body to attributes. A search is a list of queries, each with a limit of its own."""
    payload = mapping(body)
    searches = [mapping(search) for search in items(payload.get("searches"))]
    limits = [mapping(search.get("limit")).get("limit") for search in searches]
    return shared.query(
        "chroma",
        collection=between(path, "/collections/"),
        namespace=between(path, "/databases/"),
        top_k=next(iter(limits), payload.get("n_results")),
        texts=items(payload.get("query_texts")) if content else (),
    )


def response(body: Json, content: bool) -> Translation:
    """Response body to attributes: a row of ids and of distances (or scores) for each query."""
    payload = mapping(body)
    scores = items(payload.get("distances") or payload.get("scores"))
    rows: list[tuple[Json, Json]] = []
    for number, ids in enumerate(items(payload.get("ids"))):
        of_query = items(scores[number]) if number < len(scores) else []
        ids = items(ids)
        rows += zip(ids, [*of_query, *[None] * (len(ids) - len(of_query))], strict=False)
    return shared.documents(rows, content)


FORMAT: Final[WireFormat] = shared.retrieval_format("chroma", ("query", "search"), matches, request, response)

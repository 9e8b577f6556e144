"""Elasticsearch and OpenSearch: `POST /{index}/_search` that searches by vectors or by meaning.

Any other search is an application's own business: only what asks for neighbours of a vector, or has the
server make one, is a retrieval.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote

from llmtrace import semconv
from llmtrace.wire.format import Json, Translation, WireFormat, items, mapping

from . import shared

_SEARCHES: Final = re.compile(
    rb'"(?:knn|semantic|sparse_vector|text_expansion|neural|neural_sparse|text_similarity_reranker)"\s*:\s*[\[{]'
    rb"|\b(?:cosineSimilarity|dotProduct|l1norm|l2norm|maxSimDotProduct)\s*\(|\"knn_score\""
)
_OPENSEARCH: Final = frozenset({"neural", "neural_sparse"})
_DEFAULT_SIZE: Final = 10
_DEEPEST: Final = 12
_TEXTS: Final = ("model_text", "query_text", "inference_text")


def matches(path: str, body: bytes) -> bool:
    """By the path and a word of vector search in the body."""
    return path.endswith(("/_search", "/_knn_search")) and _SEARCHES.search(body) is not None


def request(body: Json, path: str, content: bool) -> Translation:
    """Request body to attributes: `size` documents come, or as many neighbours as were asked for."""
    payload = mapping(body)
    clauses = list(_clauses(payload))
    neighbours = next((count for name, clause in clauses if (count := _neighbours(name, clause))), None)
    size = payload.get("size")
    texts = [text for name, clause in clauses for text in _query_texts(name, clause)] if content else []
    is_opensearch = any(name in _OPENSEARCH or _is_opensearch_knn(name, clause) for name, clause in clauses)
    system = "opensearch" if is_opensearch else "elasticsearch"
    translation = shared.query(
        system,
        collection=unquote(path.rpartition("/")[0].rpartition("/")[2]),
        top_k=size if type(size) is int else neighbours or _DEFAULT_SIZE,
        texts=dict.fromkeys(texts),
    )
    if is_opensearch:
        translation.attributes[semconv.PROVIDER_NAME] = system
    return translation


def _clauses(value: Json, depth: int = 0) -> Iterator[tuple[str, Json]]:
    """Every clause of a query, by its name."""
    if depth > _DEEPEST:
        return
    if isinstance(value, dict):
        for name, inner in value.items():
            yield name, inner
            yield from _clauses(inner, depth + 1)
    elif isinstance(value, list) and isinstance(next(iter(value), None), dict):
        for inner in value:
            yield from _clauses(inner, depth + 1)


def _of_field(clause: Json) -> Mapping[str, Any]:
    """What OpenSearch writes of a field: `{field: {…}}`."""
    fields = [inner for inner in mapping(clause).values() if isinstance(inner, dict)]
    return fields[0] if len(fields) == 1 else {}


def _is_opensearch_knn(name: str, clause: Json) -> bool:
    return name == "knn" and "vector" in _of_field(clause)


def _neighbours(name: str, clause: Json) -> int | None:
    if name not in {"knn", *_OPENSEARCH}:
        return None
    first = mapping(next(iter(items(clause)), None)) or mapping(clause)
    count = first.get("k") or _of_field(first).get("k")
    return count if type(count) is int else None


def _query_texts(name: str, clause: Json) -> Iterator[str]:
    entry = mapping(clause)
    if name in {"semantic", "sparse_vector"}:
        candidates = [entry.get("query")]
    else:
        candidates = [entry.get(key) for key in _TEXTS]
    yield from (text for text in candidates if isinstance(text, str))


def response(body: Json, content: bool) -> Translation:
    """Response body to attributes."""
    hits = map(mapping, items(mapping(mapping(body).get("hits")).get("hits")))
    return shared.documents([(hit.get("_id"), hit.get("_score")) for hit in hits], content)


FORMAT: Final[WireFormat] = shared.retrieval_format(
    "elasticsearch", ("_search", "_knn_search"), matches, request, response
)

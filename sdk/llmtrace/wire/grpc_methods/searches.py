"""Vector databases: a search's messages as the same database says them over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from llmtrace.wire.format import Json, Translation, WireFormat, items, mapping, word
from llmtrace.wire.vector_databases import milvus, pinecone, qdrant, shared

from .method import GrpcMethod, HttpRequest, unchanged

_NOT_READ: Final = frozenset(
    {"vector", "vectors", "values", "sparse_vector", "payload", "metadata", "filter", "fields_data",
     "placeholder_group", "vector_bytes", "properties"}
)  # fmt: skip
_QDRANT_ENDINGS: Final = {
    "Search": "search",
    "SearchBatch": "search/batch",
    "SearchGroups": "search/groups",
    "Recommend": "recommend",
    "RecommendBatch": "recommend/batch",
    "RecommendGroups": "recommend/groups",
    "Discover": "discover",
    "DiscoverBatch": "discover/batch",
    "Query": "query",
    "QueryBatch": "query/batch",
    "QueryGroups": "query/groups",
}
_QDRANT_BATCHES: Final = ("search_points", "query_points", "recommend_points", "discover_points")


def _qdrant_request(ending: str) -> Callable[[Json], HttpRequest]:
    def request(message: Json) -> HttpRequest:
        fields = mapping(message)
        path = f"/collections/{word(fields, 'collection_name')}/points/{ending}"
        batch = next((fields[name] for name in _QDRANT_BATCHES if name in fields), None)
        if batch is not None:
            return HttpRequest(path, {"searches": [_qdrant_query(query) for query in items(batch)]})
        return HttpRequest(path, _qdrant_query(fields))

    return request


def _qdrant_query(message: Json) -> Json:
    fields = mapping(message)
    nearest = mapping(mapping(fields.get("query")).get("nearest"))
    body: dict[str, Json] = {"query": mapping(nearest.get("document")) or None}
    return {**body, "limit": fields["limit"]} if "limit" in fields else body


def _qdrant_response(message: Json) -> Json:
    return {"result": _qdrant_points(mapping(message).get("result"))}


def _qdrant_points(result: Json) -> Json:
    if isinstance(result, list):
        return [_qdrant_points(item) for item in result]
    fields = mapping(result)
    if "groups" in fields:
        return {"groups": _qdrant_points(fields["groups"])}
    if "hits" in fields:
        return {"hits": _qdrant_points(fields["hits"])}
    if "result" in fields:
        return {"points": _qdrant_points(fields["result"])}
    key = mapping(fields.get("id"))
    return {"id": key.get("uuid", key.get("num", 0)), "score": fields.get("score", 0.0)}


def _pinecone_request(message: Json) -> HttpRequest:
    fields = mapping(message)
    return HttpRequest("/query", {"topK": fields.get("top_k"), "namespace": fields.get("namespace")})


def _milvus_request(message: Json) -> HttpRequest:
    fields = mapping(message)
    pairs = [*items(fields.get("search_params")), *items(fields.get("rank_params"))]
    params = {word(pair, "key"): word(pair, "value") for pair in map(mapping, pairs)}
    limit = params.get("topk") or params.get("limit") or ""
    body = {
        "collectionName": fields.get("collection_name"),
        "dbName": fields.get("db_name"),
        **({"limit": int(limit)} if limit.isdecimal() else {}),
    }
    return HttpRequest("/v2/vectordb/entities/search", body)


def _milvus_response(message: Json) -> Json:
    fields = mapping(message)
    status = mapping(fields.get("status"))
    results = mapping(fields.get("results"))
    kinds = mapping(results.get("ids"))
    keys = items(mapping(kinds.get("int_id") or kinds.get("str_id")).get("data"))
    rows = zip(keys, items(results.get("scores")), strict=False)
    return {
        "code": status.get("code", 0),
        "message": status.get("reason"),
        "data": [{"id": key, "distance": score} for key, score in rows],
    }


_WEAVIATE_SEARCHES: Final = ("near_text", "hybrid_search", "bm25_search")
_WEAVIATE_SCORES: Final = ("score", "certainty", "distance")


def _weaviate_request(body: Json, path: str, content: bool) -> Translation:
    fields = mapping(body)
    asked = [mapping(fields.get(name)).get("query") for name in _WEAVIATE_SEARCHES] if content else []
    return shared.query(
        "weaviate",
        collection=fields.get("collection"),
        namespace=fields.get("tenant"),
        top_k=fields.get("limit"),
        texts=[text for query in asked for text in (query if isinstance(query, list) else [query])],
    )


def _weaviate_response(body: Json, content: bool) -> Translation:
    fields = mapping(body)
    groups = [mapping(group).get("objects") for group in items(fields.get("group_by_results"))]
    results = [fields.get("results"), *groups]
    return shared.documents([row for objects in results for row in _weaviate_rows(objects)], content)


def _weaviate_rows(objects: Json) -> Iterator[tuple[Json, Json]]:
    for item in items(objects):
        known = mapping(mapping(item).get("metadata"))
        score = next(
            (known.get(name, 0.0) for name in _WEAVIATE_SCORES if known.get(f"{name}_present") is True), None
        )
        yield known.get("id"), score


_WEAVIATE: Final = shared.retrieval_format(
    "weaviate", (), lambda path, body: False, _weaviate_request, _weaviate_response
)


def _search(
    provider: str,
    wire_format: WireFormat,
    request: Callable[[Json], HttpRequest],
    response: Callable[[Json], Json] = unchanged,
    *,
    left_out: frozenset[str] = _NOT_READ,
) -> GrpcMethod:
    return GrpcMethod(provider, wire_format, request, response, by_path=False, left_out=left_out)


def _weaviate_said(message: Json) -> HttpRequest:
    return HttpRequest("/weaviate.v1.Weaviate/Search", message)


METHODS: Final[Mapping[str, GrpcMethod]] = {
    **{
        f"/qdrant.Points/{name}": _search("qdrant", qdrant.FORMAT, _qdrant_request(ending), _qdrant_response)
        for name, ending in _QDRANT_ENDINGS.items()
    },
    "/VectorService/Query": _search("pinecone", pinecone.FORMAT, _pinecone_request),
    **{
        f"/milvus.proto.milvus.MilvusService/{name}": _search(
            "milvus", milvus.FORMAT, _milvus_request, _milvus_response
        )
        for name in ("Search", "HybridSearch")
    },
    "/weaviate.v1.Weaviate/Search": _search(
        "weaviate", _WEAVIATE, _weaviate_said, left_out=_NOT_READ - {"metadata"}
    ),
}

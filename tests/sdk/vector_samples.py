"""Queries of vector databases as their clients send them, and what the databases answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

VECTOR = [0.125, -0.25, 0.0625]


@dataclass(frozen=True)
class VectorSample:
    """One exchange, and what its step has to say."""

    name: str
    path: str
    sent: Any
    answer: Any
    system: str
    collection: str | None
    top_k: int
    documents: list[tuple[str | None, float | None]]
    text: str | None = None
    error: tuple[str, str] | None = None
    status: int = 200
    more: dict[str, Any] = field(default_factory=dict)


_COLLECTION = "954bcf0f-bc2c-4478-9a9e-abccfb542256"
_CHROMA = f"/api/v2/tenants/default_tenant/databases/shop/collections/{_COLLECTION}"
_QDRANT_POINTS = [
    {"id": 4, "version": 3, "score": 0.75, "payload": {"color": "red"}, "vector": VECTOR},
    {"id": "5c56c793-69f3-4fbf-87e6-c4bf54c28c26", "version": 3, "score": 0.5, "payload": None},
]
_QDRANT_DOCUMENTS = [("4", 0.75), ("5c56c793-69f3-4fbf-87e6-c4bf54c28c26", 0.5)]
_ELASTIC = {
    "took": 5,
    "timed_out": False,
    "hits": {
        "total": {"value": 2, "relation": "eq"},
        "max_score": 0.9,
        "hits": [
            {"_index": "docs", "_id": "7", "_score": 0.9, "_source": {"v": VECTOR, "title": "private"}},
            {"_index": "docs", "_id": "8", "_score": 0.5, "_source": {}},
        ],
    },
}
_ELASTIC_DOCUMENTS: list[tuple[str | None, float | None]] = [("7", 0.9), ("8", 0.5)]
_WEAVIATE = {
    "data": {
        "Get": {
            "Article": [
                {"title": "private", "_additional": {"id": "u1", "distance": 0.25, "vector": VECTOR}},
                {"title": "private", "_additional": {"id": "u2", "distance": 0.5}},
            ]
        }
    }
}

VECTOR_SAMPLES = (
    VectorSample(
        "chroma",
        f"{_CHROMA}/query",
        {
            "query_embeddings": [VECTOR, VECTOR],
            "n_results": 2,
            "where": {"a": "b"},
            "include": ["documents", "distances"],
        },
        {
            "ids": [["a", "b"], ["c"]],
            "distances": [[0.25, 1.5], [0.5]],
            "documents": [["private", "private"], ["private"]],
            "embeddings": [[VECTOR, VECTOR], [VECTOR]],
            "metadatas": None,
            "include": ["documents", "distances"],
        },
        "chroma",
        _COLLECTION,
        2,
        [("a", 0.25), ("b", 1.5), ("c", 0.5)],
        more={"db.namespace": "shop"},
    ),
    VectorSample(
        "chroma-v1",
        f"/api/v1/collections/{_COLLECTION}/query",
        {"query_embeddings": [VECTOR], "n_results": 10},
        {"ids": [["a"]], "distances": None, "documents": [["private"]]},
        "chroma",
        _COLLECTION,
        10,
        [("a", None)],
    ),
    VectorSample(
        "chroma-search",
        f"{_CHROMA}/search",
        {"searches": [{"rank": {"$knn": {"query": VECTOR}}, "limit": {"limit": 3, "offset": 0}}]},
        {"ids": [["a"]], "scores": [[0.25]], "documents": [["private"]]},
        "chroma",
        _COLLECTION,
        3,
        [("a", 0.25)],
        more={"db.namespace": "shop"},
    ),
    VectorSample(
        "pinecone",
        "/query",
        {"vector": VECTOR, "topK": 3, "namespace": "ns", "includeValues": True, "includeMetadata": True},
        {
            "matches": [
                {"id": "a", "score": 0.875, "values": VECTOR, "metadata": {"text": "private"}},
                {"id": "b", "score": 0.5, "values": []},
            ],
            "namespace": "ns",
            "usage": {"readUnits": 5},
        },
        "pinecone",
        None,
        3,
        [("a", 0.875), ("b", 0.5)],
        more={"db.namespace": "ns"},
    ),
    VectorSample(
        "pinecone-records",
        "/records/namespaces/my%20ns/search",
        {"query": {"inputs": {"text": "warm coats"}, "top_k": 4}, "fields": ["text"]},
        {"result": {"hits": [{"_id": "r1", "_score": 0.5, "fields": {"text": "private"}}]}, "usage": {}},
        "pinecone",
        None,
        4,
        [("r1", 0.5)],
        text="warm coats",
        more={"db.namespace": "my ns"},
    ),
    VectorSample(
        "qdrant",
        "/collections/my%20docs/points/query",
        {"query": {"nearest": VECTOR}, "limit": 5, "with_vector": True, "with_payload": True},
        {"result": {"points": _QDRANT_POINTS}, "status": "ok", "time": 0.001},
        "qdrant",
        "my docs",
        5,
        list(_QDRANT_DOCUMENTS),
    ),
    VectorSample(
        "qdrant-text",
        "/collections/docs/points/query",
        {"query": {"nearest": {"text": "warm coats", "model": "m"}}},
        {"result": {"points": _QDRANT_POINTS}, "status": "ok", "time": 0.001},
        "qdrant",
        "docs",
        10,
        list(_QDRANT_DOCUMENTS),
        text="warm coats",
    ),
    VectorSample(
        "qdrant-older",
        "/collections/docs/points/search",
        {"vector": VECTOR, "limit": 2},
        {"result": _QDRANT_POINTS, "status": "ok", "time": 0.001},
        "qdrant",
        "docs",
        2,
        list(_QDRANT_DOCUMENTS),
    ),
    VectorSample(
        "qdrant-batch",
        "/collections/docs/points/query/batch",
        {"searches": [{"query": VECTOR, "limit": 3}, {"query": VECTOR, "limit": 3}]},
        {"result": [{"points": _QDRANT_POINTS}, {"points": _QDRANT_POINTS[:1]}], "status": "ok", "time": 0.1},
        "qdrant",
        "docs",
        3,
        [*_QDRANT_DOCUMENTS, ("4", 0.75)],
    ),
    VectorSample(
        "qdrant-groups",
        "/collections/docs/points/query/groups",
        {"query": VECTOR, "limit": 2, "group_by": "author"},
        {"result": {"groups": [{"id": "ann", "hits": _QDRANT_POINTS}]}, "status": "ok", "time": 0.1},
        "qdrant",
        "docs",
        2,
        list(_QDRANT_DOCUMENTS),
    ),
    VectorSample(
        "qdrant-error",
        "/collections/none/points/query",
        {"query": VECTOR, "limit": 2},
        {"status": {"error": "Not found: Collection `none` doesn't exist!"}, "time": 0.0},
        "qdrant",
        "none",
        2,
        [],
        error=("404", "Not found: Collection `none` doesn't exist!"),
        status=404,
    ),
    VectorSample(
        "weaviate",
        "/v1/graphql",
        {
            "query": "{Get{Article(nearVector:{vector:[0.125,-0.25,0.0625]} limit:5)"
            "{title _additional{id distance vector}}}}"
        },
        _WEAVIATE,
        "weaviate",
        "Article",
        5,
        [("u1", 0.25), ("u2", 0.5)],
    ),
    VectorSample(
        "weaviate-hybrid",
        "/v1/graphql",
        {
            "query": '{ Get { Article ( limit: 2 hybrid: {query: "coats \\"warm\\"", alpha: 0.5} ) '
            "{ _additional { id score } } } }"
        },
        {"data": {"Get": {"Article": [{"_additional": {"id": "u1", "score": "0.25"}}]}}},
        "weaviate",
        "Article",
        2,
        [("u1", 0.25)],
        text='coats "warm"',
    ),
    VectorSample(
        "weaviate-error",
        "/v1/graphql",
        {"query": '{Get{Missing(nearText:{concepts:["coats","warm"]} limit:1){title}}}'},
        {"errors": [{"message": "Cannot query field Missing", "path": None}]},
        "weaviate",
        "Missing",
        1,
        [],
        text="coats\nwarm",
        error=("_OTHER", "Cannot query field Missing"),
    ),
    VectorSample(
        "milvus",
        "/v2/vectordb/entities/search",
        {"collectionName": "docs", "dbName": "shop", "data": [VECTOR], "annsField": "v", "limit": 3},
        {"code": 0, "cost": 0, "data": [{"id": 1, "distance": 0.5, "v": VECTOR, "text": "private"}]},
        "milvus",
        "docs",
        3,
        [("1", 0.5)],
        more={"db.namespace": "shop"},
    ),
    VectorSample(
        "milvus-hybrid",
        "/v2/vectordb/entities/hybrid_search",
        {
            "collectionName": "docs",
            "search": [
                {"data": [VECTOR], "annsField": "v", "limit": 8},
                {"data": ["warm coats"], "annsField": "sparse", "limit": 8},
            ],
            "rerank": {"strategy": "rrf"},
            "limit": 4,
        },
        {"code": 0, "data": [{"id": "x", "distance": 0.5}]},
        "milvus",
        "docs",
        4,
        [("x", 0.5)],
        text="warm coats",
    ),
    VectorSample(
        "milvus-error",
        "/v2/vectordb/entities/search",
        {"collectionName": "none", "data": [VECTOR], "annsField": "v", "limit": 3},
        {"code": 100, "message": "collection not found[collection=none]"},
        "milvus",
        "none",
        3,
        [],
        error=("100", "collection not found[collection=none]"),
    ),
    VectorSample(
        "elasticsearch",
        "/docs/_search",
        {"knn": {"field": "v", "query_vector": VECTOR, "k": 4, "num_candidates": 20}},
        _ELASTIC,
        "elasticsearch",
        "docs",
        4,
        _ELASTIC_DOCUMENTS,
    ),
    VectorSample(
        "elasticsearch-retriever",
        "/docs/_search",
        {
            "size": 6,
            "retriever": {
                "rrf": {
                    "retrievers": [
                        {"standard": {"query": {"semantic": {"field": "s", "query": "warm coats"}}}},
                        {"knn": {"field": "v", "query_vector": VECTOR, "k": 3, "num_candidates": 9}},
                    ]
                }
            },
        },
        _ELASTIC,
        "elasticsearch",
        "docs",
        6,
        _ELASTIC_DOCUMENTS,
        text="warm coats",
    ),
    VectorSample(
        "elasticsearch-script",
        "/docs/_search",
        {
            "query": {
                "script_score": {
                    "query": {"match_all": {}},
                    "script": {
                        "source": "cosineSimilarity(params.v, 'v') + 1.0",
                        "params": {"v": VECTOR},
                    },
                }
            }
        },
        _ELASTIC,
        "elasticsearch",
        "docs",
        10,
        _ELASTIC_DOCUMENTS,
    ),
    VectorSample(
        "opensearch",
        "/docs/_search",
        {"query": {"knn": {"v": {"vector": VECTOR, "k": 5}}}},
        _ELASTIC,
        "opensearch",
        "docs",
        5,
        _ELASTIC_DOCUMENTS,
    ),
    VectorSample(
        "opensearch-neural",
        "/docs/_search",
        {"size": 3, "query": {"neural": {"v": {"query_text": "warm coats", "model_id": "m", "k": 5}}}},
        _ELASTIC,
        "opensearch",
        "docs",
        3,
        _ELASTIC_DOCUMENTS,
        text="warm coats",
    ),
)

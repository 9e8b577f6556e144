"""Searches of vector databases: steps without tokens, which no list prices."""

from __future__ import annotations

from typing import Final

from .endpoint import Endpoint
from .replayed import searched

ENDPOINTS: Final[tuple[Endpoint, ...]] = tuple(
    Endpoint(
        "searches",
        title,
        searched(name),
        ("retrieval",),
        source="client",
        remark="a step; the database bills by its own units",
    )
    for title, name in (
        ("Chroma", "chroma"),
        ("Pinecone", "pinecone"),
        ("Qdrant", "qdrant"),
        ("Weaviate", "weaviate"),
        ("Milvus, Zilliz", "milvus"),
        ("Elasticsearch, OpenSearch", "elasticsearch"),
    )
)

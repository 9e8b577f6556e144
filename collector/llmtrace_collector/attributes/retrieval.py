"""How tracers of vector databases tell of a query: what the conventions' attributes of a retrieval are of.

Spans of a query are steps of the operation `retrieval`; their attributes get what the conventions call it,
next to what the tracer wrote.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from llmtrace import semconv

#: How many documents were asked for.
TOP_K_IN = ("db.vector.query.top_k", "pinecone.query.top_k", "db.chroma.query.n_results")

#: What only spans of a query have, also where nobody said how many documents are wanted.
QUERY_KEYS = (
    *TOP_K_IN,
    "db.vector.query.embeddings_count",
    "db.chroma.query.embeddings_count",
    "db.chroma.query.texts_count",
)

#: What was searched.
COLLECTION_IN = (
    semconv.DB_COLLECTION_NAME,
    "qdrant.query_points.collection_name",
    "qdrant.search.collection_name",
    "qdrant.query.collection_name",
)

#: The span event of each document, with its id and its score; a distance is what some databases score by.
RESULT_EVENT = "db.query.result"
RESULT_ID = "db.query.result.id"
RESULT_SCORES = ("db.query.result.score", "db.query.result.distance")

#: The conventions' attribute → what foreign spans are asked for it, by name. Documents are made of several.
RETRIEVAL_KEYS: Mapping[str, str] = MappingProxyType(
    {semconv.DATA_SOURCE_ID: "retrieval_collection", semconv.RETRIEVAL_TOP_K: "retrieval_top_k"}
)

"""A vector database's own client, asked once: with_vector_databases.py CLIENT URL. Prints the spans."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from llmtrace.testing import capture

VECTOR = [0.125, -0.25]


def chroma(url: str) -> None:
    import chromadb

    host, _, port = url.removeprefix("http://").partition(":")
    collection = chromadb.HttpClient(host=host, port=int(port)).get_or_create_collection("docs")
    assert collection.query(query_embeddings=[VECTOR], n_results=2)["ids"] == [["a", "b"]]


def qdrant(url: str) -> None:
    from qdrant_client import QdrantClient

    client = QdrantClient(url=url, prefer_grpc=False, check_compatibility=False)
    assert [point.id for point in client.query_points("docs", query=VECTOR, limit=2).points] == [4, 5]


def qdrant_async(url: str) -> None:
    from qdrant_client import AsyncQdrantClient

    async def run() -> None:
        client = AsyncQdrantClient(url=url, prefer_grpc=False, check_compatibility=False)
        assert len((await client.query_points("docs", query=VECTOR, limit=2)).points) == 2
        await client.close()

    asyncio.run(run())


def pinecone(url: str) -> None:
    from pinecone import Pinecone

    index: Any = Pinecone(api_key="k").Index(host=url)
    assert [match.id for match in index.query(vector=VECTOR, top_k=2).matches] == ["a", "b"]


def elasticsearch(url: str) -> None:
    from elasticsearch import Elasticsearch

    knn = {"field": "v", "query_vector": VECTOR, "k": 2, "num_candidates": 20}
    hits = Elasticsearch(url, http_compress=True).search(index="docs", knn=knn)["hits"]["hits"]
    assert [hit["_id"] for hit in hits] == ["a", "b"]


def opensearch(url: str) -> None:
    from opensearchpy import OpenSearch

    query = {"size": 2, "query": {"knn": {"v": {"vector": VECTOR, "k": 2}}}}
    hits = OpenSearch(url).search(index="docs", body=query)["hits"]["hits"]
    assert [hit["_id"] for hit in hits] == ["a", "b"]


if __name__ == "__main__":
    client, server = sys.argv[1:]
    with capture() as traces:
        globals()[client](server)
        print(json.dumps([span for span in traces.snapshot() if span["name"].startswith("retrieval")]))

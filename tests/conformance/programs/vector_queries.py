"""A query of a vector database: Chroma and Qdrant in this process, Pinecone's API on loopback.

`openllmetry-chroma`, `…-qdrant`, `…-pinecone`: the client itself under OpenLLMetry's instrumentor of it.
`openinference-chroma`, …: a LangChain retriever over it under OpenInference's instrumentor of LangChain, as
OpenInference has no instrumentors of databases.

The call gives what the database answered: `collection`, `top_k`, `ids` and `scores`.
"""

from __future__ import annotations

import importlib
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from program import run
from questions import QUESTION
from tracers import exporting_provider, with_contents

COLLECTION, TOP_K = "bridges", 2
#: Text → vector.
DOCUMENTS = {
    "The old bridge of Mostar crosses the Neretva.": [1.0, 0.0, 0.0],
    "The bridge of Visegrad crosses the Drina.": [0.8, 0.6, 0.0],
    "Autumn leaves fall.": [0.0, 0.0, 1.0],
}
ASKED = [0.96, 0.28, 0.0]

_INSTRUMENTORS = {
    "chroma": ("opentelemetry.instrumentation.chromadb", "ChromaInstrumentor"),
    "qdrant": ("opentelemetry.instrumentation.qdrant", "QdrantInstrumentor"),
    "pinecone": ("opentelemetry.instrumentation.pinecone", "PineconeInstrumentor"),
    "langchain": ("openinference.instrumentation.langchain", "LangChainInstrumentor"),
}
_TRACER = ["", ""]

Answer = dict[str, Any]


def switch_on(tracer: str, otlp: str) -> Callable[[], object]:
    """Switch the instrumentor on; what flushes."""
    family, database = tracer.split("-")
    _TRACER[:] = family, database
    with_contents(tracer)
    provider = exporting_provider(otlp)
    module, name = _INSTRUMENTORS[database if family == "openllmetry" else "langchain"]
    getattr(importlib.import_module(module), name)().instrument(tracer_provider=provider)
    shutdown: Callable[[], object] = provider.shutdown
    return shutdown


def answer(ids: list[Any], scores: list[float]) -> Answer:
    """What the database answered."""
    return {"collection": COLLECTION, "top_k": TOP_K, "ids": list(map(str, ids)), "scores": scores}


def embeddings() -> Any:
    """Vectors without a model, as LangChain asks for them."""
    from langchain_core.embeddings import Embeddings

    class Known(Embeddings):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return [DOCUMENTS.get(text, ASKED) for text in texts]

        def embed_query(self, text: str) -> list[float]:
            return ASKED

    return Known()


def chroma() -> Answer:
    import chromadb

    collection = chromadb.EphemeralClient().get_or_create_collection(COLLECTION)
    collection.upsert(
        ids=["0", "1", "2"],
        embeddings=list(DOCUMENTS.values()),
        documents=list(DOCUMENTS),  # type: ignore[arg-type, unused-ignore]
    )
    result = collection.query(query_embeddings=[ASKED], n_results=TOP_K)
    return answer(result["ids"][0], result["distances"][0])


def qdrant_client() -> Any:
    """A client with the documents in memory."""
    from qdrant_client import QdrantClient, models

    client = QdrantClient(":memory:")
    client.create_collection(
        COLLECTION, vectors_config=models.VectorParams(size=3, distance=models.Distance.COSINE)
    )
    return client


def qdrant() -> Answer:
    from qdrant_client import models

    client = qdrant_client()
    client.upsert(
        collection_name=COLLECTION,
        points=[
            models.PointStruct(id=number, vector=vector, payload={"text": text})
            for number, (text, vector) in enumerate(DOCUMENTS.items())
        ],
    )
    points = client.query_points(collection_name=COLLECTION, query=ASKED, limit=TOP_K).points
    return answer([point.id for point in points], [point.score for point in points])


class Pinecone(BaseHTTPRequestHandler):
    """Answers /query as Pinecone does, and takes vectors without keeping them."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["content-length"])) or b"{}")
        matches = [
            {
                "id": str(number),
                "score": sum(left * right for left, right in zip(vector, request["vector"], strict=True)),
                "metadata": {"text": text},
            }
            for number, (text, vector) in enumerate(DOCUMENTS.items())
        ]
        matches.sort(key=lambda match: -match["score"])
        body = {"matches": matches[: request["topK"]], "namespace": "", "usage": {"readUnits": 1}}
        self._send(body)

    def do_GET(self) -> None:
        self._send({"name": COLLECTION, "dimension": 3, "metric": "cosine"})

    def _send(self, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


def pinecone_index() -> Any:
    """An index whose server is this process."""
    from pinecone import Pinecone as Client

    server = ThreadingHTTPServer(("127.0.0.1", 0), Pinecone)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return Client(api_key="k").Index(host=f"http://127.0.0.1:{server.server_address[1]}")


def pinecone() -> Answer:
    matches = pinecone_index().query(vector=ASKED, top_k=TOP_K, include_metadata=True)["matches"]
    return answer([match["id"] for match in matches], [match["score"] for match in matches])


def retrieved(store: Any) -> Answer:
    """What a LangChain retriever finds in a store."""
    documents = store.as_retriever(search_kwargs={"k": TOP_K}).invoke(QUESTION)
    scored = store.similarity_search_with_score(QUESTION, k=TOP_K)
    ids = [document.id or document.metadata.get("_id") for document in documents]
    return answer(ids, [score for _, score in scored])


def langchain_chroma() -> Answer:
    from langchain_chroma import Chroma

    store: Any = Chroma(collection_name=COLLECTION, embedding_function=embeddings())
    store.add_texts(list(DOCUMENTS), ids=["0", "1", "2"])
    return retrieved(store)


def langchain_qdrant() -> Answer:
    from langchain_qdrant import QdrantVectorStore

    store: Any = QdrantVectorStore(qdrant_client(), COLLECTION, embedding=embeddings())
    store.add_texts(list(DOCUMENTS))
    return retrieved(store)


def langchain_pinecone() -> Answer:
    from langchain_pinecone import PineconeVectorStore

    return retrieved(PineconeVectorStore(index=pinecone_index(), embedding=embeddings()))


def vector_query(url: str) -> Answer:
    family, database = _TRACER
    calls: dict[str, Callable[[], Answer]] = {
        "openllmetry-chroma": chroma,
        "openllmetry-qdrant": qdrant,
        "openllmetry-pinecone": pinecone,
        "openinference-chroma": langchain_chroma,
        "openinference-qdrant": langchain_qdrant,
        "openinference-pinecone": langchain_pinecone,
    }
    return calls[f"{family}-{database}"]()


if __name__ == "__main__":
    run({"vector_query": vector_query}, switch_on=switch_on)

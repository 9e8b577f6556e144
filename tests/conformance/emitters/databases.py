"""Vector databases: each tells of a query as one retrieval."""

from __future__ import annotations

from collections.abc import Mapping

from tests.conformance.table import KIND_NAMES, Emitter

_ONLY_QUERIES: Mapping[str, str] = {
    kind: "a vector database answers no questions" for kind in KIND_NAMES if kind != "vector_query"
}
_AS_RETRIEVER = {
    ("*", "collection"): "LangChain's retriever does not name it",
    ("*", "top_k"): "LangChain's retriever does not tell it",
    ("*", "ids"): "it tells the texts of documents alone",
    ("*", "scores"): "LangChain's retriever leaves them out",
}


def _database(
    family: str,
    name: str,
    environments: tuple[str, ...],
    packages: tuple[str, ...],
    defects: Mapping[tuple[str, str], str],
    older_defects: Mapping[tuple[str, str], str] | None = None,
) -> Emitter:
    """A vector database under OpenLLMetry's instrumentor of it, or OpenInference's of LangChain."""
    return Emitter(
        f"{family} {name}",
        environments,
        "vector_queries.py",
        f"{family.lower()}-{name.lower()}",
        packages,
        cannot=_ONLY_QUERIES,
        defects=defects,
        older_defects=older_defects or {},
    )


EMITTERS: tuple[Emitter, ...] = (
    *(
        _database(
            "OpenLLMetry",
            name,
            ("vectors", "vectors-older"),
            (f"opentelemetry-instrumentation-{module}", client),
            defects,
            older_defects,
        )
        for name, module, client, defects, older_defects in (
            (
                "Chroma",
                "chromadb",
                "chromadb",
                {("*", "collection"): "its span of a query does not name it"},
                {
                    ("*", "ids"): "it told the first result alone",
                    ("*", "scores"): "it told the first result alone",
                },
            ),
            (
                "Qdrant",
                "qdrant",
                "qdrant-client",
                {("*", "ids"): "it tells no results", ("*", "scores"): "it tells no results"},
                {("*", "steps"): "it did not know the client's query yet"},
            ),
            (
                "Pinecone",
                "pinecone",
                "pinecone",
                {("*", "collection"): "it tells the index by its address alone"},
                {("*", "steps"): "it did not know this version of the client yet"},
            ),
        )
    ),
    *(
        _database(
            "OpenInference",
            name,
            ("retrievers",),
            ("openinference-instrumentation-langchain", f"langchain-{name.lower()}"),
            _AS_RETRIEVER,
        )
        for name in ("Chroma", "Qdrant", "Pinecone")
    ),
)

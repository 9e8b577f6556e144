"""Pinecone: `POST /query` with `topK`, `POST /records/namespaces/{namespace}/search`.

The index is the host's: `{index}-{project}.svc.{environment}.pinecone.io`.
"""

from __future__ import annotations

import re
from typing import Final

from llmtrace.wire.format import Json, Translation, WireFormat, between, either, items, mapping

from . import shared

_RECORDS: Final = re.compile(r"\A/records/namespaces/[^/]+/search\Z")
_HOST: Final = re.compile(r"\A(.+)-[0-9a-z]+\.svc\.[^.]+.*\.pinecone\.io\Z")
_ASKED_BY: Final = (b'"vector"', b'"id"', b'"sparseVector"')


def matches(path: str, body: bytes) -> bool:
    """By the whole path, `topK` and what is asked by."""
    if path == "/query":
        return b'"topK"' in body and any(name in body for name in _ASKED_BY)
    return b'"query"' in body and b'"top_k"' in body and _RECORDS.match(path) is not None


def request(body: Json, path: str, content: bool) -> Translation:
    """Request body to attributes."""
    payload = mapping(body)
    asked = mapping(payload.get("query"))
    text = mapping(asked.get("inputs")).get("text") if content else None
    return shared.query(
        "pinecone",
        namespace=between(path, "/namespaces/") or payload.get("namespace"),
        top_k=either(payload, "topK", "top_k") or either(asked, "top_k", "topK"),
        texts=[text],
    )


def response(body: Json, content: bool) -> Translation:
    """Response body to attributes: `matches` of vectors, `hits` of records."""
    payload = mapping(body)
    hits = items(payload.get("matches")) or items(mapping(payload.get("result")).get("hits"))
    rows = [(either(hit, "id", "_id"), either(hit, "score", "_score")) for hit in map(mapping, hits)]
    return shared.documents(rows, content)


def index_of_host(host: str) -> str:
    """The index that a host serves, or an empty text."""
    named = _HOST.match(host)
    return named[1] if named else ""


FORMAT: Final[WireFormat] = shared.retrieval_format(
    "pinecone", ("query", "search"), matches, request, response, collection_of_host=index_of_host
)

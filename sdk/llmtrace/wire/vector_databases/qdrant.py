"""Qdrant: `POST /collections/{name}/points/query`, its batches and groups, and the older `search`,
`recommend`, `discover`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from llmtrace.wire.format import Json, Translation, WireFormat, between, either, items, mapping

from . import shared

_PATH: Final = re.compile(
    r"(?:\A|/)collections/[^/]+/points/(?:query|search|recommend|discover)(?:/(?:batch|groups))?\Z"
)
_DEFAULT_LIMIT: Final = 10


def matches(path: str, body: bytes) -> bool:
    """By the path, which nobody else has; the body is an object."""
    return body.lstrip()[:1] == b"{" and _PATH.search(path) is not None


def request(body: Json, path: str, content: bool) -> Translation:
    """Request body to attributes. A batch is a list of queries: the first one's limit."""
    payload = mapping(body)
    queries = [mapping(search) for search in items(payload.get("searches"))] or [payload]
    limit = queries[0].get("limit")
    return shared.query(
        "qdrant",
        collection=between(path, "collections/"),
        top_k=_DEFAULT_LIMIT if limit is None else limit,
        # Where the server makes the vectors itself.
        texts=[mapping(_nearest(search.get("query"))).get("text") for search in queries] if content else (),
    )


def _nearest(asked: Json) -> Json:
    nearest = mapping(asked).get("nearest")
    return asked if nearest is None else nearest


def response(body: Json, content: bool) -> Translation:
    """Response body to attributes: points, or lists, groups and batches of them."""
    return shared.documents(list(_points(mapping(body).get("result"))), content)


def _points(value: Json) -> Iterator[tuple[Json, Json]]:
    for item in value if isinstance(value, list) else [value]:
        entry = mapping(item)
        inner = either(entry, "points", "groups", "hits")
        if isinstance(inner, list):
            yield from _points(inner)
        elif "id" in entry:
            yield entry["id"], entry.get("score")


def failure(body: Json) -> tuple[str | None, str | None]:
    """(error type, message): `{"status": {"error": text}}`."""
    message = mapping(mapping(body).get("status")).get("error")
    return None, message if isinstance(message, str) else None


FORMAT: Final[WireFormat] = shared.retrieval_format(
    "qdrant",
    ("query", "search", "recommend", "discover", "batch", "groups"),
    matches,
    request,
    response,
    failure=failure,
)

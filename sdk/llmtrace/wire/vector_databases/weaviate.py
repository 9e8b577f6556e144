"""Weaviate's GraphQL: `POST /v1/graphql` with a `Get` that searches by vector, text or both.

Its current Python client searches over gRPC, which is not read; GraphQL is what raw requests and older
clients send.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from llmtrace.wire.format import Json, Translation, WireFormat, items, mapping, parsed

from . import shared

_SEARCHES: Final = re.compile(
    rb"\bGet\b(?s:.)*?\b(?:near(?:Vector|Text|Object|Image|Audio|Video|Depth|Thermal|IMU)|hybrid|bm25|ask)\s*:"
)
_CLASS: Final = re.compile(r"\bGet\s*\{\s*(?:\w+\s*:\s*)?(\w+)")
_LIMIT: Final = re.compile(r"\blimit\s*:\s*(\d+)")
_STRING: Final = r'"(?:[^"\\]|\\.)*"'
_TEXT: Final = re.compile(
    rf"\b(?:query|question|concepts)\s*:\s*({_STRING}|\[\s*{_STRING}(?:\s*,\s*{_STRING})*\s*\])"
)
_SCORES: Final = ("score", "certainty", "distance")


def matches(path: str, body: bytes) -> bool:
    """By the path and the words of a search."""
    return path.endswith("/v1/graphql") and _SEARCHES.search(body) is not None


def request(body: Json, path: str, content: bool) -> Translation:
    """Request body to attributes, read from the text of the query."""
    text = mapping(body).get("query")
    text = text if isinstance(text, str) else ""
    collection, limit = _CLASS.search(text), _LIMIT.search(text)
    asked = [parsed(match[1]) for match in _TEXT.finditer(text)] if content else []
    return shared.query(
        "weaviate",
        collection=collection and collection[1],
        top_k=int(limit[1]) if limit else None,
        texts=[word for words in asked for word in (words if isinstance(words, list) else [words])],
    )


def response(body: Json, content: bool) -> Translation:
    """Response body to attributes: what `_additional` was asked for of each object."""
    return shared.documents(list(_objects(mapping(mapping(body).get("data")).get("Get"))), content)


def _objects(classes: Json) -> Iterator[tuple[Json, Json]]:
    for objects in mapping(classes).values():
        for item in items(objects):
            known = mapping(mapping(item).get("_additional"))
            score = next((known[name] for name in _SCORES if known.get(name) is not None), None)
            yield known.get("id"), _number(score)


def _number(score: Json) -> Json:
    """Scores of hybrid searches are numbers written as text."""
    try:
        return float(score) if isinstance(score, str) else score
    except ValueError:
        return None


def failure(body: Json) -> tuple[str | None, str | None]:
    """(error type, message) of an answer with `errors`, as GraphQL has them with status 200."""
    errors = [mapping(error).get("message") for error in items(mapping(body).get("errors"))]
    message = next((text for text in errors if isinstance(text, str)), None)
    return ("_OTHER", message) if errors else (None, None)


FORMAT: Final[WireFormat] = shared.retrieval_format(
    "weaviate", ("graphql",), matches, request, response, failure=failure
)

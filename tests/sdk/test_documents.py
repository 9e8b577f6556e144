"""What a retrieval found, in the shapes of the libraries that find it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest

import llmtrace
from llmtrace.api.documents import documents
from llmtrace.testing import capture


@dataclass
class Document:
    """As Haystack's."""

    id: str
    content: str | None
    meta: dict[str, Any] = field(default_factory=dict)
    score: float | None = None
    embedding: list[float] | None = None


@dataclass
class Page:
    """As LangChain's."""

    page_content: str
    metadata: dict[str, Any] = field(default_factory=dict)
    id: str | None = None


class Point(NamedTuple):
    """As a row of a table."""

    id: int
    score: float
    payload: dict[str, Any]


class Node:
    """As LlamaIndex's text node: what it holds are properties and methods."""

    node_id = "n1"
    text = "first"
    metadata: dict[str, Any] = {}  # noqa: RUF012  # read only

    def get_content(self) -> str:
        return self.text


CHROMA = {
    "ids": [["a", "b"], ["c"]],
    "documents": [["first", None], ["third"]],
    "metadatas": [[{"page": 1}, None], None],
    "distances": [[0.5, 0.75], [0.25]],
    "embeddings": None,
    "included": ["metadatas", "documents", "distances"],
}

CASES: list[tuple[Any, list[dict[str, Any]]]] = [
    (
        [Page("first", {"source": "x"}, "p1"), Page("second")],
        [
            {"id": "p1", "score": None, "text": "first", "metadata": {"source": "x"}},
            {"id": None, "score": None, "text": "second"},
        ],
    ),
    ([(Page("first"), 0.5)], [{"id": None, "score": 0.5, "text": "first"}]),
    ([(Page("first"), np.float32(0.5))], [{"id": None, "score": 0.5, "text": "first"}]),
    (
        [SimpleNamespace(node=Node(), score=0.5)],
        [{"id": "n1", "score": 0.5, "text": "first"}],
    ),
    ([Node()], [{"id": "n1", "score": None, "text": "first"}]),
    (
        SimpleNamespace(response="an answer", source_nodes=[SimpleNamespace(node=Node(), score=0.5)]),
        [{"id": "n1", "score": 0.5, "text": "first"}],
    ),
    (
        {"documents": [Document("d", "first", {"page": 1}, 0.5)]},
        [{"id": "d", "score": 0.5, "text": "first", "metadata": {"page": 1}}],
    ),
    (
        CHROMA,
        [
            {"id": "a", "score": None, "distance": 0.5, "text": "first", "metadata": {"page": 1}},
            {"id": "b", "score": None, "distance": 0.75},
            {"id": "c", "score": None, "distance": 0.25, "text": "third"},
        ],
    ),
    (
        {"ids": ["a"], "documents": ["first"], "metadatas": None},
        [{"id": "a", "score": None, "text": "first"}],
    ),
    (
        {"matches": [{"id": "m", "score": 0.5, "values": [], "metadata": {"text": "first"}}]},
        [{"id": "m", "score": 0.5, "text": "first"}],
    ),
    (
        SimpleNamespace(points=[SimpleNamespace(id=3, score=0.5, payload={"content": "first"}, vector=None)]),
        [{"id": 3, "score": 0.5, "text": "first"}],
    ),
    (
        {"retriever": {"documents": [Document("d", "first")]}, "other": {"answer": 1}},
        [{"id": "d", "score": None, "text": "first"}],
    ),
    (
        SimpleNamespace(nodes=None, ids=["a", "b"], similarities=[0.5, 0.25]),
        [{"id": "a", "score": 0.5}, {"id": "b", "score": 0.25}],
    ),
    ([Point(1, 0.5, {})], [{"id": 1, "score": 0.5}]),
    (["first", "second"], [{"id": None, "score": None, "text": text} for text in ("first", "second")]),
    ([{"id": "x", "score": 1, "text": "first"}], [{"id": "x", "score": 1, "text": "first"}]),
    (Page("first"), [{"id": None, "score": None, "text": "first"}]),
    ([], []),
    (None, []),
    ("an answer", []),
    (7, []),
]


@pytest.mark.parametrize(("result", "expected"), CASES)
def test_usual_shapes(result: Any, expected: list[dict[str, Any]]) -> None:
    assert documents(result, texts=True) == expected
    bare = [{key: item[key] for key in ("id", "score", "distance") if key in item} for item in expected]
    assert documents(result, texts=False) == bare


def recorded(**asked: Any) -> Any:
    @llmtrace.retrieval(data_source="kb", **asked)
    def search(query: str, top_k: int = 2) -> list[tuple[Page, float]]:
        return [(Page("the text", {"source": "x"}), 0.5)]

    search("words", top_k=2)


TEXT = [{"id": None, "score": 0.5, "text": "the text", "metadata": {"source": "x"}}]
BARE = [{"id": None, "score": 0.5}]


@pytest.mark.parametrize(
    ("setting", "asked", "expected"),
    [
        ("all", {}, TEXT),
        ("all", {"content": False}, BARE),
        ("all", {"capture": "messages"}, BARE),
        ("all", {"capture": False}, None),
        ("messages", {}, BARE),
        ("messages", {"content": True}, TEXT),
        ("messages", {"capture": "all"}, TEXT),
        ("messages", {"capture": "none"}, None),
        ("none", {"content": True}, None),
        ("none", {"capture": "all"}, None),
    ],
)
def test_texts_of_documents(setting: str, asked: dict[str, Any], expected: Any) -> None:
    with capture(capture=setting) as traces:
        recorded(**asked)
        attributes = traces.snapshot()[0]["attributes"]
    assert attributes["gen_ai.retrieval.top_k"] == 2, "a number is no content"
    recorded_text = attributes.get("gen_ai.retrieval.documents")
    assert (json.loads(recorded_text) if recorded_text else None) == expected
    assert attributes.get("gen_ai.retrieval.query.text") == (None if expected is None else "words")


def test_texts_may_be_as_long_as_messages() -> None:
    with capture() as traces, llmtrace.span("kb", kind="retrieval") as span, llmtrace.context(capture="all"):
        span.set_output([{"id": number, "text": "words " * 20_000} for number in range(20)])
        span.set_attribute("seen", True)
    (recorded_span,) = traces.snapshot()
    text = recorded_span["attributes"]["gen_ai.retrieval.documents"]
    assert 200_000 < len(text) <= 2**20
    assert [item["id"] for item in json.loads(text)] == list(range(20))

"""Arguments and results as JSON: readable, bounded, without vectors."""

from __future__ import annotations

import base64
import datetime
import decimal
import enum
import hashlib
import json
import math
import uuid
from collections import namedtuple
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, SecretStr

import llmtrace
from llmtrace.api.json_values import LONGEST, as_json, as_text
from llmtrace.testing import capture

VECTOR = [0.25 + number / 7 for number in range(1536)]
WHEN = datetime.datetime(2026, 11, 30, 12, 0, tzinfo=datetime.UTC)


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


@dataclass
class Order:
    number: int
    placed: datetime.datetime
    colours: set[Colour] = field(default_factory=lambda: {Colour.RED})
    password: str = field(default="hunter2", repr=False)


class Customer(BaseModel):
    model_config = ConfigDict(extra="allow")
    name: str
    order: Order
    key: SecretStr = SecretStr("hidden")
    token: str = Field(default="hidden", repr=False)
    internal: str = Field(default="hidden", exclude=True)


@attrs.define
class Place:
    city: str
    embedding: Any = None


Pair = namedtuple("Pair", "left right")  # the untyped kind is meant


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Order(7, WHEN), {"number": 7, "placed": "2026-11-30T12:00:00+00:00", "colours": ["red"]}),
        (
            Customer.model_validate({"name": "Ann", "order": Order(7, WHEN), "more": 1}),
            {
                "name": "Ann",
                "order": {"number": 7, "placed": "2026-11-30T12:00:00+00:00", "colours": ["red"]},
                "key": "SecretStr('**********')",
                "more": 1,
            },
        ),
        (Place("Bonn"), {"city": "Bonn", "embedding": None}),
        (Pair(1, "r"), {"left": 1, "right": "r"}),
        ([Colour.RED, Level.HIGH, True, None], ["red", 3, True, None]),
        ({1: datetime.date(2026, 1, 2), None: datetime.time(3)}, {"1": "2026-01-02", "None": "03:00:00"}),
        (datetime.timedelta(minutes=90), "1:30:00"),
        ((decimal.Decimal("1.10"), uuid.UUID(int=1)), ["1.10", "00000000-0000-0000-0000-000000000001"]),
        (Path("/tmp/x"), "/tmp/x"),
        ({3, 1, 2}, [1, 2, 3]),
        (frozenset({"b", 1}), ["b", 1]),
        (b"plain words", "plain words"),
        (math.inf, "inf"),
        (np.float32(0.5), 0.5),
        (np.int64(7), 7),
        (np.bool_(True), True),
        (np.datetime64("2026-01-02"), "2026-01-02"),
        (np.arange(4).reshape(2, 2), [[0, 1], [2, 3]]),
        (np.zeros((3, 512), dtype="float32"), "[llmtrace left out 1536 numbers: float32 of shape 3×512]"),
        (VECTOR, "[llmtrace left out 1536 numbers]"),
        (tuple(VECTOR), "[llmtrace left out 1536 numbers]"),
        ([1, 2, 3], [1, 2, 3]),
        (list(range(100)), list(range(100))),
        ([5] * 1024, "[llmtrace left out 1024 numbers]"),
        (ValueError("x"), "ValueError('x')"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_are_readable(value: Any, expected: Any) -> None:
    assert as_json(value) == expected
    assert json.loads(as_text(value)) == expected


def test_bytes_are_their_size_type_and_digest() -> None:
    png = b"\x89PNG\r\n\x1a\n" + bytes(5000)
    digest = hashlib.sha256(png).hexdigest()
    assert as_json({"picture": png}) == {
        "picture": {"type": "blob", "mime_type": "image/png", "size": len(png), "sha256": digest}
    }
    assert as_json(base64.b64encode(png).decode()) == (
        f"[llmtrace left out image/png of {len(png)} bytes, sha256 {digest}]"
    )


@pytest.mark.parametrize(
    "holder",
    [
        lambda: {"data": [{"embedding": VECTOR}, {"embedding": VECTOR}]},
        lambda: [VECTOR, VECTOR],
        lambda: Place("Bonn", VECTOR),
        lambda: Place("Bonn", np.array(VECTOR)),
        lambda: json.dumps({"embedding": VECTOR}),
        lambda: json.dumps({"embedding": VECTOR}, indent=1),
        lambda: "Document(embedding=" + repr(VECTOR) + ")",
        lambda: type("Unknown", (), {"__repr__": lambda _: f"Unknown({VECTOR!r}, 'x')"})(),
        lambda: {"text": "the vector is " + " ".join(map(str, [VECTOR]))},
        lambda: [json.dumps([VECTOR] * 40)],
    ],
)
def test_vectors_are_never_recorded(holder: Any) -> None:
    for limit in (LONGEST, 600, 2**20):
        text = as_text(holder(), limit)
        assert "0.39285714285714285" not in text
        assert "llmtrace left out" in text
        json.loads(text)


def test_vectors_do_not_come_out_of_functions() -> None:
    @llmtrace.observe(capture="all")
    def embed(words: str, weights: Any = None) -> dict[str, Any]:
        return {"words": words, "embedding": VECTOR}

    @llmtrace.tool
    def embed_tool(words: str) -> list[list[float]]:
        return [VECTOR]

    @llmtrace.retrieval(content=True)
    def search(query: str) -> list[dict[str, Any]]:
        return [{"id": 1, "text": "t", "embedding": VECTOR, "metadata": {"vector": VECTOR, "page": 3}}]

    with capture() as traces:
        embed("a", np.array(VECTOR))
        embed_tool("b")
        search("c")
        spans = traces.snapshot()
    assert "0.39285714285714285" not in json.dumps(spans)
    assert json.loads(spans[0]["attributes"]["llmtrace.function.result"]) == {
        "words": "a",
        "embedding": "[llmtrace left out 1536 numbers]",
    }
    assert json.loads(spans[2]["attributes"]["gen_ai.retrieval.documents"]) == [
        {
            "id": 1,
            "score": None,
            "text": "t",
            "metadata": {"vector": "[llmtrace left out 1536 numbers]", "page": 3},
        }
    ]


def test_what_is_long_deep_or_turns_back_is_cut_and_stays_json() -> None:
    loop: list[Any] = [1]
    loop.append(loop)
    assert as_json(loop) == [1, "…"]
    deep: Any = "bottom"
    for _ in range(5000):
        deep = [deep]
    assert "bottom" not in as_text(deep)
    rows = [{"number": number, "text": "words " * 20} for number in range(200_000)]
    text = as_text(rows)
    assert len(text) <= LONGEST + 100
    assert "llmtrace left out" in text
    json.loads(text)
    text = as_text("words " * 100_000)
    assert len(text) <= LONGEST + 100
    assert "llmtrace left out" in json.loads(text)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=5),
    max_leaves=30,
)


@given(JSON)
def test_json_stays_what_it_is(value: Any) -> None:
    assert as_json(value) == value
    assert json.loads(as_text(value, 2**20)) == value


@given(JSON, st.integers(50, 2000))
def test_no_value_is_longer_than_the_limit(value: Any, limit: int) -> None:
    text = as_text([value] * 20, limit)
    json.loads(text)
    assert len(text) <= 2 * limit + 100

"""What the store has of a query of a vector database, held against what the database answered: one step, with
the collection, how many were asked for, and the documents with their scores.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from llmtrace import semconv

#: Scores are floats of 32 bits at databases.
_TOLERANCE = 1e-6


def differences(line: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Field → what is wrong of it, of the spans of one call; empty where all is right. `line` is the
    program's, whose `expected` has `collection`, `top_k`, `ids` and `scores`.
    """
    expected = line["expected"]
    # By span: two exporters may send the same. What another span stands for says so itself.
    steps = list(
        {
            row["SpanId"]: row
            for row in rows
            if row["Operation"] == "retrieval" and row["SpanAttributes"].get(semconv.COUNTED) != "false"
        }.values()
    )
    if len(steps) != 1:
        return {"steps": f"{len(steps)} retrieval steps of {len(rows)} spans"}
    attributes = steps[0]["SpanAttributes"]
    documents = json.loads(attributes.get(semconv.RETRIEVAL_DOCUMENTS) or "[]")
    stated = {
        "collection": attributes.get(semconv.DATA_SOURCE_ID, ""),
        "top_k": attributes.get(semconv.RETRIEVAL_TOP_K, ""),
        "ids": [document.get("id") for document in documents],
        "scores": [document.get("score") for document in documents],
    }
    wrong = {
        name: f"{stated[name]!r} instead of {expected[name]!r}"
        for name in ("collection", "top_k", "ids")
        if str(stated[name]) != str(expected[name])
    }
    scores = stated["scores"]
    if len(scores) != len(expected["scores"]) or not all(
        score is not None and math.isclose(score, other, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)
        for score, other in zip(scores, expected["scores"], strict=False)
    ):
        wrong["scores"] = f"{scores!r} instead of {expected['scores']!r}"
    return wrong

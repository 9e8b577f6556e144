"""What a batch gives back: a result for each of its requests, as a line of a file or within the answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

Json = Any

CREATE: Final = "create_batch"
FETCH: Final = "fetch_batch"
FETCH_RESULTS: Final = "fetch_batch_results"
"""`gen_ai.operation.name` of what is done with batches. None of it calls a model: their results are calls."""
STEPS: Final = frozenset({CREATE, FETCH, FETCH_RESULTS})
TRACED_HEADER: Final = "x-llmtrace-batch-results"
"""A service that records the results of its batches itself says so when it gives them."""


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What became of one request of a batch.

    custom_id: what the program calls the request. path: the API that was asked, as far as the result shows
    it; empty where it does not. body: what that API answered. status: its HTTP status. request_id: the
    provider's id of the request. error: (type, message) where it failed, or was never run.
    """

    custom_id: str
    path: str
    body: Json
    status: int | None = None
    request_id: str = ""
    error: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class BatchFormat:
    """How the results of a batch are found in an answer. All functions are pure and accept any JSON.

    is_file: whether the answer may be a file with a result on each line; else it is one body of JSON.
    result: one decoded line, or one element of `inlined`; None where it is no result of a batch.
    inlined: the results within a decoded body. marks: one of them is in each line of such a file; without
    them a request of this path can be for nothing else.
    """

    result: Callable[[Json], BatchResult | None] = lambda _: None
    inlined: Callable[[Json], list[Json]] = lambda _: []
    is_file: bool = False
    marks: tuple[bytes, ...] = ()


def moment(value: Json) -> float | None:
    """A time as providers write it, a number or RFC 3339, in seconds since 1970; None where it is none."""
    if type(value) in (int, float):
        return float(value) if value > 0 else None
    if not isinstance(value, str) or not value:
        return None
    try:
        return datetime.fromisoformat(value).timestamp()
    except ValueError:
        return None

"""Frames that detection works on: one series of time buckets per model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


class SeriesKey(NamedTuple):
    """What one series is about."""

    project: str
    provider: str
    model: str

    @property
    def dimensions(self) -> dict[str, str]:
        """The dimensions of incidents about this series, without the project."""
        return {"provider": self.provider, "model": self.model}


class BucketRow(NamedTuple):
    """Usage of one model in one bucket, all callers together."""

    project: str
    provider: str
    model: str
    time: int
    """Start of the bucket, Unix seconds."""
    calls: int
    live_calls: int
    """Calls for the watched purposes; the others are history alone."""
    errors: int
    known_usage: int
    """Calls whose token counts are known."""
    tokens: int
    """Input and output tokens together."""
    cost: float | None
    """USD; None where no call has a price."""
    p50: float
    """Median latency, seconds."""
    p95: float


@dataclass(frozen=True)
class Series:
    """Buckets of one model, ascending; buckets without calls are absent. All arrays have one length."""

    key: SeriesKey
    times: IntArray
    calls: IntArray
    live_calls: IntArray
    errors: IntArray
    p50: FloatArray
    p95: FloatArray
    tokens: FloatArray
    """Tokens per call; NaN where no call's usage is known."""
    cost: FloatArray
    """USD per bucket; NaN where unknown."""


def to_series(rows: Iterable[Sequence[object]]) -> list[Series]:
    """Series from rows shaped like `BucketRow`, in any order."""
    buckets = sorted(BucketRow._make(row) for row in rows)
    return [
        _one_series(SeriesKey(*key), list(group)) for key, group in groupby(buckets, key=lambda row: row[:3])
    ]


def _one_series(key: SeriesKey, rows: list[BucketRow]) -> Series:
    def integers(values: Iterable[int]) -> IntArray:
        return np.fromiter(values, dtype=np.int64, count=len(rows))

    def floats(values: Iterable[float]) -> FloatArray:
        return np.fromiter(values, dtype=np.float64, count=len(rows))

    return Series(
        key=key,
        times=integers(row.time for row in rows),
        calls=integers(row.calls for row in rows),
        live_calls=integers(row.live_calls for row in rows),
        errors=integers(row.errors for row in rows),
        p50=floats(row.p50 for row in rows),
        p95=floats(row.p95 for row in rows),
        tokens=floats(row.tokens / row.known_usage if row.known_usage else np.nan for row in rows),
        cost=floats(np.nan if row.cost is None else row.cost for row in rows),
    )

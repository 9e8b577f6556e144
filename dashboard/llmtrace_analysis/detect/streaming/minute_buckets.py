"""What happened in one minute, of many series side by side, and how it becomes measures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from llmtrace_analysis.detect.detectors.series import FloatArray

Level = Literal[
    "latency",
    "ttft",
    "tpot",
    "tokens",
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "reasoning_tokens",
    "cost",
    "score",
]
Share = Literal["errors", "refusals", "truncated", "retries", "cache_hits"]


@dataclass(frozen=True)
class Means:
    """A level in one minute: of how many calls, and their mean. Of latency, ttft and tpot that is the mean of
    ln(seconds).
    """

    calls: FloatArray
    mean: FloatArray


@dataclass(frozen=True)
class Parts:
    """A share in one minute: how many of how many."""

    of: FloatArray
    hits: FloatArray


@dataclass(frozen=True)
class MinuteBuckets:
    """One minute. Every array has a number for each series; NaN stands for what is not known.

    A level or share that is not there is not known of any series.
    """

    calls: FloatArray
    """0 where none came; NaN where it is not known whether any did (nothing could be received)."""
    output_mean: FloatArray
    """Mean of ln(output tokens) of the calls whose latency is known; NaN for steps without tokens."""
    levels: Mapping[Level, Means]
    shares: Mapping[Share, Parts]


#: Half-life of what a minute says about spread, minutes; what is believed at first counts as so many of them.
_SPREAD_HALF_LIFE, _SPREAD_PRIOR_MINUTES = 2 * 1440.0, 20.0

#: A difference counts up to so many times the variance that is believed: a shift is no spread.
_SPREAD_CLIP = 9.0


class CallSpread:
    """Variance of a measure among single calls, from how much means of neighbouring minutes differ.

    Two means of n and m calls differ by 1/n + 1/m times that variance, however high the level is.
    """

    def __init__(self, prior: FloatArray) -> None:
        """`prior`: what is believed of every column at first."""
        self._variance = prior.copy()
        self._sum = prior * _SPREAD_PRIOR_MINUTES
        self._weight = np.full(len(prior), _SPREAD_PRIOR_MINUTES)
        self._last = np.full((2, len(prior)), np.nan)

    def advance(self, values: FloatArray, calls: FloatArray) -> FloatArray:
        """Add a minute; the variance per column by those before it."""
        variance = self._variance
        shares = 1 / np.where(calls > 0, calls, np.nan)
        seen = (values - self._last[0]) ** 2 / (shares + self._last[1])
        known = np.isfinite(seen)
        self._last = np.array([values, shares])
        decay = np.where(known, 0.5 ** (1 / _SPREAD_HALF_LIFE), 1.0)
        self._sum = self._sum * decay + np.where(known, np.minimum(seen, _SPREAD_CLIP * variance), 0.0)
        self._weight = self._weight * decay + known
        self._variance = self._sum / self._weight
        return variance


#: Minutes until the slope is used, and after how many one has lost half of its weight.
_SLOPE_MINUTES, _SLOPE_HALF_LIFE = 500.0, 7 * 1440.0


class TokenAdjustment:
    """Latency as expected for its tokens: a longer answer takes longer and is no anomaly.

    The slope of ln(latency) on ln(output tokens) is learned from a series' own minutes.
    """

    def __init__(self, series: int) -> None:
        self._sums = np.zeros((5, series))  # weight, x, y, xx, xy
        self._reference = np.full(series, np.nan)

    def advance(self, latency: FloatArray, output: FloatArray) -> FloatArray:
        """Latency of a minute as it would be for the usual output, by what earlier minutes taught."""
        known = np.isfinite(latency) & np.isfinite(output)
        self._reference = np.where(known & np.isnan(self._reference), output, self._reference)
        weight, x, y, xx, xy = self._sums
        with np.errstate(invalid="ignore", divide="ignore"):
            slope = (xy - x * y / weight) / (xx - x * x / weight)
        slope = np.where((weight >= _SLOPE_MINUTES / 2) & np.isfinite(slope), np.clip(slope, 0.0, 1.5), 0.0)
        excess = np.where(known, output - self._reference, 0.0)
        adjusted = latency - slope * excess
        decay = np.where(known, 0.5 ** (1 / _SLOPE_HALF_LIFE), 1.0)
        values = np.array([np.ones(len(latency)), excess, latency, excess * excess, excess * latency])
        self._sums = self._sums * decay + np.where(known, values, 0.0)
        return adjusted

"""What happened in one minute, of many series side by side, and how it becomes measures."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from llmtrace_analysis.detect.detectors.series import FloatArray, IntArray


@dataclass(frozen=True)
class MinuteBuckets:
    """One minute. Every array has a number for each series; NaN stands for what is not known."""

    calls: FloatArray
    """0 where none came; NaN where it is not known whether any did (nothing could be received)."""
    errors: FloatArray
    latency_calls: FloatArray
    """Of how many calls the next two are: those that succeeded and took time."""
    latency_mean: FloatArray
    """Mean of ln(seconds)."""
    latency_variance: FloatArray
    """Variance of ln(seconds) among the calls."""
    output_mean: FloatArray
    """Mean of ln(output tokens) of the same calls; NaN for steps without tokens."""
    usage_calls: FloatArray
    tokens_mean: FloatArray
    """Mean of input and output tokens per call with known usage."""
    tokens_variance: FloatArray
    priced_calls: FloatArray
    cost_mean: FloatArray
    """Mean USD per priced call."""
    cost_variance: FloatArray

    @classmethod
    def empty(cls, series: int) -> MinuteBuckets:
        """A minute in which nothing is known of any series."""
        return cls(*(np.full(series, np.nan) for _ in fields(cls)))

    def of(self, series: IntArray) -> MinuteBuckets:
        """Some of the series."""
        return MinuteBuckets(*(getattr(self, item.name)[series] for item in fields(self)))


#: What a minute adds to a spread has lost half of its weight after so many calls of a series.
_SPREAD_DECAY_CALLS = 5000.0


class CallSpread:
    """Variance of a measure among single calls of a series, smoothed: few calls of a minute tell it badly."""

    def __init__(self, prior: FloatArray) -> None:
        """`prior`: what is believed of every column until fifty calls have told more."""
        self._sum = 50.0 * prior
        self._weight = np.full(len(prior), 50.0)

    def advance(self, variance: FloatArray, calls: FloatArray) -> FloatArray:
        """Add a minute; the smoothed variance per series."""
        known = np.isfinite(variance) & (calls > 1)
        freedom = np.where(known, calls - 1, 0.0)
        decay = np.exp2(-freedom / _SPREAD_DECAY_CALLS)
        self._sum = self._sum * decay + np.where(known, variance * calls, 0.0)
        self._weight = self._weight * decay + freedom
        return self._sum / self._weight


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

"""Which buckets of a model's series lie outside what its history lets expect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from .parameters import AnomalyParameters
from .robust_bands import Band, chance_of, pooled_rate, ratio_band, spread, widest, wilson_lower
from .series import BoolArray, FloatArray, Series, SeriesKey

Metric = Literal["latency", "error_rate", "tokens_per_call", "cost"]

Statistic = Literal["", "p50", "p95"]

UNITS: dict[Metric, str] = {"latency": "s", "error_rate": "ratio", "tokens_per_call": "tokens", "cost": "USD"}

#: The MAD of fewer values is too rough: one restless minute would make a band that holds everything.
_OWN_SPREAD_BUCKETS = 30

Interval = tuple[float, float]
"""Start and end, Unix seconds."""


@dataclass(frozen=True)
class Outlier:
    """A complete bucket outside the band."""

    time: int
    value: float


@dataclass(frozen=True)
class SeriesResult:
    """What the recent complete buckets of one series say about one metric."""

    key: SeriesKey
    metric: Metric
    band: Band
    outliers: tuple[Outlier, ...]
    """Recent buckets outside the band, ascending."""
    openings: tuple[int, ...]
    """Start of the first outlier of each window that is enough for an incident, ascending."""
    statistic: Statistic = ""
    """Of latency: what `band` and `outliers` are about."""


def complete_until(now: float, parameters: AnomalyParameters) -> int:
    """End of the newest bucket that is complete at `now` (both Unix seconds)."""
    return int((now - parameters.late_seconds) // parameters.bucket_seconds) * parameters.bucket_seconds


def evaluate_series(
    series: Series,
    now: float,
    parameters: AnomalyParameters,
    excluded: Sequence[Interval] = (),
    evidence: Mapping[Metric, float] | None = None,
) -> list[SeriesResult]:
    """Evaluate the recent complete buckets of a series: one result per metric that has enough history.

    `excluded`: times of anomalies, which are no part of the history. Buckets of fewer than `min_calls`
    calls count neither as history nor as outliers, and a bucket without live calls is history only.
    `evidence`: how many times more a metric needs than `parameters` say, where that is not 1.
    """
    until = complete_until(now, parameters)
    counted = (series.calls >= parameters.min_calls) & (series.times < until)
    usable = counted & (series.times >= until - parameters.lookback_minutes * 60)
    for start, end in excluded:
        usable &= (series.times + parameters.bucket_seconds <= start) | (series.times >= end)
    live = series.live_calls > 0
    usual = _Evaluation(series, parameters, until, counted & live, usable, usable & live)

    def demanded(metric: Metric) -> _Evaluation:
        if not evidence or metric not in evidence:
            return usual
        return replace(usual, parameters=parameters.demanding(evidence[metric]))

    tokens, cost = demanded("tokens_per_call"), demanded("cost")
    results = (
        _evaluate_latency(demanded("latency")),
        _evaluate_errors(demanded("error_rate")),
        _evaluate_values(
            tokens, "tokens_per_call", series.tokens, tokens.parameters.tokens_ratio, parameters.tokens_floor
        ),
        _evaluate_values(cost, "cost", series.cost, cost.parameters.cost_ratio, parameters.cost_floor_usd),
    )
    return [result for result in results if result is not None]


@dataclass(frozen=True)
class _Evaluation:
    series: Series
    parameters: AnomalyParameters
    until: int
    evaluated: BoolArray
    usable: BoolArray
    usable_live: BoolArray

    def windows(self, buckets: int) -> list[tuple[int, int]]:
        """Start and end of each window of that many buckets to evaluate, oldest first."""
        width = self.parameters.bucket_seconds
        oldest = self.until - self.parameters.late_buckets * width
        return [(end - buckets * width, end) for end in range(oldest, self.until + 1, width)]

    def settled(self, end: int) -> int:
        """Until when buckets are history for a window: all but the ones that would have to be outside."""
        return end - self.parameters.window_outside * self.parameters.bucket_seconds

    def inside(self, start: int, end: int) -> BoolArray:
        """Which evaluated buckets lie in a window."""
        return self.evaluated & (self.series.times >= start) & (self.series.times < end)

    def history(self, before: int, known: BoolArray | None = None) -> tuple[BoolArray, BoolArray] | None:
        """The usable buckets before a time, and the live ones among them; None when they are too few."""
        earlier = self.series.times < before
        if known is not None:
            earlier = earlier & known
        usable, live = self.usable & earlier, self.usable_live & earlier
        if int(usable.sum()) < self.parameters.min_history_buckets:
            return None
        if int(live.sum()) < self.parameters.min_live_buckets:
            return None
        return usable, live

    def band(self, values: FloatArray, before: int, ratio: float, floor: float) -> Band | None:
        """The band of a metric from the buckets before a time.

        Once the live history is long enough it speaks alone. Before, all history, simulated too, tells how
        much the values vary and the live part their level; what is outside must be outside of both.
        """
        history = self.history(before, np.isfinite(values))
        if history is None:
            return None
        usable, live = history
        width = self.parameters.band_width
        recent = spread(values[live])
        if int(live.sum()) >= _OWN_SPREAD_BUCKETS:
            return ratio_band(recent, width, ratio, floor)
        whole = spread(values[usable])
        moved = replace(recent, sigma=whole.sigma)
        return widest(ratio_band(whole, width, ratio, floor), ratio_band(moved, width, ratio, floor))

    def result(
        self,
        metric: Metric,
        band: Band | None,
        outliers: dict[int, float],
        openings: set[int],
        statistic: Statistic = "",
    ) -> SeriesResult | None:
        if band is None:
            return None
        return SeriesResult(
            key=self.series.key,
            metric=metric,
            band=band,
            outliers=tuple(Outlier(time, value) for time, value in sorted(outliers.items())),
            openings=tuple(sorted(openings)),
            statistic=statistic,
        )


def _evaluate_values(
    evaluation: _Evaluation, metric: Metric, values: FloatArray, ratio: float, floor: float
) -> SeriesResult | None:
    """A metric is outside when enough buckets of one window are above the band."""
    outliers: dict[int, float] = {}
    openings: set[int] = set()
    newest: Band | None = None
    for start, end in evaluation.windows(evaluation.parameters.window_buckets):
        band = evaluation.band(values, evaluation.settled(end), ratio, floor)
        if band is None:
            continue
        newest = band
        above = _above(evaluation, values, band, start, end)
        outliers |= above
        if len(above) >= evaluation.parameters.window_outside:
            openings.add(min(above))
    return evaluation.result(metric, newest, outliers, openings)


def _evaluate_latency(evaluation: _Evaluation) -> SeriesResult | None:
    """Calls are slow when p50 says so in one bucket at least, and p50 or p95 in enough of a window.

    p95 alone takes a longer window: with a handful of calls per bucket it is the slowest call, and a slow
    call or two in neighbouring buckets is ordinary. p50 alone is enough where p95 is restless anyway.
    """
    parameters, series = evaluation.parameters, evaluation.series
    slow: dict[int, float] = {}
    median: dict[int, float] = {}
    openings: set[int] = set()
    newest: tuple[Band, Band] | None = None
    for start, end in evaluation.windows(parameters.window_buckets):
        bands = _latency_bands(evaluation, evaluation.settled(end))
        if bands is None:
            continue
        newest = bands
        in_tail = _above(evaluation, series.p95, bands[0], start, end)
        in_median = _above(evaluation, series.p50, bands[1], start, end)
        slow |= in_tail
        median |= in_median
        above = in_tail.keys() | in_median.keys()
        if in_median and len(above) >= parameters.window_outside:
            openings.add(min(above))
    if slow:
        start, end = evaluation.until - parameters.tail_buckets * parameters.bucket_seconds, evaluation.until
        bands = _latency_bands(evaluation, start)
        tail = {} if bands is None else _above(evaluation, series.p95, bands[0], start, end)
        if len(tail) >= parameters.tail_outside:
            openings.add(min(tail))
    if newest is None:
        return None
    if not slow:
        return evaluation.result("latency", newest[1], median, openings, "p50")
    times = sorted(slow.keys() | median.keys())
    p95 = dict(zip(series.times.tolist(), series.p95.tolist(), strict=True))
    return evaluation.result("latency", newest[0], {time: p95[time] for time in times}, openings, "p95")


def _latency_bands(evaluation: _Evaluation, before: int) -> tuple[Band, Band] | None:
    """The bands of p95 and p50."""
    ratio, floor = evaluation.parameters.latency_ratio, evaluation.parameters.latency_floor_seconds
    tail = evaluation.band(evaluation.series.p95, before, ratio, floor)
    median = evaluation.band(evaluation.series.p50, before, ratio, floor)
    return None if tail is None or median is None else (tail, median)


def _above(evaluation: _Evaluation, values: FloatArray, band: Band, start: int, end: int) -> dict[int, float]:
    where = evaluation.inside(start, end) & (values > band.high)
    return {
        int(time): float(value)
        for time, value in zip(evaluation.series.times[where], values[where], strict=True)
    }


def _evaluate_errors(evaluation: _Evaluation) -> SeriesResult | None:
    """A handful of calls makes a rate jump about, so a window must fail beyond chance too."""
    parameters, series = evaluation.parameters, evaluation.series
    outliers: dict[int, float] = {}
    openings: set[int] = set()
    newest: Band | None = None
    rates = series.errors / np.maximum(series.calls, 1)
    for start, end in evaluation.windows(parameters.window_buckets):
        history = evaluation.history(evaluation.settled(end))
        if history is None:
            continue
        # The higher of the two usual rates, as with the other bands.
        usual = max(
            pooled_rate(int(series.errors[part].sum()), int(series.calls[part].sum())) for part in history
        )
        newest = Band(
            0.0, usual, min(1.0, max(usual + parameters.error_floor, usual * parameters.error_ratio))
        )
        inside = evaluation.inside(start, end)
        high = inside & (rates > newest.high) & (series.errors > 1)
        outliers |= {int(t): float(v) for t, v in zip(series.times[high], rates[high], strict=True)}
        if opening := _error_opening(evaluation, inside, newest, rates):
            openings.add(opening)
    return evaluation.result("error_rate", newest, outliers, openings)


def _error_opening(evaluation: _Evaluation, inside: BoolArray, band: Band, rates: FloatArray) -> int | None:
    """Start of the first failing bucket when this window, or its newer part, fails beyond chance."""
    parameters, series = evaluation.parameters, evaluation.series
    where = np.flatnonzero(inside)
    for first in range(len(where) - parameters.window_outside + 1):
        part = where[first:]
        failing = part[rates[part] > band.high]
        errors, calls = int(series.errors[part].sum()), int(series.calls[part].sum())
        if (
            len(failing) >= parameters.window_outside
            and errors >= parameters.min_errors
            and wilson_lower(errors, calls, parameters.error_z) > band.high
            and chance_of(errors, calls, band.usual) < parameters.error_chance
        ):
            return int(series.times[failing[0]])
    return None

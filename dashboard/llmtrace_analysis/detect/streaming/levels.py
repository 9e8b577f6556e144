"""Measures against what is expected at this time: spikes, level shifts and drifts, in both directions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from llmtrace_analysis.detect.detectors.series import BoolArray, FloatArray, IntArray

from .cusum import Cusum
from .measures import MeasureConstants
from .robust_rows import row_medians
from .season import Season
from .variation import Variation

#: Few calls have odd means: a minute of fewer is no spike.
_SPIKE_CALLS = 5

#: A week's largest deviations are larger than a normal distribution has them: so much less do they count.
_SPIKE_WEIGHT = 0.5

#: The level of the last minutes tells whether a deviation is over, and what the new level is.
_LEVEL_MINUTES = 15

#: Deviations are remembered for so many minutes. The level of so many before what is judged began is part of
#: the level now: none for a shift, all of it for one that began before memory does, and these for a drift.
_MEMORY_MINUTES, _BEFORE_MINUTES, _DRIFT_SHARES = 120, 30, (0.3, 0.75)


@dataclass(frozen=True)
class Judged:
    """A minute of every column, and how surprising it is."""

    values: FloatArray
    expected: FloatArray
    sigma: FloatArray
    """Of the minute: sampling, and what the series varies by."""
    nats: FloatArray
    """By direction (up, down) and column."""
    is_spike: BoolArray
    """By direction and column: whether the last minutes surprise more than what was gathered before."""


class Levels:
    """Columns of values that vary by factors, as logarithms."""

    def __init__(self, constants: Sequence[MeasureConstants], utc_offset_minutes: int = 0) -> None:
        """`constants`: of every column."""
        self.least_shift = np.array([item.shifts[0] for item in constants])
        self._least_spike = np.array([item.spike for item in constants])
        self._season = Season(len(constants), utc_offset_minutes)
        self._variation = Variation(
            np.array([item.minute_sigma**2 for item in constants]),
            np.array([item.long_run for item in constants]),
        )
        self._cusum = Cusum(np.array([item.shifts for item in constants]).T)
        self._recent = np.full((len(constants), _MEMORY_MINUTES), np.nan)
        self._spikes = np.zeros((3, 2, len(constants)))
        self._values = self._deviations = self._sampling = np.full(len(constants), np.nan)

    def expected(self, minute: int) -> FloatArray:
        """Expected values at a minute."""
        return self._season.expectation(minute).centre

    @property
    def minute_sigma(self) -> FloatArray:
        """How much single minutes vary beyond sampling."""
        return np.sqrt(self._variation.minute)

    def advance(self, minute: int, values: FloatArray, calls: FloatArray, sampling: FloatArray) -> Judged:
        """Judge a minute. `sampling`: variance of each value that comes from the number of calls alone."""
        expectation = self._season.expectation(minute)
        deviations = values - expectation.centre
        sigma = np.sqrt(self._variation.minute + sampling)
        # Until past days speak, time of day and level are not told apart: only spikes are judged.
        seasonal = np.where(expectation.seasonal, deviations, np.nan)
        self._cusum.advance(minute, seasonal, sampling + self._variation.long_run)
        spikes = self._spike(minute, deviations, sigma, calls)
        self._recent[:, minute % _MEMORY_MINUTES] = deviations
        self._values, self._deviations, self._sampling = values, deviations, sampling
        sums = self._cusum.sums
        return Judged(values, expectation.centre, sigma, np.maximum(sums, spikes), spikes > sums)

    def learn(self, minute: int, normal: BoolArray) -> None:
        """Remember the minute that was judged last, of the columns that are normal."""
        self._season.learn(minute, np.where(normal, self._values, np.nan))
        self._variation.learn(minute, np.where(normal, self._deviations, np.nan), self._sampling)

    def start(self, column: int, side: int, minute: int) -> int:
        """The minute in which what is judged now began."""
        if self._second_spike()[side, column] > self._cusum.sums[side, column]:
            return minute - 1
        return self._cusum.start(side, column)

    def settle(self, over: BoolArray) -> None:
        """What was out of the ordinary is over: sums begin anew."""
        self._cusum.reset(over)
        self._spikes[:, :, over] = 0.0

    def adopt(self, minute: int, where: BoolArray) -> None:
        """The level of the last minutes is the usual one from now on."""
        amounts = np.where(where, np.nan_to_num(self.level(minute, np.arange(len(where)))), 0.0)
        self._season.move(amounts)
        self._recent -= amounts[:, None]
        self.settle(where)

    def level(self, minute: int, columns: IntArray) -> FloatArray:
        """Median deviation of some columns over the last quarter of an hour."""
        places = np.arange(minute - _LEVEL_MINUTES + 1, minute + 1) % _MEMORY_MINUTES
        return row_medians(self._recent[columns[:, None], places[None, :]])[0]

    def is_drift(self, column: int, start: int, minute: int) -> bool:
        """Whether what a column has gathered since `start` came slowly."""
        first = max(start - _BEFORE_MINUTES, minute - _MEMORY_MINUTES + 1)
        places = np.arange(first, first + _BEFORE_MINUTES) % _MEMORY_MINUTES
        before = row_medians(self._recent[column, places][None, :])[0][0]
        now = self.level(minute, np.array([column]))[0]
        least, most = _DRIFT_SHARES
        return bool(least * abs(now) <= before * np.sign(now) <= most * abs(now))

    def _spike(self, minute: int, deviations: FloatArray, sigma: FloatArray, calls: FloatArray) -> FloatArray:
        large = (np.abs(deviations) >= self._least_spike) & (calls >= _SPIKE_CALLS)
        nats = np.where(large, _SPIKE_WEIGHT * (deviations / sigma) ** 2 / 2, 0.0)
        self._spikes[minute % 3] = np.array(
            [np.where(deviations > 0, nats, 0.0), np.where(deviations < 0, nats, 0.0)]
        )
        return self._second_spike()

    def _second_spike(self) -> FloatArray:
        """Two of three minutes must be out of the ordinary: the second largest counts."""
        first, second, third = self._spikes
        larger, smaller = np.maximum(first, second), np.minimum(first, second)
        median: FloatArray = np.maximum(smaller, np.minimum(larger, third))
        return median

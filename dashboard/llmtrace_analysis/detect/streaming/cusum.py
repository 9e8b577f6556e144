"""Cumulative sums of clipped deviations: level shifts and slow drifts, upwards and downwards."""

from __future__ import annotations

import numpy as np

from llmtrace_analysis.detect.detectors.series import BoolArray, FloatArray

#: What one minute may add at most, nats: no single minute decides.
_MOST_PER_MINUTE = 1.5

#: A deviation counts up to so many times the shift that a sum watches for.
_CLIP = 2.0


class Cusum:
    """For every series, direction and size of shift the log likelihood that the level moved by that size
    since some minute, against that it did not, at its largest over all such minutes (Page's test).

    Sums are in nats: normal traffic reaches h about once in exp(h) minutes.
    """

    def __init__(self, shifts: FloatArray) -> None:
        """`shifts`: the sizes watched for in the values' own unit, sizes x series."""
        self._shifts = shifts[:, None, :]
        self._most = _CLIP * self._shifts
        shape = (len(shifts), 2, shifts.shape[1])
        self._sums = np.zeros(shape)
        self._starts = np.zeros(shape, dtype=np.int64)

    def advance(self, minute: int, deviations: FloatArray, variances: FloatArray) -> None:
        """Deviations from the expected value, NaN where nothing is known, and what a minute adds to the
        variance of their sum.
        """
        known = np.isfinite(deviations)
        upwards = np.where(known, deviations, 0.0)
        sides = np.array([upwards, -upwards])[None]
        shifts = self._shifts
        clipped = np.minimum(np.maximum(sides, -self._most), self._most)
        steps = np.minimum(
            shifts * (clipped - shifts / 2) * np.where(known, 1 / variances, 0.0), _MOST_PER_MINUTE
        )
        self._starts[self._sums <= 0] = minute
        self._sums = np.maximum(self._sums + steps, 0.0)

    @property
    def sums(self) -> FloatArray:
        """The largest sum over the sizes of shift, by direction (up, down) and series, nats."""
        largest: FloatArray = self._sums.max(axis=0)
        return largest

    def start(self, side: int, column: int) -> int:
        """The minute in which the largest sum of a direction and series began to grow."""
        return int(self._starts[self._sums[:, side, column].argmax(), side, column])

    def reset(self, where: BoolArray) -> None:
        """Begin anew, by series."""
        self._sums[:, :, where] = 0.0

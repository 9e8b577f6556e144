"""What surprise was worth so far: a series that surprises in normal hours must surprise more to count."""

from __future__ import annotations

import math

import numpy as np

from llmtrace_analysis.detect.detectors.series import BoolArray, FloatArray

#: Hours that are remembered, and how many make a judgement.
_HOURS, _ENOUGH = 168, 48

#: Of normal hours this share holds a minute of so many nats or more, by what nats mean.
_SHARE = 0.05
_DUE = math.log(60 / _SHARE)

#: Minutes between two judgements.
_EVERY = 240


class OwnHistory:
    """Makes nats conform to a column's own past week.

    By what nats mean, one hour in twenty holds a minute of 7.1 or more. Where the past week's hours hold
    more, all nats of that column are divided by how much more: ranks among its own past, no trust in a model.
    """

    def __init__(self, columns: int) -> None:
        self.factors = np.ones(columns)
        self._hours = np.full((columns, _HOURS), np.nan, dtype=np.float32)
        self._largest = np.zeros(columns)
        self._normal = np.ones(columns, dtype=bool)
        self._minutes = 0
        self._hour = -1

    def conform(self, nats: FloatArray) -> FloatArray:
        """Nats as they are worth by the past week."""
        return nats / self.factors

    def learn(self, minute: int, nats: FloatArray, normal: BoolArray) -> None:
        """Remember a minute's nats (before `conform`); an hour that is not normal throughout is left out."""
        hour = minute // 60
        if hour != self._hour:
            if self._hour >= 0:
                whole = self._normal & (self._minutes >= 30)
                self._hours[:, self._hour % _HOURS] = np.where(whole, self._largest, np.nan)
            self._largest[:] = 0.0
            self._normal[:] = True
            self._minutes = 0
            self._hour = hour
            if minute % _EVERY < 60:
                self._judge()
        self._largest = np.maximum(self._largest, nats)
        self._normal &= normal
        self._minutes += 1

    def _judge(self) -> None:
        counts = np.isfinite(self._hours).sum(axis=1)
        ordered = np.sort(self._hours, axis=1)  # NaN goes last
        places = np.maximum(((1 - _SHARE) * counts).astype(np.int64) - 1, 0)
        largest = ordered[np.arange(len(counts)), places].astype(np.float64)
        self.factors = np.where(counts >= _ENOUGH, np.fmax(largest / _DUE, 1.0), 1.0)

"""No call at all where calls were expected."""

from __future__ import annotations

import numpy as np

from llmtrace_analysis.detect.detectors.series import FloatArray, IntArray

#: A shorter pause is none: senders deliver in batches.
_LEAST_MINUTES = 3


class Silence:
    """Calls that were cautiously expected since the last call. For independent calls the chance of none is
    exp(-expected), so that what is counted is how surprising the silence is, in nats.
    """

    def __init__(self, series: int) -> None:
        self._expected = np.zeros(series)
        self._starts = np.zeros(series, dtype=np.int64)

    def advance(
        self, minute: int, calls: FloatArray, expected_low: FloatArray
    ) -> tuple[FloatArray, IntArray]:
        """Add a minute: how surprising the silence is by now, and the minute it began in. NaN is a minute
        that is not known, which neither ends a silence nor adds to it.
        """
        self._starts = np.where(self._expected <= 0, minute, self._starts)
        added = np.where(np.isfinite(expected_low), expected_low, 0.0)
        silent = np.where(calls == 0, self._expected + added, 0.0)
        self._expected = np.where(np.isnan(calls), self._expected, silent)
        lasting = minute - self._starts + 1 >= _LEAST_MINUTES
        return np.where(lasting, self._expected, 0.0), self._starts.copy()

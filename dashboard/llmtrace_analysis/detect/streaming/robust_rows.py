"""Median and spread of every row of a matrix in which NaN stands for nothing."""

from __future__ import annotations

import numpy as np

from llmtrace_analysis.detect.detectors.series import FloatArray, IntArray

#: MAD of a normal distribution times this is its standard deviation.
MAD_TO_SIGMA = 1.4826


def row_medians(values: FloatArray) -> tuple[FloatArray, IntArray]:
    """Median and number of the finite values of every row; NaN for a row without any."""
    counts: IntArray = np.isfinite(values).sum(axis=1)
    if not values.shape[1]:
        return np.full(values.shape[0], np.nan), counts
    ordered = np.sort(values, axis=1)  # NaN goes last
    rows = np.arange(values.shape[0])
    low = ordered[rows, np.maximum((counts - 1) // 2, 0)]
    high = ordered[rows, np.minimum(counts // 2, values.shape[1] - 1)]
    return np.where(counts > 0, (low + high) / 2, np.nan), counts


def row_sigmas(values: FloatArray) -> tuple[FloatArray, IntArray]:
    """1.4826 × MAD of every row around its own median, and how many values it is of."""
    middle, counts = row_medians(values)
    deviations, _ = row_medians(np.abs(values - middle[:, None]))
    return MAD_TO_SIGMA * deviations, counts

"""How much a series varies around what is expected, from minute to minute and in the long run."""

from __future__ import annotations

import numpy as np

from llmtrace_analysis.detect.detectors.series import FloatArray, IntArray

from .robust_rows import row_medians, row_sigmas

#: One minute in so many is remembered, for a week.
_EVERY = 5
_SAMPLES = 7 * 1440 // _EVERY

#: Blocks of so many minutes, of a week. What a mean over 1, 3 or 6 of them varies by tells how long
#: deviations last.
_BLOCK, _TOGETHER = 20, (1, 3, 6)
_NUMBER = 7 * 1440 // _BLOCK

#: Means that say something of their own; with fewer the prior speaks.
_ENOUGH = 24

#: Minutes between two estimates.
_ESTIMATE_EVERY = 240


class Variation:
    """Variances of deviations from the expected value, beyond those of sampling, of many series.

    `minute`: of single minutes. `long_run`: minutes × variance of the mean over long blocks, which is what a
    sum of deviations grows by each minute; a series whose deviations last (bursts, a provider's weather) has
    much more of it than of the other.
    """

    def __init__(self, minute_prior: FloatArray, long_run_prior: FloatArray) -> None:
        """Variances per series until enough is known, and the least that is ever believed after."""
        self._minute_floor, self._long_run_floor = minute_prior / 4, long_run_prior / 8
        self.minute, self.long_run = minute_prior.copy(), long_run_prior.copy()
        series = len(minute_prior)
        self._deviations = np.full((series, _SAMPLES), np.nan, dtype=np.float32)
        self._sampling = np.full((series, _SAMPLES), np.nan, dtype=np.float32)
        self._blocks = np.full((3, series, _NUMBER), np.nan, dtype=np.float32)
        self._sums = np.zeros((3, series))
        self._block = -1
        self._prior = long_run_prior
        self._samples = 0
        self._estimate_at = -1

    def learn(self, minute: int, deviations: FloatArray, sampling: FloatArray) -> None:
        """Deviations of a minute and their sampling variances; NaN for those that are not to be learned."""
        if minute % _EVERY == 0:
            place = minute // _EVERY % _SAMPLES
            self._deviations[:, place] = deviations
            self._sampling[:, place] = np.where(np.isfinite(deviations), sampling, np.nan)
        self._add(minute, deviations, sampling)
        if minute // _ESTIMATE_EVERY != self._estimate_at:
            self._estimate_at = minute // _ESTIMATE_EVERY
            self._estimate()

    def _estimate(self) -> None:
        sigmas, counts = row_sigmas(self._deviations.astype(np.float64))
        sampling, _ = row_medians(self._sampling.astype(np.float64))
        known = counts >= _ENOUGH * 10
        beyond = np.where(known, sigmas**2 - sampling, 0.0)
        self.minute = np.where(known, np.maximum(beyond, self._minute_floor), self._minute_floor * 4)
        long_run = self._long_run_floor.copy()
        enough = np.zeros(len(long_run), dtype=bool)
        for together in _TOGETHER:
            variance, count = self._of_blocks(together)
            of_block = count >= _ENOUGH
            long_run = np.where(of_block, np.fmax(long_run, variance), long_run)
            enough |= of_block
        self.long_run = np.where(enough, long_run, np.maximum(long_run, self._prior))

    def _add(self, minute: int, deviations: FloatArray, sampling: FloatArray) -> None:
        block = minute // _BLOCK
        if block != self._block:
            if self._block >= 0:
                self._blocks[:, :, self._block % _NUMBER] = self._sums
                # What lies between was not known.
                for missed in range(max(self._block + 1, block - _NUMBER), block):
                    self._blocks[:, :, missed % _NUMBER] = np.nan
            self._sums[:] = 0.0
            self._block = block
        known = np.isfinite(deviations)
        self._sums[0] += np.where(known, deviations, 0.0)
        self._sums[1] += np.where(known, sampling, 0.0)
        self._sums[2] += known

    def _of_blocks(self, together: int) -> tuple[FloatArray, IntArray]:
        """Minutes x variance of means over so many neighbouring blocks, beyond what sampling makes of it, and
        of how many means.
        """
        shape = (3, self._blocks.shape[1], _NUMBER // together, together)
        sums = self._blocks.astype(np.float64).reshape(shape).sum(axis=3)
        length = _BLOCK * together
        minutes = np.where(sums[2] >= length / 2, sums[2], np.nan)
        sigmas, counts = row_sigmas(sums[0] / minutes)
        noise, _ = row_medians(sums[1] / minutes**2)
        return length * np.maximum(sigmas**2 - noise, 0.0), counts

"""Whether more calls fail than usual: exact tests over windows of several lengths."""

from __future__ import annotations

import numpy as np
from scipy import special

from llmtrace_analysis.detect.detectors.series import BoolArray, FloatArray, IntArray

WINDOWS = (3, 5, 10, 30, 60)
"""Minutes."""

#: What is usual is of about a week: what a minute adds to it has lost half of its weight after five days.
_DECAY = 0.5 ** (1 / (5 * 1440))

#: Minutes that must be known before anything is tested.
_ENOUGH_MINUTES = 30.0

#: A rate is unusual only where it exceeds the usual one by this factor and by so much, with so many failures.
_LEAST_RATIO, _LEAST_RISE, _LEAST_FAILED = 2.0, 0.01, 3

#: Windows overlap and tests agree: together they ask about so many independent questions.
_QUESTIONS = 6

#: Variance in units of what independent failures have, and of how many windows, until a series has shown its
#: own.
_PRIOR_CLUSTERING, _PRIOR_WINDOWS = 3.0, 10.0


class Proportions:
    """Failed calls of many series.

    Failures come in clusters, so that they vary by more than chance. Two exact tests bear that. The first
    counts failed calls: how much more they vary is measured for each window, correspondingly fewer calls are
    taken for independent, and a window's worst minute does not count, since a burst within one minute is one
    event. The second counts minutes with a failure, of which there are at most as many as failures expected,
    however clustered: it sees at little traffic what the first cannot.
    """

    def __init__(self, series: int) -> None:
        self._minutes = np.zeros((max(WINDOWS), 2, series))  # failed, all
        self._known = np.zeros((2, series))
        self._weight = np.zeros(series)
        self._chi_squared = np.zeros((len(WINDOWS), series))
        self._windows = np.zeros((len(WINDOWS), series))

    def advance(
        self, minute: int, errors: FloatArray, calls: FloatArray
    ) -> tuple[FloatArray, IntArray, FloatArray]:
        """Add a minute. How surprising the window that surprises most is (nats: minus the logarithm of its
        chance), where that window starts, and its rate, by series.
        """
        place = minute % max(WINDOWS)
        known = np.isfinite(calls) & np.isfinite(errors)
        self._minutes[place, 0] = np.where(known, errors, 0.0)
        self._minutes[place, 1] = np.where(known, calls, 0.0)
        usual = self.usual
        surprise = np.zeros(len(usual))
        lengths = np.full(len(usual), WINDOWS[0])
        rates = np.zeros(len(usual))
        for index, window in enumerate(WINDOWS):
            minutes = self._last(minute, window)
            failed, of = minutes.sum(axis=0)
            rate = failed / np.maximum(of, 1.0)
            unusual = (rate > _LEAST_RATIO * usual) & (rate > usual + _LEAST_RISE) & (failed >= _LEAST_FAILED)
            series = np.flatnonzero(unusual)
            if not len(series):
                continue
            nats = np.zeros(len(usual))
            nats[series] = self._surprise(index, minutes[:, :, series], series, usual[series])
            better = nats > surprise
            surprise = np.where(better, nats, surprise)
            lengths = np.where(better, window, lengths)
            rates = np.where(better, rate, rates)
        ready = self._weight >= _ENOUGH_MINUTES
        return np.where(ready, surprise, 0.0), minute - lengths + 1, rates

    @property
    def usual(self) -> FloatArray:
        """The usual rate of every series, above 0 without any failure (Jeffreys' estimate)."""
        usual: FloatArray = (self._known[0] + 0.5) / (self._known[1] + 1.0)
        return usual

    def learn(self, minute: int, normal: BoolArray) -> None:
        """Count the minute that was added last as usual, for the series that are normal."""
        usual = self.usual
        self._known *= np.where(normal, _DECAY, 1.0)
        self._known += np.where(normal, self._minutes[minute % max(WINDOWS)], 0.0)
        self._weight += normal
        for index, window in enumerate(WINDOWS):
            if (minute + 1) % window:
                continue
            failed, of = self._last(minute, window).sum(axis=0)
            expected = of * usual
            counted = normal & (expected > 0)
            chi_squared = (failed - expected) ** 2 / np.where(counted, expected * (1 - usual), 1.0)
            decay = np.where(counted, _DECAY**window, 1.0)
            self._chi_squared[index] = self._chi_squared[index] * decay + np.where(counted, chi_squared, 0.0)
            self._windows[index] = self._windows[index] * decay + counted

    def _last(self, minute: int, window: int) -> FloatArray:
        """The last minutes: minute, failed and all, series."""
        end = minute % max(WINDOWS) + 1
        if end >= window:
            return self._minutes[end - window : end]
        return np.concatenate([self._minutes[end - window :], self._minutes[:end]])

    def _surprise(self, index: int, minutes: FloatArray, series: IntArray, usual: FloatArray) -> FloatArray:
        """Nats of a window of some series, by the test that is surprised more."""
        prior = _PRIOR_WINDOWS * _PRIOR_CLUSTERING
        of_windows = (self._chi_squared[index] + prior) / (self._windows[index] + _PRIOR_WINDOWS)
        clustering = np.maximum(of_windows[series], 1.0)
        worst = minutes[:, 0].argmax(axis=0)
        totals = minutes.sum(axis=0) - minutes[worst, :, np.arange(len(series))].T
        of_calls = _chance(totals[0] / clustering, totals[1] / clustering, usual)
        chance = np.minimum(of_calls, _chance_of_minutes(minutes, usual))
        nats: FloatArray = -np.log(np.clip(_QUESTIONS * chance, 1e-300, 1.0))
        return nats


def _chance_of_minutes(minutes: FloatArray, usual: FloatArray) -> FloatArray:
    with_failure = (minutes[:, 0] > 0).sum(axis=0).astype(np.float64)
    usual_share = np.minimum(minutes[:, 1] * usual, 1.0).mean(axis=0)
    return _chance(with_failure, np.full(len(usual), float(len(minutes))), usual_share)


def _chance(hits: FloatArray, trials: FloatArray, rate: FloatArray) -> FloatArray:
    """How likely so many hits or more are (binomial; also of trials that are no whole number)."""
    chance: FloatArray = special.betainc(np.maximum(hits, 1e-9), np.maximum(trials - hits + 1, 1e-9), rate)
    return np.where(hits > 0, chance, 1.0)

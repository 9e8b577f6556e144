"""Scores a series of one's own, value by value: how unusual each is by those before it."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

from .conformal import Conformal, RestPeriod, SortedWindow

_DAY = 86_400.0

ALARM_SCORE = 0.9
"""Score from which on a value is an alarm, unless another is asked for."""

#: Ways to look at a series; the season is silent until a day is known.
_WAYS = 5

#: Past values that a value is compared with.
_MEMORY = 4000

#: Values of the short windows: the largest of 36, the spread of 12.
_LARGEST_OF, _SPREAD_OF = 36, 12

#: A slow average moves by this share of a deviation.
_AVERAGE_SHARE = 0.02

#: Past days that tell what is usual at this time, with so many values at least.
_DAYS, _SEASON_LEAST = 7, 3

#: Until a season is known the median of so many values is expected.
_RECENT = 36

#: Nothing is news within this share of the values so far of something as unusual, in these bounds: what is
#: worth a second alarm depends on how much has been seen. What is no news has this share of its nats.
_REST_SHARE, _REST_LEAST, _REST_MOST, _REPEATED = 0.04, 10, 240, 0.2

#: More unusual than before by this many nats is news all the same: half as likely.
_MARGIN = 0.7

#: The band holds all of the past deviations but this share.
_OUTSIDE = 0.01

#: Nothing is scored before so many values.
_LEAST_VALUES = 20

#: Larger numbers are taken for this, so that their squares stay finite.
_LARGEST = 1e100


class Scored(NamedTuple):
    """What one value looks like by those before it."""

    score: float
    """0 to 1: 1 - chance of a value as unusual as this (the geometric mean of what several ways to look at
    the series say). What repeats soon is no news and scores less.
    """
    expected: float
    """NaN before anything is known, as `low` and `high`."""
    low: float
    high: float
    alarm: bool


@dataclass
class _Feature:
    """One way to look at the series: how new its value is, as a chance."""

    values: SortedWindow
    novelty: Conformal

    @classmethod
    def empty(cls) -> _Feature:
        return cls(SortedWindow(_MEMORY), Conformal(_MEMORY))

    def nats(self, value: float) -> float:
        chance = self.novelty.chance(self.values.distance(value))
        self.values.add(value)
        return -math.log(chance)


class SeriesScorer:
    """Scores one series, in the order of its rows. Nothing depends on what comes later."""

    def __init__(self, threshold: float = ALARM_SCORE) -> None:
        """`threshold`: score from which on a value is an alarm."""
        self._threshold = threshold
        self._features = {
            name: _Feature.empty() for name in ("value", "season", "largest", "spread", "average")
        }
        self._rest = RestPeriod()
        self._season = _DailySeason()
        self._recent: deque[float] = deque(maxlen=_RECENT)
        self._deviations = SortedWindow(_MEMORY)
        self._average = math.nan
        self._time = -math.inf
        self._count = 0

    def score(self, time: float, value: float) -> Scored:
        """`time`: Unix seconds, which should ascend; `value`: NaN where it is missing, which scores 0."""
        self._time = max(self._time, time)
        usual = self._season.usual(self._time)
        expected = _median(list(self._recent)) if usual is None and self._recent else usual
        if expected is None:
            expected = math.nan
        low = expected + self._deviations.quantile(_OUTSIDE / 2)
        high = expected + self._deviations.quantile(1 - _OUTSIDE / 2)
        if not math.isfinite(value):
            return Scored(0.0, expected, low, high, False)
        value = max(-_LARGEST, min(_LARGEST, value))
        nats = self._nats(value, usual)
        if math.isfinite(expected):
            self._deviations.add(value - expected)
        self._season.learn(self._time, value)
        steps = min(max(int(_REST_SHARE * self._count), _REST_LEAST), _REST_MOST)
        news = self._rest.is_news(nats, steps, _MARGIN)
        score = -math.expm1(-nats if news else -nats * _REPEATED)
        return Scored(score, expected, low, high, news and score >= self._threshold)

    def _nats(self, value: float, usual: float | None) -> float:
        self._count += 1
        self._recent.append(value)
        recent = list(self._recent)
        if math.isnan(self._average):
            self._average = value
        departure = value - self._average
        self._average += _AVERAGE_SHARE * departure
        last = recent[-_SPREAD_OF:]
        mean = sum(last) / len(last)
        spread = math.sqrt(sum((item - mean) ** 2 for item in last) / len(last))
        features = self._features
        nats = [
            features["value"].nats(value),
            features["largest"].nats(max(recent[-_LARGEST_OF:])),
            features["spread"].nats(spread),
            features["average"].nats(departure),
        ]
        if usual is not None:
            nats.append(features["season"].nats(value - usual))
        if self._count <= _LEAST_VALUES:
            return 0.0
        return sum(nats) / _WAYS


class _DailySeason:
    """Median of the values around the same time on each of the last days."""

    def __init__(self) -> None:
        self._times: list[float] = []
        self._values: list[float] = []
        self._steps: deque[float] = deque(maxlen=31)
        self._step = 0.0

    def usual(self, time: float) -> float | None:
        """What is usual at a time; None before enough is known."""
        times = self._times
        if not self._step or time - times[0] < _DAY * 0.9:
            return None
        near = 1.5 * self._step
        values: list[float] = []
        for day in range(1, _DAYS + 1):
            at = time - day * _DAY
            if at < times[0] - near:
                break
            first = bisect_left(times, at - near)
            last = min(first + 3, bisect_left(times, at + near, first))
            values += self._values[first:last]
        return _median(values) if len(values) >= _SEASON_LEAST else None

    def learn(self, time: float, value: float) -> None:
        if self._times and time > self._times[-1]:
            self._steps.append(time - self._times[-1])
            if len(self._times) < 100 or len(self._times) % 10 == 0:
                self._step = _median(list(self._steps))
        self._times.append(time)
        self._values.append(value)
        if len(self._times) % 1000 == 0:
            old = bisect_left(self._times, time - (_DAYS + 1) * _DAY)
            if old:
                del self._times[:old], self._values[:old]


def _median(values: list[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2

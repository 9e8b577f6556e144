"""Series that appear among their siblings, or go on no more while their siblings do: a model that was
switched.
"""

from __future__ import annotations

import numpy as np

from llmtrace_analysis.detect.detectors.series import BoolArray, FloatArray, IntArray

#: A newcomer is an event when it has this share of its group's calls of the last minutes, and so many calls.
_SHARE, _CALLS, _MINUTES = 0.05, 20, 10

#: Siblings that took over did so within so many minutes.
_SWITCH_MINUTES = 2

#: A group that is younger than this has no newcomers, and a series older than this is none, minutes.
_GROUP_AGE, _NEWCOMER_AGE = 1440, 240

_NEVER = np.iinfo(np.int64).max


class SeriesChanges:
    """Series in groups: those of one group are siblings (the models of a service)."""

    def __init__(self, groups: IntArray) -> None:
        """`groups`: number of the group of every series."""
        self._groups = groups
        self._recent = np.zeros((_MINUTES, len(groups)))
        self._first = np.full(len(groups), _NEVER)
        self._group_first = np.full(int(groups.max(initial=0)) + 1, _NEVER)
        self._is_news = np.zeros(len(groups), dtype=bool)

    def extend(self, groups: IntArray) -> None:
        """Append series; `groups` may be new ones."""
        fresh = len(groups)
        self._groups = np.append(self._groups, groups)
        self._recent = np.concatenate([self._recent, np.zeros((_MINUTES, fresh))], axis=1)
        self._first = np.append(self._first, np.full(fresh, _NEVER))
        self._is_news = np.append(self._is_news, np.zeros(fresh, dtype=bool))
        missing = int(self._groups.max(initial=0)) + 1 - len(self._group_first)
        self._group_first = np.append(self._group_first, np.full(max(missing, 0), _NEVER))

    def select(self, series: IntArray) -> None:
        """Go on with these series alone."""
        self._groups, self._first = self._groups[series], self._first[series]
        self._recent, self._is_news = self._recent[:, series], self._is_news[series]

    def advance(self, minute: int, calls: FloatArray) -> BoolArray:
        """Add a minute; which series are new, told once."""
        counts = np.nan_to_num(calls)
        self._recent[minute % _MINUTES] = counts
        began = (counts > 0) & (self._first == _NEVER)
        self._first = np.where(began, minute, self._first)
        np.minimum.at(self._group_first, self._groups, self._first)
        group_ages = minute - np.minimum(self._group_first, minute)
        self._is_news |= began & (group_ages[self._groups] >= _GROUP_AGE)
        sums = self._recent.sum(axis=0)
        totals = np.bincount(self._groups, sums, len(self._group_first))[self._groups]
        new: BoolArray = self._is_news & (sums >= _CALLS) & (sums >= _SHARE * totals)
        too_old = minute - np.minimum(self._first, minute) > _NEWCOMER_AGE
        self._is_news &= ~(new | too_old)
        return new

    @property
    def first(self) -> IntArray:
        """The minute of every series' first call."""
        return self._first

    def siblings_go_on(self, minute: int, expected: FloatArray) -> BoolArray:
        """Whether a series' siblings had half of the calls that the series alone was expected to have, or
        more, in the last minutes. `expected`: calls per minute.
        """
        sums = self._recent[np.arange(minute - _SWITCH_MINUTES + 1, minute + 1) % _MINUTES].sum(axis=0)
        totals = np.bincount(self._groups, sums, len(self._group_first))[self._groups]
        go_on: BoolArray = (totals - sums) >= np.maximum(0.5 * _SWITCH_MINUTES * np.nan_to_num(expected), 1.0)
        return go_on

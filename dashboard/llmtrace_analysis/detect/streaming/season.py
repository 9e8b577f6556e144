"""What a value usually is at this time of day on this kind of day, from past days alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from llmtrace_analysis.detect.detectors.series import BoolArray, FloatArray, IntArray

from .robust_rows import row_medians

DAY = 1440
"""Minutes."""

#: A slot is so many minutes: what is remembered of a day are medians of slots.
_SLOT = 5
_SLOTS = DAY // _SLOT

#: Days that are remembered. Two weeks hold ten days of work and four of a weekend.
_DAYS = 14

#: Slots to both sides of the time of day that count as the same time: a quarter of an hour; half an hour
#: where fewer like days are known than this.
_NEAR, _NEAR_OF_FEW, _FEW_DAYS = 3, 6, 3

#: Slots of the last two hours, which speak until a like day is known.
_RECENT = 24

#: 1970-01-01 was a Thursday: day 0 has this number in a week that begins on Monday.
_FIRST_WEEKDAY = 3


@dataclass(frozen=True)
class Expectation:
    """Expected values of every series, NaN where nothing is known, and where they come from past days."""

    centre: FloatArray
    seasonal: BoolArray
    """Whether past days speak; else the last two hours do."""


class Season:
    """Medians of slots of five minutes, over two weeks, of many series.

    Expected is the median of the same time of day on the like days (days of work, or of the weekend). Before
    a like day is known the last two hours speak: a first Saturday is not judged by Fridays.
    """

    def __init__(self, series: int, utc_offset_minutes: int = 0) -> None:
        """`utc_offset_minutes`: what local time is ahead of UTC, for the kind of day."""
        self._offset = utc_offset_minutes
        self._history = np.full((series, _DAYS * _SLOTS), np.nan, dtype=np.float32)
        self._days = np.full(_DAYS, -1, dtype=np.int64)
        self._slot = -1
        self._values = np.full((series, _SLOT), np.nan)
        self._expected = Expectation(np.full(series, np.nan), np.zeros(series, dtype=bool))

    def expectation(self, minute: int) -> Expectation:
        """Expected at a minute (Unix time / 60), which may not lie before the last one."""
        self._go_to((minute + self._offset) // _SLOT)
        return self._expected

    def learn(self, minute: int, values: FloatArray) -> None:
        """Remember the values of this minute; NaN for those that are not to be learned."""
        local = minute + self._offset
        self._go_to(local // _SLOT)
        self._values[:, local % _SLOT] = values

    def move(self, amounts: FloatArray) -> None:
        """Shift all that is remembered by an amount per series: the level has moved, the shape of days
        not.
        """
        self._history += amounts[:, None].astype(np.float32)
        self._values += amounts[:, None]
        self._expected = Expectation(self._expected.centre + amounts, self._expected.seasonal)

    def _go_to(self, slot: int) -> None:
        if slot == self._slot:
            return
        if self._slot >= 0:
            self._history[:, self._slot % (_DAYS * _SLOTS)] = row_medians(self._values)[0]
            self._values[:] = np.nan
        first = slot if self._slot < 0 else max(self._slot // _SLOTS + 1, slot // _SLOTS - _DAYS + 1) * _SLOTS
        for day in range(first // _SLOTS, slot // _SLOTS + 1):
            place = day % _DAYS
            self._history[:, place * _SLOTS : (place + 1) * _SLOTS] = np.nan
            self._days[place] = day
        self._slot = slot
        self._expected = self._of_slot(slot)

    def _of_slot(self, slot: int) -> Expectation:
        today = slot // _SLOTS
        past = self._days[(self._days >= 0) & (self._days < today) & (self._days > today - _DAYS)]
        like = past[_is_weekend(past) == bool(_is_weekend(np.array([today]))[0])]
        recent = np.arange(slot - _RECENT, slot) % (_DAYS * _SLOTS)
        centre, _ = row_medians(self._history[:, recent].astype(np.float64))
        near = _NEAR if len(like) >= _FEW_DAYS else _NEAR_OF_FEW
        slots = (like[:, None] * _SLOTS + slot % _SLOTS + np.arange(-near, near + 1)[None, :]).ravel()
        # Across midnight another kind of day may begin, with another level.
        slots = slots[(slots < slot) & np.isin(slots // _SLOTS, like)]
        usual, counts = row_medians(self._history[:, slots % (_DAYS * _SLOTS)].astype(np.float64))
        seasonal = counts >= near
        centre = np.where(seasonal, usual, centre)
        return Expectation(centre, seasonal)


def _is_weekend(days: IntArray) -> BoolArray:
    return (days + _FIRST_WEEKDAY) % 7 >= 5

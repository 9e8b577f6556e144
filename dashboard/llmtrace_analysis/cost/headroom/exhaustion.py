"""When a limit is reached: at the trend of the last minutes, and at the growth of days."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np

from .capacity_use import FloatArray

#: A slope is one from so many standard errors on: below, it is how minutes and days vary.
_CERTAIN: Final = 3.0
#: Whole minutes that the trend is of; fewer than the least say nothing.
_TREND_MINUTES, _LEAST_MINUTES = 15, 5
#: A limit that one of so many last minutes reached is reached now.
_NOW_MINUTES: Final = 3
#: Beyond so many seconds a trend of minutes says nothing; beyond so many days one of days.
_HORIZON_SECONDS: Final = 4 * 3600.0
_HORIZON_DAYS: Final = 365.0
#: Full days that growth needs: a week, or each weekday would be growth.
LEAST_DAYS: Final = 7


@dataclass(frozen=True)
class Ahead:
    """When it is all used: `after` in the trend's unit, 0 where it is already. None: `why` says whether that
    is `never` (at this trend), or `unknown` (too little to tell)."""

    after: float | None
    why: str = ""


NEVER, UNKNOWN = Ahead(None, "never"), Ahead(None, "unknown")


def seconds_to_limit(per_minute: FloatArray, limit: float) -> Ahead:
    """Seconds until a minute uses `limit`, by a straight line through the last whole minutes.

    per_minute: what each whole minute used, the newest last. Those before anything was used, and the one in
    which that began, are no part of the trend: a program that starts is no ramp.
    """
    recent = per_minute[-_TREND_MINUTES:]
    if recent[0] == 0:
        recent = recent[int(np.argmax(recent > 0)) + 1 :] if recent.any() else recent
    if len(recent) < _LEAST_MINUTES:
        return UNKNOWN
    if recent[-_NOW_MINUTES:].max() >= limit:
        return Ahead(0.0)
    fitted = _line(np.arange(len(recent), dtype=np.float64)[:, None], recent)
    if fitted is None or fitted[0] <= 0:
        return NEVER
    slope, level = fitted
    seconds = max(0.0, (limit - level) / slope * 60)
    return Ahead(seconds) if seconds <= _HORIZON_SECONDS else NEVER


def days_to_limit(peaks: Sequence[tuple[date, float]], level: float, limit: float) -> Ahead:
    """Days until the day's busiest minute uses `limit`, at the growth of the last days in percent.

    peaks: full days with what their busiest minute used, in order. level: the busiest minute now.
    """
    days = [(day, peak) for day, peak in peaks if peak > 0]
    if len(days) < LEAST_DAYS:
        return UNKNOWN
    if level >= limit:
        return Ahead(0.0)
    number = np.array([(day - days[0][0]).days for day, _ in days], dtype=np.float64)
    weekend = np.array([float(day.weekday() >= 5) for day, _ in days])
    columns = (
        [number] if len(days) < 2 * LEAST_DAYS or weekend.all() or not weekend.any() else [number, weekend]
    )
    fitted = _line(np.column_stack(columns), np.log(np.array([peak for _, peak in days])))
    if fitted is None or fitted[0] <= 0 or level <= 0:
        return NEVER
    after = math.log(limit / level) / fitted[0]
    return Ahead(after) if after <= _HORIZON_DAYS else NEVER


def _line(columns: FloatArray, values: FloatArray) -> tuple[float, float] | None:
    """Slope by the first column, and the level at its last value; None where the slope may be chance."""
    design = np.column_stack([columns, np.ones(len(values))])
    solution, _, rank, _ = np.linalg.lstsq(design, values, rcond=None)
    free = len(values) - design.shape[1]
    if rank < design.shape[1] or free < 1:
        return None
    rest = values - design @ solution
    variance = float(rest @ rest) / free
    error = math.sqrt(max(0.0, variance * float(np.linalg.inv(design.T @ design)[0, 0])))
    slope = float(solution[0])
    if abs(slope) <= _CERTAIN * error or abs(slope) < 1e-12:
        return None
    return slope, float(design[-1] @ solution)

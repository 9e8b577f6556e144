"""What is out of the ordinary, from its opening to its end, with rest periods: not every minute is news."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from llmtrace_analysis.detect.detectors.series import BoolArray, IntArray


@dataclass(frozen=True)
class Changes:
    """What changed in a minute, by column."""

    opened: BoolArray
    closed: BoolArray


class Episodes:
    """Open and resting episodes of many columns."""

    def __init__(self, columns: int, quiet_minutes: int, rest_minutes: int) -> None:
        """An episode is over after `quiet_minutes` without cause; for `rest_minutes` none opens after it."""
        self._quiet, self._rest = quiet_minutes, rest_minutes
        self.active = np.zeros(columns, dtype=bool)
        self.opened_at = np.zeros(columns, dtype=np.int64)
        self._seen_at = np.zeros(columns, dtype=np.int64)
        self._rest_until = np.full(columns, np.iinfo(np.int64).min)

    def advance(self, minute: int, opening: BoolArray, lasting: BoolArray) -> Changes:
        """`opening`: enough to open an episode; `lasting`: enough for an open one to go on."""
        opened = opening & ~self.active & (minute >= self._rest_until)
        seen = opened | (self.active & lasting)
        self._seen_at = np.where(seen, minute, self._seen_at)
        self.opened_at = np.where(opened, minute, self.opened_at)
        closed = self.active & (minute - self._seen_at >= self._quiet)
        self.end(minute, closed)
        self.active |= opened
        return Changes(opened, closed)

    def end(self, minute: int, where: BoolArray) -> None:
        """End episodes; rest begins."""
        self.active &= ~where
        self._rest_until = np.where(where, minute + self._rest, self._rest_until)

    def ages(self, minute: int) -> IntArray:
        """Minutes since the opening."""
        ages: IntArray = minute - self.opened_at
        return ages

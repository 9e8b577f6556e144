"""What a rule says of its values: fine, a warning, an alert, or that nothing came."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from llmtrace_analysis.detect.streaming.series_scorer import SeriesScorer
from llmtrace_analysis.rule_settings import AlertRule

from .readings import Reading

Level = Literal["warning", "alert", "no_data"]
Side = Literal["above", "below", ""]


@dataclass(frozen=True)
class Outside:
    """A group whose value is outside."""

    group: str
    level: Level
    side: Side
    value: float
    """NaN where nothing came."""
    limit: float
    """What it is beyond; NaN where there is no number."""
    count: float
    compared: float = math.nan
    """The value that it is compared with, for relative changes."""


def judge(
    rule: AlertRule, readings: Sequence[Reading], before: Mapping[str, Reading] | None = None
) -> list[Outside]:
    """The groups that are outside, the worst first: alerts before warnings, then by how far.

    `before`: the values to compare with, by group, where the rule is about a relative change.
    """
    if not any(reading.count for reading in readings):
        if rule.no_data == "alert" and rule.by is None:
            return [Outside("", "no_data", "", math.nan, math.nan, 0.0)]
        return []
    outside = [
        item
        for reading in readings
        if reading.count >= rule.min_calls and math.isfinite(reading.value)
        for item in [_judged(rule, reading, (before or {}).get(reading.group))]
        if item is not None
    ]
    return sorted(outside, key=lambda item: (item.level != "alert", -_distance(item), item.group))


def _judged(rule: AlertRule, reading: Reading, before: Reading | None) -> Outside | None:
    value = reading.value
    limits: list[tuple[Level, Side, float | None]] = [
        ("alert", "above", rule.above),
        ("alert", "below", rule.below),
        *_relative(rule, before),
        ("warning", "above", rule.warn_above),
        ("warning", "below", rule.warn_below),
    ]
    for level, side, limit in limits:
        if limit is not None and (value > limit if side == "above" else value < limit):
            compared = math.nan if before is None else before.value
            return Outside(reading.group, level, side, value, limit, reading.count, compared)
    return None


def _relative(rule: AlertRule, before: Reading | None) -> list[tuple[Level, Side, float | None]]:
    if before is None or before.count < rule.min_calls or not before.value > 0:
        return []
    up = None if rule.rises_by is None else before.value * (1 + rule.rises_by)
    down = None if rule.falls_by is None else before.value * (1 - rule.falls_by)
    return [("alert", "above", up), ("alert", "below", down)]


def _distance(item: Outside) -> float:
    if not math.isfinite(item.limit):
        return 0.0
    return abs(item.value - item.limit) / max(abs(item.limit), 1e-9)


class Unusual:
    """Whether the newest value of a series is unusual by those before it; windows in order, each once."""

    def __init__(self) -> None:
        self._scorer = SeriesScorer()
        self._ended = -1

    @property
    def ended(self) -> int:
        """End of the newest window, Unix seconds; -1 before the first."""
        return self._ended

    def advance(self, rule: AlertRule, reading: Reading) -> Outside | None:
        """Add a window; what is outside, if it is."""
        if reading.ended <= self._ended:
            return None
        self._ended = reading.ended
        enough = reading.count >= rule.min_calls
        scored = self._scorer.score(reading.ended, reading.value if enough else math.nan)
        if not scored.alarm:
            return None
        side: Side = "below" if reading.value < scored.expected else "above"
        limit = scored.low if side == "below" else scored.high
        return Outside("", "alert", side, reading.value, limit, reading.count, scored.expected)

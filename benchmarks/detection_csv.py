"""Faults that are planted into a file of one's own, and what the scorer of series finds of them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from llmtrace_analysis.detect.detectors.series import FloatArray
from llmtrace_analysis.detect.streaming.series_scorer import SeriesScorer
from llmtrace_cli.detect.csv_series import read_series

#: Name → length in rows, and what becomes of the values.
_FAULTS: dict[str, tuple[int, Callable[[FloatArray], FloatArray]]] = {
    "x6, 5 rows": (5, lambda values: values * 6),
    "x2, 60 rows": (60, lambda values: values * 2),
    "x1.5, 120 rows": (120, lambda values: values * 1.5),
    "x0.3, 60 rows": (60, lambda values: values * 0.3),
    "zero, 10 rows": (10, lambda values: values * 0),
    "drift to x3, 240 rows": (240, lambda values: values * np.exp(np.linspace(0, np.log(3), len(values)))),
}

#: How often a fault is planted, always one at a time.
_TIMES = 8

_WEEK = 7 * 86_400.0


def of_files(files: Sequence[Path], say: Callable[[str], None]) -> dict[str, Any]:
    """Alarms in the second half of every file as it is, and faults found that were planted there in turn.

    An alarm finds a fault when there is none in the same row without it.
    """
    delays: dict[str, list[int]] = {name: [] for name in _FAULTS}
    planted = dict.fromkeys(_FAULTS, 0)
    alarms, weeks = 0, 0.0
    rng = np.random.default_rng(1)
    for file in files:
        with file.open(encoding="utf-8", newline="") as lines:
            rows = list(read_series(lines))
        times = [row.time for row in rows]
        values = np.array([row.value for row in rows])
        half = len(rows) // 2
        calm = _alarms(times, values)
        alarms += sum(row >= half for row in calm)
        weeks += (times[-1] - times[half]) / _WEEK if rows else 0.0
        for name, (length, change) in _FAULTS.items():
            if half + length >= len(rows):
                continue
            for start in rng.integers(half, len(rows) - length, _TIMES).tolist():
                changed = values[: start + length].copy()
                changed[start:] = change(changed[start:])
                planted[name] += 1
                news = sorted(row - start + 1 for row in _alarms(times, changed) - calm if row >= start)
                delays[name] += news[:1]
    medians = {name: statistics.median(of_fault) if of_fault else None for name, of_fault in delays.items()}
    result = {
        "files": len(files),
        "false_incidents_per_week": round(alarms / weeks, 2) if weeks else None,
        "found": {name: len(of_fault) for name, of_fault in delays.items()},
        "planted": planted,
        "median_delay_rows": medians,
    }
    say(f"{alarms} alarms in {weeks:.2f} weeks as they are")
    for name, of_fault in delays.items():
        delay = medians[name]
        say(f"  {name:26}{len(of_fault):>5} of {planted[name]:<5}{'-' if delay is None else delay:>8} rows")
    return result


def _alarms(times: Sequence[float], values: FloatArray) -> set[int]:
    scorer = SeriesScorer()
    return {
        row for row, time in enumerate(times[: len(values)]) if scorer.score(time, float(values[row])).alarm
    }

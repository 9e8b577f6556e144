"""How often normal traffic raises an anomaly, and how surely and soon a short spell does.

    python -m tests.dashboard.test_detect_anomalies 200

prints the measured rates of docs/watch.md; the tests check a smaller, seeded part of the same.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass

import numpy as np
import pytest

from llmtrace_analysis.detect.detectors.anomalies import Metric, evaluate_series
from llmtrace_analysis.detect.detectors.parameters import AnomalyParameters
from llmtrace_analysis.detect.detectors.series import FloatArray, Series, SeriesKey
from llmtrace_analysis.settings import WatchSettings
from llmtrace_analysis.watch.app import anomaly_parameters

KEY = SeriesKey("default", "openai", "gpt-4o-mini")
#: One evaluation per bucket, as its data is complete at once here; everything else as shipped.
PARAMETERS = AnomalyParameters(late_seconds=0, late_buckets=0)
HOUR = 360
HISTORY = HOUR + 6
REST = 300


@dataclass(frozen=True)
class Regime:
    """Normal traffic of a noisy machine: calls per bucket, failure rate, spread of single calls."""

    calls: tuple[int, int] = (3, 15)
    failing: float = 0.01
    spread: float = 0.4
    tokens_spread: float = 0.8
    wander: float = 3.0
    """All calls take up to that many times as long, for 2 to 15 seconds at a time, a third of the time."""
    seconds: float = 0.8


REGIMES = {
    "3-15 calls, 1% fail": Regime(),
    "3-15 calls, 3% fail, wide": Regime(failing=0.03, spread=0.6),
    "3-6 calls, 0.5% fail": Regime(calls=(3, 6), failing=0.005, spread=0.5),
    "5-8 calls, 2% fail": Regime(calls=(5, 8), failing=0.02, spread=0.3),
}


@dataclass(frozen=True)
class Spell:
    """`size`: factor of latency or tokens, or the failing share."""

    metric: Metric
    size: float
    start: float
    seconds: float = 20.0


def simulate(
    rng: np.random.Generator, buckets: int, regime: Regime, spell: Spell | None = None, live_from: int = 0
) -> Series:
    """A series of ten-second buckets; those before `live_from` hold simulated calls only."""
    level = _wander(rng, buckets * 10, regime.wander)
    counts = rng.integers(regime.calls[0], regime.calls[1] + 1, buckets)
    columns = np.empty((5, buckets))
    for bucket, count in enumerate(counts):
        at = bucket * 10 + rng.uniform(0, 10, count)
        seconds = regime.seconds * level[at.astype(int)] * rng.lognormal(0, regime.spread, count)
        failing = np.full(count, regime.failing)
        tokens = 300 * rng.lognormal(0, regime.tokens_spread, count)
        if spell is not None:
            struck = (at >= spell.start) & (at < spell.start + spell.seconds)
            if spell.metric == "latency":
                seconds[struck] *= spell.size
            elif spell.metric == "error_rate":
                failing[struck] = spell.size
            else:
                tokens[struck] *= spell.size
        failed = int((rng.random(count) < failing).sum())
        median, slow = np.quantile(seconds, [0.5, 0.95])
        columns[:, bucket] = failed, median, slow, tokens.mean(), tokens.sum() * 1e-5
    live = np.where(np.arange(buckets) >= live_from, counts, 0)
    return Series(KEY, np.arange(buckets) * 10, counts, live, columns[0].astype(np.int64), *columns[1:])


def _wander(rng: np.random.Generator, seconds: int, top: float) -> FloatArray:
    level = np.ones(seconds)
    at = int(rng.integers(3, 30))
    while at < seconds:
        length = int(rng.integers(2, 16))
        level[at : at + length] = np.exp(rng.uniform(0, np.log(top)))
        at += length + int(rng.integers(3, 30))
    return level


def cut(series: Series, start: int, end: int) -> Series:
    """The buckets from one index to another."""
    part = slice(max(0, start), end)
    return Series(
        series.key,
        series.times[part],
        series.calls[part],
        series.live_calls[part],
        series.errors[part],
        series.p50[part],
        series.p95[part],
        series.tokens[part],
        series.cost[part],
    )


def alarms(series: Series, watched_from: int, parameters: AnomalyParameters = PARAMETERS) -> dict[str, int]:
    """How often each metric opened an incident, one per rest period, evaluated bucket by bucket."""
    counts: dict[str, int] = {}
    rest_until: dict[str, int] = {}
    for end in range(watched_from, len(series.times) + 1):
        for result in evaluate_series(cut(series, end - HISTORY, end), end * 10, parameters):
            if result.openings and end * 10 >= rest_until.get(result.metric, 0):
                counts[result.metric] = counts.get(result.metric, 0) + 1
                rest_until[result.metric] = end * 10 + REST
    return counts


def false_alarms(regime: Regime, hours: int, seed: int = 1) -> dict[str, int]:
    """False alarms per metric over that many watched hours of one model's normal traffic."""
    rng = np.random.default_rng(seed)
    total: dict[str, int] = {}
    for _ in range(hours // 4):
        for metric, count in alarms(simulate(rng, 5 * HOUR, regime), HOUR).items():
            total[metric] = total.get(metric, 0) + count
    return total


def detection(
    regime: Regime, metric: Metric, size: float, runs: int, seed: int = 2
) -> tuple[float, list[float]]:
    """The share of 20-second spells that open an incident, and how long after their start, seconds.

    The start lies anywhere within a bucket. Delays are until the bucket is complete; in service add
    late_seconds and up to interval_seconds.
    """
    rng = np.random.default_rng(seed)
    delays = []
    for _ in range(runs):
        start = HOUR * 10 + rng.uniform(0, 10)
        series = simulate(rng, HOUR + 6, regime, Spell(metric, size, start))
        for end in range(HOUR + 1, HOUR + 7):
            results = evaluate_series(cut(series, 0, end), end * 10, PARAMETERS)
            if any(result.openings and result.metric == metric for result in results):
                delays.append(end * 10 - start)
                break
    return len(delays) / runs, delays


@pytest.mark.parametrize("name", ["3-15 calls, 1% fail", "3-6 calls, 0.5% fail"])
def test_calm_hours_raise_next_to_nothing(name: str) -> None:
    alarm_counts = false_alarms(REGIMES[name], 12)
    assert alarm_counts.get("latency", 0) == 0
    assert sum(alarm_counts.values()) <= 1


@pytest.mark.parametrize(
    ("metric", "size", "calls", "share"),
    [
        ("error_rate", 0.4, (8, 15), 0.93),
        ("error_rate", 0.6, (5, 8), 0.95),
        ("latency", 8.0, (3, 15), 0.95),
        ("latency", 12.0, (3, 5), 0.95),
        ("tokens_per_call", 12.0, (8, 15), 0.9),
    ],
)
def test_a_spell_of_twenty_seconds_is_found_soon(
    metric: Metric, size: float, calls: tuple[int, int], share: float
) -> None:
    detected_share, delays = detection(Regime(calls=calls), metric, size, 50)
    assert detected_share >= share
    assert float(np.median(delays)) <= 20
    assert float(np.quantile(delays, 0.95)) <= 30


def test_simulated_history_of_another_level_raises_nothing_and_hides_no_spell() -> None:
    """A demo's hour is smoother and faster than the machine it runs on; live calls set the level."""
    rng = np.random.default_rng(3)
    false, detected = 0, 0
    for _ in range(20):
        hour = simulate(rng, HOUR, Regime(wander=1.2, spread=0.3), live_from=HOUR)
        start = 60 + rng.uniform(0, 10)
        live = simulate(rng, 12, Regime(seconds=2.0), Spell("latency", 8.0, start))
        joined = Series(
            KEY,
            np.arange(HOUR + 12) * 10,
            *(
                np.concatenate([getattr(hour, name), getattr(live, name)])
                for name in ("calls", "live_calls", "errors", "p50", "p95", "tokens", "cost")
            ),
        )
        false += sum(alarms(cut(joined, 0, HOUR + 6), HOUR + 1).values())
        detected += bool(alarms(joined, HOUR + 7).get("latency", 0))
    assert false == 0
    assert detected >= 18


def test_simulated_calls_alone_raise_nothing() -> None:
    rng = np.random.default_rng(4)
    spell = Spell("latency", 20.0, HOUR * 10.0)
    series = simulate(rng, HOUR + 4, Regime(), spell, live_from=HOUR + 4)
    assert alarms(series, HOUR) == {}


def test_the_tail_alone_takes_longer() -> None:
    """One slow call per bucket moves p95, not p50: five buckets of six must show it."""
    rng = np.random.default_rng(5)
    series = simulate(rng, HOUR + 8, Regime(calls=(8, 15), wander=1.2))
    series.p95[HOUR:] = 30.0
    first = next(
        end
        for end in range(HOUR, HOUR + 9)
        if any(
            v.openings and v.metric == "latency"
            for v in evaluate_series(cut(series, 0, end), end * 10, PARAMETERS)
        )
    )
    assert first == HOUR + 5


def test_an_anomaly_does_not_become_its_own_history() -> None:
    """Half of the lookback slow: without the exclusion the slow level would be the usual one."""
    rng = np.random.default_rng(6)
    long = Spell("latency", 8.0, HOUR * 5.0, seconds=HOUR * 5.0)
    series = simulate(rng, HOUR, Regime(wander=1.2), long)
    now = HOUR * 10
    poisoned = _latency_outliers(series, now, ())
    clean = _latency_outliers(series, now, ((HOUR * 5.0, float("inf")),))
    assert not poisoned
    assert clean == [now - 30, now - 20, now - 10]


def _latency_outliers(series: Series, now: float, excluded: tuple[tuple[float, float], ...]) -> list[int]:
    (result,) = (v for v in evaluate_series(series, now, PARAMETERS, excluded) if v.metric == "latency")
    return [outlier.time for outlier in result.outliers]


def test_incomplete_buckets_and_few_calls_are_not_judged() -> None:
    rng = np.random.default_rng(7)
    series = simulate(rng, HOUR + 2, Regime(calls=(8, 15)), Spell("latency", 10.0, HOUR * 10.0))
    end = (HOUR + 2) * 10
    shipped = anomaly_parameters(WatchSettings())
    early = [v for v in evaluate_series(series, end + 3.9, shipped) if v.metric == "latency"]
    late = [v for v in evaluate_series(series, end + 4.1, shipped) if v.metric == "latency"]
    assert not early[0].openings
    assert late[0].openings == (HOUR * 10,)
    demanding = AnomalyParameters(min_calls=16)
    assert evaluate_series(series, end + 4.1, demanding) == []


def test_late_reports_still_raise() -> None:
    """Calls of 20 seconds report when their bucket is long complete."""
    rng = np.random.default_rng(8)
    series = simulate(rng, HOUR + 5, Regime(calls=(8, 15), wander=1.2), Spell("latency", 20.0, HOUR * 10.0))
    results = evaluate_series(series, (HOUR + 5) * 10 + 5, anomaly_parameters(WatchSettings()))
    assert any(v.openings == (HOUR * 10,) for v in results if v.metric == "latency")


def _main(hours: int) -> None:
    normal = {name: false_alarms(regime, hours) for name, regime in REGIMES.items()}
    spells = {}
    sizes: tuple[tuple[Metric, float], ...] = (
        ("error_rate", 0.3),
        ("error_rate", 0.4),
        ("error_rate", 0.6),
        ("latency", 6.0),
        ("latency", 8.0),
        ("latency", 12.0),
        ("tokens_per_call", 8.0),
        ("tokens_per_call", 12.0),
    )
    for metric, size in sizes:
        for calls in ((3, 5), (5, 8), (8, 15), (3, 15)):
            detected_share, delays = detection(Regime(calls=calls), metric, size, 200)
            slow = round(float(np.quantile(delays, 0.95)), 1) if delays else None
            spells[f"{metric} {size:g}, {calls[0]}-{calls[1]} calls"] = {
                "detected": detected_share,
                "p95_seconds": slow,
            }
    print(json.dumps({"hours_per_regime": hours, "false_alarms": normal, "spells_20s": spells}, indent=1))


if __name__ == "__main__":
    _main(int(sys.argv[1]))

"""Simulated weeks of the calls of one model, its tool and its retrieval, call by call, with planted
faults.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from llmtrace_analysis.detect.detectors.series import FloatArray, IntArray
from llmtrace_analysis.detect.streaming.minute_buckets import Means, MinuteBuckets, Parts

from .planted_faults import FAULTS, Fault

DAY = 1440
WEEK = 7 * DAY

#: 2026-01-05 was a Monday; minutes since 1970.
START = 20458 * DAY

ROWS = ("model", "model B1", "model B2", "model B3", "tool", "retrieval")
GROUPS = (0, 0, 0, 0, 1, 2)
"""The models of the service are siblings."""

WATCHED = 3
"""Series that calm weeks have: the model, its tool and its retrieval."""

_RUNAWAY_TOKENS = 20_000.0
_INPUT_PRICE, _OUTPUT_PRICE = 2.5e-6, 10e-6


@dataclass(frozen=True)
class World:
    """What traffic is like. The defaults are the first world; `other` draws the second."""

    peak_calls: float = 120.0
    """Calls per minute at the busiest time of a working day."""
    night: float = 0.12
    weekend: float = 0.45
    peak_hour: float = 14.0
    burst_sigma: float = 0.25
    burst_minutes: float = 5.0
    """Traffic is multiplied by the exponential of an AR(1) process of that deviation and time constant."""
    day_sigma: float = 0.05
    """Days are busier or quieter than others of their kind, by the exponential of a normal deviation."""
    input_median: float = 1000.0
    input_sigma: float = 0.7
    output_median: float = 130.0
    output_sigma: float = 1.0
    first_seconds: float = 0.4
    token_seconds: float = 0.012
    load: float = 0.3
    """Latency at the busiest time is larger by this share than at none."""
    latency_sigma: float = 0.25
    weather_sigma: float = 0.06
    weather_minutes: float = 120.0
    """Latency of all calls drifts with the provider: +-12 % is two deviations."""
    failing: float = 0.007
    cluster: float = 3.0
    """Failures come in clusters of this mean size (geometric)."""

    @classmethod
    def other(cls, seed: int) -> World:
        """A world of other parameters."""
        rng = np.random.default_rng(seed)
        return cls(
            peak_calls=float(rng.uniform(70, 240)),
            night=float(rng.uniform(0.08, 0.25)),
            weekend=float(rng.uniform(0.35, 0.8)),
            peak_hour=float(rng.uniform(9, 20)),
            burst_sigma=float(rng.uniform(0.15, 0.3)),
            burst_minutes=float(rng.uniform(2, 10)),
            day_sigma=float(rng.uniform(0.03, 0.1)),
            input_median=float(rng.uniform(400, 3000)),
            input_sigma=float(rng.uniform(0.5, 0.9)),
            output_median=float(rng.uniform(60, 400)),
            output_sigma=float(rng.uniform(0.7, 1.1)),
            first_seconds=float(rng.uniform(0.2, 1.0)),
            token_seconds=float(rng.uniform(0.006, 0.03)),
            load=float(rng.uniform(0.1, 0.6)),
            latency_sigma=float(rng.uniform(0.2, 0.4)),
            weather_sigma=float(rng.uniform(0.04, 0.08)),
            weather_minutes=float(rng.uniform(60, 240)),
            failing=float(rng.uniform(0.003, 0.012)),
            cluster=float(rng.uniform(2, 4)),
        )


@dataclass(frozen=True)
class Traffic:
    """Buckets of every minute and row: arrays are minutes x rows."""

    buckets: dict[str, FloatArray]
    faults: tuple[Fault, ...]

    @property
    def minutes(self) -> int:
        """How many there are."""
        return len(self.buckets["calls"])


COLUMNS = (
    "calls",
    "errors",
    "latency_calls",
    "latency_mean",
    "output_mean",
    "usage_calls",
    "tokens_mean",
    "priced_calls",
    "cost_mean",
)
"""What is simulated of every minute and row."""


def to_buckets(values: Mapping[str, FloatArray]) -> MinuteBuckets:
    """The columns of one minute as detectors take them."""
    return MinuteBuckets(
        calls=values["calls"],
        output_mean=values["output_mean"],
        levels={
            "latency": Means(values["latency_calls"], values["latency_mean"]),
            "tokens": Means(values["usage_calls"], values["tokens_mean"]),
            "cost": Means(values["priced_calls"], values["cost_mean"]),
        },
        shares={"errors": Parts(values["calls"], values["errors"])},
    )


def simulate(world: World, seed: int, minutes: int, faults: Sequence[Fault] = ()) -> Traffic:
    """Minutes of traffic from `START` on. At most three of the faults may be model switches."""
    rng = np.random.default_rng(seed)
    effects = _effects(minutes, faults)
    load = _season(world, np.arange(minutes))
    bursts = _autoregressive(rng, minutes, world.burst_sigma, world.burst_minutes)
    weather = _autoregressive(rng, minutes, world.weather_sigma, world.weather_minutes)
    days = np.repeat(rng.normal(0, world.day_sigma, -(-minutes // DAY)), DAY)[:minutes]
    rate = world.peak_calls * load * np.exp(bursts - world.burst_sigma**2 / 2 + days)
    calls = rng.poisson(rate * effects["traffic"])
    buckets = {name: np.full((minutes, len(ROWS)), np.nan) for name in COLUMNS}
    buckets["calls"][:] = 0.0
    buckets["errors"][:] = 0.0
    latency_level = np.log(1 + world.load * load) + weather + np.log(effects["latency"])
    for start in range(0, minutes, WEEK):
        part = slice(start, min(start + WEEK, minutes))
        cut = {name: values[part] for name, values in effects.items()}
        _of_model(rng, world, calls[part], latency_level[part], cut, {k: v[part] for k, v in buckets.items()})
    tool_failing = np.where(effects["tool"] > 0, effects["tool"], 0.01)
    _of_step(rng, buckets, 4, rng.binomial(calls, 0.4), tool_failing, np.log(0.25), 0.5, weather * 0)
    slower = np.log1p(effects["retrieval"] / 0.38)
    retrieval_weather = _autoregressive(rng, minutes, world.weather_sigma, world.weather_minutes)
    _of_step(
        rng, buckets, 5, rng.binomial(calls, 0.8), np.full(minutes, 0.002), np.log(0.35), 0.4,
        retrieval_weather + slower,
    )  # fmt: skip
    return Traffic(buckets, tuple(faults))


def _effects(minutes: int, faults: Sequence[Fault]) -> dict[str, FloatArray]:
    effects = {name: np.ones(minutes) for name in ("traffic", "latency", "input")}
    effects |= {name: np.zeros(minutes) for name in ("failing", "runaway", "switch", "tool", "retrieval")}
    switches = 0
    for fault in faults:
        kind, part = FAULTS[fault.name], slice(fault.start, fault.end)
        if kind.effect == "drift":
            effects["latency"][part] = np.exp(np.linspace(0, np.log(kind.size), fault.end - fault.start))
        elif kind.effect == "switch":
            switches += 1
            effects["switch"][part] = switches
        else:
            effects[kind.effect][part] = kind.size
    return effects


def _season(world: World, minutes: IntArray) -> FloatArray:
    """Share of the busiest time's traffic."""
    hour = minutes % DAY / 60
    day = (0.5 + 0.5 * np.cos(2 * np.pi * (hour - world.peak_hour) / 24)) ** 1.2
    weekend = minutes // DAY % 7 >= 5
    share: FloatArray = (world.night + (1 - world.night) * day) * np.where(weekend, world.weekend, 1.0)
    return share


def _autoregressive(rng: np.random.Generator, minutes: int, sigma: float, time_constant: float) -> FloatArray:
    keep = np.exp(-1 / time_constant)
    steps = rng.normal(0, sigma * np.sqrt(1 - keep**2), minutes)
    steps[0] = rng.normal(0, sigma)
    values = np.empty(minutes)
    level = 0.0
    for minute, step in enumerate(steps.tolist()):
        level = keep * level + step
        values[minute] = level
    return values


def _of_model(
    rng: np.random.Generator,
    world: World,
    calls: IntArray,
    latency_level: FloatArray,
    effects: dict[str, FloatArray],
    buckets: dict[str, FloatArray],
) -> None:
    """Fill in the rows of the model and of those it is switched to."""
    runaway = effects["runaway"].astype(np.int64)
    total = calls + runaway
    ends = np.cumsum(total)
    starts = ends - total
    minute = np.repeat(np.arange(len(total)), total)
    number = len(minute)
    is_runaway = (np.arange(number) - starts[minute]) >= calls[minute]
    tokens_in = (
        world.input_median * np.exp(rng.normal(0, world.input_sigma, number)) * effects["input"][minute]
    )
    tokens_in = np.where(is_runaway, _RUNAWAY_TOKENS, tokens_in)
    log_out = np.log(world.output_median) + rng.normal(0, world.output_sigma, number)
    tokens_out = np.exp(log_out)
    latency = np.log(world.first_seconds + world.token_seconds * tokens_out)
    latency += latency_level[minute] + rng.normal(0, world.latency_sigma, number)
    errors = np.minimum(_failures(rng, world, calls) + rng.binomial(calls, effects["failing"]), total)
    # The first calls of a minute are those that fail: which of them do says nothing in a minute's sums.
    succeeded = (np.arange(number) - starts[minute]) >= errors[minute]
    cost = tokens_in * _INPUT_PRICE + tokens_out * _OUTPUT_PRICE

    def sums(values: FloatArray) -> FloatArray:
        running = np.concatenate([[0.0], np.cumsum(np.where(succeeded, values, 0.0))])
        result: FloatArray = running[ends] - running[starts]
        return result

    good = (total - errors).astype(np.float64)
    rows = effects["switch"].astype(np.int64)
    where = (np.arange(len(total)), rows)
    buckets["calls"][where] = total
    buckets["errors"][where] = errors
    for name in ("latency_calls", "usage_calls", "priced_calls"):
        buckets[name][where] = good
    several = np.where(good > 0, good, np.nan)
    tokens = tokens_in + tokens_out
    for name, values in (("latency", latency), ("tokens", tokens), ("cost", cost)):
        buckets[f"{name}_mean"][where] = sums(values) / several
    buckets["output_mean"][where] = sums(log_out) / several


def _failures(rng: np.random.Generator, world: World, calls: IntArray) -> IntArray:
    """Clusters of failed calls: compound Poisson with geometric sizes."""
    clusters = rng.poisson(calls * world.failing / world.cluster)
    extra = rng.negative_binomial(np.maximum(clusters, 1), 1 / world.cluster)
    return np.where(clusters > 0, clusters + extra, 0)


def _of_step(
    rng: np.random.Generator,
    buckets: dict[str, FloatArray],
    row: int,
    calls: IntArray,
    failing: FloatArray,
    log_seconds: float,
    sigma: float,
    level: FloatArray,
) -> None:
    """Fill in the row of a step, whose mean logarithm of seconds is normal."""
    errors = rng.binomial(calls, failing)
    good = (calls - errors).astype(np.float64)
    several = np.where(good > 0, good, np.nan)
    buckets["calls"][:, row] = calls
    buckets["errors"][:, row] = errors
    buckets["latency_calls"][:, row] = good
    noise = rng.normal(0, sigma, len(calls)) / np.sqrt(several)
    buckets["latency_mean"][:, row] = log_seconds + level + noise

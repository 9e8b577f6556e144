"""Robust bands: where a value usually lies, from median and MAD, and bounds of a rate."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import special

from .series import FloatArray

#: MAD of a normal distribution times this is its standard deviation.
_MAD_TO_SIGMA = 1.4826
_TINY = 1e-9


@dataclass(frozen=True)
class Band:
    """The range that a value is expected in, and its usual value."""

    low: float
    usual: float
    high: float


@dataclass(frozen=True)
class Spread:
    """Where positive values lie, by logarithms: median and robust standard deviation."""

    middle: float
    sigma: float


def spread(values: FloatArray) -> Spread:
    """Median and 1.4826 × MAD of the logarithms, which a few outliers hardly move; one value at least."""
    logs = np.log(np.maximum(values, _TINY))
    middle = float(np.median(logs))
    return Spread(middle, _MAD_TO_SIGMA * float(np.median(np.abs(logs - middle))))


def ratio_band(log_spread: Spread, width: float, ratio: float, floor: float) -> Band:
    """The band of positive values that vary by factors (latency, tokens, cost).

    `width` robust standard deviations to both sides of the median, but never less than a factor of
    `ratio`, and upwards never less than `floor` in the values' own unit.
    """
    reach = max(width * log_spread.sigma, math.log(ratio))
    usual = math.exp(log_spread.middle)
    return Band(usual / math.exp(reach), usual, max(usual * math.exp(reach), usual + floor))


def widest(first: Band, second: Band) -> Band:
    """The band that holds both, with the second's usual value."""
    return Band(min(first.low, second.low), second.usual, max(first.high, second.high))


def wilson_lower(hits: int, total: int, z: float) -> float:
    """Lower bound of a rate of which `hits` of `total` were seen (Wilson's score interval); 0 for no data."""
    if total == 0:
        return 0.0
    rate = hits / total
    middle = rate + z * z / (2 * total)
    spread = z * math.sqrt(rate * (1 - rate) / total + z * z / (4 * total * total))
    return max(0.0, (middle - spread) / (1 + z * z / total))


def pooled_rate(hits: int, total: int) -> float:
    """A usual rate that stays above 0 without any hit (Jeffreys' estimate)."""
    return (hits + 0.5) / (total + 1)


def chance_of(hits: int, total: int, rate: float) -> float:
    """How likely `hits` or more of `total` are when each comes with probability `rate` (binomial)."""
    return 1.0 if hits <= 0 else float(special.betainc(hits, total - hits + 1, rate))

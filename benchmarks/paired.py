"""What a change costs, from pairs of measurements: the ratio of two sums and its 95 % interval.

A busy machine makes a second of CPU do less, for both sides of a pair alike, so what counts is the difference
within a pair. The cost is `sum(new) / sum(old) - 1`; what is left of each pair, `new - ratio * old`, says how
sure that is, by Student's t with one degree of freedom less than there are pairs (the ratio estimator of
survey statistics; where all `old` are equal it is the ordinary interval of paired differences). Sums, not a
mean of ratios: a merge that falls into one pair for one side and into the next pair for the other counts once
for each.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from scipy.stats import t as student

#: Fewer pairs say little about their own spread.
LEAST_PAIRS = 8


@dataclass(frozen=True)
class Pair:
    """CPU of the same work, in any unit: by the code to compare with, and by the new code."""

    old: float
    new: float


@dataclass(frozen=True)
class Interval:
    """A relative cost in percent (10: a tenth more CPU) with the ends of its 95 % interval."""

    percent: float
    low: float
    high: float
    pairs: int

    @property
    def half_width(self) -> float:
        """Half of the interval, in percent."""
        return (self.high - self.low) / 2


@dataclass(frozen=True)
class Verdict:
    """What pairs say of "it costs at most `at_most` percent".

    `settled`: the interval is narrow enough to say so, its half at most a third of `at_most`.
    """

    at_most: float
    interval: Interval

    @property
    def settled(self) -> bool:
        """Whether the half-width is a third of the bound or less."""
        return self.interval.half_width <= self.at_most / 3

    @property
    def holds(self) -> bool:
        """Whether the claim may be made: settled, and the interval's upper end within the bound."""
        return self.settled and self.interval.high <= self.at_most


def cost(pairs: Sequence[Pair]) -> Interval:
    """The cost of the new code over the old. One pair says nothing of its spread: its interval has no ends.

    Raises ValueError where there is no pair, and where the old code took no CPU in all, or what is no number:
    a clock that counts in steps may say 0 of short work.
    """
    count = len(pairs)
    if not count:
        raise ValueError("a cost needs a pair")
    old = sum(pair.old for pair in pairs)
    if not 0 < old < math.inf:
        raise ValueError(f"the old code took {old:g} in all: nothing to compare with; measure more work")
    ratio = sum(pair.new for pair in pairs) / old
    if count == 1:
        return Interval(100 * (ratio - 1), -math.inf, math.inf, 1)
    squares = sum((pair.new - ratio * pair.old) ** 2 for pair in pairs)
    error = math.sqrt(squares / (count - 1) / count) / (old / count)
    half = float(student.ppf(0.975, count - 1)) * error
    return Interval(100 * (ratio - 1), 100 * (ratio - 1 - half), 100 * (ratio - 1 + half), count)


def until_settled(
    measure: Callable[[int], Pair],
    at_most: float,
    *,
    least: int = LEAST_PAIRS,
    most: int,
    progress: Callable[[Interval], None] = lambda _: None,
) -> Verdict:
    """Measure pairs, `least` or more, until their interval is narrow enough for `at_most` percent or there
    are `most`. `measure` gets the pair's number, from 0; `progress` the interval after each pair from the
    second on.
    """
    pairs = [measure(0)]
    while True:
        verdict = Verdict(at_most, cost(pairs))
        progress(verdict.interval)
        if len(pairs) >= most or (len(pairs) >= least and verdict.settled):
            return verdict
        pairs.append(measure(len(pairs)))

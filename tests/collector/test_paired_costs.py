"""What pairs of measurements say of a change's cost."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest
from benchmarks.paired import Interval, Pair, Verdict, cost, until_settled

#: Student's ten patients: hours of sleep that the second drug gave more than the first.
_SLEEP = (1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4)


def test_equal_bases_give_the_ordinary_interval_of_paired_differences() -> None:
    interval = cost([Pair(100, 100 + difference) for difference in _SLEEP])
    assert interval.percent == pytest.approx(1.58)
    assert interval.low == pytest.approx(0.7001142, abs=1e-6)  # R: t.test(extra ~ group, paired = TRUE)
    assert interval.high == pytest.approx(2.4598858, abs=1e-6)
    assert interval.half_width == pytest.approx(0.8798858, abs=1e-6)
    assert interval.pairs == 10


def test_load_that_both_of_a_pair_feel_is_no_doubt() -> None:
    interval = cost([Pair(load, 1.1 * load) for load in (1.0, 5.0, 0.3, 2.0)])
    assert interval.percent == pytest.approx(10)
    assert interval.half_width == pytest.approx(0, abs=1e-9)


def test_a_merge_counts_once_whichever_pair_it_falls_into() -> None:
    interval = cost([Pair(1, 1), Pair(3, 1), Pair(1, 3), Pair(1, 1)])
    assert interval.percent == pytest.approx(0)
    assert interval.low < -50
    assert interval.high > 50


def test_nineteen_of_twenty_intervals_hold_the_true_cost() -> None:
    source = random.Random(3)

    def pair() -> Pair:
        load = source.uniform(1, 2)
        return Pair(load * source.gauss(1, 0.05), load * 1.06 * source.gauss(1, 0.05))

    intervals = [cost([pair() for _ in range(8)]) for _ in range(1000)]
    holding = sum(interval.low <= 6 <= interval.high for interval in intervals)
    assert 930 <= holding <= 970


def test_one_pair_says_nothing_of_its_spread() -> None:
    interval = cost([Pair(1, 2)])
    assert (interval.percent, interval.low, interval.high) == (100, -math.inf, math.inf)
    assert not Verdict(8, interval).settled
    with pytest.raises(ValueError, match="a cost needs a pair"):
        cost([])


@pytest.mark.parametrize("old", [0, -1, math.nan, math.inf])
def test_a_cost_needs_something_to_compare_with(old: float) -> None:
    with pytest.raises(ValueError, match="nothing to compare with"):
        cost([Pair(old, 2)])


@pytest.mark.parametrize(
    ("low", "high", "settled", "holds"),
    [
        (1, 6, True, True),
        (4, 9, True, False),
        (-3, 3.5, False, False),
        (-9, -1, False, False),
        (-3, 2, True, True),
    ],
)
def test_a_claim_needs_a_narrow_interval_within_its_bound(
    low: float, high: float, settled: bool, holds: bool
) -> None:
    verdict = Verdict(8, Interval((low + high) / 2, low, high, 8))
    assert (verdict.settled, verdict.holds) == (settled, holds)


def noisy(spread: float) -> Callable[[int], Pair]:
    """Pairs of a change that costs 2 %, with so much noise."""
    source = random.Random(4)
    return lambda _: Pair(100, source.gauss(102, spread))


def test_pairs_are_added_until_the_interval_is_narrow_enough() -> None:
    widths: list[float] = []
    verdict = until_settled(noisy(3), 4, most=200, progress=lambda seen: widths.append(seen.half_width))
    assert verdict.settled
    assert 8 < verdict.interval.pairs < 200
    assert len(widths) == verdict.interval.pairs
    assert all(width > 4 / 3 for width in widths[7:-1])
    assert widths[-1] <= 4 / 3


def test_there_are_never_fewer_pairs_than_the_least() -> None:
    numbers: list[int] = []

    def pair(number: int) -> Pair:
        numbers.append(number)
        return Pair(1, 1)

    assert until_settled(pair, 8, most=24).holds
    assert numbers == list(range(8))


def test_where_pairs_run_out_the_claim_does_not_hold() -> None:
    verdict = until_settled(noisy(40), 8, most=12)
    assert verdict.interval.pairs == 12
    assert not verdict.settled
    assert not verdict.holds

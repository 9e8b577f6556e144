"""Two checkouts measured in turn: whole floods through their collectors, in pairs."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from .checkout import HERE, Checkout
from .ingest_run import Run, per_second, say
from .paired import LEAST_PAIRS, Interval, Pair, Verdict, until_settled

Figures = dict[str, float | bool | str]


@dataclass(frozen=True)
class Comparison:
    """With which checkout to compare, and by how many pairs; `at_most` is what is to be claimed (percent),
    for which pairs are added up to `most_pairs`.
    """

    against: Checkout
    pairs: int = LEAST_PAIRS
    most_pairs: int = 3 * LEAST_PAIRS
    at_most: float | None = None

    def run(self, measure: Callable[[int], Pair]) -> Verdict:
        """Measure as many pairs as it takes."""
        bound = math.inf if self.at_most is None else self.at_most
        most = self.pairs if self.at_most is None else max(self.pairs, self.most_pairs)
        return until_settled(measure, bound, least=self.pairs, most=most, progress=_say_interval)

    def figures(self, verdict: Verdict) -> Figures:
        """What the pairs say, by name."""
        interval = verdict.interval
        figures: Figures = {
            "commit": Checkout.of(HERE).commit,
            "against_commit": self.against.commit,
            "pairs": interval.pairs,
            "cost_percent": round(interval.percent, 2),
            "cost_percent_low": round(interval.low, 2),
            "cost_percent_high": round(interval.high, 2),
        }
        if self.at_most is not None:
            figures |= {"at_most": self.at_most, "settled": verdict.settled, "holds": verdict.holds}
        return figures


def _say_interval(interval: Interval) -> None:
    say(
        f"after {interval.pairs} pairs: {interval.percent:+.1f} %, 95 % interval {interval.low:+.1f} to "
        f"{interval.high:+.1f} %"
    )


def compare_floods(run: Run, comparison: Comparison, *, bare: bool) -> tuple[Figures, Verdict]:
    """What the whole costs more than in the other checkout, until quiet; with `bare`, each pair's flood of
    the bare collector too.
    """
    sides = [("", Checkout.of(HERE)), ("against_", comparison.against)]
    to_quiet: dict[str, list[float]] = defaultdict(list)
    to_last_row: dict[str, list[float]] = defaultdict(list)

    def pair(number: int) -> Pair:
        # Who comes first changes, so that what the first one leaves to the second does not count for one
        # side.
        for prefix, checkout in sides if number % 2 else reversed(sides):
            result = run.flood(checkout)
            to_quiet[prefix].append(result.to_quiet)
            to_last_row[prefix].append(result.cpu)
        if bare:
            to_quiet["bare_"].append(run.bare().to_quiet)
        rates = {prefix: per_second(run.load.spans, used[-1]) for prefix, used in to_quiet.items()}
        say(
            f"pair {number + 1}: " + ", ".join(f"{prefix}to_quiet {rate:,}" for prefix, rate in rates.items())
        )
        return Pair(to_quiet["against_"][-1], to_quiet[""][-1])

    verdict = comparison.run(pair)
    figures: Figures = {"spans": run.load.spans, "span_bytes": run.load.span_bytes}
    for key, costs in (("to_quiet_spans_per_cpu_second", to_quiet), ("spans_per_cpu_second", to_last_row)):
        for prefix, seconds in sorted(costs.items()):
            figures[prefix + key] = per_second(run.load.spans * len(seconds), sum(seconds))
    if bare:
        for prefix in ("", "against_"):
            figures[f"{prefix}ratio_to_bare"] = round(sum(to_quiet["bare_"]) / sum(to_quiet[prefix]), 3)
    return figures | comparison.figures(verdict), verdict

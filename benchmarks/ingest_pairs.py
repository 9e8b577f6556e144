"""Two checkouts measured in turn: whole floods through their collectors, in pairs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from .checkout import HERE, Checkout
from .flood import Cost
from .ingest_run import BARE, Run, Side, per_second, say
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
        }
        if interval.pairs > 1:
            figures["cost_percent_low"] = round(interval.low, 2)
            figures["cost_percent_high"] = round(interval.high, 2)
        if self.at_most is not None:
            figures |= {"at_most": self.at_most, "settled": verdict.settled, "holds": verdict.holds}
        return figures


def _say_interval(interval: Interval) -> None:
    if interval.pairs == 1:
        return
    say(
        f"after {interval.pairs} pairs: {interval.percent:+.1f} %, 95 % interval {interval.low:+.1f} to "
        f"{interval.high:+.1f} %"
    )


def compare_floods(run: Run, comparison: Comparison, *, bare: bool) -> tuple[Figures, Verdict]:
    """What the whole costs more than in the other checkout, until quiet; with `bare`, in each pair the bare
    collector too.
    """
    spans = run.load.spans
    sides: dict[str, Side] = {
        "": (Checkout.of(HERE), "collector.py"),
        "against_": (comparison.against, "collector.py"),
        **({"bare_": BARE} if bare else {}),
    }
    costs: dict[str, list[Cost]] = {name: [] for name in sides}

    def pair(number: int) -> Pair:
        # Who begins changes, so that what it leaves to the other does not count for one side.
        names = list(sides) if number % 2 else list(reversed(sides))
        for name, result in run.floods({name: sides[name] for name in names}).items():
            costs[name].append(result)
        rates = (f"{name}to_quiet {per_second(spans, costs[name][-1].to_quiet):,}" for name in sides)
        say(f"pair {number + 1}: {', '.join(rates)} spans per CPU second")
        return Pair(costs["against_"][-1].to_quiet, costs[""][-1].to_quiet)

    verdict = comparison.run(pair)
    figures: Figures = {"spans": spans, "span_bytes": run.load.span_bytes}
    to_quiet = {name: sum(cost.to_quiet for cost in results) for name, results in costs.items()}
    for name, results in costs.items():
        total = spans * len(results)
        figures[f"{name}to_quiet_spans_per_cpu_second"] = per_second(total, to_quiet[name])
        cpu = sum(cost.cpu for cost in results)
        figures[f"{name}spans_per_cpu_second"] = per_second(total, cpu)
        figures[f"{name}idle_cpu_share"] = round(sum(c.idle_share for c in results) / len(results), 3)
    for name in ("", "against_") if bare else ():
        figures[f"{name}ratio_to_bare"] = round(to_quiet["bare_"] / to_quiet[name], 3)
    return figures | comparison.figures(verdict), verdict

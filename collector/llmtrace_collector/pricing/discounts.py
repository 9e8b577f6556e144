"""Discounts: which part of the list price a project pays for a model, and from when on.

Of the discounts that fit a call the most specific holds, not their product: those of its project before those
of all, then of its model, then of its provider. Of the same kind, the one that began last.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from .tariffs import ALWAYS


@dataclass(frozen=True)
class Discount:
    """`percent` off the list price in [start, end), seconds since 1970; empty names fit everything."""

    project: str
    provider: str
    model: str
    start: int
    percent: float
    end: int = ALWAYS[1]

    def fits(self, project: str, provider: str, model: str) -> bool:
        """Whether calls of that project, provider and model are concerned."""
        return self.project in ("", project) and self.provider in ("", provider) and self.model in ("", model)

    @property
    def rank(self) -> tuple[bool, bool, bool, int]:
        """How specific it is; the greatest holds."""
        return self.project != "", self.model != "", self.provider != "", self.start


@dataclass(frozen=True)
class Share:
    """The part of the list price that is paid in [start, end)."""

    start: int
    end: int
    factor: float


def discounts(rows: Sequence[dict[str, Any]]) -> list[Discount]:
    """Rows of `own_discounts` (newest of each key and day) as discounts; each lasts until its key's next."""
    keyed: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in rows:
        keyed.setdefault((row["Project"], row["Provider"], row["Model"]), []).append(row)
    parsed = []
    for key, same in keyed.items():
        same.sort(key=lambda row: int(row["ValidFrom"]))
        ends = [*(int(row["ValidFrom"]) for row in same[1:]), ALWAYS[1]]
        for row, end in zip(same, ends, strict=True):
            parsed.append(Discount(*key, int(row["ValidFrom"]), float(row["Percent"]), end))
    return parsed


def shares(rules: Iterable[Discount], project: str, provider: str, model: str) -> list[Share]:
    """What is paid of the list price by that project for that model; times without a discount are left
    out. The shares never overlap."""
    fitting = [rule for rule in rules if rule.fits(project, provider, model)]
    bounds = sorted({bound for rule in fitting for bound in (rule.start, rule.end)})
    periods = []
    for start, end in pairwise(bounds):
        holding = [rule for rule in fitting if rule.start <= start < rule.end]
        if holding:
            factor = 1 - max(holding, key=lambda rule: rule.rank).percent / 100
            if factor != 1:
                periods.append(Share(start, end, factor))
    return periods

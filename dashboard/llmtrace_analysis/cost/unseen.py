"""What is billed and no span explains, day by day: is it enough to speak of?"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import pandas as pd


@dataclass(frozen=True)
class Thresholds:
    """From which on the unseen spend of a day is one to speak of."""

    usd: float
    share: float
    """Of what the day cost; both must be reached."""
    tokens: int
    """Of models without a price."""


@dataclass(frozen=True)
class UnseenDay:
    """A day (UTC) of one provider: USD billed, USD and tokens of it that no span explains."""

    day: str
    billed: float
    unseen: float
    unpriced_tokens: float
    """Unseen ones whose cost is not known."""
    rows: pd.DataFrame
    """The unseen rows of `reconcile`, what cost most first."""

    @property
    def share(self) -> float:
        """Of what was billed, 0 to 1."""
        return self.unseen / self.billed if self.billed else 0.0

    def exceeds(self, thresholds: Thresholds) -> bool:
        """Whether it is enough to speak of."""
        is_much = self.unseen > 0 and self.unseen >= thresholds.usd and self.share >= thresholds.share
        return is_much or self.unpriced_tokens >= thresholds.tokens


def unseen_days(rows: pd.DataFrame) -> list[UnseenDay]:
    """The days of rows of `reconcile`, ascending."""
    days = []
    for day, of_day in rows.groupby("day"):
        unseen = of_day[of_day["unseen"].astype(bool)]
        unpriced = unseen[unseen["billed_cost"].isna()]
        differences = unpriced[["input_tokens_difference", "output_tokens_difference"]]
        days.append(
            UnseenDay(
                day=str(day),
                billed=float(of_day["billed_cost"].sum()),
                unseen=float(of_day["unseen_cost"].sum()),
                unpriced_tokens=float(differences.clip(lower=0).sum().sum()),
                rows=unseen.sort_values("unseen_cost", ascending=False),
            )
        )
    return days


def closed_days(now: datetime, days: int, delay_hours: float) -> tuple[date, date]:
    """The last so many UTC days whose end is so long ago: the first, and the day after the last."""
    end = (now.astimezone(UTC) - timedelta(hours=delay_hours)).date()
    return end - timedelta(days=days), end

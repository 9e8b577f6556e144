"""Pay-as-you-go against reserved capacity: how many units pay, and from which load on."""

# Texts are put together from constants alone; values are bound.
# ruff: noqa: S608

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from clickhouse_connect.driver.client import Client

from llmtrace_analysis.cost.priced_usage import priced
from llmtrace_analysis.queries.scope import Scope, frame

_LOAD = f"""SELECT
    hour,
    sum(InputTokens) AS input_tokens,
    sum(OutputTokens) AS output_tokens,
    sum(Cost) AS cost
FROM ({priced("usage_hour", {"hour": "toUnixTimestamp(Time)"})}) AS charges
WHERE Priced
GROUP BY hour
ORDER BY hour"""


@dataclass(frozen=True)
class Unit:
    """One unit of reserved capacity: USD per hour, tokens per minute it serves, and how many input tokens an
    output token weighs as in that figure."""

    price_per_hour: float
    tokens_per_minute: float
    output_weight: float = 1.0
    step: int = 1

    @property
    def tokens_per_hour(self) -> float:
        """Weighed tokens that one unit serves in an hour."""
        return self.tokens_per_minute * 60


def load(client: Client, scope: Scope) -> pd.DataFrame:
    """Priced load of each hour of the scope: `hour` (seconds since 1970), `input_tokens`, `output_tokens`,
    `cost` at pay-as-you-go prices in USD; hours without a call are rows of zeros."""
    data = frame(client, _LOAD, scope.params())
    hours = pd.RangeIndex(int(scope.since.timestamp()), int(scope.until.timestamp()), 3600, name="hour")
    full = data.set_index("hour").reindex(hours).astype("float64").fillna(0.0)
    return full.reset_index()


def compare(hours: pd.DataFrame, unit: Unit, most: int | None = None) -> pd.DataFrame:
    """One row per number of units, from none to as many as the busiest hour needs, or `most`.

    Columns: `units`, `reserved_cost` (paid whether used or not), `overflow_cost` (pay-as-you-go for what did
    not fit), `cost` (both), `saving` against pay-as-you-go alone, `utilisation` of the units and `served`,
    the share of tokens that they took. Load is even within an hour here: where it comes in bursts, more
    overflows than this says.
    """
    tokens = (hours["input_tokens"] + unit.output_weight * hours["output_tokens"]).to_numpy(dtype="float64")
    paygo = hours["cost"].to_numpy(dtype="float64")
    peak = int(np.ceil(tokens.max() / unit.tokens_per_hour)) if len(tokens) else 0
    last = peak if most is None else min(peak, most)
    rows = []
    for units in range(0, -(-last // unit.step) * unit.step + 1, unit.step):
        served = np.minimum(tokens, units * unit.tokens_per_hour)
        share = np.divide(served, tokens, out=np.zeros_like(tokens), where=tokens > 0)
        reserved = units * unit.price_per_hour * len(tokens)
        overflow = float((paygo * (1 - share)).sum())
        capacity = units * unit.tokens_per_hour * len(tokens)
        rows.append(
            {
                "units": units,
                "reserved_cost": reserved,
                "overflow_cost": overflow,
                "cost": reserved + overflow,
                "saving": float(paygo.sum()) - reserved - overflow,
                "utilisation": float(served.sum()) / capacity if capacity else float("nan"),
                "served": float(served.sum()) / float(tokens.sum()) if tokens.any() else 0.0,
            }
        )
    return pd.DataFrame(rows)


def best(table: pd.DataFrame) -> pd.Series:
    """The cheapest row of `compare`; the fewest units where several cost the same."""
    return table.sort_values("cost", kind="stable").iloc[0]


def break_even(hours: pd.DataFrame, unit: Unit) -> float:
    """The share of its capacity that a unit must be used for to cost as much as pay-as-you-go for the same
    tokens; above 1 it never pays. NaN where nothing was spent."""
    tokens = float((hours["input_tokens"] + unit.output_weight * hours["output_tokens"]).sum())
    paygo = float(hours["cost"].sum())
    if not tokens or not paygo:
        return float("nan")
    return unit.price_per_hour / (paygo / tokens * unit.tokens_per_hour)

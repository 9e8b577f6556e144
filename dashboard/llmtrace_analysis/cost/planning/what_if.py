"""What the same tokens would have cost on another model, tier, or with more of them cached."""

# Texts are put together from constants alone; values are bound.
# ruff: noqa: S608

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd
from clickhouse_connect.driver.client import Client

from llmtrace_analysis.cost.priced_usage import DIMENSIONS, priced
from llmtrace_analysis.queries.scope import Scope, frame
from llmtrace_collector.pricing import charges
from llmtrace_collector.pricing.charges import COUNTS
from llmtrace_collector.pricing.tariffs import Tariff, listing

#: A tariff holds from a day on, for lengths of input.
BY_TARIFF = {
    "day": "toUnixTimestamp(toStartOfDay(Time))",
    "provider": DIMENSIONS["provider"],
    "model": DIMENSIONS["model"],
    "context": "ContextClass",
    "minute": "DayClass",
}

#: Select items of what `amount` reads of a row, over `priced`.
COUNTED = f"""sum(charge.Calls) - sum(charge.UnknownUsage) AS Requests,
    {", ".join(f"sum(charge.{name}) AS {name}" for name in COUNTS)}"""

_MIX = f"""SELECT
    {", ".join(BY_TARIFF)},
    {COUNTED},
    sumIf(charge.Calls, NOT Priced) AS unpriced_calls,
    sum(charge.ListCost) AS cost
FROM ({priced("usage_hour", BY_TARIFF)}) AS charge
GROUP BY day, provider, model, context, minute"""


@dataclass(frozen=True)
class Candidate:
    """Another way to serve the same calls; `cached` is the share of fresh input that a cache would give."""

    provider: str
    model: str
    tier: str = ""
    cached: float = 0.0

    @property
    def label(self) -> str:
        """`openai/gpt-4o-mini@batch, 50% cached`."""
        tier = f"@{self.tier}" if self.tier else ""
        cached = f", {self.cached:.0%} cached" if self.cached else ""
        return f"{self.provider}/{self.model}{tier}{cached}"


def candidate(text: str) -> Candidate:
    """`provider/model` or `provider/model@tier` as a candidate. Raises ValueError."""
    provider, slash, rest = text.partition("/")
    model, _, tier = rest.partition("@")
    if not slash or not provider or not model:
        raise ValueError(f"{text!r} names no model; write provider/model or provider/model@batch")
    return Candidate(provider, model, tier)


def mix(client: Client, scope: Scope) -> pd.DataFrame:
    """The period's tokens by `day` (seconds since 1970), `provider`, `model`, `context` class and first
    `minute` of a time of day, with `Requests` whose tokens are known, `unpriced_calls` and `cost` by the list
    (NaN where unpriced)."""
    data = frame(client, _MIX, scope.params())
    data["cost"] = pd.to_numeric(data["cost"], errors="coerce")
    for column in (*COUNTS, "Requests"):
        data[column] = data[column].astype("int64")
    return data


def replay(tokens: pd.DataFrame, candidates: Sequence[Candidate]) -> pd.DataFrame:
    """What the mix would have cost, first as it was, then with each candidate for all of it.

    Columns: `candidate`, `cost`, `saving` against what it did cost (negative: dearer), `saving_share`,
    `note`. Calls that have no price today are in no row: a saving over an unknown amount is none. Tokens are
    taken over as they are, although another model would have split the same text otherwise.
    """
    priced = tokens[tokens["cost"].notna()]
    now = float(priced["cost"].sum())
    unpriced_calls = int(tokens["unpriced_calls"].sum())
    rows = [
        {
            "candidate": "as it was",
            "cost": now,
            "note": f"{unpriced_calls} unpriced calls are left out" if unpriced_calls else "",
        }
    ]
    for candidate in candidates:
        listed = listing(candidate.provider, candidate.model, candidate.tier)
        if listed is None:
            note = f"the price list has no {candidate.provider}/{candidate.model}"
            rows.append({"candidate": candidate.label, "cost": float("nan"), "note": note})
            continue
        note = (
            ""
            if not candidate.tier or _differs(candidate)
            else f"the list has no price of its own for {candidate.tier}"
        )
        amounts = [amount(row, listed.tariffs, candidate.cached) for row in priced.itertuples(index=False)]
        rows.append({"candidate": candidate.label, "cost": float(sum(amounts)), "note": note})
    data = pd.DataFrame(rows)
    data.insert(2, "saving", now - data["cost"])
    data.insert(3, "saving_share", data["saving"] / now if now else float("nan"))
    return data


def amount(row: object, tariffs: Sequence[Tariff], cached: float = 0.0) -> float:
    """USD of one row of a mix at the tariff that held on its day, at its time, for its length of input."""
    day, context, minute = (int(getattr(row, name)) for name in ("day", "context", "minute"))
    (tariff,) = (
        tariff
        for tariff in tariffs
        if tariff.valid[0] <= day < tariff.valid[1]
        and tariff.context[0] <= context < tariff.context[1]
        and tariff.day[0] <= minute < tariff.day[1]
    )
    counts = {name: float(getattr(row, name)) for name in (*COUNTS, "Requests")}
    fresh = max(0.0, counts["InputTokens"] - counts["CacheReadTokens"] - counts["CacheWriteTokens"])
    counts["CacheReadTokens"] += fresh * cached
    return charges.amount(counts, tariff.prices)


def _differs(candidate: Candidate) -> bool:
    usual = listing(candidate.provider, candidate.model)
    own = listing(candidate.provider, candidate.model, candidate.tier)
    return usual is not None and own is not None and _prices(usual.tariffs) != _prices(own.tariffs)


def _prices(tariffs: Sequence[Tariff]) -> list[Tariff]:
    return [replace(tariff, source="") for tariff in tariffs]

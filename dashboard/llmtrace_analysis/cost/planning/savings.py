"""Money that was saved: by prompt caches, by waiting, by caches of whole answers."""

# Texts are put together from constants alone; values are bound.
# ruff: noqa: S608

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from clickhouse_connect.driver.client import Client

from llmtrace_analysis.cost import fixed_costs
from llmtrace_analysis.cost.priced_usage import DIMENSIONS, priced
from llmtrace_analysis.queries.scope import Scope, frame
from llmtrace_collector.pricing.currencies import ExchangeRate
from llmtrace_collector.pricing.tariffs import listing
from llmtrace_collector.sql_values import literals

from . import answer_caches
from .what_if import BY_TARIFF, COUNTED, amount

#: Kinds of savings.
SAVINGS = ("prompt_cache", "batch", "response_cache")

#: Tiers that are cheaper for waiting.
_WAITING = ("batch", "flex")

#: The kind of the fixed lines that pay for keeping prompts in a cache by the hour.
STORAGE = "cache_storage"

_PROMPT_CACHE = f"""SELECT
    sum(CacheReadTokens) AS tokens,
    sumIf(CacheReadTokens, NOT Priced) AS unpriced_tokens,
    sum(CacheSavings + CacheWritePremium) AS gross,
    sum(CacheWritePremium) AS premium
FROM ({priced("usage_hour", {})}) AS charges"""

_BY_TIER = {**BY_TARIFF, "response_model": DIMENSIONS["response_model"], "tier": DIMENSIONS["tier"]}
_IN_TIERS = f"ServiceTier IN ({literals(_WAITING)})"

_CHEAPER = f"""SELECT
    {", ".join(_BY_TIER)},
    {COUNTED},
    sum(charge.ListCost) AS cost
FROM ({priced("usage_hour", _BY_TIER, where=_IN_TIERS)}) AS charge
GROUP BY {", ".join(_BY_TIER)}"""


def savings(client: Client, scope: Scope, rates: Sequence[ExchangeRate] = ()) -> pd.DataFrame:
    """One row per kind of SAVINGS: `kind`, `tokens`, `unpriced_tokens`, and in USD what was saved (`gross`),
    what saving it cost (`spent`), and the difference, `saved`: below 0 for a loss.

    `prompt_cache`: reads against the price of fresh input, less what writing cost beyond it and the fixed
    lines of the kind STORAGE. `batch`: calls in the batch and flex tiers against the list's standard tier.
    `response_cache`: answers out of caches against the calls that they stood in for, less the embeddings that
    looking them up took. Tokens whose standard price nobody knows are counted apart. rates: for fixed lines
    in other currencies. Raises currency.NoRate.
    """
    (cached,) = frame(client, _PROMPT_CACHE, scope.params()).to_dict(orient="records")
    caches = answer_caches.caches(client, scope)
    spent = _number(cached["premium"]) + storage_cost(client, scope, rates)
    answers = [caches[name].sum() for name in ("tokens", "unpriced_tokens", "saved", "embedding_cost")]
    rows = [
        ("prompt_cache", cached["tokens"], cached["unpriced_tokens"], _number(cached["gross"]), spent),
        ("batch", *_cheaper(client, scope), 0.0),
        ("response_cache", *answers),
    ]
    data = pd.DataFrame(rows, columns=["kind", "tokens", "unpriced_tokens", "gross", "spent"])
    data["saved"] = data["gross"] - data["spent"]
    for name in ("tokens", "unpriced_tokens"):
        data[name] = data[name].fillna(0).astype("int64")
    return data


def storage_cost(client: Client, scope: Scope, rates: Sequence[ExchangeRate] = ()) -> float:
    """USD of the fixed lines that pay for keeping prompts in a cache. Raises currency.NoRate."""
    lines = fixed_costs.lines(client)
    return float(fixed_costs.amortised(lines[lines["kind"] == STORAGE], scope, rates)["cost"].sum())


def _number(value: object) -> float:
    return 0.0 if value is None else float(str(value))


def _cheaper(client: Client, scope: Scope) -> tuple[int, int, float]:
    """Tokens, those without a standard price, and what the tiers saved against the standard one."""
    data = frame(client, _CHEAPER, scope.params())
    cost = pd.to_numeric(data["cost"], errors="coerce")
    tokens = data["InputTokens"] + data["OutputTokens"]
    standard = [_standard(row) for row in data.itertuples(index=False)]
    saved = pd.Series(standard, dtype="float64", index=data.index) - cost
    return int(tokens.sum()), int(tokens.where(saved.isna(), 0).sum()), float(saved.sum())


def _standard(row: object) -> float:
    """USD of a row's usage by the list's standard tier; NaN where the list does not have the model."""
    provider, answered, asked = (str(getattr(row, name)) for name in ("provider", "response_model", "model"))
    listed = listing(provider, answered) or listing(provider, asked)
    return float("nan") if listed is None else amount(row, listed.tariffs)

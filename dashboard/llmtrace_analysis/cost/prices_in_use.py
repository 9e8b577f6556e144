"""Which prices were used, and for which calls there is none."""

# Texts are put together from constants alone; values are bound.
# ruff: noqa: S608

from __future__ import annotations

import pandas as pd
from clickhouse_connect.driver.client import Client

from llmtrace_analysis.queries.scope import Scope, frame

from .priced_usage import expressions, priced, usage_of


def unpriced(client: Client, scope: Scope) -> pd.DataFrame:
    """Calls without a price, by provider, model and service tier: what to give a price to."""
    text = f"""SELECT
    provider,
    model,
    tier,
    sum(Calls) AS calls,
    sum(InputTokens) AS input_tokens,
    sum(OutputTokens) AS output_tokens
FROM ({priced(usage_of(scope), expressions(["provider", "model", "tier"]))}) AS charges
WHERE NOT Priced
GROUP BY provider, model, tier
ORDER BY calls DESC, provider, model, tier"""
    return frame(client, text, scope.params())


#: Columns of the price book that a report of prices shows.
_OF_PRICE = ("ContextFrom", "InputPrice", "CacheReadPrice", "OutputPrice", "Source")


def by_price(client: Client, scope: Scope) -> pd.DataFrame:
    """One row per price that was used, dearest first.

    Columns: `provider`, `model`, `response_model`, `tier`, `context_from` (least input tokens, 0 for all),
    unit prices in USD per million tokens (NaN where the book has none), `source`, `calls`, `input_tokens`,
    `output_tokens` and `cost`.
    """
    names = expressions(["provider", "model", "response_model", "tier"])
    text = f"""SELECT
    provider,
    model,
    max(charges.response_model) AS response_model,
    tier,
    ContextFrom AS context_from,
    InputPrice * 1000000 AS input_price,
    coalesce(CacheReadPrice, InputPrice) * 1000000 AS cache_read_price,
    OutputPrice * 1000000 AS output_price,
    Source AS source,
    sum(Calls) AS calls,
    sum(InputTokens) AS input_tokens,
    sum(OutputTokens) AS output_tokens,
    sum(Cost) AS cost
FROM ({priced(usage_of(scope), names, of_price=_OF_PRICE)}) AS charges
WHERE Priced
GROUP BY provider, model, tier, context_from, input_price, cache_read_price, output_price, source
ORDER BY ifNull(cost, 0) DESC, calls DESC, model"""
    data = frame(client, text, scope.params())
    for column in ("input_price", "cache_read_price", "output_price", "cost"):
        data[column] = pd.to_numeric(data[column], errors="coerce")
    return data

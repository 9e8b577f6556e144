"""Which prices were used, for which calls there is none, and for which it is a guess whose they are."""

# Texts are put together from constants alone; values are bound.
# ruff: noqa: S608

from __future__ import annotations

import pandas as pd
from clickhouse_connect.driver.client import Client

from llmtrace_analysis.queries.scope import SPAN_SCOPE, Scope, frame

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


#: Of calls themselves, which are kept for fewer days than their sums.
_INFERRED = f"""SELECT
    Provider AS provider,
    ReportedProvider AS reported,
    sum(Weight) AS calls
FROM otel_traces
WHERE {SPAN_SCOPE} AND Counted AND ProviderSource IN ('prefix', 'list')
GROUP BY provider, reported
ORDER BY calls DESC, provider, reported
LIMIT 20"""


def inferred(client: Client, scope: Scope) -> pd.DataFrame:
    """Calls whose provider is inferred from their model's name: `provider`, what their emitter wrote for it
    (`reported`; a framework, or nothing), `calls`. Most first, 20 rows at most.
    """
    return frame(client, _INFERRED, scope.params())


def partly_unpriced(client: Client, scope: Scope) -> pd.DataFrame:
    """Models of which something was used that has no price of its own, by provider, model and service tier:
    `parts` names it (`audio input`, `web search`, …), in words and with commas."""
    text = f"""SELECT
    provider,
    model,
    tier,
    arrayStringConcat(arraySort(groupUniqArrayArray(UnpricedParts)), ', ') AS parts
FROM ({priced(usage_of(scope), expressions(["provider", "model", "tier"]))}) AS charges
WHERE notEmpty(UnpricedParts)
GROUP BY provider, model, tier
ORDER BY provider, model, tier"""
    return frame(client, text, scope.params())


#: Columns of the price book that a report of prices shows.
_OF_PRICE = ("ContextFrom", "InputPrice", "CacheReadPrice", "OutputPrice", "Source")


def by_price(client: Client, scope: Scope) -> pd.DataFrame:
    """One row per price that was used, dearest first.

    Columns: `provider`, `model`, `response_model`, `tier`, `context_from` (least input tokens, 0 for all),
    unit prices in USD per million tokens (NaN where the book has none, or nobody used them: the cost was
    stated), `source`, `calls`, `input_tokens`,
    `output_tokens` and `cost`.
    """
    names = expressions(["provider", "model", "response_model", "tier"])
    text = f"""SELECT
    provider,
    model,
    max(charges.response_model) AS response_model,
    tier,
    ContextFrom AS context_from,
    if(Stated, NULL, InputPrice * 1000000) AS input_price,
    if(Stated, NULL, coalesce(CacheReadPrice, InputPrice) * 1000000) AS cache_read_price,
    if(Stated, NULL, OutputPrice * 1000000) AS output_price,
    if(Stated, concat('stated by ', charges.StatedBy), charges.Source) AS source,
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

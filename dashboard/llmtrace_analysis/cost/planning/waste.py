"""Money that bought nothing, and money that was saved."""

# Texts are put together from constants alone; values are bound.
# ruff: noqa: S608

from __future__ import annotations

import pandas as pd
from clickhouse_connect.driver.client import Client

from llmtrace_analysis.cost.priced_usage import DIMENSIONS, priced
from llmtrace_analysis.queries.scope import SPAN_SCOPE, Scope, frame
from llmtrace_collector.attributes.names import RESPONSE_CACHE
from llmtrace_collector.pricing.tariffs import listing
from llmtrace_collector.sql_values import literal, literals

from .what_if import BY_TARIFF, COUNTED, amount

#: Kinds of waste; a call is of the first that fits.
KINDS = ("failed", "retry", "abandoned", "duplicate", "long_context")

#: Kinds of savings.
SAVINGS = ("cache_reads", "batch", "response_cache")

#: From how many input tokens on a call is examined for unused context, and the least share of them that its
#: answer is long.
LONG_INPUT = 20_000
LEAST_ANSWER = 0.005

#: Tiers that are cheaper for waiting → the kind of saving.
_TIERS = {"batch": "batch", "flex": "batch", RESPONSE_CACHE: "response_cache"}

# A repeat is a call of the same model with exactly the same prompt, after one that was answered in full. Of a
# long input with next to no answer, what goes beyond the bound is counted.
_WASTE = f"""SELECT
    kind,
    sum(Weight) AS calls,
    sumIf(Weight, NOT Priced) AS unpriced_calls,
    sum(Weight * InputTokens) AS input_tokens,
    sum(Weight * OutputTokens) AS output_tokens,
    sum(Weight * Wasted) AS cost
FROM (
    SELECT
        multiIf(
            Errors = 1 AND InputTokens + OutputTokens > 0, 'failed',
            Errors = 1, '',
            Abandoned = 1, 'abandoned',
            PromptHash != 0 AND row_number() OVER (
                PARTITION BY Project, PromptHash, Errors, Abandoned ORDER BY Timestamp, SpanId
            ) > 1, 'duplicate',
            Operation != 'embeddings' AND InputTokens > {LONG_INPUT}
                AND OutputTokens < InputTokens * {LEAST_ANSWER}, 'long_context',
            ''
        ) AS kind,
        Weight,
        Priced,
        InputTokens,
        OutputTokens,
        if(kind = 'long_context', InputCost * (1 - {LONG_INPUT} / InputTokens), Cost) AS Wasted
    FROM call_cost
    WHERE {SPAN_SCOPE} AND ServiceTier != {literal(RESPONSE_CACHE)}
) AS calls
WHERE kind != ''
GROUP BY kind"""

_RETRIES = f"""SELECT
    'retry' AS kind,
    sum(Weight) AS calls,
    sumIf(Weight, NOT Priced) AS unpriced_calls,
    sum(Weight * InputTokens) AS input_tokens,
    sum(Weight * OutputTokens) AS output_tokens,
    sum(Weight * Cost) AS cost
FROM attempt_cost
WHERE {SPAN_SCOPE}"""

_SAVED = f"""SELECT
    'cache_reads' AS kind,
    sum(CacheReadTokens) AS tokens,
    sum(CacheSavings) AS saved,
    sumIf(CacheReadTokens, NOT Priced) AS unpriced_tokens
FROM ({priced("usage_hour", {})}) AS charges"""

_BY_TIER = {**BY_TARIFF, "response_model": DIMENSIONS["response_model"], "tier": DIMENSIONS["tier"]}
_IN_TIERS = f"ServiceTier IN ({literals(_TIERS)})"

_CHEAPER = f"""SELECT
    {", ".join(_BY_TIER)},
    {COUNTED},
    sum(charge.ListCost) AS cost
FROM ({priced("usage_hour", _BY_TIER, where=_IN_TIERS)}) AS charge
GROUP BY {", ".join(_BY_TIER)}"""

_NUMBERS = ("calls", "unpriced_calls", "input_tokens", "output_tokens")


def waste(client: Client, scope: Scope) -> pd.DataFrame:
    """One row per kind: `kind`, `calls`, `unpriced_calls`, `input_tokens`, `output_tokens`, `cost`.

    `failed`: calls that ended in an error although tokens were billed; `retry`: earlier attempts that the
    client repeated, with a cost only where they reported tokens; `abandoned`: streams that the application
    left before their end; `duplicate`: repeats of a prompt that had been answered; `long_context`: what goes
    beyond LONG_INPUT in calls whose answer is next to nothing. Read from single calls, so only as far back as
    these are kept; sampled calls count as often as they stand for.
    """
    data = pd.concat([frame(client, text, scope.params()) for text in (_WASTE, _RETRIES)]).set_index("kind")
    data["cost"] = pd.to_numeric(data["cost"], errors="coerce")
    full = data.reindex(list(KINDS))
    for column in _NUMBERS:
        full[column] = pd.to_numeric(full[column]).fillna(0).round().astype("int64")
    full.loc[full["calls"] == 0, "cost"] = 0.0
    return full.reset_index()


def savings(client: Client, scope: Scope) -> pd.DataFrame:
    """One row per kind: `kind`, `tokens`, `unpriced_tokens`, `saved` in USD.

    `cache_reads`: against the price of fresh input. `batch`: calls in the batch and flex tiers against the
    list's standard tier. `response_cache`: answers out of a gateway's cache against calls that would
    have been made. Tokens whose standard price nobody knows are counted apart.
    """
    data = pd.concat([frame(client, _SAVED, scope.params()), _cheaper(client, scope)], ignore_index=True)
    data["saved"] = pd.to_numeric(data["saved"], errors="coerce")
    return data


def _cheaper(client: Client, scope: Scope) -> pd.DataFrame:
    """What calls in cheaper tiers would have cost in the standard one, less what they did cost."""
    data = frame(client, _CHEAPER, scope.params())
    data["cost"] = pd.to_numeric(data["cost"], errors="coerce")
    data["kind"] = data["tier"].map(_TIERS)
    data["tokens"] = data["InputTokens"] + data["OutputTokens"]
    standard = [_standard(row) for row in data.itertuples(index=False)]
    data["saved"] = pd.Series(standard, dtype="float64", index=data.index) - data["cost"]
    data["unpriced_tokens"] = data["tokens"].where(data["saved"].isna(), 0)
    sums = data.groupby("kind")[["tokens", "saved", "unpriced_tokens"]].sum()
    return sums.reindex(list(SAVINGS[1:]), fill_value=0).rename_axis("kind").reset_index()


def _standard(row: object) -> float:
    """USD of a row's usage by the list's standard tier; NaN where the list does not have the model."""
    provider, answered, asked = (str(getattr(row, name)) for name in ("provider", "response_model", "model"))
    listed = listing(provider, answered) or listing(provider, asked)
    return float("nan") if listed is None else amount(row, listed.tariffs)

"""What calls cost, by what, over time; which prices were used and which calls have none."""

# Texts are put together from constants alone; values are bound.
# ruff: noqa: S608

from __future__ import annotations

from typing import Any, Literal

import pandas as pd
from clickhouse_connect.driver.client import Client

from .scope import USAGE_SCOPE, Scope, frame

#: What cost can be split by.
By = Literal["model", "user", "service", "provider", "experiment"]

_KEY = """multiIf(
        {by:String} = 'user', toString(UserId),
        {by:String} = 'service', toString(ServiceName),
        {by:String} = 'provider', toString(Provider),
        {by:String} = 'experiment', toString(Experiment),
        toString(Model))"""

# Buckets start at midnight of a zone `offset` seconds east of UTC.
_BUCKET = "intDiv(toUnixTimestamp(Time) + {offset:Int64}, {step:Int64}) * {step:Int64} - {offset:Int64}"

COST_BY = f"""SELECT
    {_KEY} AS key,
    sum(Calls) AS calls,
    sumIf(Calls, NOT Priced) AS unpriced,
    sum(UnknownUsage) AS without_tokens,
    sum(InputTokens) AS input_tokens,
    sum(CacheReadTokens) AS cache_read_tokens,
    sum(OutputTokens) AS output_tokens,
    sum(ReasoningTokens) AS reasoning_tokens,
    sum(Cost) AS cost
FROM usage_cost
WHERE {USAGE_SCOPE}
GROUP BY key
ORDER BY ifNull(cost, 0) DESC, calls DESC, key
LIMIT {{limit:UInt32}}"""

COST_OVER_TIME = f"""SELECT
    {_BUCKET} AS bucket,
    has({{keys:Array(String)}}, {_KEY}) AS named,
    if(named, {_KEY}, '') AS key,
    sum(Cost) AS cost,
    sum(Calls) AS calls
FROM usage_cost
WHERE {USAGE_SCOPE}
GROUP BY bucket, named, key
ORDER BY bucket, named DESC, key"""

TOKENS_OVER_TIME = f"""SELECT
    {_BUCKET} AS bucket,
    sum(InputTokens) AS input_tokens,
    sum(CacheReadTokens) AS cache_read_tokens,
    sum(CacheWriteTokens) AS cache_write_tokens,
    sum(OutputTokens) AS output_tokens,
    sum(ReasoningTokens) AS reasoning_tokens
FROM usage_cost
WHERE {USAGE_SCOPE}
GROUP BY bucket
ORDER BY bucket"""

COST_BY_PRICE = f"""SELECT
    Provider AS provider,
    Model AS model,
    ResponseModel AS response_model,
    any(Priced) AS priced,
    sum(Calls) AS calls,
    sum(UnknownUsage) AS without_tokens,
    sum(InputTokens) AS input_tokens,
    sum(CacheReadTokens) AS cache_read_tokens,
    sum(OutputTokens) AS output_tokens,
    sum(ReasoningTokens) AS reasoning_tokens,
    sum(Cost) AS cost
FROM usage_cost
WHERE {USAGE_SCOPE}
GROUP BY provider, model, response_model
ORDER BY priced DESC, ifNull(cost, 0) DESC, calls DESC, model, response_model
LIMIT {{limit:UInt32}}"""

PRICES = """SELECT
    Provider AS provider,
    Model AS model,
    ResponseModel AS response_model,
    InputPrice * 1000000 AS input_price,
    CacheReadPrice * 1000000 AS cache_read_price,
    OutputPrice * 1000000 AS output_price,
    Currency AS currency,
    Source AS source
FROM prices FINAL
WHERE Priced"""


def cost_by(client: Client, scope: Scope, by: By, limit: int = 50) -> pd.DataFrame:
    """One row per `key`, dearest first: calls, tokens and `cost` in USD (NaN where no call has a price)."""
    data = frame(client, COST_BY, {**scope.params(), "by": by, "limit": limit})
    data["cost"] = pd.to_numeric(data["cost"], errors="coerce")
    return data


def cost_over_time(
    client: Client, scope: Scope, by: By, keys: tuple[str, ...], step: int, offset: int
) -> pd.DataFrame:
    """Cost per bucket and key: `time` (UTC), `key`, `named`, `cost`, `calls`.

    Keys that are not in `keys` are one row per bucket with `named` false. Buckets are `step` seconds wide and
    start at midnight of a zone that is `offset` seconds east of UTC.
    """
    params: dict[str, Any] = {
        **scope.params(),
        "by": by,
        "keys": list(keys),
        "step": step,
        "offset": offset,
    }
    data = frame(client, COST_OVER_TIME, params)
    data["cost"] = pd.to_numeric(data["cost"], errors="coerce")
    data["time"] = pd.to_datetime(data["bucket"], unit="s", utc=True)
    return data


def tokens_over_time(client: Client, scope: Scope, step: int, offset: int) -> pd.DataFrame:
    """Tokens per bucket in buckets that add up: `time` (UTC), `fresh`, `cached`, `written`, `answer`,
    `reasoning`."""
    data = frame(client, TOKENS_OVER_TIME, {**scope.params(), "step": step, "offset": offset})
    data["time"] = pd.to_datetime(data["bucket"], unit="s", utc=True)
    return split_tokens(data)


def split_tokens(data: pd.DataFrame) -> pd.DataFrame:
    """Adds disjoint buckets: cached tokens are a part of input, reasoning is a part of output."""
    cached, written = data["cache_read_tokens"], data["cache_write_tokens"]
    data["fresh"] = (data["input_tokens"].astype("int64") - cached - written).clip(lower=0)
    data["cached"] = cached
    data["written"] = written
    data["answer"] = (data["output_tokens"].astype("int64") - data["reasoning_tokens"]).clip(lower=0)
    data["reasoning"] = data["reasoning_tokens"]
    return data


def cost_by_price(client: Client, scope: Scope, limit: int = 200) -> pd.DataFrame:
    """One row per price used or missing: provider, model, tokens, `cost`, unit prices in USD per million
    tokens, `source`; rows without a price have `priced` false and NaN."""
    data = frame(client, COST_BY_PRICE, {**scope.params(), "limit": limit})
    prices = frame(client, PRICES, {})
    data = data.merge(prices, on=["provider", "model", "response_model"], how="left")
    for column in ("cost", "input_price", "cache_read_price", "output_price"):
        data[column] = pd.to_numeric(data[column], errors="coerce")
    data["priced"] = data["priced"].astype(bool)
    data["source"] = data["source"].fillna("")
    # Failed calls name no answering model: they join the rows of the model that they asked for.
    same = ["provider", "model", "priced", "input_price", "cache_read_price", "output_price", "source"]
    sums = [
        "calls",
        "without_tokens",
        "input_tokens",
        "cache_read_tokens",
        "output_tokens",
        "reasoning_tokens",
    ]
    grouped = data.groupby(same, dropna=False, sort=False)
    found = grouped[sums].sum()
    found["cost"] = grouped["cost"].sum(min_count=1)
    found["response_model"] = grouped["response_model"].agg("max")
    return found.reset_index().sort_values(["priced", "cost", "calls"], ascending=False, ignore_index=True)

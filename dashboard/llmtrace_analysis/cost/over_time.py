"""Cost over time, by anything that calls are told apart by."""

# Texts are put together from constants alone; values are bound.
# ruff: noqa: S608

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from clickhouse_connect.driver.client import Client

from llmtrace_analysis.queries.scope import SPAN_SCOPE, USAGE_SCOPE, Scope, frame
from llmtrace_analysis.settings import ExchangeRate

from .currency import USD, rates_of
from .report import CALL_DIMENSIONS, DIMENSIONS

# Buckets start at midnight of a zone `offset` seconds east of UTC.
_BUCKET = "intDiv(toUnixTimestamp(Time) + {offset:Int64}, {step:Int64}) * {step:Int64} - {offset:Int64}"

#: Parts of a call's cost as they are named on the page → the ledger's columns. They add up to all of it.
PARTS = {
    "Input": "InputCost",
    "Cached input": "CacheReadCost + CacheReadAudioCost + CacheReadImageCost",
    "Cache writes": "CacheWriteCost + CacheWrite1hCost",
    "Output": "OutputCost",
    "Reasoning": "ReasoningCost",
    "Audio and images": "AudioInputCost + ImageInputCost + AudioOutputCost + ImageOutputCost",
    "Requests": "RequestCost + WebSearchCost + FileSearchCost",
}


def over_time(
    client: Client,
    scope: Scope,
    by: str,
    keys: Sequence[str],
    step: int,
    offset: int,
    currency: str = USD,
    rates: Sequence[ExchangeRate] = (),
) -> pd.DataFrame:
    """Cost per bucket and key: `time` (UTC), `key`, `named`, `cost` in `currency`.

    Keys that are not in `keys` are one row per bucket with `named` false. Buckets are `step` seconds wide and
    start at midnight of a zone that is `offset` seconds east of UTC. Raises currency.NoRate.
    """
    sql = {**DIMENSIONS, **CALL_DIMENSIONS}[by]
    source, where, weight = _source(scope, step, offset, by in CALL_DIMENSIONS)
    # The dimension first: a tag's arrayJoin must happen once.
    text = f"""SELECT
    bucket,
    day,
    has({{keys:Array(String)}}, name) AS named,
    if(named, name, '') AS key,
    sum(Charged) AS cost
FROM (
    SELECT {_BUCKET} AS bucket, toString(toDate(Time)) AS day, toString({sql}) AS name,
        {weight} * Cost AS Charged
    FROM {source}
    WHERE {where}
) AS charges
GROUP BY bucket, day, named, key
ORDER BY bucket, named DESC, key"""
    params = {**scope.params(), "keys": list(keys), "step": step, "offset": offset}
    data = _converted(frame(client, text, params), ["cost"], currency, rates)
    summed = data.groupby(["bucket", "named", "key"], sort=False)["cost"].sum(min_count=1).reset_index()
    summed["time"] = pd.to_datetime(summed["bucket"], unit="s", utc=True)
    return summed


def parts_over_time(
    client: Client,
    scope: Scope,
    step: int,
    offset: int,
    currency: str = USD,
    rates: Sequence[ExchangeRate] = (),
) -> pd.DataFrame:
    """Cost per bucket by part of the price: `time` (UTC) and a column for each of `PARTS`.

    Raises currency.NoRate.
    """
    source, where, weight = _source(scope, step, offset, single=False)
    sums = ", ".join(f"sum({weight} * ({sql})) AS `{name}`" for name, sql in PARTS.items())
    text = f"""SELECT {_BUCKET} AS bucket, toString(toDate(Time)) AS day, {sums}
FROM {source}
WHERE {where}
GROUP BY bucket, day
ORDER BY bucket"""
    params = {**scope.params(), "step": step, "offset": offset}
    data = _converted(frame(client, text, params), list(PARTS), currency, rates)
    summed = data.groupby("bucket", sort=False)[list(PARTS)].sum().reset_index()
    summed["time"] = pd.to_datetime(summed["bucket"], unit="s", utc=True)
    return summed


def _converted(
    data: pd.DataFrame, columns: list[str], currency: str, rates: Sequence[ExchangeRate]
) -> pd.DataFrame:
    rate = rates_of(rates, currency, data["day"])
    for column in columns:
        data[column] = pd.to_numeric(data[column], errors="coerce") * rate
    return data


def _source(scope: Scope, step: int, offset: int, single: bool) -> tuple[str, str, str]:
    """The ledger's hours where they tell enough, else its calls, which are kept for fewer days; with its
    WHERE clause and what a row weighs: a sampled call stands for several."""
    edges = (scope.since.timestamp(), scope.until.timestamp(), float(step), float(offset))
    if not single and all(edge % 3600 == 0 for edge in edges):
        return "cost_hour", USAGE_SCOPE, "1"
    return "call_cost", SPAN_SCOPE, "Weight"

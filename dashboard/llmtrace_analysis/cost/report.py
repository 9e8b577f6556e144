"""What calls cost, by anything that calls are told apart by."""

# Texts are put together from constants alone; values are bound.
# ruff: noqa: S608

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType

import pandas as pd
from clickhouse_connect.driver.client import Client

from llmtrace_analysis.queries.scope import SPAN_SCOPE, USAGE_SCOPE, Scope, frame
from llmtrace_collector.pricing.charges import BUCKETS, COUNTS
from llmtrace_collector.pricing.priced_sums import priced_sums

#: Name of a dimension → its SQL over the ledger. A call with several tags counts under each of them.
DIMENSIONS: Mapping[str, str] = MappingProxyType(
    {
        "project": "Project",
        "provider": "Provider",
        "model": "Model",
        "response_model": "ResponseModel",
        "tier": "ServiceTier",
        "context": "toString(ContextClass)",
        "service": "ServiceName",
        "operation": "Operation",
        "user": "UserId",
        "account": "Account",
        "tag": "arrayJoin(if(empty(Tags), [''], arrayMap(tag -> toString(tag), Tags)))",
        "experiment": "Experiment",
        "run": "RunId",
        "prompt": "PromptName",
        "prompt_version": "PromptVersion",
        "hour": "formatDateTime(toStartOfHour(Time), '%Y-%m-%d %H:00')",
        "day": "toString(toDate(Time))",
        "month": "formatDateTime(Time, '%Y-%m')",
    }
)

#: Dimensions that only single calls have.
CALL_DIMENSIONS: Mapping[str, str] = MappingProxyType(
    {
        "session": "SessionId",
        "trace": "TraceId",
    }
)

_TOKENS = ",\n    ".join(f"sum({name}) AS {column}" for name, column in {
    "InputTokens": "input_tokens",
    "CacheReadTokens": "cache_read_tokens",
    "CacheWriteTokens": "cache_write_tokens",
    "OutputTokens": "output_tokens",
    "ReasoningTokens": "reasoning_tokens",
    "AudioInputTokens + AudioOutputTokens": "audio_tokens",
    "ImageInputTokens + ImageOutputTokens": "image_tokens",
    "WebSearches + FileSearches": "searches",
}.items())  # fmt: skip

_AMOUNTS = f"""sum(Calls) AS calls,
    sum(Errors) AS errors,
    sumIf(Calls, NOT Priced) AS unpriced_calls,
    sum(UnknownUsage) AS calls_without_tokens,
    {_TOKENS},
    sum(InputCost) AS input_cost,
    sum(CacheReadCost + CacheReadAudioCost + CacheReadImageCost) AS cache_read_cost,
    sum(CacheWriteCost + CacheWrite1hCost) AS cache_write_cost,
    sum(OutputCost + ReasoningCost) AS output_cost,
    sum(AudioInputCost + ImageInputCost + AudioOutputCost + ImageOutputCost) AS media_cost,
    sum(RequestCost + WebSearchCost + FileSearchCost) AS request_cost,
    sum(CacheSavings) AS cache_savings,
    sum(ListCost) AS list_cost,
    sum(Cost) AS cost"""

_COSTS = (*(bucket.cost for bucket in BUCKETS), "ListCost", "Cost", "CacheSavings")

COSTS = (
    "input_cost",
    "cache_read_cost",
    "cache_write_cost",
    "output_cost",
    "media_cost",
    "request_cost",
    "cache_savings",
    "list_cost",
    "cost",
)


class UnknownDimension(ValueError):
    """There is no such dimension; the message names those that there are."""


def report(
    client: Client, scope: Scope, by: Sequence[str] = (), limit: int = 100_000, book: str = ""
) -> pd.DataFrame:
    """One row per combination of the dimensions `by`, dearest first.

    Columns: the dimensions, `calls`, `errors`, `unpriced_calls`, `calls_without_tokens`, tokens by bucket
    (cached and reasoning tokens are parts of input and output), their costs, what cache reads saved, and
    `cost`, which is NaN where no call has a price; `list_cost` is what it were without discounts. Prices are
    those of `book`, or of the book in effect. Sampled calls count as often as they stand for. Without
    dimensions it is one row, the total. Raises UnknownDimension.
    """
    names = _expressions(by)
    source = (
        priced_sums("usage_hour", names, USAGE_SCOPE, book)
        if _whole_hours(scope, by)
        else _calls(names, book)
    )
    keys = "".join(f"toString(`{name}`) AS `{name}`,\n    " for name in names)
    group = f"GROUP BY {', '.join(f'`{name}`' for name in names)}" if names else ""
    order = ", ".join(["ifNull(cost, 0) DESC", "calls DESC", *(f"`{name}`" for name in names)])
    text = f"""SELECT
    {keys}{_AMOUNTS}
FROM ({source}) AS charges
{group}
ORDER BY {order}
LIMIT {{limit:UInt32}}"""
    data = frame(client, text, {**scope.params(), "limit": limit, "book": book})
    for column in COSTS:
        data[column] = pd.to_numeric(data[column], errors="coerce")
    return data


def _calls(names: Mapping[str, str], book: str) -> str:
    """Calls with what they cost, each as often as it stands for."""
    if book:
        raise UnknownDimension("another book prices whole hours: leave session and trace out, use full hours")
    keys = "".join(f"{sql} AS `{name}`, " for name, sql in names.items())
    weighed = ("Calls", "Errors", "UnknownUsage", *COUNTS, *_COSTS)
    sums = ", ".join(f"call.{name} * call.Weight AS {name}" for name in weighed)
    return f"SELECT {keys}{sums}, call.Priced AS Priced FROM call_cost AS call WHERE {SPAN_SCOPE}"


def unpriced(client: Client, scope: Scope) -> pd.DataFrame:
    """Calls without a price, by provider, model and service tier: what to give a price to."""
    source, where = _priced_source(scope)
    text = f"""SELECT
    Provider AS provider,
    Model AS model,
    ServiceTier AS tier,
    sum(Calls) AS calls,
    sum(InputTokens) AS input_tokens,
    sum(OutputTokens) AS output_tokens
FROM {source}
WHERE {where} AND NOT Priced
GROUP BY provider, model, tier
ORDER BY calls DESC, provider, model, tier"""
    return frame(client, text, scope.params())


def by_price(client: Client, scope: Scope) -> pd.DataFrame:
    """One row per price that was used, dearest first.

    Columns: `provider`, `model`, `response_model`, `tier`, `context_from` (least input tokens, 0 for all),
    unit prices in USD per million tokens (NaN where the book has none), `source`, `calls`, `input_tokens`,
    `output_tokens` and `cost`.
    """
    source, where = _priced_source(scope)
    text = f"""SELECT
    Provider AS provider,
    Model AS model,
    max(ResponseModel) AS response_model,
    ServiceTier AS tier,
    price.ContextFrom AS context_from,
    price.InputPrice * 1000000 AS input_price,
    coalesce(price.CacheReadPrice, price.InputPrice) * 1000000 AS cache_read_price,
    price.OutputPrice * 1000000 AS output_price,
    price.Source AS source,
    sum(Calls) AS calls,
    sum(InputTokens) AS input_tokens,
    sum(OutputTokens) AS output_tokens,
    sum(Cost) AS cost
FROM (
    SELECT Provider, Model, ResponseModel, ServiceTier, ContextClass, toStartOfHour(Time) AS Hour,
        sum(Calls) AS Calls, sum(InputTokens) AS InputTokens, sum(OutputTokens) AS OutputTokens,
        sum(Cost) AS Cost
    FROM {source}
    WHERE {where} AND Priced
    GROUP BY Provider, Model, ResponseModel, ServiceTier, ContextClass, Hour
) AS charges
INNER JOIN price_now AS price
    ON charges.Provider = price.Provider AND charges.Model = price.Model
    AND charges.ResponseModel = price.ResponseModel AND charges.ServiceTier = price.ServiceTier
    AND charges.Hour >= price.ValidFrom AND charges.Hour < price.ValidTo
    AND charges.ContextClass >= price.ContextFrom AND charges.ContextClass < price.ContextTo
GROUP BY provider, model, tier, context_from, input_price, cache_read_price, output_price, source
ORDER BY ifNull(cost, 0) DESC, calls DESC, model"""
    data = frame(client, text, scope.params())
    for column in ("input_price", "cache_read_price", "output_price", "cost"):
        data[column] = pd.to_numeric(data[column], errors="coerce")
    return data


def per_success(
    client: Client, scope: Scope, score: str, at_least: float, by: Sequence[str] = ()
) -> pd.DataFrame:
    """What one successful outcome costs. An outcome is a trace with the score; all its calls count.

    Columns: the dimensions, `outcomes`, `successes` (the trace's best score is `at_least` that high),
    `unpriced_calls`, `cost` of all outcomes, and `cost_per_success` (NaN without a success).
    """
    names = {**_expressions([name for name in by if name not in CALL_DIMENSIONS]),
             **{name: CALL_DIMENSIONS[name] for name in by if name in CALL_DIMENSIONS}}  # fmt: skip
    keys = "".join(f"toString({sql}) AS `{name}`,\n    " for name, sql in names.items())
    group = f"GROUP BY {', '.join(f'`{name}`' for name in names)}" if names else ""
    text = f"""SELECT
    {keys}uniqExact(TraceId) AS outcomes,
    uniqExactIf(TraceId, Success) AS successes,
    sumIf(Weight, NOT Priced) AS unpriced_calls,
    sum(Cost * Weight) AS cost
FROM call_cost
INNER JOIN (
    SELECT TraceId, max(Value) >= {{at_least:Float64}} AS Success
    FROM scores
    WHERE Name = {{score:String}}
    GROUP BY TraceId
) AS outcome USING (TraceId)
WHERE {SPAN_SCOPE}
{group}
ORDER BY ifNull(cost, 0) DESC"""
    data = frame(client, text, {**scope.params(), "score": score, "at_least": at_least})
    data["cost"] = pd.to_numeric(data["cost"], errors="coerce")
    successes = data["successes"].astype("float64")
    data["cost_per_success"] = data["cost"] / successes.where(successes > 0)
    return data


def daily(client: Client, scope: Scope) -> pd.Series:
    """Cost in USD per UTC day of the whole scope; days without a call cost 0."""
    data = report(client, scope, ["day"])
    index = pd.date_range(scope.since.date(), _last_day(scope.until), freq="D", name="day")
    costs = data.set_index(pd.to_datetime(data["day"]))["cost"]
    return costs.reindex(index).fillna(0.0).rename("cost")


def _last_day(until: datetime) -> pd.Timestamp:
    return pd.Timestamp(until).tz_localize(None).ceil("D") - pd.Timedelta(days=1)


def _expressions(by: Sequence[str]) -> dict[str, str]:
    known = {**DIMENSIONS, **CALL_DIMENSIONS}
    for name in by:
        if name not in known:
            raise UnknownDimension(f"there is no dimension {name!r}; there are {', '.join(known)}")
    return {name: known[name] for name in by}


def _priced_source(scope: Scope) -> tuple[str, str]:
    """The view that holds these calls with their prices, and its WHERE clause."""
    return ("cost_hour", USAGE_SCOPE) if _whole_hours(scope, ()) else ("call_cost", SPAN_SCOPE)


def _whole_hours(scope: Scope, by: Sequence[str]) -> bool:
    """Whether the hours tell enough; if not, the calls do, which are kept for fewer days."""
    whole = all(edge.minute == edge.second == edge.microsecond == 0 for edge in (scope.since, scope.until))
    return whole and not any(name in CALL_DIMENSIONS for name in by)

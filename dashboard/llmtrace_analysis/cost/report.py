"""What calls cost, by anything that calls are told apart by."""

# Texts are put together from constants alone; values are bound.
# ruff: noqa: S608

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

import pandas as pd
from clickhouse_connect.driver.client import Client

from llmtrace.common.time_zones import day_of
from llmtrace_analysis.queries.scope import Scope, frame
from llmtrace_collector.attributes.parts import PartName
from llmtrace_collector.pricing.currencies import ExchangeRate

from .currency import USD, converted
from .over_time import over_time, parts_over_time
from .parts import CHARTED, REPORTED
from .priced_usage import AMOUNTS, COSTS, DIMENSIONS, REPEATING, expressions, priced, usage_of

#: Rows of dimension and day that are read at most to convert a report.
_MOST_ROWS = 1_000_000

#: Rows of a report at most: the dearest.
_LIMIT = 100_000

#: Values of a dimension that have a series of their own; the rest is one series.
NAMED = 7


def report(
    client: Client,
    scope: Scope,
    by: Sequence[str] = (),
    limit: int = _LIMIT,
    book: str = "",
    *,
    currency: str = USD,
    rates: Sequence[ExchangeRate] = (),
) -> pd.DataFrame:
    """One row per combination of the dimensions `by`, dearest first.

    Columns: the dimensions, `calls`, `errors`, `unpriced_calls`, `calls_without_tokens`, `stated_calls`,
    `estimated_calls` (tokens estimated from text), `unknown_cost_calls` (nobody states one, and price or
    tokens are not known), tokens by bucket (cached and reasoning tokens are parts of input and output), their
    costs, what calls cost that state it (`stated_cost`, in no bucket), what of the buckets is for estimated
    tokens (`estimated_cost`), what cache reads saved, and `cost`, which is NaN where no cost is known;
    `list_cost` is what it were by the list and without discounts. Prices are those of `book`, or of the book
    in effect; costs are in `currency`. Sampled calls count as often as they stand for. Without dimensions it
    is one row, the total. Raises priced_usage.UnknownDimension, currency.NoRate.
    """
    names = expressions(by)
    by_day = currency != USD
    if by_day:
        names.setdefault("day", DIMENSIONS["day"])
    keys = "".join(f"toString(`{name}`) AS `{name}`,\n    " for name in names)
    group = f"GROUP BY {', '.join(f'`{name}`' for name in names)}" if names else ""
    order = ", ".join(["ifNull(cost, 0) DESC", "calls DESC", *(f"`{name}`" for name in names)])
    text = f"""SELECT
    {keys}{AMOUNTS}
FROM ({priced(usage_of(scope, by), names, book=book)}) AS charges
{group}
ORDER BY {order}
LIMIT {{limit:UInt32}}"""
    params = {**scope.params(), "limit": _MOST_ROWS if by_day else limit, "book": book}
    data = _numbers(frame(client, text, params))
    return _over_days(converted(data, COSTS, currency, rates), by).head(limit) if by_day else data


@dataclass(frozen=True)
class CostPage:
    """All that the Cost page shows of a period: frames whose costs are in `currency`, of one reading.

    `totals` are the amounts of `report`. `table` is the report by the dimension `by`, dearest first, and
    `series` its course: `time` (UTC), `key`, `named` (false: all keys that are not among the dearest),
    `cost`; or, `split` by part of the price, with the parts as keys. `parts` says of the price's parts
    `tokens` and `cost`, which add up to all of it. `unpriced` are the calls that are in no sum: `provider`,
    `model`, `tier`, `calls`, `input_tokens`, `output_tokens`. Without a dimension `table` and `series` are
    empty.
    """

    scope: Scope
    by: str
    currency: str
    step: int
    totals: pd.Series
    table: pd.DataFrame
    series: pd.DataFrame
    parts: pd.DataFrame
    unpriced: pd.DataFrame


def page(
    client: Client,
    scope: Scope,
    by: str = "",
    book: str = "",
    *,
    split: Literal["key", "part"] = "key",
    step: int = 0,
    offset: int = 0,
    currency: str = USD,
    rates: Sequence[ExchangeRate] = (),
) -> CostPage:
    """The page of the scope's calls at the prices of `book`, or of the book in effect.

    Bars are `step` seconds wide (0: as the scope has them) and start at midnight of a zone `offset` seconds
    east of UTC. Raises priced_usage.UnknownDimension, currency.NoRate.
    """
    totals, table, missing = _sums(client, scope, by, book, currency, rates)
    step = step or scope.step
    series = pd.DataFrame(columns=["time", "key", "named", "cost"])
    if by and split == "part":
        wide = parts_over_time(client, scope, step, offset, currency, rates, book)
        series = wide.melt(id_vars=["time"], value_vars=list(CHARTED), var_name="key", value_name="cost")
        series.insert(2, "named", True)
    elif by:
        keys = [str(key) for key in table[by].head(NAMED)]
        series = over_time(client, scope, by, keys, step, offset, currency, rates, book)
    return CostPage(scope, by, currency, step, totals, table, series, _parts(totals), missing)


def _sums(
    client: Client, scope: Scope, by: str, book: str, currency: str, rates: Sequence[ExchangeRate]
) -> tuple[pd.Series, pd.DataFrame, pd.DataFrame]:
    """Totals, the report by `by`, and the calls without a price, in one reading where usage is the same."""
    if by in REPEATING or (by and usage_of(scope, [by]) != usage_of(scope)):
        totals, _, missing = _sums(client, scope, "", book, currency, rates)
        return totals, report(client, scope, [by], book=book, currency=currency, rates=rates), missing
    by_day = currency != USD
    day = {"day": DIMENSIONS["day"]} if by_day else {}
    key = {"key": expressions([by])[by]} if by else {}
    names = {**key, **day, **expressions(_PAIR)}
    sets = [[*day], [*key, *day], [*_PAIR]] if by else [[*day], [*_PAIR]]
    text = f"""SELECT
    {"".join(f"toString(`{name}`) AS `of_{name}`, " for name in names)}
    {"grouping(`key`) = 0" if by else "false"} AS in_table,
    grouping(`model`) = 0 AS in_pairs,
    sumIf(InputTokens, NOT Priced) AS unpriced_input_tokens,
    sumIf(OutputTokens, NOT Priced) AS unpriced_output_tokens,
    {AMOUNTS}
FROM ({priced(usage_of(scope), names, book=book)}) AS charges
GROUP BY GROUPING SETS ({", ".join(f"({', '.join(f'`{name}`' for name in group)})" for group in sets)})
ORDER BY in_table, ifNull(cost, 0) DESC, calls DESC, {", ".join(f"`of_{name}`" for name in names)}
LIMIT {{limit:UInt32}}"""
    params = {**scope.params(), "limit": _MOST_ROWS if by_day else _LIMIT, "book": book}
    data = _numbers(frame(client, text, params)).rename(columns={f"of_{name}": name for name in names})
    in_table, in_pairs = (data.pop(name).astype(bool) for name in ("in_table", "in_pairs"))
    missing = _unpriced(data[in_pairs & (data["unpriced_calls"] > 0)])
    data = data.drop(columns=[*_PAIR, *_UNPRICED_TOKENS])
    whole = data[~in_table & ~in_pairs].drop(columns=[*key])
    table = data[in_table].rename(columns={"key": by}).reset_index(drop=True)
    if by_day:
        whole = _over_days(converted(whole, COSTS, currency, rates), ())
        table = _over_days(converted(table, COSTS, currency, rates), [by]) if by else table
    return _total(whole), table.head(_LIMIT), missing


#: What a price depends on, as far as people set it.
_PAIR = ("provider", "model", "tier")
_UNPRICED_TOKENS = ("unpriced_input_tokens", "unpriced_output_tokens")


def _unpriced(pairs: pd.DataFrame) -> pd.DataFrame:
    """The calls without a price, as `prices_in_use.unpriced` has them."""
    amounts = {f"unpriced_{name}": name for name in ("calls", "input_tokens", "output_tokens")}
    missing = pairs[[*_PAIR, *amounts]].rename(columns=amounts)
    return missing.sort_values(["calls", *_PAIR], ascending=[False, True, True, True], ignore_index=True)


def _total(whole: pd.DataFrame) -> pd.Series:
    """The one row of a report without dimensions; no usage at all is no call, and no cost."""
    if len(whole):
        return whole.iloc[0]
    return pd.Series({name: float("nan") if name in COSTS else 0 for name in whole.columns})


def _parts(totals: pd.Series) -> pd.DataFrame:
    """What the total is made of: the parts of the price, with `tokens` where these are told apart."""
    fresh = totals["input_tokens"] - totals["cache_read_tokens"] - totals["cache_write_tokens"]
    tokens: dict[PartName, float] = {
        "input": max(0, fresh),
        "cache_read": totals["cache_read_tokens"],
        "cache_write": totals["cache_write_tokens"],
        "output": totals["output_tokens"],
    }
    return pd.DataFrame(
        {
            "part": list(REPORTED),
            "tokens": [tokens.get(part, float("nan")) for part in REPORTED],
            "cost": [float(totals[f"{part}_cost"]) for part in REPORTED],
        }
    )


def _numbers(data: pd.DataFrame) -> pd.DataFrame:
    """The rows with every cost a number, NaN where it is not known."""
    return data.assign(**{name: pd.to_numeric(data[name], errors="coerce") for name in COSTS})


def _over_days(data: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Rows of the dimensions `by` and `day`, dearest first; added up over days unless these are asked for."""
    if "day" in by:
        return data
    data = data.drop(columns="day")
    amounts = [name for name in data.columns if name not in by]
    # A cost that is known nowhere stays unknown.
    least = {name: int(name in COSTS) for name in amounts}
    if not by:
        # No call at all is still one row, as in US dollars.
        return pd.DataFrame([{name: data[name].sum(min_count=least[name]) for name in amounts}])
    grouped = data.groupby(list(by), sort=False)
    totals = pd.DataFrame({name: grouped[name].sum(min_count=least[name]) for name in amounts}).reset_index()
    return totals.sort_values(["cost", "calls"], ascending=False, na_position="last", ignore_index=True)


def per_success(
    client: Client, scope: Scope, score: str, at_least: float, by: Sequence[str] = ()
) -> pd.DataFrame:
    """What one successful outcome costs. An outcome is a trace with the score; all its calls count.

    Columns: the dimensions, `outcomes`, `successes` (the trace's best score is `at_least` that high),
    `unpriced_calls`, `cost` of all outcomes, and `cost_per_success` (NaN without a success).
    """
    names = expressions(by)
    keys = "".join(f"toString(`{name}`) AS `{name}`,\n    " for name in names)
    group = f"GROUP BY {', '.join(f'`{name}`' for name in names)}" if names else ""
    calls = priced("call_cost", {**names, "TraceId": "TraceId"})
    text = f"""SELECT
    {keys}uniqExact(TraceId) AS outcomes,
    uniqExactIf(TraceId, Success) AS successes,
    sumIf(Calls, NOT Priced) AS unpriced_calls,
    sum(Cost) AS cost
FROM ({calls}) AS charges
INNER JOIN (
    SELECT TraceId, max(Value) >= {{at_least:Float64}} AS Success
    FROM scores
    WHERE Name = {{score:String}}
    GROUP BY TraceId
) AS outcome USING (TraceId)
{group}
ORDER BY ifNull(cost, 0) DESC"""
    data = frame(client, text, {**scope.params(), "score": score, "at_least": at_least})
    data["cost"] = pd.to_numeric(data["cost"], errors="coerce")
    successes = data["successes"].astype("float64")
    data["cost_per_success"] = data["cost"] / successes.where(successes > 0)
    return data


def daily(
    client: Client, scope: Scope, *, currency: str = USD, rates: Sequence[ExchangeRate] = ()
) -> pd.Series:
    """Cost per day of the scope's zone; days without a call cost 0. Raises currency.NoRate."""
    return daily_costs(client, scope, currency=currency, rates=rates)["cost"]


def daily_costs(
    client: Client, scope: Scope, *, currency: str = USD, rates: Sequence[ExchangeRate] = ()
) -> pd.DataFrame:
    """The `cost` of `daily`, and what of it is stated (`stated_cost`) and by estimated tokens
    (`estimated_cost`).
    """
    data = report(client, scope, ["day"], currency=currency, rates=rates)
    last = day_of(scope.until - timedelta(microseconds=1), scope.zone)
    index = pd.date_range(day_of(scope.since, scope.zone), last, freq="D", name="day")
    costs = data.set_index(pd.to_datetime(data["day"]))[["cost", "stated_cost", "estimated_cost"]]
    return costs.reindex(index).fillna(0.0)

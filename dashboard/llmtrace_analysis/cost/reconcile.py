"""A provider's usage export held against the ledger, by day and model, with the likely causes of gaps."""

# Texts are put together from constants alone; values are bound.
# ruff: noqa: S608

from __future__ import annotations

import re

import pandas as pd
from clickhouse_connect.driver.client import Client

from llmtrace_analysis.queries.scope import Scope, frame

from .priced_usage import DIMENSIONS, priced

#: Differences up to this share are the rounding of exports.
TOLERANCE = 0.005

_DAILY = {"day": DIMENSIONS["day"], "model": "if(ResponseModel = '', Model, ResponseModel)"}
_OF_PROVIDER = "startsWith(Provider, {provider:String})"

_OURS = f"""SELECT
    day,
    model,
    sum(Calls) AS requests,
    sumIf(Calls, NOT Priced) AS unpriced_calls,
    sum(UnknownUsage) AS calls_without_tokens,
    sum(InputTokens) AS input_tokens,
    sum(CacheReadTokens) AS cache_read_tokens,
    sum(CacheWriteTokens) AS cache_write_tokens,
    sum(OutputTokens) AS output_tokens,
    sum(Cost) AS cost
FROM ({priced("usage_hour", _DAILY, where=_OF_PROVIDER)}) AS charges
GROUP BY day, model"""

_SUMS = ("requests", "input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "cost")


def ours(client: Client, scope: Scope, provider: str) -> pd.DataFrame:
    """The ledger by `day` and `model` (the one that answered) for providers whose name begins so."""
    data = frame(client, _OURS, {**scope.params(), "provider": provider})
    data["cost"] = pd.to_numeric(data["cost"], errors="coerce")
    return data


def reconcile(theirs: pd.DataFrame, ledger: pd.DataFrame) -> pd.DataFrame:
    """One row per day and model of either side, greatest difference of cost or tokens first.

    Columns: `day`, `model`, `matches`, `cause`, and for requests, tokens and cost `…_invoice`, `…_ledger`
    (NaN where a side does not report it) and `cost_difference` (invoice − ledger). Models are the same when
    their names are, or differ in a date at the end.
    """
    left = _by_key(theirs, _SUMS).add_suffix("_invoice")
    right = _by_key(ledger, _SUMS).add_suffix("_ledger")
    gaps = _by_key(ledger, ("unpriced_calls", "calls_without_tokens"))
    data = left.join(right, how="outer").join(gaps)
    data["cost_difference"] = data["cost_invoice"] - data["cost_ledger"]
    missing = data["input_tokens_ledger"].isna()
    unbilled = data["input_tokens_invoice"].isna()
    shifted = _shifted(data)
    data["cause"] = [
        _cause(row, *where, shifted[key])
        for (key, row), where in zip(data.iterrows(), zip(missing, unbilled, strict=True), strict=True)
    ]
    data.insert(0, "matches", data["cause"] == "")
    data["gap"] = (data["input_tokens_invoice"].fillna(0) - data["input_tokens_ledger"].fillna(0)).abs()
    data = data.sort_values(["matches", "gap"], ascending=[True, False]).drop(columns="gap")
    return data.reset_index()


def _by_key(data: pd.DataFrame, columns: tuple[str, ...]) -> pd.DataFrame:
    keyed = data.assign(model=data["model"].map(plain_name))
    numbers = [name for name in columns if name in keyed]
    keyed[numbers] = keyed[numbers].astype("float64")
    return keyed.groupby(["day", "model"])[numbers].sum(min_count=1)


def plain_name(model: str) -> str:
    """A model's name without maker and date: `openai/gpt-4o-2024-08-06` → `gpt-4o`."""
    bare = model.lower().rpartition("/")[2]
    return re.sub(r"[-@]?(20\d{2}-?\d{2}-?\d{2}|latest|\d{4})$", "", bare).rstrip("-@")


def _differs(first: float, second: float) -> bool:
    if pd.isna(first) or pd.isna(second):
        return False
    return abs(first - second) > TOLERANCE * max(abs(first), abs(second))


def _shifted(data: pd.DataFrame) -> dict[object, bool]:
    """Whether the days around make up for a day's difference: then the days are cut at different hours."""
    gap = data["input_tokens_invoice"].fillna(0) - data["input_tokens_ledger"].fillna(0)
    shifted: dict[object, bool] = {}
    for model, model_gap in gap.groupby(level="model"):
        total = data["input_tokens_invoice"].xs(model, level="model").sum()
        balanced = len(model_gap) > 1 and abs(model_gap.sum()) <= TOLERANCE * max(total, 1)
        shifted.update(dict.fromkeys(model_gap.index, bool(balanced)))
    return shifted


def _cause(row: pd.Series, missing: bool, unbilled: bool, shifted: bool) -> str:
    """The likely cause of a row's difference; empty when there is none."""
    if missing:
        return "no traced call: an application that is not traced, or another name for the model"
    if unbilled:
        return "not on the invoice: another account or key, or another name for the model"
    tokens = [name for name in ("input_tokens", "output_tokens")
              if _differs(row[f"{name}_invoice"], row[f"{name}_ledger"])]  # fmt: skip
    if tokens and shifted:
        return "days are cut at different hours: over all days the tokens agree"
    if tokens and row["input_tokens_invoice"] > row["input_tokens_ledger"]:
        if row["calls_without_tokens"]:
            return f"{row['calls_without_tokens']:.0f} traced calls told no tokens (failed or left streams)"
        return "calls that were not traced, or retries inside the client"
    if tokens:
        return "more traced than billed: simulated calls, free credits, or answers from a proxy's cache"
    if _differs(row["cache_read_tokens_invoice"], row["cache_read_tokens_ledger"]):
        return "cached tokens differ: some spans do not tell them"
    if row["unpriced_calls"]:
        return f"{row['unpriced_calls']:.0f} calls have no price in the book"
    if _differs(row["cost_invoice"], row["cost_ledger"]):
        return "same tokens, other price: a discount, a batch or priority tier, or an outdated price"
    return ""

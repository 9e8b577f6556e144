"""What answers, gateways and frameworks state that calls cost, held against the price book."""

# Texts are put together from constants alone; values are bound.
# ruff: noqa: S608

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from clickhouse_connect.driver.client import Client

from llmtrace_analysis.queries.scope import SPAN_SCOPE, Scope, frame
from llmtrace_collector.attributes.stated_costs import BILLERS
from llmtrace_collector.sql_values import literals

from .priced_usage import expressions, priced, usage_of

#: What stated costs are listed by where nobody chooses.
BY = ("provider", "model", "account")

#: Differences up to this share of the greater one are rounding.
TOLERANCE = 0.01

_BILLED = f"StatedBy IN ({literals(BILLERS)})"

# A biller's figure is what is paid; another's is by a list, so it is held against the list.
_COMPUTED = f"multiIf(ComputedCost IS NULL, NULL, {_BILLED}, ComputedCost, ListCost)"

_UNUSED = f"""SELECT
    toString(Provider) AS provider,
    toString(Model) AS model,
    toString(StatedBy) AS stated_by,
    StatedCost IS NULL AS refused,
    sum(Weight) AS calls
FROM otel_traces
WHERE {SPAN_SCOPE} AND Counted AND StatedBy != '' AND if(StatedCost IS NULL, true, StatedCost = 0)
    AND NOT (ifNull(StatedCost, -1) = 0 AND {_BILLED})
GROUP BY provider, model, stated_by, refused
ORDER BY calls DESC, provider, model, stated_by, refused"""


def stated_costs(client: Client, scope: Scope, by: Sequence[str] = BY) -> pd.DataFrame:
    """One row per combination of the dimensions `by` and who states costs, greatest difference first.

    Columns: the dimensions, `stated_by`, `biller` (whether it is who charges), `calls` whose cost is stated,
    `calls_without_tokens` (of them), `stated` and `computed` in USD (NaN where the book has no price), their
    `difference` (stated − computed), its `share` of the greater one, and `holds`: whether the stated cost is
    what reports have; a price that people set goes before what no biller states. Raises
    priced_usage.UnknownDimension.
    """
    names = expressions(by)
    keys = "".join(f"toString(`{name}`) AS `{name}`,\n    " for name in names)
    group = "".join(f"`{name}`, " for name in names)
    text = f"""SELECT
    {keys}toString(charges.StatedBy) AS stated_by,
    charges.{_BILLED} AS biller,
    sum(Calls) AS calls,
    sum(UnknownUsage) AS calls_without_tokens,
    sum(StatedCost) AS stated,
    sum({_COMPUTED}) AS computed,
    min(Stated) AS holds
FROM ({priced(usage_of(scope, by), names, where="StatedBy != ''")}) AS charges
GROUP BY {group}stated_by, biller"""
    data = frame(client, text, scope.params())
    data["computed"] = pd.to_numeric(data["computed"], errors="coerce")
    data["stated"] = data["stated"].astype("float64")
    for name in ("biller", "holds"):
        data[name] = data[name].astype(bool)
    difference = data["stated"] - data["computed"]
    greater = data[["stated", "computed"]].abs().max(axis=1)
    data.insert(len(data.columns) - 1, "difference", difference)
    data.insert(len(data.columns) - 1, "share", (difference / greater).where(greater > 0, 0.0))
    order = difference.abs().fillna(-1.0).sort_values(ascending=False, kind="stable").index
    return data.loc[order].reset_index(drop=True)


def differing(data: pd.DataFrame, tolerance: float = TOLERANCE) -> pd.DataFrame:
    """The rows of `stated_costs` whose two costs differ by more than that share of the greater one."""
    return data[data["share"].abs() > tolerance].reset_index(drop=True)


def unused(client: Client, scope: Scope) -> pd.DataFrame:
    """What was stated and is in no sum, of single calls: `provider`, `model`, `stated_by`, `calls`, and
    whether it was `refused` as no cost in USD, or is a 0 of what may know no price."""
    data = frame(client, _UNUSED, scope.params())
    data["refused"] = data["refused"].astype(bool)
    data["calls"] = data["calls"].astype("float64").round().astype("int64")
    return data


def stated_share(stated: float, cost: float) -> float | None:
    """The part of a cost that is stated; None where no cost is known."""
    return stated / cost if cost == cost and cost > 0 else None

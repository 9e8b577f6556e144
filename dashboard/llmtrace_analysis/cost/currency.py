"""Costs in another currency, each day's at the rate that the user gave for that day."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date

import numpy as np
import pandas as pd
from clickhouse_connect.driver.client import Client

from llmtrace_analysis.queries.scope import Scope
from llmtrace_analysis.settings import ExchangeRate

from . import report as cost_report

USD = "USD"

#: Rows of dimension and day that are read at most to convert a report.
_MOST_ROWS = 1_000_000


class NoRate(ValueError):
    """A currency or a day has no rate; the message says which and how to give one."""


def currencies(rates: Iterable[ExchangeRate]) -> list[str]:
    """US dollars, then every currency that has a rate."""
    return [USD, *sorted({rate.currency for rate in rates} - {USD})]


def rates_of(rates: Sequence[ExchangeRate], currency: str, days: pd.Series) -> np.ndarray:
    """The rate of each day (UTC, as anything pandas reads as a date). Raises NoRate."""
    dates = np.asarray(pd.to_datetime(days).dt.strftime("%Y-%m-%d"), dtype="datetime64[D]")
    if currency == USD:
        return np.ones(len(dates))
    known = sorted((rate.since, rate.per_usd) for rate in rates if rate.currency == currency)
    if not known:
        raise NoRate(f"there is no rate for {currency}; give one under [[dashboard.exchange_rates]]")
    starts = np.asarray([since.isoformat() for since, _ in known], dtype="datetime64[D]")
    place = np.searchsorted(starts, dates, side="right") - 1
    if len(place) and place.min() < 0:
        first: date = dates[place < 0].min().item()
        raise NoRate(
            f"there is no rate for {currency} on {first}; give one with since = {first} or earlier under "
            "[[dashboard.exchange_rates]]"
        )
    return np.asarray([per_usd for _, per_usd in known])[place]


def report(
    client: Client,
    scope: Scope,
    by: Sequence[str] = (),
    *,
    currency: str = USD,
    rates: Sequence[ExchangeRate] = (),
    limit: int = 100_000,
) -> pd.DataFrame:
    """`report.report` with its costs in `currency`. Raises NoRate, report.UnknownDimension."""
    if currency == USD:
        return cost_report.report(client, scope, by, limit)
    keys = [*by, *([] if "day" in by else ["day"])]
    data = cost_report.report(client, scope, keys, _MOST_ROWS)
    rate = rates_of(rates, currency, data["day"])
    for column in cost_report.COSTS:
        data[column] = data[column] * rate
    if "day" in by:
        return data.head(limit)
    data = data.drop(columns="day")
    amounts = [name for name in data.columns if name not in by]
    if not by:
        # No call at all is still one row, as in US dollars.
        sums = {name: data[name].sum(min_count=int(name in cost_report.COSTS)) for name in amounts}
        return pd.DataFrame([sums])
    costs = [name for name in amounts if name in cost_report.COSTS]
    grouped = data.groupby(list(by), sort=False)
    totals = grouped[amounts].sum()
    # A cost that is known nowhere stays unknown.
    totals[costs] = grouped[costs].sum(min_count=1)
    totals = totals.reset_index().sort_values(
        ["cost", "calls"], ascending=False, na_position="last", ignore_index=True
    )
    return totals.head(limit)

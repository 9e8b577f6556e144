"""Costs in another currency, each day's at the rate that the user gave for that day."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date

import numpy as np
import pandas as pd

from llmtrace_collector.pricing.currencies import USD as USD
from llmtrace_collector.pricing.currencies import ExchangeRate


class NoRate(ValueError):
    """A currency or a day has no rate; the message says which and how to give one."""


def currencies(rates: Iterable[ExchangeRate], first: str = USD) -> list[str]:
    """The currency that goes first, then US dollars and every other that has a rate."""
    codes = [USD, *sorted({rate.currency for rate in rates} - {USD})]
    return [first, *(code for code in codes if code != first)]


def rates_of(rates: Sequence[ExchangeRate], currency: str, days: pd.Series) -> np.ndarray:
    """The rate of each day, as anything that pandas reads as a date. Raises NoRate."""
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


def converted(
    data: pd.DataFrame, costs: Sequence[str], currency: str, rates: Sequence[ExchangeRate]
) -> pd.DataFrame:
    """Rows with a `day` and `costs` in USD, with these in `currency`. Raises NoRate."""
    rate = rates_of(rates, currency, data["day"])
    return data.assign(**{name: data[name] * rate for name in costs})

"""Prices in other currencies, as US dollars, which are all that the book has: each day's at its rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time

from .currencies import USD, ExchangeRate
from .tariffs import Tariff


def in_usd(tariff: Tariff, currency: str, rates: Sequence[ExchangeRate]) -> tuple[Tariff, ...]:
    """A tariff in a currency as tariffs in US dollars, one for each rate that holds while it does. None holds
    before the first rate: what a price was worth then is not known.
    """
    if currency == USD:
        return (tariff,)
    known = sorted((rate.since, rate.per_usd) for rate in rates if rate.currency == currency)
    ends = [*(_seconds(since) for since, _ in known[1:]), tariff.valid[1]]
    pieces = []
    for (since, per_usd), end in zip(known, ends, strict=False):
        valid = max(tariff.valid[0], _seconds(since)), min(tariff.valid[1], end)
        if valid[0] < valid[1]:
            prices = {name: price / per_usd for name, price in tariff.prices.items()}
            source = f"{tariff.source}, {per_usd:g} {currency} for a dollar"
            pieces.append(replace(tariff, prices=prices, valid=valid, source=source))
    return tuple(pieces)


def _seconds(day: date) -> int:
    return int(datetime.combine(day, time(), UTC).timestamp())

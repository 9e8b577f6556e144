"""What billed usage would cost by the public list: for usage whose provider states no cost, and for parts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache

from llmtrace_collector.pricing import charges
from llmtrace_collector.pricing.tariffs import Tariff, listing

_COUNTS: Mapping[str, str] = {
    "input_tokens": "InputTokens",
    "cache_read_tokens": "CacheReadTokens",
    "cache_write_tokens": "CacheWriteTokens",
    "cache_write_1h_tokens": "CacheWrite1hTokens",
    "output_tokens": "OutputTokens",
}


def list_cost(
    provider: str, model: str, day: str, amounts: Mapping[str, float], tier: str = ""
) -> float | None:
    """USD of amounts (columns of tokens, `requests`) of a day (YYYY-MM-DD), at the price of short inputs at
    midnight: totals do not tell how long inputs were. None where the list has no such model."""
    tariff = _tariff(provider, model, tier, day)
    if tariff is None:
        return None
    counts = {name: _known(amounts.get(column)) for column, name in _COUNTS.items()}
    return charges.amount({**counts, "Requests": _known(amounts.get("requests"))}, tariff.prices)


def _known(amount: float | None) -> float:
    return 0.0 if amount is None or amount != amount else float(amount)


@lru_cache(maxsize=4096)
def _tariff(provider: str, model: str, tier: str, day: str) -> Tariff | None:
    listed = listing(provider, model, tier)
    if listed is None:
        return None
    seconds = datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()
    return next(
        (
            tariff
            for tariff in listed.tariffs
            if tariff.valid[0] <= seconds < tariff.valid[1] and tariff.context[0] == 0 and tariff.day[0] == 0
        ),
        None,
    )

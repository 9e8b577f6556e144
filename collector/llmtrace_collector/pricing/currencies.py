"""Currencies of prices and of costs, and what a US dollar was worth in them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

USD: Final = "USD"

#: What an ISO 4217 code looks like.
CODE: Final = "^[A-Z]{3}$"


class ExchangeRate(BaseModel):
    """What a US dollar was worth from a day on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    currency: str = Field(pattern=CODE, description="ISO 4217 code of the other currency: EUR.")
    per_usd: float = Field(gt=0, description="Units of that currency for one US dollar.")
    since: date = Field(description="First UTC day on which this rate holds, until the next one's.")


def has_rate(currency: str, rates: Sequence[ExchangeRate]) -> bool:
    """Whether prices in a currency can be told in US dollars."""
    return currency == USD or any(rate.currency == currency for rate in rates)

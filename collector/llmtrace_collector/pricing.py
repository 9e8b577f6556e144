"""Prices of the models that the store has seen: the user's own first, then the public list.

Only pairs named by provider and model are looked up, and each once, so that a hundred million calls of one
model cost one look-up. A pair that nobody knows a price for is written down as unpriced, never as free.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType

import genai_prices
from genai_prices import Usage

from .settings import ModelPrice
from .store.store import Store

#: The conventions' provider names → the price list's, where they differ.
_PROVIDERS: Mapping[str, str] = MappingProxyType(
    {
        "aws.bedrock": "aws",
        "azure.ai.inference": "azure",
        "azure.ai.openai": "azure",
        "gcp.gemini": "google",
        "gcp.gen_ai": "google",
        "gcp.vertex_ai": "google",
        "mistral_ai": "mistral",
        "moonshot_ai": "moonshotai",
        "x_ai": "x-ai",
    }
)

#: Usage at which unit prices are read off: small, so that prices by context length give their first tier.
_PROBE = 1000


@dataclass(frozen=True)
class Price:
    """USD per token; None where no price is known."""

    input: float | None
    cache_read: float | None
    cache_write: float | None
    output: float | None
    source: str


class Pricing:
    """Fills the `prices` table. `sync` is one pass."""

    def __init__(self, store: Store, own: Sequence[ModelPrice]) -> None:
        self._store = store
        self._own = own
        self._version = f"genai-prices {genai_prices.__version__} {_fingerprint(own)}"

    def sync(self) -> int:
        """Price every (provider, model, response model) that the current list has no row of; their number."""
        pairs = self._store.rows(_UNPRICED_PAIRS, {"version": self._version})
        now = datetime.now(UTC).timestamp()
        rows = []
        for pair in pairs:
            price = self.price(pair["Provider"], pair["Model"], pair["ResponseModel"])
            rows.append(
                {
                    **pair,
                    "Priced": price is not None,
                    "InputPrice": price.input if price else None,
                    "CacheReadPrice": price.cache_read if price else None,
                    "CacheWritePrice": price.cache_write if price else None,
                    "OutputPrice": price.output if price else None,
                    "Currency": "USD",
                    "Source": price.source if price else "",
                    "Version": self._version,
                    "UpdatedAt": f"{now:.3f}",
                }
            )
        self._store.insert_rows("prices", rows)
        return len(rows)

    def price(self, provider: str, model: str, response_model: str) -> Price | None:
        """The price of one pair: by the name that was asked for, else by the one that answered."""
        for name in (model, response_model):
            for own in self._own:
                if own.model == name and own.provider in ("", provider):
                    return _own_price(own)
        for name in (response_model, model):
            found = _listed_price(provider, name)
            if found is not None:
                return found
        return None


def _own_price(own: ModelPrice) -> Price:
    def per_token(per_million: float | None) -> float | None:
        return None if per_million is None else per_million / 1e6

    return Price(
        per_token(own.input_per_million),
        per_token(own.cache_read_per_million),
        per_token(own.cache_write_per_million),
        per_token(own.output_per_million),
        "llmtrace.toml",
    )


def _listed_price(provider: str, model: str) -> Price | None:
    """The public list's price. A provider it does not have is not guessed from the model's name: a local
    server may serve a model of the same name for nothing.
    """
    if not provider or not model:
        return None
    listed = _PROVIDERS.get(provider, provider)

    def unit(**usage: int) -> float | None:
        try:
            found = genai_prices.calc_price(Usage(**usage), model, provider_id=listed)
        except (LookupError, ValueError):
            return None
        return float(found.total_price) / _PROBE

    price = unit(input_tokens=_PROBE)
    if price is None:
        return None
    return Price(
        price,
        unit(input_tokens=_PROBE, cache_read_tokens=_PROBE),
        unit(input_tokens=_PROBE, cache_write_tokens=_PROBE),
        unit(output_tokens=_PROBE),
        f"genai-prices {genai_prices.__version__}",
    )


def _fingerprint(own: Sequence[ModelPrice]) -> str:
    """Text that changes when the user's own prices do."""
    return json.dumps([price.model_dump(exclude_none=True) for price in own], separators=(",", ":"))


_UNPRICED_PAIRS = """SELECT DISTINCT Provider, Model, ResponseModel
FROM usage_10s
WHERE (Provider, Model, ResponseModel) NOT IN (
    SELECT Provider, Model, ResponseModel FROM prices WHERE Version = {version:String}
)"""

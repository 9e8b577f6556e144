"""Tariffs: what the public price list says of one model, as rows that a join can pick from.

A price may depend on the day of the call, on how long its input is and on the service tier that answered.
Each combination is one flat tariff with its range of days and of input lengths; ranges never overlap.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time
from decimal import Decimal
from types import MappingProxyType

import genai_prices
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import (
    ModelInfo,
    ModelPrice,
    PriceContext,
    Provider,
    StartDateConstraint,
    TieredPrices,
    TimeOfDateConstraint,
)

from llmtrace import semconv

from .charges import BUCKETS, CONTEXT_BOUNDS

#: The conventions' provider names → the price list's, where they differ.
_PROVIDERS: Mapping[str, str] = MappingProxyType(
    {
        semconv.PROVIDER_AWS_BEDROCK: "aws",
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

#: The list's units that the store counts → the bucket of `charges` whose price they are.
_COUNTED: Mapping[str, str] = MappingProxyType(
    {bucket.listed_as: bucket.name for bucket in BUCKETS if bucket.listed_as}
)

#: Buckets whose price the list has by the million; it has others by the thousand.
_OF_TOKENS = frozenset(bucket.name for bucket in BUCKETS if bucket.unit == "token")

#: Tiers that answer from capacity which is paid whether used or not: a fixed line, never by the token.
RESERVED_TIERS = frozenset({"provisioned_throughput", "provisioned", "reserved", "scale"})

#: The range of days of a tariff that has none of its own, in seconds since 1970: all that a DateTime holds.
ALWAYS = (0, 2**32 - 1)
ANY_CONTEXT = (0, 2**32 - 1)


@dataclass(frozen=True)
class Tariff:
    """USD per token, request or search by the names of `charges.BUCKETS`; where a bucket has none, the more
    general one's holds.

    `valid` is [from, to) in seconds since 1970, `context` [from, to) in tokens of `CONTEXT_BOUNDS`.
    """

    prices: Mapping[str, float]
    valid: tuple[int, int] = ALWAYS
    context: tuple[int, int] = ANY_CONTEXT
    source: str = ""


@dataclass(frozen=True)
class Listing:
    """A model of the public list: its tariffs, and what its price depends on that the store does not tell."""

    tariffs: tuple[Tariff, ...]
    gaps: tuple[str, ...]


def listing(provider: str, model: str, service_tier: str = "") -> Listing | None:
    """What the list says of a model, None when it does not have it.

    A provider that it does not have is not guessed from the model's name: a local server may serve a model
    of the same name for nothing.
    """
    if not provider or not model:
        return None
    try:
        owner, model_info = get_snapshot().find_provider_model(
            model, None, _PROVIDERS.get(provider, provider), None
        )
    except LookupError:
        return None
    return list_model(owner, model_info, service_tier)


def list_model(owner: Provider, model: ModelInfo, service_tier: str = "") -> Listing | None:
    """The tariffs of one model of the list; None when it is not billed by anything that the store counts."""
    context = _price_context(owner, model, service_tier)
    days = _days(model)
    hour = _usual_hour(model)
    tariffs: list[Tariff] = []
    gaps = set(_gaps_of_time(model))
    for start, end in zip(days, [*days[1:], ALWAYS[1]], strict=True):
        moment = datetime.combine(datetime.fromtimestamp(start, UTC).date(), hour, UTC)
        price = model.get_prices(moment, context)
        gaps.update(_gaps_of_units(price))
        tariffs.extend(_by_context(price, (start, end)))
    if not any(tariff.prices for tariff in tariffs):
        return None
    return Listing(tuple(tariffs), tuple(sorted(gaps)))


def _price_context(owner: Provider, model: ModelInfo, service_tier: str) -> PriceContext | None:
    # As the list itself does: a model borrowed from another provider has that provider's standard price.
    if not service_tier or not any(model is own for own in owner.models):
        return None
    return {"processing": "batch"} if service_tier == "batch" else {"service_tier": service_tier}


def _constraints(model: ModelInfo) -> list[StartDateConstraint | TimeOfDateConstraint]:
    conditional = model.prices if isinstance(model.prices, list) else []
    constraints = [price.constraint for price in conditional] + [
        variant.constraint for variant in model.price_variants or []
    ]
    return [constraint for constraint in constraints if constraint is not None]


def _days(model: ModelInfo) -> list[int]:
    """The starts of the ranges of days in which prices stay the same, in seconds since 1970, UTC."""
    starts = {
        int(datetime.combine(constraint.start_date, time(), UTC).timestamp())
        for constraint in _constraints(model)
        if isinstance(constraint, StartDateConstraint)
    }
    return sorted({ALWAYS[0], *starts})


def _usual_hour(model: ModelInfo) -> time:
    """A time of day at which no price bound to a time of day holds."""
    limited = [
        constraint for constraint in _constraints(model) if isinstance(constraint, TimeOfDateConstraint)
    ]
    for hour in range(24):
        moment = datetime(2026, 1, 1, hour, 30, tzinfo=UTC)
        if not any(constraint.active(moment) for constraint in limited):
            return moment.time()
    return time(12)


def _gaps_of_time(model: ModelInfo) -> list[str]:
    if any(isinstance(constraint, TimeOfDateConstraint) for constraint in _constraints(model)):
        return ["its price changes with the time of day"]
    return []


def _gaps_of_units(price: ModelPrice) -> list[str]:
    gaps = []
    for key, value in vars(price).items():
        if value is None:
            continue
        if key not in _COUNTED:
            gaps.append(f"{key} is not counted")
        elif isinstance(value, TieredPrices):
            gaps += [
                f"a bound at {tier.start} input tokens is not told apart"
                for tier in value.tiers
                if tier.start not in CONTEXT_BOUNDS
            ]
    return gaps


def _by_context(price: ModelPrice, valid: tuple[int, int]) -> list[Tariff]:
    """One tariff per range of input lengths."""
    values = {name: getattr(price, key) for key, name in _COUNTED.items()}
    bounds = sorted(
        {0}
        | {
            tier.start
            for value in values.values()
            if isinstance(value, TieredPrices)
            for tier in value.tiers
            if tier.start in CONTEXT_BOUNDS
        }
    )
    source = f"genai-prices {genai_prices.__version__}"
    tariffs = []
    for start, end in zip(bounds, [*bounds[1:], ANY_CONTEXT[1]], strict=True):
        units = {name: _unit(value, start, name) for name, value in values.items()}
        prices = {name: unit for name, unit in units.items() if unit is not None}
        tariffs.append(Tariff(prices, valid=valid, context=(start, end), source=source))
    return tariffs


def _unit(value: Decimal | TieredPrices | None, bound: int, name: str) -> float | None:
    if isinstance(value, TieredPrices):
        above = [tier.price for tier in value.tiers if tier.start <= bound and bound > 0]
        value = above[-1] if above else value.base
    return None if value is None else float(value / (1_000_000 if name in _OF_TOKENS else 1000))

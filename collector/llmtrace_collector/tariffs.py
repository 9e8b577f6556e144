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

#: Lengths of input, in tokens, at which the store can tell calls apart: those of `usage_hour.ContextClass`.
CONTEXT_BOUNDS = (0, 32_000, 100_000, 128_000, 199_999, 200_000, 256_000, 272_000, 512_000, 524_288)

#: The list's units that the store counts → the field of `Tariff` they fill.
_COUNTED: Mapping[str, str] = MappingProxyType(
    {
        "input_mtok": "input",
        "cache_read_mtok": "cache_read",
        "cache_write_mtok": "cache_write",
        "output_mtok": "output",
        "output_reasoning_mtok": "reasoning",
        "requests_kcount": "request",
    }
)

#: The range of days of a tariff that has none of its own, in seconds since 1970: all that a DateTime holds.
ALWAYS = (0, 2**32 - 1)
ANY_CONTEXT = (0, 2**32 - 1)


@dataclass(frozen=True)
class Tariff:
    """USD per token, and per request; None where no price is known, and the more general one holds.

    `valid` is [from, to) in seconds since 1970, `context` [from, to) in tokens of `CONTEXT_BOUNDS`.
    """

    input: float | None = None
    cache_read: float | None = None
    cache_write: float | None = None
    output: float | None = None
    reasoning: float | None = None
    request: float | None = None
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
        owner, found = get_snapshot().find_provider_model(
            model, None, _PROVIDERS.get(provider, provider), None
        )
    except LookupError:
        return None
    return list_model(owner, found, service_tier)


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
    if not any(_says_something(tariff) for tariff in tariffs):
        return None
    return Listing(tuple(tariffs), tuple(sorted(gaps)))


def _price_context(owner: Provider, model: ModelInfo, service_tier: str) -> PriceContext | None:
    # As the list itself does: a model borrowed from another provider has that provider's standard price.
    if not service_tier or not any(model is own for own in owner.models):
        return None
    return {"processing": "batch"} if service_tier == "batch" else {"service_tier": service_tier}


def _constraints(model: ModelInfo) -> list[StartDateConstraint | TimeOfDateConstraint]:
    conditional = model.prices if isinstance(model.prices, list) else []
    found = [each.constraint for each in conditional] + [
        each.constraint for each in model.price_variants or []
    ]
    return [each for each in found if each is not None]


def _days(model: ModelInfo) -> list[int]:
    """The starts of the ranges of days in which prices stay the same, in seconds since 1970, UTC."""
    starts = {
        int(datetime.combine(each.start_date, time(), UTC).timestamp())
        for each in _constraints(model)
        if isinstance(each, StartDateConstraint)
    }
    return sorted({ALWAYS[0], *starts})


def _usual_hour(model: ModelInfo) -> time:
    """A time of day at which no price bound to a time of day holds."""
    limited = [each for each in _constraints(model) if isinstance(each, TimeOfDateConstraint)]
    for hour in range(24):
        moment = datetime(2026, 1, 1, hour, 30, tzinfo=UTC)
        if not any(each.active(moment) for each in limited):
            return moment.time()
    return time(12)


def _gaps_of_time(model: ModelInfo) -> list[str]:
    if any(isinstance(each, TimeOfDateConstraint) for each in _constraints(model)):
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
    values = {field: getattr(price, key) for key, field in _COUNTED.items()}
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
        units = {field: _unit(value, start, field) for field, value in values.items()}
        tariffs.append(Tariff(**units, valid=valid, context=(start, end), source=source))
    return tariffs


def _unit(value: Decimal | TieredPrices | None, bound: int, field: str) -> float | None:
    if isinstance(value, TieredPrices):
        above = [tier.price for tier in value.tiers if tier.start <= bound and bound > 0]
        value = above[-1] if above else value.base
    return None if value is None else float(value / (1000 if field == "request" else 1_000_000))


def _says_something(tariff: Tariff) -> bool:
    return any(
        value is not None
        for value in (
            tariff.input,
            tariff.cache_read,
            tariff.cache_write,
            tariff.output,
            tariff.reasoning,
            tariff.request,
        )
    )

"""Tariffs: what the public price list says of one model, as rows that a join can pick from.

A price may depend on the day of the call and its time of day, on how long its input is and on the service
tier that answered. Each combination is one flat tariff with its range of days, of minutes of a day and of
input lengths; ranges never overlap.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
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
from llmtrace.common.providers import LISTED
from llmtrace_collector.attributes.names import with_maker, without_prefix

from .charges import BUCKETS, CONTEXT_BOUNDS, DAY_BOUNDS, DAY_END
from .premiums import premium

#: The list's units that the store counts → the bucket of `charges` whose price they are.
_COUNTED: Mapping[str, str] = MappingProxyType(
    {bucket.listed_as: bucket.name for bucket in BUCKETS if bucket.listed_as}
)

#: What the list has one price for that others of it tell apart → the bucket.
_COUNTED_TOO: Mapping[str, str] = MappingProxyType({"audio_hours": "AudioTime"})

#: What a price of the list is for, by how its unit's name ends.
_LISTED_PER = {"_mtok": 1e6, "_mchars": 1e6, "_hours": 3600.0, "_kcount": 1e3}

#: Tiers whose calls are billed by one bucket, which the list has no price for: no other price stands in.
BILLED_APART: Mapping[str, str] = MappingProxyType(
    {semconv.TIER_TRAINING: "Training", semconv.TIER_CACHE_STORAGE: "CacheStorage"}
)

#: Models (the list's provider and name) without a price because they cost nothing.
_FREE = frozenset({("openai", "moderation")})

#: Buckets whose price a tier's premium raises.
_OF_TOKENS = frozenset(bucket.name for bucket in BUCKETS if bucket.unit == "token")

#: The range of days of a tariff that has none of its own, in seconds since 1970: all that a DateTime holds.
ALWAYS = (0, 2**32 - 1)
ANY_CONTEXT = (0, 2**32 - 1)
ANY_TIME_OF_DAY = (0, DAY_END)


@dataclass(frozen=True)
class Tariff:
    """USD per unit (token, request, second, …) by the names of `charges.BUCKETS`; where a bucket has none,
    the more general one's holds.

    `valid` is [from, to) in seconds since 1970, `context` [from, to) in tokens of `CONTEXT_BOUNDS`, `day` in
    minutes since midnight, UTC, of `DAY_BOUNDS`.
    """

    prices: Mapping[str, float]
    valid: tuple[int, int] = ALWAYS
    context: tuple[int, int] = ANY_CONTEXT
    day: tuple[int, int] = ANY_TIME_OF_DAY
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
    if not provider or not model or service_tier in BILLED_APART:
        return None
    names = (model, without_prefix(provider, model), with_maker(provider, model))
    for name in dict.fromkeys(names):
        with suppress(LookupError):
            owner, model_info = get_snapshot().find_provider_model(
                name, None, LISTED.get(provider, provider), None
            )
            return list_model(owner, model_info, service_tier)
    return None


def list_model(owner: Provider, model: ModelInfo, service_tier: str = "") -> Listing | None:
    """The tariffs of one model of the list; None when it is not billed by anything that the store counts."""
    context = _price_context(owner, model, service_tier)
    factor, why = premium(owner.id, model.id, service_tier)
    if service_tier and not context and factor == 1:
        why = f"no price of its own for {service_tier}"
    days = _days(model)
    tariffs: list[Tariff] = []
    gaps = set(_gaps_of_time(model))
    for start, end in zip(days, [*days[1:], ALWAYS[1]], strict=True):
        for minutes, price in _by_time_of_day(model, start, context):
            gaps.update(_gaps_of_units(price))
            tariffs += [_raised(tariff, factor, why) for tariff in _by_context(price, (start, end), minutes)]
    if not any(tariff.prices for tariff in tariffs):
        if (owner.id, model.id) in _FREE:
            source = f"genai-prices {genai_prices.__version__}: free"
            return Listing((Tariff({"Input": 0.0, "Output": 0.0}, source=source),), ())
        return None
    return Listing(tuple(tariffs), tuple(sorted(gaps)))


def _price_context(owner: Provider, model: ModelInfo, service_tier: str) -> PriceContext | None:
    """What of the tier's words the list has prices for, under whichever name it asks for them."""
    # As the list itself does: a model borrowed from another provider has that provider's standard price.
    if not service_tier or not any(model is own for own in owner.models):
        return None
    words = service_tier.split("+")
    variants = [variant.when for variant in model.price_variants or []]
    return {key: value for when in variants for key, value in when.items() if value in words}


def _by_time_of_day(
    model: ModelInfo, day: int, context: PriceContext | None
) -> Iterator[tuple[tuple[int, int], ModelPrice]]:
    """The prices of a day (its begin in seconds since 1970), each with its minutes of that day, UTC."""
    begin = datetime.fromtimestamp(day, UTC)
    if not any(isinstance(constraint, TimeOfDateConstraint) for constraint in _constraints(model)):
        yield ANY_TIME_OF_DAY, model.get_prices(begin, context)
        return
    for first, last in zip(DAY_BOUNDS, [*DAY_BOUNDS[1:], DAY_END], strict=True):
        yield (first, last), model.get_prices(begin + timedelta(minutes=first), context)


def _raised(tariff: Tariff, factor: float, why: str) -> Tariff:
    if factor == 1:
        return replace(tariff, source=f"{tariff.source}: {why}") if why else tariff
    prices = {name: price * factor if name in _OF_TOKENS else price for name, price in tariff.prices.items()}
    return replace(tariff, prices=prices, source=f"{tariff.source} × {factor:g}: {why}")


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


def _gaps_of_time(model: ModelInfo) -> list[str]:
    bounds = {
        bound.hour * 60 + bound.minute
        for constraint in _constraints(model)
        if isinstance(constraint, TimeOfDateConstraint)
        for bound in (constraint.start_time, constraint.end_time)
    }
    return [f"a bound at minute {bound} of the day is not told apart" for bound in bounds - {*DAY_BOUNDS}]


def _gaps_of_units(price: ModelPrice) -> list[str]:
    gaps = []
    for key, value in vars(price).items():
        if value is None:
            continue
        if key not in _COUNTED and key not in _COUNTED_TOO:
            gaps.append(f"{key} is not counted")
        elif isinstance(value, TieredPrices):
            gaps += [
                f"a bound at {tier.start} input tokens is not told apart"
                for tier in value.tiers
                if tier.start not in CONTEXT_BOUNDS
            ]
    return gaps


def _by_context(price: ModelPrice, valid: tuple[int, int], day: tuple[int, int]) -> list[Tariff]:
    """One tariff per range of input lengths."""
    values: dict[str, Decimal | TieredPrices | None] = {}
    scales: dict[str, float] = {}
    for key, name in (*_COUNTED.items(), *_COUNTED_TOO.items()):
        if values.get(name) is None:
            values[name] = getattr(price, key)
            scales[name] = next(per for end, per in _LISTED_PER.items() if key.endswith(end))
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
        units = {name: _unit(value, start, scales[name]) for name, value in values.items()}
        prices = {name: unit for name, unit in units.items() if unit is not None}
        tariffs.append(Tariff(prices, valid=valid, context=(start, end), day=day, source=source))
    return tariffs


def _unit(value: Decimal | TieredPrices | None, bound: int, per: float) -> float | None:
    if isinstance(value, TieredPrices):
        above = [tier.price for tier in value.tiers if tier.start <= bound and bound > 0]
        value = above[-1] if above else value.base
    return None if value is None else float(value / Decimal(per))

"""What a call costs, by the price list and the formula that the collector has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.util.types import AttributeValue

from llmtrace import semconv

if TYPE_CHECKING:
    from llmtrace_collector.pricing.tariffs import Tariff

_REPORTED: Final = (
    semconv.USAGE_INPUT_TOKENS,
    semconv.USAGE_ESTIMATED_INPUT_TOKENS,
    semconv.USAGE_OUTPUT_TOKENS,
    semconv.USAGE_ESTIMATED_OUTPUT_TOKENS,
)
_NO_LIST: Final = "the price list is not installed: pip install 'llmtrace[collector]'"


@dataclass(frozen=True, slots=True)
class Cost:
    """USD, or None and why nobody knows."""

    amount: float | None
    unknown: str = ""


def cost_of(attributes: Mapping[str, AttributeValue], start: int) -> Cost:
    """The cost of a call that began at `start` (nanoseconds since 1970), by the public list's prices.

    Prices and discounts that a collector was given are not known here. What the answer states that it cost
    holds, as it does in the collector.
    """
    try:
        from llmtrace_collector.attributes.counts import COUNTS
        from llmtrace_collector.attributes.stated_costs import BILLERS
        from llmtrace_collector.pricing.charges import amount
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("llmtrace_collector."):
            raise  # a part of it is missing, not the whole
        return Cost(None, _NO_LIST)
    stated = attributes.get(semconv.USAGE_STATED_COST)
    # Who only computes a price says 0 where it knows none.
    bills = attributes.get(semconv.USAGE_STATED_BY) in BILLERS
    in_usd = semconv.USAGE_STATED_CURRENCY not in attributes
    if isinstance(stated, float | int) and in_usd and (stated > 0 or bills):
        return Cost(float(stated))
    counts: dict[str, float] = {"Requests": 1.0}
    for field in COUNTS:
        values = (attributes.get(key) for key in field.keys)
        counts[field.name] = next((float(value) for value in values if type(value) is int), 0.0)
    reported = any(key in attributes for key in _REPORTED) or counts["RerankSearches"]
    if not reported and attributes.get(semconv.RESPONSE_CACHE_HIT) is not True:
        return Cost(None, "nobody reported its tokens")
    try:
        tariff = _tariff(attributes, counts["InputTokens"], start // 10**9)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("llmtrace_collector."):
            raise  # a part of it is missing, not the whole
        return Cost(None, _NO_LIST)
    if tariff is None:
        who = attributes.get(semconv.PROVIDER_NAME, "unknown")
        model = attributes.get(semconv.RESPONSE_MODEL) or attributes.get(semconv.REQUEST_MODEL, "")
        return Cost(None, f"the price list has no model {model!r} of {who!r}")
    return Cost(amount(counts, tariff.prices))


def _tariff(attributes: Mapping[str, AttributeValue], sent: float, moment: int) -> Tariff | None:
    """The tariff that holds for so many tokens of input at `moment` (seconds since 1970)."""
    from llmtrace_collector.pricing.charges import CONTEXT_BOUNDS
    from llmtrace_collector.pricing.premiums import is_reserved
    from llmtrace_collector.pricing.tariffs import Tariff, listing

    provider = str(attributes.get(semconv.PROVIDER_NAME, ""))
    tier = _service_tier(attributes)
    if attributes.get(semconv.RESPONSE_CACHE_HIT) is True or is_reserved(provider, tier):
        return Tariff({})
    answered, asked = (
        str(attributes.get(key, "")) for key in (semconv.RESPONSE_MODEL, semconv.REQUEST_MODEL)
    )
    names = (asked, answered) if provider == semconv.PROVIDER_AWS_BEDROCK else (answered, asked)
    minute = moment % 86_400 // 60
    exceeded = max(bound for bound in CONTEXT_BOUNDS if bound < sent or bound == 0)
    for listed in filter(None, (listing(provider, name, tier) for name in names)):
        for tariff in listed.tariffs:
            ranges: tuple[tuple[tuple[int, int], int], ...] = (
                (tariff.valid, moment),
                (tariff.context, exceeded),
                (tariff.day, minute),
            )
            if all(start <= value < end for (start, end), value in ranges):
                return tariff
        return None
    return None


def _service_tier(attributes: Mapping[str, Any]) -> str:
    from llmtrace_collector.attributes.fields import FIELDS
    from llmtrace_collector.attributes.names import STANDARD_TIERS

    (keys,) = (field.keys for field in FIELDS if field.name == "ServiceTier")
    tier = next((str(attributes[key]).lower() for key in keys if attributes.get(key)), "")
    return "" if tier in STANDARD_TIERS else tier

"""What a price depends on beside the model, as one text: the service tier, then whatever else was chosen.

`batch+fast+us` is a batch, of the fast mode, in the United States. The standard of each has no word.
"""

from __future__ import annotations

from typing import Final

from opentelemetry.util.types import AttributeValue

from llmtrace import semconv

from .format import Json

FAST: Final = "fast"
REGIONAL: Final = "regional"
"""Run in a region, or in several, of one's choice, where anywhere costs less."""
BATCH: Final = "batch"
_MODIFIERS: Final = frozenset({FAST, REGIONAL, "us"})
_STANDARD: Final = frozenset({"", "auto", "default", "standard", "standard_only", "on_demand"})


def put_price_tier(attributes: dict[str, AttributeValue], tier: Json, *modifiers: str) -> None:
    """Set what decides the price where modifiers (empty ones are left out) make it another than `tier`."""
    words = [word for word in modifiers if word]
    if words:
        name = tier.lower() if isinstance(tier, str) else ""
        attributes[semconv.RESPONSE_SERVICE_TIER] = "+".join(
            [name, *words] if name not in _STANDARD else words
        )


def batch_tier(tier: Json) -> str:
    """The price tier of a result of a batch whose answer says `tier`: what it was run at is the batch's."""
    words = tier.split("+") if isinstance(tier, str) else []
    return "+".join([BATCH, *(word for word in words if word in _MODIFIERS)])

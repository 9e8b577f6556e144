"""Prices as people write them: USD per million tokens, per request and per search."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, create_model

from llmtrace.common.providers import canonical

from .charges import BUCKETS, Bucket
from .currencies import CODE, USD

#: A provider as people write it, by its one name: calls are stored under that.
ProviderName = Annotated[str, AfterValidator(lambda name: canonical(name) or name)]

#: Bucket of `charges.BUCKETS` → the field of its price.
FIELDS: Mapping[str, str] = MappingProxyType({bucket.name: bucket.setting for bucket in BUCKETS})

_LABELS = {bucket.name: bucket.label for bucket in BUCKETS}


def _field(bucket: Bucket) -> tuple[Any, Any]:
    """The type and the description of a bucket's price."""
    text = f"USD per {bucket.priced_unit}: {bucket.label}" if bucket.unit != "request" else "USD per request"
    if bucket.unit == "token" and not bucket.otherwise and not bucket.alone:
        return float, Field(ge=0, description=f"{text}.")
    default = f"the price of {_LABELS[bucket.otherwise[0]]}" if bucket.otherwise else "none"
    return float | None, Field(default=None, ge=0, description=f"{text}; default: {default}.")


if TYPE_CHECKING:
    _BucketPrices = BaseModel
else:
    _BucketPrices = create_model("_BucketPrices", **{bucket.setting: _field(bucket) for bucket in BUCKETS})


class UnitPrices(_BucketPrices):
    """The prices of one model. What is not given costs what the more general kind of token costs."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    service_tier: str = Field(
        default="", max_length=64, description="Only calls of this tier (batch, flex, priority); empty: all."
    )
    currency: str = Field(
        default=USD,
        pattern=CODE,
        description="Currency of the prices, as ISO 4217 has it; another than USD needs an exchange rate.",
    )

    def per_unit(self) -> dict[str, float]:
        """Prices of a unit (token, request, second, …) in `currency`, by the names of `charges.BUCKETS`."""
        prices: dict[str, float] = {}
        for bucket in BUCKETS:
            value = getattr(self, bucket.setting)
            if value is not None:
                prices[bucket.name] = value / bucket.per
        return prices

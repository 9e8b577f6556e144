"""Prices as people write them: USD per million tokens, per request and per search."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from pydantic import BaseModel, ConfigDict, Field

_MILLION = 1e6


class UnitPrices(BaseModel):
    """The prices of one model. What is not given costs what the more general kind of token costs."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    input_per_million: float = Field(ge=0, description="USD per million input tokens.")
    output_per_million: float = Field(ge=0, description="USD per million output tokens.")
    cache_read_per_million: float | None = Field(
        default=None, ge=0, description="USD per million input tokens read from cache; default: input price."
    )
    cache_write_per_million: float | None = Field(
        default=None, ge=0, description="USD per million input tokens written to cache; default: input price."
    )
    cache_write_1h_per_million: float | None = Field(
        default=None, ge=0, description="… kept for an hour; default: the price of other cache writes."
    )
    reasoning_per_million: float | None = Field(
        default=None, ge=0, description="USD per million reasoning tokens; default: output price."
    )
    audio_input_per_million: float | None = Field(
        default=None, ge=0, description="USD per million audio tokens in; default: input price."
    )
    image_input_per_million: float | None = Field(
        default=None, ge=0, description="USD per million image tokens in; default: input price."
    )
    cache_read_audio_per_million: float | None = Field(
        default=None, ge=0, description="USD per million cached audio tokens; default: that of cache reads."
    )
    cache_read_image_per_million: float | None = Field(
        default=None, ge=0, description="USD per million cached image tokens; default: that of cache reads."
    )
    audio_output_per_million: float | None = Field(
        default=None, ge=0, description="USD per million audio tokens out; default: output price."
    )
    image_output_per_million: float | None = Field(
        default=None, ge=0, description="USD per million image tokens out; default: output price."
    )
    per_request: float | None = Field(default=None, ge=0, description="USD per request; default: none.")
    per_web_search: float | None = Field(
        default=None, ge=0, description="USD per web search that a call made; default: none."
    )
    per_file_search: float | None = Field(
        default=None, ge=0, description="USD per file search that a call made; default: none."
    )
    service_tier: str = Field(
        default="", max_length=64, description="Only calls of this tier (batch, flex, priority); empty: all."
    )

    def per_unit(self) -> dict[str, float]:
        """USD per token, request or search, by the names of `charges.BUCKETS`."""
        prices: dict[str, float] = {}
        for name, field in FIELDS.items():
            value = getattr(self, field)
            if value is not None:
                prices[name] = value / (_MILLION if field.endswith("_per_million") else 1.0)
        return prices


#: Bucket of `charges.BUCKETS` → the field of its price.
FIELDS: Mapping[str, str] = MappingProxyType(
    {
        "Input": "input_per_million",
        "CacheRead": "cache_read_per_million",
        "CacheWrite": "cache_write_per_million",
        "CacheWrite1h": "cache_write_1h_per_million",
        "AudioInput": "audio_input_per_million",
        "ImageInput": "image_input_per_million",
        "CacheReadAudio": "cache_read_audio_per_million",
        "CacheReadImage": "cache_read_image_per_million",
        "Output": "output_per_million",
        "Reasoning": "reasoning_per_million",
        "AudioOutput": "audio_output_per_million",
        "ImageOutput": "image_output_per_million",
        "Request": "per_request",
        "WebSearch": "per_web_search",
        "FileSearch": "per_file_search",
    }
)

"""Anthropic: the console's usage export; its input is reported without cached tokens."""

from __future__ import annotations

from .columns import Export

EXPORT = Export(
    name="Anthropic",
    day=("usage_date_utc", "date"),
    model=("model_version", "model"),
    tokens={
        "input_tokens": ("usage_input_tokens_no_cache",),
        "cache_read_tokens": ("usage_input_tokens_cache_read",),
        "cache_write_tokens": (
            "usage_input_tokens_cache_write_5m",
            "usage_input_tokens_cache_write_1h",
        ),
        "output_tokens": ("usage_output_tokens",),
    },
    cost=("cost_usd",),
    adds_up=True,
)

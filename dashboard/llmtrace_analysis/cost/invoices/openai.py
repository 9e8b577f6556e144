"""OpenAI: the usage page's export of completions, and the API of the same name written out as CSV."""

from __future__ import annotations

from .columns import Export

EXPORT = Export(
    name="OpenAI",
    day=("start_time_iso", "start_time", "date"),
    model=("model",),
    tokens={
        "input_tokens": ("input_tokens",),
        "cache_read_tokens": ("input_cached_tokens",),
        "output_tokens": ("output_tokens",),
    },
    requests=("num_model_requests",),
    cost=("amount_value", "cost"),
)

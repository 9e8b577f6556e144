"""OpenRouter: the activity page's export, a row per request or per day, and the answers of the activity API.

Costs are what credits paid and what one's own keys of providers were billed (BYOK), both in USD.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .billed import UnreadableExport
from .columns import Export

EXPORT = Export(
    name="OpenRouter",
    day=("date", "created_at"),
    model=("model_permaslug", "model"),
    key=("api_key_hash", "api_key_name", "api_key"),
    key_name=("api_key_name",),
    tokens={
        "input_tokens": ("prompt_tokens", "tokens_prompt"),
        "cache_read_tokens": ("tokens_cached",),
        "output_tokens": ("completion_tokens", "tokens_completion"),
    },
    requests=("requests",),
    request_id=("generation_id",),
    cost=("usage", "cost_total"),
    cost_besides=("byok_usage_inference",),
)


def rows(page: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Rows of usage in an answer of `/api/v1/activity`. `api_key_hash` is that of the request, where it was
    asked for one key. Raises UnreadableExport."""
    for item in page.get("data", ()):
        if not isinstance(item, Mapping) or "date" not in item:
            raise UnreadableExport("this is no answer of OpenRouter's activity API: a row has no date")
        yield {
            "day": str(item["date"])[:10],
            "key": item.get("api_key_hash") or page.get("api_key_hash"),
            "model": item.get("model_permaslug") or item.get("model") or "unnamed model",
            "input_tokens": item.get("prompt_tokens"),
            "output_tokens": item.get("completion_tokens"),
            "requests": item.get("requests"),
            "cost": (item.get("usage") or 0) + (item.get("byok_usage_inference") or 0),
        }

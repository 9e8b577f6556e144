"""OpenAI: the usage page's export of completions, the API of the same name written out as CSV, and the
answers of the usage and costs APIs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .billed import StatedCost, UnreadableExport, day_of
from .columns import Export

EXPORT = Export(
    name="OpenAI",
    day=("start_time_iso", "start_time", "date"),
    model=("model",),
    key=("api_key_id", "api_key_name", "api_key"),
    key_name=("api_key_name",),
    tier=("batch", "service_tier"),
    tiers={"^true$|batch": "batch", "flex": "flex", "priority": "priority"},
    tokens={
        "input_tokens": ("input_tokens",),
        "cache_read_tokens": ("input_cached_tokens",),
        "output_tokens": ("output_tokens",),
    },
    requests=("num_model_requests",),
    cost=("amount_value", "cost"),
)

#: What the second half of a line item of costs is for: `gpt-4o-2024-08-06, cached input`.
_KINDS = {"input": "fresh_tokens", "cached input": "cache_read_tokens", "output": "output_tokens"}
_COSTS = "organization.costs.result"


def rows(page: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Rows of usage in an answer of `/v1/organization/usage/…`. Raises UnreadableExport."""
    for day, result in _results(page):
        if result.get("object") == _COSTS or "amount" in result:
            continue
        tier = "batch" if result.get("batch") else str(result.get("service_tier") or "")
        yield {
            "day": day,
            "key": result.get("api_key_id"),
            "project": result.get("project_id"),
            "model": result.get("model") or "unnamed model",
            "tier": "" if tier == "default" else tier,
            "input_tokens": result.get("input_tokens"),
            "cache_read_tokens": result.get("input_cached_tokens"),
            "cache_write_tokens": result.get("input_cache_write_tokens"),
            "output_tokens": result.get("output_tokens"),
            "requests": result.get("num_model_requests"),
        }


def costs(page: Mapping[str, Any]) -> Iterator[StatedCost]:
    """What an answer of `/v1/organization/costs` states. Raises UnreadableExport."""
    for day, result in _results(page):
        amount = result.get("amount")
        if not isinstance(amount, Mapping):
            continue
        item = str(result.get("line_item") or "")
        model, _, kind = item.partition(", ")
        whose = {"key": result.get("api_key_id"), "project": result.get("project_id")}
        of = {column: str(text) for column, text in whose.items() if text}
        if item:
            of["model"] = model
        cost = float(amount.get("value") or 0)
        yield StatedCost(day, item or "all line items", cost, of, _KINDS.get(kind, ""))


def _results(page: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for bucket in page.get("data", ()):
        if not isinstance(bucket, Mapping) or "start_time" not in bucket:
            raise UnreadableExport("this is no answer of OpenAI's usage API: a bucket has no start_time")
        for result in bucket.get("results") or bucket.get("result") or ():
            yield day_of(bucket["start_time"]), result

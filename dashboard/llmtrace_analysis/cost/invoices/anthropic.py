"""Anthropic: the console's usage export, and the answers of the usage and cost reports; their input is
reported without cached tokens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .billed import StatedCost, UnreadableExport, day_of
from .columns import Export

EXPORT = Export(
    name="Anthropic",
    day=("usage_date_utc", "date"),
    model=("model_version", "model"),
    key=("api_key_id", "api_key"),
    key_name=("api_key",),
    tier=("usage_type", "service_tier"),
    tiers={"batch": "batch", "priority": "priority"},
    tokens={
        "input_tokens": ("usage_input_tokens_no_cache",),
        "cache_read_tokens": ("usage_input_tokens_cache_read",),
        "cache_write_tokens": (
            "usage_input_tokens_cache_write_5m",
            "usage_input_tokens_cache_write_1h",
        ),
        "cache_write_1h_tokens": ("usage_input_tokens_cache_write_1h",),
        "output_tokens": ("usage_output_tokens",),
    },
    cost=("cost_usd",),
    adds_up=True,
)

#: Kind of token of a cost → the column by which it is shared out.
_KINDS = {
    "uncached_input_tokens": "fresh_tokens",
    "output_tokens": "output_tokens",
    "cache_read_input_tokens": "cache_read_tokens",
    "cache_creation.ephemeral_5m_input_tokens": "cache_write_tokens",
    "cache_creation.ephemeral_1h_input_tokens": "cache_write_1h_tokens",
}
_USUAL = "standard"


def rows(page: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Rows of usage in an answer of `usage_report/messages`. Raises UnreadableExport."""
    for day, result in _results(page):
        if "uncached_input_tokens" not in result:
            continue
        written = result.get("cache_creation") or {}
        hour_writes = written.get("ephemeral_1h_input_tokens") or 0
        cache_writes = hour_writes + (written.get("ephemeral_5m_input_tokens") or 0)
        cache_reads = result.get("cache_read_input_tokens") or 0
        tier = result.get("service_tier")
        yield {
            "day": day,
            "key": result.get("api_key_id"),
            "project": result.get("workspace_id"),
            "model": result.get("model") or "unnamed model",
            "tier": "" if tier == _USUAL else tier,
            "input_tokens": (result["uncached_input_tokens"] or 0) + cache_reads + cache_writes,
            "cache_read_tokens": cache_reads,
            "cache_write_tokens": cache_writes,
            "cache_write_1h_tokens": hour_writes,
            "output_tokens": result.get("output_tokens"),
        }


def costs(page: Mapping[str, Any]) -> Iterator[StatedCost]:
    """What an answer of `cost_report` states, in cents there. Raises UnreadableExport."""
    for day, result in _results(page):
        if "amount" not in result:
            continue
        of = {"project": str(result.get("workspace_id") or "")}
        if model := result.get("model"):
            of["model"] = str(model)
        if tier := result.get("service_tier"):
            of["tier"] = "" if tier == _USUAL else str(tier)
        item = result.get("description") or result.get("cost_type") or "all costs"
        kind = _KINDS.get(str(result.get("token_type")), "")
        yield StatedCost(day, str(item), float(result["amount"]) / 100, of, kind)


def _results(page: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for bucket in page.get("data", ()):
        if not isinstance(bucket, Mapping) or "starting_at" not in bucket:
            raise UnreadableExport("this is no answer of Anthropic's reports: a bucket has no starting_at")
        for result in bucket.get("results", ()):
            yield day_of(bucket["starting_at"]), result

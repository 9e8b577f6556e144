"""Why a stored call may differ from what the public list reads of its answer, each by its evidence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llmtrace_collector.pricing.premiums import is_reserved
from tests.sdk.naive import Recording

from .evidence import Evidence

#: Ends of paths whose answers state tokens although no call of a model is billed by them.
_OTHER_PATHS = {
    "cachedContents": "makes a cache, which is billed by the hour: not a call of a model",
    "transcriptions": "audio endpoints are not captured",
}


def of_missing(recording: Recording, rows: Sequence[Any]) -> str:
    """Why an answer that states tokens is no call; empty where there is no reason."""
    if any(row["Operation"] == "fetch_response" for row in rows):
        return "an answer that is fetched again counts once, where it was made"
    return _OTHER_PATHS.get(recording.path.rpartition("/")[2], "")


def of_price(stated: Evidence, row: Any, listed: float | None) -> str:
    """Why a call costs something else than by the list's reading of its answer; empty without a reason."""
    usage = stated.usage
    kinds = {turn.get("type") for turn in usage.get("iterations") or [] if isinstance(turn, dict)}
    details = usage.get("prompt_tokens_details") or {}
    reasons = {
        "the list has the model without a price: unpriced, not free": row["ComputedCost"] is None
        and listed == 0,
        "the list leaves out what compacting took": "compaction" in kinds,
        "the list does not read Mistral's num_cached_tokens": bool(usage.get("num_cached_tokens"))
        and "cached_tokens" not in details,
        "the list leaves out reasoning that the total alone tells of": _rest(usage) > 0,
        "a premium that the list has in words alone": " × " in row["PriceSource"],
        "capacity that is paid anyway": is_reserved(row["Provider"], row["ServiceTier"]),
        "cached audio, images or video that nobody told of": row["UsageFault"] == ""
        and listed is None
        and row["CacheReadTokens"] > 0,
        "counts that contradict each other are taken as far as they fit": row["UsageFault"] != "",
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def _rest(usage: Any) -> int:
    total, parts = usage.get("total_tokens"), [usage.get("prompt_tokens"), usage.get("completion_tokens")]
    if not all(isinstance(count, int) for count in [total, *parts]):
        return 0
    return int(total - sum(parts))

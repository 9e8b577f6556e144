"""What a tier costs beside the list: premiums that the list has in words alone, and capacity paid for anyway.

A tier is the service tier with whatever else decides the price, joined by `+` (`batch+us`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

#: Tiers that answer from capacity which is paid whether used or not: a fixed line, never by the token.
RESERVED_TIERS = frozenset({"provisioned_throughput", "provisioned", "reserved", "scale"})

#: Who sells by the token, whatever capacity of others it answers from and tells of.
_RESELLERS = frozenset({"openrouter", "vercel"})


@dataclass(frozen=True)
class _Premium:
    """Tokens of every kind cost `factor` times what the list has."""

    provider: str
    word: str
    factor: float
    why: str
    of_model: Callable[[str], bool]


def _has_global_price(model: str) -> bool:
    """Whether the list's price of a Claude model on Vertex AI is that of the global endpoint alone: later
    models have such."""
    return model.startswith("claude-") and not model.startswith(("claude-3", "claude-4-"))


_PREMIUMS = (
    # https://platform.claude.com/docs/en/about-claude/pricing: all kinds of tokens, not searches.
    _Premium("anthropic", "us", 1.1, "inference in the United States", lambda model: True),
    # https://cloud.google.com/vertex-ai/generative-ai/pricing: regional and multi-regional endpoints.
    _Premium("google", "regional", 1.1, "a regional endpoint", _has_global_price),
)


def premium(provider: str, model: str, tier: str) -> tuple[float, str]:
    """By how much the list's prices of tokens are multiplied, and why; names are the list's."""
    words = tier.split("+")
    for rule in _PREMIUMS:
        if rule.provider == provider and rule.word in words and rule.of_model(model):
            return rule.factor, rule.why
    return 1.0, ""


def is_reserved(provider: str, tier: str) -> bool:
    """Whether calls of this tier are paid by a fixed line."""
    return provider not in _RESELLERS and not RESERVED_TIERS.isdisjoint(tier.split("+"))

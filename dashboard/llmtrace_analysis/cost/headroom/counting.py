"""How each provider counts against its limits: one table, with reasons. Without a row all tokens count."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from llmtrace import semconv
from llmtrace_analysis.cost.invoices.billed import plain_name

#: Seconds of the window in which limits are given.
MINUTE: Final = 60
#: Seconds of the shorter window in which requests are counted too, and of the buckets that are read.
BUCKET: Final = 10


@dataclass(frozen=True)
class Counting:
    """What of a call counts, as its provider documents it (as of 2026-11).

    cached: whether input that was read from a cache counts. output_weight: what a token of output counts for
    in tokens a minute. by_address: whether limits are an address's (an Azure resource), whoever calls;
    otherwise an account's. short_window: whether requests are held to a sixth of the minute's in ten seconds.
    """

    cached: bool = True
    output_weight: float = 1.0
    by_address: bool = False
    short_window: bool = False
    reason: str = "nothing is documented: all tokens count"


COUNTINGS: Final[Mapping[str, Counting]] = MappingProxyType(
    {
        "openai": Counting(
            short_window=True,
            reason="cached input counts; limits may be held in shorter windows (platform docs, rate limits)",
        ),
        "azure.ai.openai": Counting(
            by_address=True,
            short_window=True,
            reason="a deployment of a resource has its limit, whatever key calls; tokens are those of the "
            "prompt, cached or not, and the most that may come, at arrival; requests are held over 1 or 10 "
            "seconds (Azure docs, manage quota)",
        ),
        "anthropic": Counting(
            cached=False,
            short_window=True,
            reason="cache reads are free of the input limit on all but old models, cache writes count; a "
            "token bucket refills without pause (Claude docs, rate limits)",
        ),
        semconv.PROVIDER_AWS_BEDROCK: Counting(
            cached=False,
            reason="cache reads are free of the quota, cache writes count; output of newer Claude models "
            "counts five times (Bedrock docs, token burndown)",
        ),
        "gcp.gemini": Counting(
            output_weight=0.0, reason="tokens a minute are those of input (Gemini docs, rate limits)"
        ),
        "groq": Counting(cached=False, reason="cached tokens are free of limits (Groq docs, prompt caching)"),
    }
)

#: Claude models whose cache reads count all the same (marked in Anthropic's table of limits).
_CACHED_COUNTS: Final = ("claude-3-haiku", "claude-3-5-haiku", "claude-3-opus")
#: Models on Bedrock whose output counts for one: those before Claude 3.7.
_BEFORE_BURNDOWN: Final = (
    "claude-3-haiku",
    "claude-3-opus",
    "claude-3-sonnet",
    "claude-3-5",
    "claude-v2",
    "claude-instant",
)
_BURNDOWN: Final = 5.0


def counting(provider: str, model: str) -> Counting:
    """How calls of a model count at a provider."""
    rule = COUNTINGS.get(provider, Counting())
    if provider == "anthropic" and any(name in model for name in _CACHED_COUNTS):
        return Counting(True, rule.output_weight, rule.by_address, rule.short_window, rule.reason)
    if provider == semconv.PROVIDER_AWS_BEDROCK and "claude" in model:
        weight = 1.0 if any(name in model for name in _BEFORE_BURNDOWN) else _BURNDOWN
        return Counting(rule.cached, weight, rule.by_address, rule.short_window, rule.reason)
    return rule


@dataclass(frozen=True)
class UnitRate:
    """What a unit of provisioned throughput (PTU) serves: input tokens a minute, and how many of them a token
    of output counts for. Cached input is free of it."""

    tokens_per_minute: float
    output_weight: float


#: Azure's table of provisioned throughput (docs, how much throughput per PTU you get, 2025): from GPT-4.1 on
#: output weighs as its price does (4), before that 3 as documented for GPT-4o. Models that it has not are
#: unknown here, and configured.
UNIT_RATES: Final[Mapping[str, UnitRate]] = MappingProxyType(
    {
        "gpt-4.1": UnitRate(3_000, 4),
        "gpt-4.1-mini": UnitRate(14_900, 4),
        "gpt-4.1-nano": UnitRate(59_400, 4),
        "gpt-4o": UnitRate(2_500, 3),
        "gpt-4o-mini": UnitRate(37_000, 3),
    }
)


def unit_rate(model: str) -> UnitRate | None:
    """What a unit serves of a model; None where Azure's table does not say."""
    return UNIT_RATES.get(plain_name(model))

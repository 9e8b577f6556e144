"""What gateways and our inference service say of their caches of whole answers, in response headers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from opentelemetry.util.types import AttributeValue

from llmtrace import semconv

#: Header → the cache that says in it what became of a look-up.
_RESULTS: Final = {
    "x-llmtrace-cache": "llmtrace",
    "cf-aig-cache-status": "cloudflare",
    "helicone-cache": "helicone",
    "x-portkey-cache-status": "portkey",
    "x-litellm-cache-hit": "litellm",
    "x-openrouter-cache-status": "openrouter",
}
#: Their words; others (DISABLED, BYPASS, REFRESH) say that nothing was looked up.
_WORDS: Final = {
    "hit": semconv.CACHE_HIT,
    "true": semconv.CACHE_HIT,
    "semantic": semconv.CACHE_SEMANTIC,
    "semantic hit": semconv.CACHE_SEMANTIC,
    "miss": semconv.CACHE_MISS,
    "false": semconv.CACHE_MISS,
    "semantic miss": semconv.CACHE_MISS,
}
#: LiteLLM names the entry where it answered from it; releases without the header above say no more.
_LITELLM_KEY: Final = "x-litellm-cache-key"
#: How long the model took when the answer was made, in milliseconds (Helicone).
_LATENCY: Final = "helicone-cache-latency"
#: The id of the answer that was kept (OpenRouter).
_SOURCE: Final = "x-openrouter-cache-source-id"


def cache_attributes(headers: Mapping[str, str]) -> dict[str, AttributeValue]:
    """The cache that was asked, what it said, and what it says of the answer; nothing where none was asked.

    headers: names in lower case.
    """
    words = ((name, _WORDS.get(headers.get(header, "").strip().lower())) for header, name in _RESULTS.items())
    cache, result = next(((name, word) for name, word in words if word is not None), ("", ""))
    if not cache and headers.get(_LITELLM_KEY):
        cache, result = "litellm", semconv.CACHE_HIT
    if not cache:
        return {}
    attributes: dict[str, AttributeValue] = {semconv.CACHE_NAME: cache, semconv.CACHE_RESULT: result}
    if result == semconv.CACHE_MISS:
        return attributes
    attributes[semconv.RESPONSE_CACHE_HIT] = True
    latency = headers.get(_LATENCY, "")
    if latency.isdecimal() and int(latency):
        attributes[semconv.CACHE_SAVED_SECONDS] = int(latency) / 1e3
    if source := headers.get(_SOURCE):
        attributes[semconv.CACHE_SOURCES] = (source,)
    return attributes


def saved_cost(stated: Mapping[str, AttributeValue]) -> dict[str, AttributeValue]:
    """What a hit's body says of cost, as what was saved: it is the body of the call that was paid.

    A 0 is the cache's own word for the hit.
    """
    cost = stated.get(semconv.USAGE_STATED_COST)
    in_usd = stated.get(semconv.USAGE_STATED_CURRENCY, "USD") == "USD"
    return {semconv.CACHE_SAVED_COST: cost} if in_usd and isinstance(cost, float) and cost > 0 else {}

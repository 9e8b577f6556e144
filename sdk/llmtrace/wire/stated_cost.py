"""What an answer says that the call cost, in any format: in its usage, or in a gateway's header.

OpenRouter's `usage.cost` is in credits, which are USD; where the caller's own key of a provider was used
(`is_byok`), it is OpenRouter's fee, and the provider bills `cost_details.upstream_inference_cost` beside it.
xAI's `usage.cost_in_usd_ticks` counts 10⁻¹⁰ USD. Perplexity's `usage.cost` is an object with `total_cost`
and, in newer APIs, `currency`. LiteLLM computes a cost, in the header `x-litellm-response-cost` and for
streams, whose headers come too early, in `usage.cost`. Other gateways have a plain `usage.cost` as well.

Nothing is judged here: a cost that can be none is refused by the collector, where all emitters' costs are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from opentelemetry.util.types import AttributeValue

from llmtrace import semconv

from .format import Json, mapping, word

_TICKS: Final = 1e10
_LITELLM_HEADER: Final = "x-litellm-response-cost"
_OF_LITELLM: Final = "x-litellm-"


def stated_cost(
    body: Json, headers: Mapping[str, str], provider: AttributeValue | None
) -> dict[str, AttributeValue]:
    """The cost as attributes, with who states it; none where the answer states no cost.

    body: the decoded (or folded) response. headers: of the response, by lower-case name. provider: who was
    called, as far as known.
    """
    usage = mapping(mapping(body).get("usage"))
    cost = usage.get("cost")
    if (ticks := _number(usage.get("cost_in_usd_ticks"))) is not None:
        return _attributes(ticks / _TICKS, semconv.STATED_BY_XAI)
    if isinstance(cost, dict):
        return _attributes(
            _number(cost.get("total_cost")), semconv.STATED_BY_PERPLEXITY, word(cost, "currency")
        )
    amount = _number(cost)
    if amount is not None:
        if provider == "openrouter" or "cost_details" in usage or "is_byok" in usage:
            upstream = _number(mapping(usage.get("cost_details")).get("upstream_inference_cost"))
            if usage.get("is_byok") is True and upstream is not None:
                amount += upstream
            return _attributes(amount, semconv.STATED_BY_OPENROUTER)
        litellm = any(name.startswith(_OF_LITELLM) for name in headers)
        return _attributes(amount, semconv.STATED_BY_LITELLM if litellm else semconv.STATED_BY_GATEWAY)
    return _attributes(_number(headers.get(_LITELLM_HEADER)), semconv.STATED_BY_LITELLM)


def _attributes(cost: float | None, by: str, currency: str = "") -> dict[str, AttributeValue]:
    if cost is None:
        return {}
    attributes: dict[str, AttributeValue] = {
        semconv.USAGE_STATED_COST: cost,
        semconv.USAGE_STATED_BY: by,
    }
    if currency:
        attributes[semconv.USAGE_STATED_CURRENCY] = currency
    return attributes


def _number(value: Json) -> float | None:
    """A number, or the text of one, which is how some gateways write decimals."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None

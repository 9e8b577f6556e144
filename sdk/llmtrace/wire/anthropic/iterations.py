"""Usage of an Anthropic message by its iterations: whose tokens they are, the call's or another model's.

A message may take several iterations. Its totals leave out those of an advisor, which is another model, and
those that compact the conversation. Where a model declined and another answered, they may hold both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from opentelemetry.util.types import AttributeValue

from llmtrace import semconv
from llmtrace.wire.format import InnerCall, Json, items, mapping, put_sum, word

_COUNTS: Final = (
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
)


def put_tokens(attributes: dict[str, AttributeValue], usages: Sequence[Any]) -> None:
    """The tokens of several usages together. The convention's input includes what was read from and written
    to the cache; Anthropic's does not."""
    cache_reads = [counts.get("cache_read_input_tokens") for counts in usages]
    cache_writes = [counts.get("cache_creation_input_tokens") for counts in usages]
    uncached = [counts.get("input_tokens") for counts in usages]
    put_sum(attributes, semconv.USAGE_INPUT_TOKENS, *uncached, *cache_reads, *cache_writes)
    put_sum(attributes, semconv.USAGE_OUTPUT_TOKENS, *(counts.get("output_tokens") for counts in usages))
    put_sum(attributes, semconv.USAGE_CACHE_READ_INPUT_TOKENS, *cache_reads)
    put_sum(attributes, semconv.USAGE_CACHE_WRITE_INPUT_TOKENS, *cache_writes)
    ages = [mapping(counts.get("cache_creation")) for counts in usages]
    for key, name in (
        (semconv.USAGE_CACHE_WRITE_5M, "ephemeral_5m_input_tokens"),
        (semconv.USAGE_CACHE_WRITE_1H, "ephemeral_1h_input_tokens"),
    ):
        put_sum(attributes, key, *(age.get(name) for age in ages))


def of_the_call(usage: Any) -> list[Any]:
    """The usages that are the call's own: its totals, or where these hold those of models that declined, the
    turns of the one that answered; and what compacting took."""
    compactions = [iteration for iteration in _iterations(usage) if iteration.get("type") == "compaction"]
    declined = _declined(usage)
    if not declined:
        return [usage, *compactions]
    return [*(turn for turn in _turns(usage) if turn not in declined), *compactions]


def inner_calls(usage: Any) -> list[InnerCall]:
    """One record for each time that another model was asked: an advisor, or one that declined to answer."""
    advised = [turn for turn in _iterations(usage) if turn.get("type") == "advisor_message"]
    turns = [*(("advisor", turn) for turn in advised), *(("declined", turn) for turn in _declined(usage))]
    return [InnerCall(kind, "chat", _attributes(turn)) for kind, turn in turns]


def fallback_model(usage: Any) -> Json:
    """The model that answered in place of the one that was asked for; None where that one did."""
    answers = [turn for turn in _iterations(usage) if turn.get("type") == "fallback_message"]
    return answers[-1].get("model") if answers else None


def _iterations(usage: Any) -> list[Any]:
    return [mapping(iteration) for iteration in items(usage.get("iterations"))]


def _turns(usage: Any) -> list[Any]:
    return [turn for turn in _iterations(usage) if word(turn, "type") in {"message", "fallback_message"}]


def _declined(usage: Any) -> list[Any]:
    """Turns of models that declined, where the totals hold their tokens too."""
    answering = fallback_model(usage)
    turns = _turns(usage)
    others = [turn for turn in turns if answering and turn.get("model") not in (None, answering)]
    if not others or any(_sum(turns, count) != _sum([usage], count) for count in _COUNTS):
        return []
    return others


def _sum(usages: Sequence[Any], count: str) -> int:
    counts = (usage.get(count) for usage in usages)
    return sum(value for value in counts if type(value) is int)


def _attributes(turn: Any) -> dict[str, AttributeValue]:
    attributes: dict[str, AttributeValue] = {}
    model = turn.get("model")
    if isinstance(model, str):
        attributes[semconv.REQUEST_MODEL] = attributes[semconv.RESPONSE_MODEL] = model
    put_tokens(attributes, [turn])
    return attributes

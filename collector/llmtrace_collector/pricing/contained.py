"""Counts that fit into what they are parts of: a part never costs more than the whole that was told.

What a call told may contradict itself: cached tokens of another base than the input's, a cache counted twice.
The span keeps the numbers as they came and `UsageFault` marks it; usage and cost take of a part what its
whole can hold.

A token of input is fresh, read from the cache or written to it; and it is text, audio, image or video. What
was read and was audio is told for itself (an overlap). What nobody told was cached cannot be fresh where the
cache has taken the room: then the cache's price holds for it. Tokens of output are of one kind each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from llmtrace_collector.attributes.counts import COUNTS
from llmtrace_collector.attributes.field import Price

_PRICES: Mapping[str, Price] = {field.name: field.price for field in COUNTS if field.price}

_INPUT, _READ, _WRITTEN = "InputTokens", "CacheReadTokens", "CacheWriteTokens"

#: Kinds of input (audio, …), each with the count of what of it was read from the cache.
_KINDS: Mapping[str, str] = {
    kind: overlap
    for overlap, price in _PRICES.items()
    if len(price.part_of) > 1
    for kind in price.part_of
    if kind != _READ
}


def contained(reported: Callable[[str], str]) -> Mapping[str, str]:
    """Name of a count → SQL of it within its wholes, where `reported` gives the SQL of a count as it came.

    Of parts that exclude each other the earlier in the table has what there is first.
    """
    held = {name: reported(name) for name, price in _PRICES.items() if not price.part_of}
    held[_READ] = _least(reported(_READ), held[_INPUT])
    held[_WRITTEN] = _least(reported(_WRITTEN), _less(held[_INPUT], [reported(_READ)]))
    held |= _kinds(held, reported)
    for name, price in _PRICES.items():
        if name not in held:
            (whole,) = price.part_of
            held[name] = _least(
                reported(name), _less(held[whole], [reported(other) for other in _earlier(name)])
            )
    return {field.name: held[field.name] for field in COUNTS}


def _kinds(held: Mapping[str, str], reported: Callable[[str], str]) -> dict[str, str]:
    """The kinds of input and what of them was read: no more fresh tokens than the cache leaves, no more read
    ones than it has. Both are bounded by what is told before them, not by what that was bounded to."""
    room = _less(held[_INPUT], [reported(_READ), reported(_WRITTEN)])
    kinds: dict[str, str] = {}
    fresh_before: list[str] = []
    read_before: list[str] = []
    for kind, overlap in _KINDS.items():
        fresh = _less(reported(kind), [reported(overlap)])
        read = _least(_least(reported(overlap), reported(kind)), _less(held[_READ], read_before))
        kinds[overlap] = read
        kinds[kind] = f"({_least(fresh, _less(room, fresh_before))} + {read})"
        fresh_before.append(fresh)
        read_before.append(reported(overlap))
    return kinds


def _earlier(name: str) -> list[str]:
    """Parts of the same whole that come first."""
    names = list(_PRICES)
    return [other for other in names[: names.index(name)] if _PRICES[other].part_of == _PRICES[name].part_of]


def _least(amount: str, limit: str) -> str:
    return f"least({amount}, {limit})"


def _less(amount: str, others: Sequence[str]) -> str:
    """The difference of what is never negative, 0 where it were."""
    if not others:
        return amount
    less = " + ".join(others)
    return f"toUInt64(greatest({amount}, {less}) - ({less}))"

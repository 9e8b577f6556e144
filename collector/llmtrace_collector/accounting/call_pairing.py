"""Which spans of different instrumentations are one call, where only one pairing is possible.

Two calls may look alike: equal requests at once have equal models, figures and answers. So spans that could
be one call are taken together with all that they could be paired with, and merged only where both
instrumentations have equally many of them and exactly one complete pairing exists. Stronger evidence (ids,
then parents, then answers) is asked first and may decide what times alone leave open.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import gcd

from llmtrace_collector.attributes.evidence import ANSWER, RESPONSE_ID, TIME

from .call_evidence import Comparison, compare
from .stored_call import StoredCall

#: Spans at once that could be the same call; where there are more, nobody could tell them apart.
_CROWD = 64

#: What a pairing goes by, the strongest first.
_RANKS = (RESPONSE_ID, ANSWER, TIME)


@dataclass(frozen=True, eq=False)
class CallPair:
    """Two spans that could be one call."""

    first: StoredCall
    second: StoredCall
    comparison: Comparison

    @property
    def evidence(self) -> tuple[str, ...]:
        """The rules that speak for it."""
        return self.comparison.speaks_for


@dataclass(frozen=True)
class Pairing:
    """Pairs that are one call, and sets in which nothing was merged."""

    pairs: tuple[CallPair, ...]
    ambiguous: tuple[tuple[CallPair, ...], ...]


def candidates(calls: Sequence[StoredCall], accepts: Callable[[Comparison], bool]) -> list[CallPair]:
    """Pairs of spans of different scopes that overlap, share a key and are accepted; see `_keys`."""
    buckets: dict[tuple[object, ...], list[StoredCall]] = defaultdict(list)
    for call in calls:
        for key in _keys(call):
            buckets[call.project, *key].append(call)
    pairs: dict[tuple[int, int], CallPair] = {}
    compared: set[tuple[int, int]] = set()
    for bucket in buckets.values():
        if len({call.scope for call in bucket}) < 2:
            continue
        for first, second in overlapping(bucket):
            place = (id(first), id(second)) if id(first) < id(second) else (id(second), id(first))
            if place in compared:
                continue
            compared.add(place)
            comparison = compare(first, second)
            if accepts(comparison):
                pairs[place] = CallPair(first, second, comparison)
    return list(pairs.values())


def _keys(call: StoredCall) -> Iterator[tuple[object, ...]]:
    """What two spans of one call have in common, one of them at least."""
    if call.response:
        yield "response", call.response
    if call.failed:
        yield "failed", call.operation == "embeddings"
    elif call.tokens is not None:
        yield "tokens", *_ratio(call.input_tokens or 0, call.output_tokens or 0)
        if call.cached_tokens:
            yield "tokens", *_ratio((call.input_tokens or 0) + call.cached_tokens, call.output_tokens or 0)
    if call.answered:
        yield "answer", call.answered


def _ratio(input_tokens: int, output_tokens: int) -> tuple[int, int]:
    """The same for figures and for a multiple of both, which tracers make of answers with several choices."""
    divisor = gcd(input_tokens, output_tokens) if input_tokens and output_tokens else 1
    return input_tokens // divisor, output_tokens // divisor


def overlapping(calls: Iterable[StoredCall]) -> Iterator[tuple[StoredCall, StoredCall]]:
    """Pairs of different scopes with common time; of a crowd the first ones."""
    active: list[StoredCall] = []
    for call in sorted(calls, key=lambda call: (call.start, call.end)):
        active = [before for before in active if before.seen_until >= call.start]
        for before in active[-_CROWD:]:
            if before.scope != call.scope:
                yield before, call
        active.append(call)


def pair_calls(pairs: Sequence[CallPair]) -> Pairing:
    """The pairs that are one call. A record has at most one span per scope."""
    merged: list[CallPair] = []
    partners: dict[int, set[str]] = defaultdict(set)
    left = list(pairs)
    for rank in _RANKS:
        strong = [pair for pair in left if pair.comparison.outcomes[rank]]
        for component in _components(strong):
            chosen = _only_pairing(component)
            for pair in chosen:
                partners[id(pair.first)].add(pair.second.scope)
                partners[id(pair.second)].add(pair.first.scope)
                merged.append(pair)
        left = [
            pair
            for pair in left
            if pair.second.scope not in partners[id(pair.first)]
            and pair.first.scope not in partners[id(pair.second)]
        ]
    return Pairing(tuple(merged), tuple(tuple(component) for component in _components(left)))


def _components(pairs: Iterable[CallPair]) -> list[list[CallPair]]:
    """Pairs of the same two scopes that hang together."""
    by_scopes: dict[tuple[str, ...], list[CallPair]] = defaultdict(list)
    for pair in pairs:
        by_scopes[tuple(sorted((pair.first.scope, pair.second.scope)))].append(pair)
    components: list[list[CallPair]] = []
    for together in by_scopes.values():
        of_call: dict[int, list[CallPair]] = defaultdict(list)
        for pair in together:
            of_call[id(pair.first)].append(pair)
            of_call[id(pair.second)].append(pair)
        seen: set[int] = set()
        for start in together:
            if id(start) in seen:
                continue
            component: list[CallPair] = []
            stack = [start]
            seen.add(id(start))
            while stack:
                pair = stack.pop()
                component.append(pair)
                for near in (*of_call[id(pair.first)], *of_call[id(pair.second)]):
                    if id(near) not in seen:
                        seen.add(id(near))
                        stack.append(near)
            components.append(component)
    return components


def _only_pairing(component: Sequence[CallPair]) -> list[CallPair]:
    """The one complete pairing of a component; empty where there is none or more than one.

    Where exactly one exists, some span has a single possible partner: both are taken out, and so on to the
    end.
    """
    scopes: dict[int, str] = {}
    of_call: dict[int, set[CallPair]] = defaultdict(set)
    for pair in component:
        for call in (pair.first, pair.second):
            scopes[id(call)] = call.scope
            of_call[id(call)].add(pair)
    sides = sorted(scopes.values())
    if sides.count(sides[0]) * 2 != len(sides):
        return []
    chosen: list[CallPair] = []
    single = [place for place, pairs in of_call.items() if len(pairs) == 1]
    while single:
        place = single.pop()
        if len(of_call[place]) != 1:
            continue
        (pair,) = of_call[place]
        chosen.append(pair)
        for end in (pair.first, pair.second):
            for gone in tuple(of_call[id(end)]):
                for other in (gone.first, gone.second):
                    of_call[id(other)].discard(gone)
                    if len(of_call[id(other)]) == 1:
                        single.append(id(other))
    return chosen if len(chosen) * 2 == len(sides) else []

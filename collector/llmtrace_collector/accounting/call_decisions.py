"""What counts of the spans that call a model: each call once, whichever spans tell of it.

- A span that arrived twice (by two exporters, or sent again in another batch) is one span.
- Spans of different instrumentations that the evidence says are one call are one record: the richest counts.
- A response of a realtime session that several processes heard is one record: who asked for it counts.
- A span that encloses other calls repeats their usage; the calls themselves are counted.
- Of a request that failed and was made again the last attempt counts as the call; see `call_retries`.

Pure functions of the spans: the order in which they arrived does not matter.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from llmtrace_collector.attributes.evidence import ENCLOSES, RESPONSE_ID, TIME

from .call_evidence import Comparison, compare
from .call_pairing import CallPair, candidates, overlapping, pair_calls
from .call_retries import attempts
from .stored_call import DUPLICATE, REPEATS, RETRY, SpanKey, StoredCall

#: Plain spans (HTTP, functions) that may stand between a span and the call it repeats.
HOPS = 3

#: What is stored of a span that counts, though others could be the same call.
AMBIGUOUS = "ambiguous"

#: The record of a span that is its own.
NOWHERE: SpanKey = ("", "", "")


@dataclass(frozen=True)
class Decision:
    """Why a span does not count ('' where it does), which record tells of its call, and what decided."""

    reason: str = ""
    record: SpanKey = NOWHERE
    evidence: tuple[str, ...] = ()
    ambiguous_with: tuple[SpanKey, ...] = ()
    """Spans that could be the same call, where nothing was merged."""

    @property
    def uncounted(self) -> str:
        """What the span's column says: what is ambiguous counts."""
        return "" if self.reason == AMBIGUOUS else self.reason


def in_question(calls: Sequence[StoredCall]) -> list[StoredCall]:
    """Calls whose texts may decide: those that could be one call by all that is known without, and those of
    which too little is known, with what they overlap.
    """
    eligible = [call for call in calls if call.eligible]
    wanted = {id(call): call for pair in candidates(eligible, _may_be) for call in (pair.first, pair.second)}
    unknown = [call for call in eligible if call.tokens is None]
    if unknown:
        unnamed = {call.project for call in eligible if call.is_unnamed}

        def process(call: StoredCall) -> tuple[str, str]:
            return call.project, "" if call.project in unnamed else call.service

        processes = {process(call) for call in unknown}
        near = [call for call in eligible if process(call) in processes]
        for first, second in overlapping(near):
            if first.tokens is None or second.tokens is None:
                wanted |= {id(first): first, id(second): second}
    return list(wanted.values())


def decide(calls: Sequence[StoredCall], links: Mapping[SpanKey, str]) -> dict[SpanKey, Decision]:
    """The decision of every eligible call, and of the attempts that a client repeated and its sender marked.

    `links` are the plain spans between calls, with the parent of each.
    """
    _link(calls, links)
    for call in calls:
        call.group = [call]
    evidence: dict[int, set[str]] = defaultdict(set)
    pairing = pair_calls(_apart_from_kin(calls))
    for pair in pairing.pairs:
        _merge(pair.first, pair.second, pair.evidence, evidence)
    _merge_enclosing(calls, evidence)
    _merge_heard_twice(calls, evidence)
    decisions: dict[SpanKey, Decision] = {}
    groups = {id(call.group): call.group for call in calls}
    repeating = _repeating(groups)
    for group in groups.values():
        eligible = [call for call in group if call.eligible]
        counting = [call for call in eligible if id(call) not in repeating]
        best = max(counting, key=_rank) if counting else None
        for call in eligible:
            if id(call) in repeating:
                inner = repeating[id(call)]
                decisions[call.key] = Decision(REPEATS, inner.key, (ENCLOSES,))
            elif call is best:
                decisions[call.key] = Decision()
            elif best is not None:
                decisions[call.key] = Decision(DUPLICATE, best.key, tuple(sorted(evidence[id(call)])))
    _note_ambiguous(pairing.ambiguous, decisions)
    for key, (last, words) in attempts(calls, _records(calls, decisions)).items():
        decisions[key] = Decision(RETRY, last.key, words)
    return decisions


def _records(calls: Sequence[StoredCall], decisions: Mapping[SpanKey, Decision]) -> dict[SpanKey, StoredCall]:
    """The span that stands for the request of each: what counts, and what a client repeated."""
    by_key = {call.key: call for call in calls}
    records: dict[SpanKey, StoredCall] = {}
    for call in calls:
        decision = decisions.get(call.key)
        if decision is None:
            if call.is_attempt_of_client:
                records[call.key] = call
        elif not decision.uncounted:
            records[call.key] = call
        elif decision.reason == DUPLICATE and decision.record in by_key:
            records[call.key] = by_key[decision.record]
    return records


def split(calls: Sequence[StoredCall]) -> tuple[list[StoredCall], list[StoredCall]]:
    """(one of each span, the further copies of it). A copy that says that it does not count has the word."""
    best: dict[SpanKey, StoredCall] = {}
    for call in sorted(calls, key=lambda call: (call.eligible, call.received)):
        best.setdefault(call.key, call)
    firsts = [best[call.key] for call in calls]
    originals = [call for call, first in zip(calls, firsts, strict=True) if call is first]
    # Copies of one millisecond cannot be told apart in the store: they are left as they are.
    copies = [call for call, first in zip(calls, firsts, strict=True) if call.received != first.received]
    return originals, copies


def _link(calls: Sequence[StoredCall], links: Mapping[SpanKey, str]) -> None:
    by_span = {call.key: call for call in calls}
    for call in calls:
        call.above = None if call.is_inner else _enclosing(call, by_span, links)


def _enclosing(
    call: StoredCall, by_span: Mapping[SpanKey, StoredCall], links: Mapping[SpanKey, str]
) -> StoredCall | None:
    """The nearest call around `call`, past a few plain spans."""
    parent = call.parent
    for _ in range(HOPS + 1):
        above = by_span.get((call.project, call.trace, parent))
        if above is not None:
            return above if above is not call and above.start <= call.start <= above.end else None
        if not parent:
            return None
        parent = links.get((call.project, call.trace, parent), "")
    return None


def _may_be(comparison: Comparison) -> bool:
    """Whether texts, which are not read yet, could make it one call or say that it is none."""
    says = comparison.outcomes
    return not (says[RESPONSE_ID] or comparison.refuted_by) and bool(says[TIME])


def _apart_from_kin(calls: Sequence[StoredCall]) -> list[CallPair]:
    """Pairs that could be one call and lie in no common branch of the tree.

    A span that encloses one of an instrumentation, or lies in one, and could be the same call, tells of that
    one's if of any.
    """
    kin: dict[int, set[str]] = defaultdict(set)
    for call in calls:
        above, hops = call.above, 0
        while above is not None and hops < 100:
            if above.scope != call.scope and compare(above, call).is_sufficient:
                kin[id(call)].add(above.scope)
                kin[id(above)].add(call.scope)
            above, hops = above.above, hops + 1
    return [
        pair
        for pair in candidates(
            [call for call in calls if call.eligible], lambda comparison: comparison.is_sufficient
        )
        if pair.second.scope not in kin[id(pair.first)] and pair.first.scope not in kin[id(pair.second)]
    ]


def _merge(
    first: StoredCall, second: StoredCall, evidence_of_pair: Iterable[str], evidence: dict[int, set[str]]
) -> None:
    """Make one group of two, unless an instrumentation had two spans in it then."""
    if first.group is second.group:
        return
    if {call.scope for call in first.group} & {call.scope for call in second.group}:
        return
    both = first.group + second.group
    for call in both:
        call.group = both
    for call in (first, second):
        evidence[id(call)] |= set(evidence_of_pair)


def _merge_enclosing(calls: Sequence[StoredCall], evidence: dict[int, set[str]]) -> None:
    """A span that encloses one call alone, and is that call by the evidence, tells of it; the innermost
    first.
    """
    below: dict[int, list[StoredCall]] = defaultdict(list)
    for call in calls:
        above, hops = call.above, 0
        while above is not None and hops < 100:
            below[id(above)].append(call)
            above, hops = above.above, hops + 1
    for outer in sorted((call for call in calls if below[id(call)]), key=lambda call: -call.depth):
        inner = [call for call in below[id(outer)] if call.eligible and call.group is not outer.group]
        if not outer.eligible or len({id(call.group) for call in inner}) != 1:
            continue
        for call in inner:
            comparison = compare(outer, call)
            if comparison.is_sufficient:
                _merge(outer, call, comparison.speaks_for, evidence)
                break


def _merge_heard_twice(calls: Sequence[StoredCall], evidence: dict[int, set[str]]) -> None:
    """Make one group of what several connections to a realtime session heard of one response.

    They are of one instrumentation, and need not overlap: who resumes a session gets what was over again.
    """
    heard: dict[tuple[str, ...], StoredCall] = {}
    for call in calls:
        if not (call.eligible and call.realtime_session and call.response):
            continue
        place = call.project, call.operation, call.realtime_session, call.response
        first = heard.setdefault(place, call)
        if first.group is call.group:
            continue
        both = first.group + call.group
        for member in both:
            member.group = both
        for member in (first, call):
            evidence[id(member)].add(RESPONSE_ID)


def _repeating(groups: Mapping[int, list[StoredCall]]) -> dict[int, StoredCall]:
    """Spans that repeat the usage of other records: id of the span → one of what it repeats."""
    within: dict[int, dict[int, StoredCall]] = defaultdict(dict)
    for group in groups.values():
        for call in group:
            above, hops = call.above, 0
            while above is not None and hops < 100:
                if above.group is not call.group and any(member.eligible for member in call.group):
                    within[id(above)].setdefault(id(call.group), call)
                above, hops = above.above, hops + 1
    repeating: dict[int, StoredCall] = {}
    for group in groups.values():
        outer = [call for call in group if within[id(call)]]
        if not outer:
            continue
        inner = {key: call for call in outer for key, call in within[id(call)].items()}
        first = min(inner.values(), key=lambda call: (call.start, call.span))
        if any(call not in outer and any(call.is_within(above) for above in outer) for call in group):
            # The record lies inside, and further calls beside it.
            repeating |= {id(call): first for call in outer}
        elif _has_usage(group) and not any(_has_usage(call.group) for call in inner.values()):
            # The calls inside know no usage, this one does: they are the same, reported better here.
            better = max((call for call in group if call.eligible), key=_rank)
            for call in inner.values():
                repeating |= {id(member): better for member in call.group}
        else:
            repeating |= {id(call): first for call in group}
    return repeating


def _has_usage(group: Iterable[StoredCall]) -> bool:
    return any(call.eligible and call.tokens is not None for call in group)


def _rank(call: StoredCall) -> tuple[bool, int, int, int, int, int, str]:
    """The richest of the spans of one call: with usage, more of its buckets, nearer to the wire, earlier. Of
    a realtime response who asked is earlier than who only heard it.
    """
    return (
        call.tokens is not None,
        call.known_counts,
        call.depth,
        call.tokens or 0,
        0 if call.realtime_session else call.start - call.end,
        -call.start,
        call.span,
    )


def _note_ambiguous(sets: Iterable[Sequence[CallPair]], decisions: dict[SpanKey, Decision]) -> None:
    """Let spans that count say with which others they may be one call."""
    for component in sets:
        for call in {id(end): end for pair in component for end in (pair.first, pair.second)}.values():
            if decisions.get(call.key, Decision()).reason:
                continue
            with_others = {
                end.key
                for pair in component
                for end in (pair.first, pair.second)
                if call in (pair.first, pair.second) and end is not call
            }
            known = decisions.get(call.key, Decision())
            together = tuple(sorted({*known.ambiguous_with, *with_others}))
            says = {word for pair in component if call in (pair.first, pair.second) for word in pair.evidence}
            decisions[call.key] = Decision(AMBIGUOUS, NOWHERE, tuple(sorted(says)), together)

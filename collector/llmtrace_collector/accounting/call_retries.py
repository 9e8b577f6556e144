"""Attempts: requests that failed and were made again. The last one is the call, to which others are linked.

A provider's client says itself what it repeats, and its sender marks those attempts. A loop of the program's
own (Tenacity, a `for`) says nothing: an attempt is then a request that failed and was followed, under the
same parent and within `RETRY_WINDOW_SECONDS`, by an equal one. Not where equal requests run side by side
(nobody could say which repeats which), after a success, under different parents, or for different requests;
a link of the SDK, which knows the program's order, decides those too.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from llmtrace.common.retry_rules import MOST_RETRIES, RETRY_WINDOW_SECONDS, is_lasting_error
from llmtrace_collector.attributes.evidence import (
    CANNOT_HELP,
    EXCESS,
    LINK,
    NO_BACKOFF,
    PARENT,
    REQUEST,
    TIME,
)

from .stored_call import SpanKey, StoredCall

_WINDOW = int(RETRY_WINDOW_SECONDS * 1e9)

#: Waits that grow less than so do not grow: no timer is exact.
_GROWTH = 1.1
#: What of a requested wait counts as having waited.
_HEEDED = 0.9

#: An attempt, the request that repeats it, and what says so.
_Repetition = tuple[StoredCall, StoredCall, tuple[str, ...]]


def attempts(
    calls: Sequence[StoredCall], records: Mapping[SpanKey, StoredCall]
) -> dict[SpanKey, tuple[StoredCall, tuple[str, ...]]]:
    """Of every request that was made again: the request that is the call in the end, and the evidence, with
    the faults of trying again (`RETRY_FAULTS`) among it.

    `records` has, for each span, the one that stands for its request; what has none takes no part.
    """
    following: dict[SpanKey, _Repetition] = {}
    for earlier, later, evidence in (*_linked(calls, records), *_equal(calls, records)):
        known = following.get(earlier.key)
        if known is None or (later.start, later.span) < (known[1].start, known[1].span):
            following[earlier.key] = (earlier, later, evidence)
    by_call: dict[SpanKey, list[_Repetition]] = defaultdict(list)
    last_of: dict[SpanKey, StoredCall] = {}
    for repetition in following.values():
        last = _last(repetition[1], following)
        last_of[last.key] = last
        by_call[last.key].append(repetition)
    decided: dict[SpanKey, tuple[StoredCall, tuple[str, ...]]] = {}
    for key, repetitions in by_call.items():
        repetitions.sort(key=lambda repetition: (repetition[0].start, repetition[0].span))
        for (attempt, _, evidence), faults in zip(repetitions, _faults(repetitions), strict=True):
            decided[attempt.key] = (last_of[key], tuple(sorted({*evidence, *faults})))
    return decided


def _linked(calls: Iterable[StoredCall], records: Mapping[SpanKey, StoredCall]) -> Iterable[_Repetition]:
    """What senders say that they repeat."""
    for call in calls:
        for key in call.repeated:
            earlier, later = records.get(key), records.get(call.key)
            if earlier is None or later is None or not earlier.failed:
                continue
            if (earlier.start, earlier.span) < (later.start, later.span):
                yield earlier, later, (LINK,)


def _equal(calls: Iterable[StoredCall], records: Mapping[SpanKey, StoredCall]) -> Iterable[_Repetition]:
    """Equal requests of one instrumentation under one parent, one after the other."""
    together: dict[tuple[object, ...], list[StoredCall]] = defaultdict(list)
    for call in calls:
        if call.eligible and call.request and not call.is_inner:
            together[call.project, call.trace, _parent(call), call.scope, call.request].append(call)
    for equal in together.values():
        equal.sort(key=lambda call: (call.start, call.end, call.span))
        pairs = list(itertools.pairwise(equal))
        if any(later.start < earlier.seen_until for earlier, later in pairs):
            continue
        for earlier, later in pairs:
            first, second = records.get(earlier.key), records.get(later.key)
            is_soon = later.start - earlier.seen_until <= _WINDOW
            if earlier.failed and is_soon and first and second and first is not second:
                yield first, second, (REQUEST, PARENT, TIME)


def _parent(call: StoredCall) -> str:
    """What it lies below, past other spans about the same call."""
    parent, above = call.parent, call.above
    while above is not None and (above.uncounted == "sender" or above.group is call.group):
        parent, above = above.parent, above.above
    return parent


def _last(call: StoredCall, following: Mapping[SpanKey, _Repetition]) -> StoredCall:
    while call.key in following:  # each starts later than the one before
        call = following[call.key][1]
    return call


def _faults(repetitions: Sequence[_Repetition]) -> list[set[str]]:
    """What is wrong with having tried again after each attempt of one call, in their order."""
    waits = [(later.start - earlier.end) / 1e9 for earlier, later, _ in repetitions]
    chosen = [
        wait
        for wait, (earlier, _, _) in zip(waits, repetitions, strict=True)
        if not earlier.requested_wait or wait < earlier.requested_wait * _HEEDED
    ]
    waits_alike = len(chosen) > 1 and chosen[-1] <= chosen[0] * _GROWTH
    faults: list[set[str]] = []
    for number, (attempt, _, _) in enumerate(repetitions):
        wrong = set()
        if is_lasting_error(attempt.status, attempt.error):
            wrong.add(CANNOT_HELP)
        if waits_alike and number:
            wrong.add(NO_BACKOFF)
        if number >= MOST_RETRIES:
            wrong.add(EXCESS)
        faults.append(wrong)
    return faults

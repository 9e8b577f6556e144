"""Call deduplication: every call is counted once, whichever spans tell about it and whenever they arrive.

Three rules, over the spans of a call that call a model:

- A span that arrived twice (by two exporters, or sent again in another batch) is one span.
- Spans with the same response id whose times overlap are one call, seen by several instrumentations.
- A span that encloses other calls repeats their usage; the calls themselves are counted.

What a rule excludes keeps its tokens and gets `Counted = false` with the reason in `Uncounted`. The result is
a function of the stored spans alone, so the order in which they arrive does not matter. A pass looks at the
traces and responses that gained spans since the last one; minutes whose sums change are rebuilt from spans.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from llmtrace_collector.sql_values import literal
from llmtrace_collector.store.store import Store

Item = TypeVar("Item")

#: Reasons that the rules give; others ('sender', 'server') are the span's own and final.
REPEATS = "repeats"
DUPLICATE = "duplicate"

#: Plain spans (HTTP, functions) that may stand between a span and the call it repeats.
_HOPS = 3
#: Spans of one call start at most this far apart.
_REACH_SECONDS = 3600
_CHUNK = 5000


@dataclass
class StoredCall:
    """One span that calls a model. Times in Unix nanoseconds."""

    project: str
    trace: str
    span: str
    parent: str
    response: str
    start: int
    end: int
    tokens: int | None
    uncounted: str
    service: str = ""
    received: int = 0
    """Milliseconds; tells copies of a span apart."""
    above: StoredCall | None = None
    group: list[StoredCall] = field(default_factory=list)

    @property
    def eligible(self) -> bool:
        """Whether the span's usage may count at all."""
        return self.uncounted in ("", REPEATS, DUPLICATE)

    @property
    def depth(self) -> int:
        """How many calls enclose it."""
        depth, call = 0, self.above
        while call is not None and depth < 100:
            depth, call = depth + 1, call.above
        return depth


def decide(calls: Sequence[StoredCall], links: Mapping[tuple[str, str], str]) -> dict[tuple[str, str], str]:
    """The reason why each eligible call is not counted, '' where it is: (trace, span) → reason.

    `links` are the plain spans between calls: (trace, span) → parent span.
    """
    by_span = {(call.trace, call.span): call for call in calls}
    for call in calls:
        call.above = _enclosing(call, by_span, links)
    _group(calls)
    groups = {id(call.group): call.group for call in calls}
    below: dict[int, set[int]] = defaultdict(set)
    for call in calls:
        hops, above = 0, call.above
        while above is not None and hops < 100:
            if above.group is not call.group:
                below[id(above.group)].add(id(call.group))
            hops, above = hops + 1, above.above
    reasons: dict[tuple[str, str], str] = {}
    repeating: set[int] = set()
    for key, group in groups.items():
        inner = [
            groups[inner_key] for inner_key in below[key] if any(call.eligible for call in groups[inner_key])
        ]
        if not inner:
            continue
        if _has_usage(group) and not any(_has_usage(inner_group) for inner_group in inner):
            # The calls inside know no usage, this one does: they are the same, reported better here.
            repeating.update(id(inner_group) for inner_group in inner)
        else:
            repeating.add(key)
    for key, group in groups.items():
        eligible = [call for call in group if call.eligible]
        best = max(eligible, key=_rank) if eligible else None
        for call in eligible:
            reason = REPEATS if key in repeating else "" if call is best else DUPLICATE
            reasons[call.trace, call.span] = reason
    return reasons


def _enclosing(
    call: StoredCall, by_span: Mapping[tuple[str, str], StoredCall], links: Mapping[tuple[str, str], str]
) -> StoredCall | None:
    """The nearest call around `call`, past a few plain spans."""
    parent = call.parent
    for _ in range(_HOPS + 1):
        above = by_span.get((call.trace, parent))
        if above is not None:
            return above if above is not call and above.start <= call.start <= above.end else None
        if not parent:
            return None
        parent = links.get((call.trace, parent), "")
    return None


def _group(calls: Iterable[StoredCall]) -> None:
    """Put spans of one response whose times overlap into one group; every other span is a group alone."""
    responses: dict[tuple[str, str], list[StoredCall]] = defaultdict(list)
    for call in calls:
        call.group = [call]
        if call.response:
            responses[call.project, call.response].append(call)
    for same in responses.values():
        same.sort(key=lambda call: (call.start, call.end))
        group, end = [same[0]], same[0].end
        for call in same[1:]:
            # Small servers give ids out again: calls one after the other are two.
            if call.start > end:
                group, end = [], call.end
            group.append(call)
            end = max(end, call.end)
            for member in group:
                member.group = group


def _has_usage(group: Iterable[StoredCall]) -> bool:
    return any(call.eligible and call.tokens is not None for call in group)


def _rank(call: StoredCall) -> tuple[bool, int, int, int, str]:
    """The better of two spans of one call: with usage, nearer to the call, earlier."""
    return call.tokens is not None, call.depth, call.tokens or 0, -call.start, call.span


def split(calls: Sequence[StoredCall]) -> tuple[list[StoredCall], list[StoredCall]]:
    """(one of each span, the further copies of it). A copy that says that it does not count has the word."""
    best: dict[tuple[str, str, str], StoredCall] = {}
    for call in sorted(calls, key=lambda call: (call.eligible, call.received)):
        best.setdefault((call.project, call.trace, call.span), call)
    firsts = [best[call.project, call.trace, call.span] for call in calls]
    originals = [call for call, first in zip(calls, firsts, strict=True) if call is first]
    # Copies of one millisecond cannot be told apart in the store: they are left as they are.
    copies = [call for call, first in zip(calls, firsts, strict=True) if call.received != first.received]
    return originals, copies


class CallDeduplicator:
    """Keeps `Counted`, `Uncounted` and the rollup true. `sync` is one pass.

    `on_flag` is called for each flag that calls got: service, flag, number of calls.
    """

    def __init__(
        self, store: Store, on_flag: Callable[[str, str, int], None] = lambda service, flag, count: None
    ) -> None:
        self._store = store
        self._on_flag = on_flag
        self._since: str | None = None

    def sync(self) -> int:
        """Look at what was stored since the last pass; returns the number of spans whose counting changed.

        A pass that fails half-way is repeated: minutes are marked before spans change and unmarked after
        they are rebuilt.
        """
        since = self._since or self._scanned()
        upto = self._store.watermark()
        calls = self._calls(since)
        originals, copies = split(calls)
        reasons = decide(originals, self._links(originals))
        changes: dict[str, list[StoredCall]] = defaultdict(list)
        for call in originals:
            reason = reasons.get((call.trace, call.span))
            if reason is not None and reason != call.uncounted:
                changes[reason].append(call)
        for call in copies:
            if call.eligible and call.uncounted != DUPLICATE:
                changes[DUPLICATE].append(call)
        changed = [call for group in changes.values() for call in group]
        self._store.mark_stale({call.start // 60_000_000_000 * 60 for call in changed}, "ledger")
        for reason, group in changes.items():
            self._write(reason, group)
        self._store.rebuild_stale()
        if calls:
            row = {"At": upto, "ScannedTo": upto, "Looked": len(calls), "Changed": len(changed)}
            self._store.insert_rows("ledger_passes", [row])
        self._report_flags(since, upto, changes)
        self._since = upto
        return len(changed)

    def _report_flags(self, since: str, upto: str, changes: Mapping[str, Sequence[StoredCall]]) -> None:
        """Say which flags calls got: those they came with, and those of this pass."""
        for row in self._store.rows(_FLAGS, {"since": since, "upto": upto}):
            self._on_flag(row["ServiceName"], row["Flag"], int(row["Spans"]))
        for reason, group in changes.items():
            for service, count in Counter(call.service for call in group).items():
                if reason:
                    self._on_flag(service, reason, count)

    def _scanned(self) -> str:
        """How far the last pass came, in this process or the one before."""
        passes = f"{self._store.engine.own}ledger_passes"
        (row,) = self._store.rows(f"SELECT toString(max(ScannedTo)) AS At FROM {passes}")  # noqa: S608, ours
        return str(row["At"])

    def _calls(self, since: str) -> list[StoredCall]:
        rows = self._store.rows(_CALLS, {"since": since})
        return [
            StoredCall(
                row["Project"],
                row["TraceId"],
                row["SpanId"],
                row["ParentSpanId"],
                row["ResponseId"],
                int(row["Start"]),
                int(row["End"]),
                None if row["Tokens"] is None else int(row["Tokens"]),
                row["Uncounted"],
                row["ServiceName"],
                int(row["Received"]),
            )
            for row in rows
        ]

    def _links(self, calls: Sequence[StoredCall]) -> dict[tuple[str, str], str]:
        """The plain spans above calls, a few levels up."""
        known = {(call.trace, call.span) for call in calls}
        wanted = {(call.trace, call.parent) for call in calls if call.parent} - known
        links: dict[tuple[str, str], str] = {}
        if not calls:
            return links
        window = {
            "from": min(call.start for call in calls) // 10**9 - _REACH_SECONDS,
            "to": max(call.end for call in calls) // 10**9 + 1,
        }
        for _ in range(_HOPS):
            step: dict[tuple[str, str], str] = {}
            for part in _chunks(sorted(wanted)):
                pairs = ", ".join(f"({literal(trace)}, {literal(span)})" for trace, span in part)
                for row in self._store.rows(_LINKS.format(pairs=pairs), window):
                    step[row["TraceId"], row["SpanId"]] = row["ParentSpanId"]
            links.update(step)
            wanted = {(trace, parent) for (trace, _), parent in step.items() if parent} - known - set(links)
            if not wanted:
                break
        return links

    def _write(self, reason: str, calls: Sequence[StoredCall]) -> None:
        first = min(call.start for call in calls) // 10**9
        last = max(call.start for call in calls) // 10**9 + 1
        for part in _chunks(calls):
            spans = ", ".join(
                f"({literal(call.trace)}, {literal(call.span)}, {call.received})" for call in part
            )
            self._store.mutate(
                f"ALTER TABLE otel_traces UPDATE Counted = {str(not reason).lower()}, "
                f"Uncounted = {literal(reason)} WHERE IsLlm AND Timestamp >= toDateTime({first}) "
                f"AND Timestamp <= toDateTime({last}) "
                f"AND (TraceId, SpanId, toUnixTimestamp64Milli(ReceivedAt)) IN ({spans})"
            )


def _chunks(items: Sequence[Item]) -> Iterable[Sequence[Item]]:
    return (items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK))


# Calls of the traces and responses that gained spans, where there are at least two.
_CALLS = f"""WITH fresh AS (
    SELECT Project, TraceId, ResponseId, Timestamp FROM otel_traces
    WHERE StoredAt >= toDateTime64({{since:String}}, 3) - INTERVAL 1 SECOND
)
SELECT Project, ServiceName, TraceId, SpanId, ParentSpanId, ResponseId, Uncounted,
    toUnixTimestamp64Nano(Timestamp) AS Start,
    toUnixTimestamp64Nano(Timestamp) + Duration AS End, toUnixTimestamp64Milli(ReceivedAt) AS Received,
    if(InputTokens IS NULL AND OutputTokens IS NULL, NULL,
        ifNull(InputTokens, 0) + ifNull(OutputTokens, 0)) AS Tokens
FROM otel_traces
WHERE IsLlm
    AND Timestamp >= (SELECT min(Timestamp) FROM fresh) - INTERVAL {_REACH_SECONDS} SECOND
    AND Timestamp <= (SELECT max(Timestamp) FROM fresh) + INTERVAL {_REACH_SECONDS} SECOND
    AND ((Project, TraceId) IN (SELECT Project, TraceId FROM fresh)
        OR (ResponseId != '' AND (Project, ResponseId) IN (SELECT Project, ResponseId FROM fresh)))
QUALIFY count() OVER (PARTITION BY Project, TraceId) > 1
    OR (ResponseId != '' AND count() OVER (PARTITION BY Project, ResponseId) > 1)"""  # noqa: S608, a number of ours

# Flags that spans have from the start; spans of now may still become visible, so the end is open.
_FLAGS = """SELECT ServiceName, Flag, count() AS Spans
FROM otel_traces
ARRAY JOIN [UsageFault, if(Uncounted IN ('sender', 'server'), Uncounted, '')] AS Flag
WHERE (UsageFault != '' OR Uncounted IN ('sender', 'server')) AND Flag != ''
    AND StoredAt >= toDateTime64({since:String}, 3) AND StoredAt < toDateTime64({upto:String}, 3)
GROUP BY ServiceName, Flag"""

_LINKS = """SELECT TraceId, SpanId, ParentSpanId FROM otel_traces
WHERE NOT IsLlm AND Operation = ''
    AND Timestamp >= toDateTime({{from:Int64}}) AND Timestamp <= toDateTime({{to:Int64}})
    AND (TraceId, SpanId) IN ({pairs})"""

"""Call deduplication: every call is counted once, whichever spans tell about it and whenever they arrive.

What is one call the rules of `call_evidence` say, what counts of it `call_decisions`. What does not count
keeps its tokens and gets `Counted = false` with the reason in `Uncounted`; which record tells of the call
instead, and what evidence decided, is stored in `call_evidence`. The result is a function of the stored spans
alone, so the order in which they arrive does not matter. A pass goes over the calls that were stored since
the last one; minutes whose sums change are rebuilt from spans.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence

from llmtrace_collector.sql_values import literal
from llmtrace_collector.store.rollups.clock import Clock
from llmtrace_collector.store.store import Store

from .call_decisions import Decision, decide, in_question, split
from .call_queries import ROW_HASH
from .call_reading import CallReader
from .stored_call import DUPLICATE, RETRY, SpanKey, StoredCall

logger = logging.getLogger(__name__)

#: Where passes are paced: a pass that wrote takes no more than this share of the time, and waits no longer
#: than so many seconds.
_WRITING_SHARE = 0.05
_LONGEST_PAUSE = 30.0

#: Whether a span's usage is in the sums: that of an attempt is, for it was billed, though it is no call.
_COUNTED = {
    "": "true",
    RETRY: "InputTokens IS NOT NULL OR OutputTokens IS NOT NULL OR StatedCost IS NOT NULL",
}

#: Rows that one statement changes: what the engine reads of a statement is 256 KiB.
_ROWS = 9_000


class CallDeduplicator:
    """Keeps `Counted`, `Uncounted` and the rollup true. `sync` is one pass.

    `on_flag` is called for each flag that calls got: service, flag, number of calls. With `is_paced`, a
    pass that changed spans (which writes their parts again) is followed by a pause of twenty times what it
    took.
    """

    def __init__(
        self,
        store: Store,
        on_flag: Callable[[str, str, int], None] = lambda service, flag, count: None,
        *,
        is_paced: bool = False,
    ) -> None:
        self._store = store
        self._reader = CallReader(store)
        self._on_flag = on_flag
        self._since: str | None = None
        self._clock = Clock(alone=store.engine.alone)
        self._is_paced = is_paced
        self._not_before = 0.0

    def sync(self) -> int:
        """Go over what was stored since the last pass; returns the number of spans whose counting changed.

        A pass that fails half-way is repeated: minutes are marked before spans change and unmarked after
        they are rebuilt.
        """
        began = time.monotonic()
        if began < self._not_before:
            return 0
        upto = self._store.watermark()
        since = self._passed(self._since or self._scanned(), upto)
        calls = self._reader.calls_since(since)
        originals, copies = split(calls)
        decisions = self._decide(originals)
        changes: dict[str, list[StoredCall]] = defaultdict(list)
        for call in originals:
            decision = decisions.get(call.key)
            if decision is not None and call.eligible and decision.uncounted != call.uncounted:
                changes[decision.uncounted].append(call)
        for call in copies:
            if call.eligible and call.uncounted != DUPLICATE:
                changes[DUPLICATE].append(call)
        changed = [call for group in changes.values() for call in group]
        self._store.mark_stale({call.start // 60_000_000_000 * 60 for call in changed}, "ledger")
        self._note_evidence(originals, decisions)
        for reason, group in changes.items():
            self._write(reason, group)
        self._store.rebuild_stale()
        if calls:
            row = {"At": upto, "ScannedTo": upto, "Looked": len(calls), "Changed": len(changed)}
            self._store.insert_rows("ledger_passes", [row])
        self._report_flags(since, upto, changes)
        self._since = upto
        if self._is_paced and changed:
            ended = time.monotonic()
            self._not_before = ended + min((ended - began) / _WRITING_SHARE, _LONGEST_PAUSE)
        return len(changed)

    def _decide(self, calls: Sequence[StoredCall]) -> dict[SpanKey, Decision]:
        links = self._reader.links(calls)
        self._reader.read_texts(in_question(calls))
        return decide(calls, links)

    def _note_evidence(self, calls: Sequence[StoredCall], decisions: Mapping[SpanKey, Decision]) -> None:
        """Store what decided, where that is new."""
        noted = self._reader.decided
        rows = []
        for call in calls:
            decision = decisions.get(call.key)
            if decision is None or decision == noted.get(call.key, Decision()):
                continue
            rows.append(
                {
                    "Project": call.project,
                    "TraceId": call.trace,
                    "SpanId": call.span,
                    "Timestamp": f"{call.start // 10**9}.{call.start % 10**9:09}",
                    "Decision": decision.reason,
                    "RecordTraceId": decision.record[1],
                    "RecordSpanId": decision.record[2],
                    "Evidence": decision.evidence,
                    "Candidates": [key[1:] for key in decision.ambiguous_with],
                    "RetentionDays": call.retention_days,
                }
            )
        self._store.insert_rows("call_evidence", rows)

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

    def _passed(self, since: str, now: str) -> str:
        """`since`, or an earlier time where the clock was set back: what is stored after that has times that
        the last pass was over.
        """
        (row,) = self._store.rows(_MOMENTS, {"since": since, "now": now})
        moment = self._clock.set_back_to(int(row["Now"]), [int(row["Since"])])
        if moment is None or moment >= int(row["Since"]):
            return since
        logger.warning("the clock was set back: calls that were stored since are looked at again")
        (row,) = self._store.rows(
            "SELECT toString(fromUnixTimestamp64Milli({at:Int64})) AS At", {"at": moment}
        )
        return str(row["At"])

    def _write(self, reason: str, calls: Sequence[StoredCall]) -> None:
        first = min(call.start for call in calls) // 10**9
        last = max(call.start for call in calls) // 10**9 + 1
        # Each statement writes the parts again in which its rows are: as few as can be.
        for start in range(0, len(calls), _ROWS):
            hashes = ", ".join(str(call.row_hash) for call in calls[start : start + _ROWS])
            self._store.mutate(
                f"ALTER TABLE otel_traces UPDATE Counted = {_COUNTED.get(reason, 'false')}, "
                f"Uncounted = {literal(reason)} WHERE IsLlm AND Timestamp >= toDateTime({first}) "
                f"AND Timestamp <= toDateTime({last}) AND {ROW_HASH} IN ({hashes})"
            )


_MOMENTS = """SELECT toUnixTimestamp64Milli(toDateTime64({since:String}, 3)) AS Since,
    toUnixTimestamp64Milli(toDateTime64({now:String}, 3)) AS Now"""

# Flags that spans have from the start; spans of now may still become visible, so the end is open.
_FLAGS = """SELECT ServiceName, Flag, count() AS Spans
FROM otel_traces
ARRAY JOIN [UsageFault, if(Uncounted IN ('sender', 'server'), Uncounted, '')] AS Flag
WHERE (UsageFault != '' OR Uncounted IN ('sender', 'server')) AND Flag != ''
    AND StoredAt >= toDateTime64({since:String}, 3) AND StoredAt < toDateTime64({upto:String}, 3)
GROUP BY ServiceName, Flag"""

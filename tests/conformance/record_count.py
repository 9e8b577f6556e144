"""What call deduplication makes of spans whose truth is known: misses and false merges as figures."""

from __future__ import annotations

import time
import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from llmtrace_collector.accounting.call_dedup import CallDeduplicator
from llmtrace_collector.ingest.validate import check
from llmtrace_collector.ingest.wal_frame import Frame, encode
from llmtrace_collector.store.store import Store


@dataclass
class RecordCount:
    """Of one project: calls, how many were told more than once, and where the store is wrong about them."""

    calls: int = 0
    spans: int = 0
    pairs: int = 0
    """Calls that more than one span tells of."""
    missed: list[tuple[int, str]] = field(default_factory=list)
    """Calls of `pairs` with more than one record, in words."""
    lost: list[tuple[int, str]] = field(default_factory=list)
    """Calls without a record."""
    false_merges: list[tuple[int, str]] = field(default_factory=list)
    """Spans whose record tells of another call, by their own."""
    ambiguous: int = 0
    """Spans that count and are listed as undecided."""
    spans_of: dict[int, list[str]] = field(default_factory=dict)
    """Call → what was decided of each of its spans."""

    def __add__(self, other: RecordCount) -> RecordCount:
        return RecordCount(
            self.calls + other.calls,
            self.spans + other.spans,
            self.pairs + other.pairs,
            self.missed + other.missed,
            self.lost + other.lost,
            self.false_merges + other.false_merges,
            self.ambiguous + other.ambiguous,
        )

    def of(self, calls: set[int]) -> RecordCount:
        """The share of some calls."""
        chosen = {call: spans for call, spans in self.spans_of.items() if call in calls}
        return RecordCount(
            len(chosen),
            sum(map(len, chosen.values())),
            sum(len(spans) > 1 for spans in chosen.values()),
            [item for item in self.missed if item[0] in calls],
            [item for item in self.lost if item[0] in calls],
            [item for item in self.false_merges if item[0] in calls],
            sum(word == "ambiguous" for spans in chosen.values() for word in spans),
            chosen,
        )

    def figures(self) -> dict[str, int]:
        """The figures by name."""
        return {
            "calls": self.calls,
            "pairs": self.pairs,
            "missed": len(self.missed),
            "false_merges": len(self.false_merges),
            "lost": len(self.lost),
            "undecided_spans": self.ambiguous,
        }

    def line(self) -> str:
        """The figures in words."""
        return (
            f"{self.calls} calls, {self.pairs} told twice or more, {self.spans} spans: "
            f"{len(self.missed)} missed, {len(self.false_merges)} false merges, {len(self.lost)} lost, "
            f"{self.ambiguous} spans undecided"
        )


def insert(store: Store, folder: Path, requests: Iterable[ExportTraceServiceRequest], project: str) -> None:
    """Store requests as one segment of a project, as the collector does."""
    now = time.time_ns()
    records = []
    for request in requests:
        copy = ExportTraceServiceRequest.FromString(request.SerializeToString())
        for of_resource in copy.resource_spans:
            of_resource.resource.attributes.add(key="llmtrace.project").value.string_value = project
        checked = check("traces", copy.SerializeToString(), now=now, retention_days=30)
        records.append(b"".join(encode(Frame("", now, checked.body))))
    path = folder / f"{uuid.uuid4().hex}.seg"
    path.write_bytes(b"".join(records))
    store.insert_segment("traces", path, path.stem)


def count_records(store: Store, project: str, truth: Mapping[str, int | None]) -> RecordCount:
    """Hold what the store counts of a project against the truth: span id → call."""
    CallDeduplicator(store).sync()
    rows = store.rows(
        "SELECT SpanId, ScopeName, SpanName, Uncounted, any(Decision) AS Decision, "
        "any(RecordSpanId) AS Record FROM otel_traces "
        "LEFT JOIN (SELECT * FROM call_evidence FINAL) AS decided USING (Project, TraceId, SpanId) "
        "WHERE Project = {project:String} AND IsLlm "
        "AND Uncounted NOT IN ('server', 'no_request') GROUP BY ALL",
        {"project": project},
    )
    of_call: dict[int, list[dict[str, str]]] = defaultdict(list)
    count = RecordCount(spans=len(rows))
    for row in rows:
        call = truth.get(row["SpanId"])
        if call is not None:
            of_call[call].append(row)
        if row["Decision"] == "ambiguous":
            count.ambiguous += 1
        record = truth.get(row["Record"]) if row["Record"] else None
        is_merged = row["Uncounted"] in ("duplicate", "repeats")
        if is_merged and call is not None and record is not None and record != call:
            count.false_merges.append((call, f"{project} into {record}: {row['SpanName']}"))
    for call, spans in of_call.items():
        count.spans_of[call] = [row["Decision"] for row in spans]
        count.calls += 1
        count.pairs += len(spans) > 1
        counting = [row for row in spans if not row["Uncounted"]]
        if len(counting) > 1:
            names = ", ".join(f"{row['ScopeName']} {row['SpanName']}" for row in counting)
            count.missed.append((call, f"{project}: {names}"))
        # The recordings hold a refused request three times: those are attempts, of which the last one counts.
        is_attempt = any(row["Decision"] == "retry" for row in spans)
        if not counting and not is_attempt and all(truth.get(row["Record"]) is not None for row in spans):
            count.lost.append((call, project))
    return count


def total(counts: Sequence[RecordCount]) -> RecordCount:
    """All together."""
    return sum(counts, RecordCount())

"""The spans of a trace as one tree: a call that several instrumentations tell of appears once.

The record takes the place of the telling that lies deepest, which is the framework's; the other tellings
go, and what lies below them lies below the record. A record of another trace (tracers that share no context
begin traces of their own) is fetched from there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from clickhouse_connect.driver.client import Client

from .scope import rows
from .traces import MAX_SPANS, trace_spans

#: Of each span the newest decision holds.
MERGED_CALLS = """SELECT
    TraceId AS trace_id,
    SpanId AS span_id,
    RecordTraceId AS record_trace,
    RecordSpanId AS record_span
FROM (
    SELECT Project, TraceId, SpanId, Decision, RecordTraceId, RecordSpanId
    FROM call_evidence
    WHERE TraceId = {trace_id:String} OR RecordTraceId = {trace_id:String}
    ORDER BY DecidedAt DESC
    LIMIT 1 BY Project, TraceId, SpanId
)
WHERE Decision = 'duplicate'
ORDER BY trace_id, span_id"""

#: Records of other traces that are fetched for one trace.
_MOST_TRACES = 100

Span = dict[str, Any]
SpanKey = tuple[str, str]


def joined_spans(client: Client, trace_id: str, limit: int = MAX_SPANS) -> list[Span]:
    """The spans of a trace, as `traces.trace_spans`, joined. Each has `trace_id`, its own, and `tellings`,
    the (trace, span) of what tells of the same call.
    """
    spans = [{**span, "trace_id": trace_id, "tellings": []} for span in trace_spans(client, trace_id, limit)]
    merged = rows(client, MERGED_CALLS, {"trace_id": trace_id})
    elsewhere = sorted({row["record_trace"] for row in merged} - {trace_id, ""})
    records = [
        {**span, "trace_id": other, "tellings": []}
        for other in elsewhere[:_MOST_TRACES]
        for span in trace_spans(client, other, limit)
    ]
    return join_tellings(spans, merged, records)


def join_tellings(
    spans: Sequence[Span], merged: Sequence[Mapping[str, str]], elsewhere: Sequence[Span] = ()
) -> list[Span]:
    """`spans` of one trace with each call once. `merged`: `trace_id`, `span_id` of a telling, `record_trace`,
    `record_span` of its record; `elsewhere`: spans of the other traces that records are of.
    """
    tellings: dict[SpanKey, list[SpanKey]] = defaultdict(list)
    for row in merged:
        tellings[row["record_trace"], row["record_span"]].append((row["trace_id"], row["span_id"]))
    here = {(span["trace_id"], span["span_id"]): span for span in spans}
    known = {(span["trace_id"], span["span_id"]): span for span in elsewhere} | here
    parents = {span["span_id"]: span["parent_id"] for span in spans}
    instead: dict[str, str] = {}
    records: dict[SpanKey, Span] = {}
    for record, duplicates in tellings.items():
        if record not in known:
            continue
        members = [key for key in (record, *duplicates) if key in here]
        if not members:
            continue
        within = {span for _, span in members}
        instead |= dict.fromkeys(within, record[1])
        place = max((_parent_outside(span, within, parents) for _, span in members), key=lambda at: at[0])
        records[record] = {**known[record], "parent_id": place[1], "tellings": duplicates}
    if not records:
        return list(spans)
    others = [
        {**span, "parent_id": instead.get(span["parent_id"], span["parent_id"])}
        for key, span in here.items()
        if key[1] not in instead
    ]
    joined = [
        {**span, "parent_id": instead.get(span["parent_id"], span["parent_id"])} for span in records.values()
    ]
    return sorted([*others, *joined], key=lambda span: (span["start_ns"], span["span_id"]))


def _parent_outside(span: str, within: set[str], parents: Mapping[str, str]) -> tuple[int, str]:
    """How deep the first parent of a span lies that is none of `within`, and its id."""
    parent, hops = parents.get(span, ""), 0
    while parent in within and hops < len(within):
        parent, hops = parents.get(parent, ""), hops + 1
    depth, above = 0, parent
    while above in parents and depth < MAX_SPANS:
        depth, above = depth + 1, parents[above]
    return depth, parent

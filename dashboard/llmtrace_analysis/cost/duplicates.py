"""Calls that more than one span tells of: what was merged, by which evidence, and what could not be
decided."""

# Texts are put together from constants alone; values are bound.
# ruff: noqa: S608

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping

import pandas as pd
from clickhouse_connect.driver.client import Client

from llmtrace_analysis.queries.scope import SPAN_SCOPE, Scope, frame
from llmtrace_analysis.queries.traces import TRACE_TIMES
from llmtrace_collector.attributes.evidence import DECISIONS, EVIDENCE

# Of a span's decisions the newest holds.
_DECIDED = """SELECT Project, TraceId, SpanId, Decision, RecordTraceId, RecordSpanId, Evidence, Candidates
    FROM call_evidence
    WHERE {where}
    ORDER BY DecidedAt DESC
    LIMIT 1 BY Project, TraceId, SpanId"""

_IN_SCOPE = """Timestamp >= fromUnixTimestamp64Milli({since:Int64})
        AND Timestamp < fromUnixTimestamp64Milli({until:Int64})
        AND ({project:String} = '' OR Project = {project:String})"""

_SUMMARY = f"""SELECT
    toString(span.Project) AS project,
    toString(span.ServiceName) AS service,
    toString(decided.Decision) AS decision,
    toString(span.ScopeName) AS scope,
    arrayStringConcat(arraySort(decided.Evidence), ', ') AS evidence,
    count() AS spans,
    sum(ifNull(span.InputTokens, 0)) AS input_tokens,
    sum(ifNull(span.OutputTokens, 0)) AS output_tokens
FROM (SELECT * FROM otel_traces WHERE IsLlm AND {SPAN_SCOPE}) AS span
INNER JOIN ({_DECIDED.format(where=_IN_SCOPE)}) AS decided USING (Project, TraceId, SpanId)
WHERE decided.Decision != ''
GROUP BY project, service, decision, scope, evidence
ORDER BY spans DESC, project, service, decision, scope, evidence"""

_OF_TRACE = _DECIDED.format(where="TraceId = {trace:String} OR RecordTraceId = {trace:String}")

_SPANS = f"""SELECT
    toString(Project) AS project,
    TraceId AS trace,
    SpanId AS span,
    toString(SpanName) AS name,
    toString(ScopeName) AS scope,
    Timestamp AS start,
    Duration / 1e9 AS seconds,
    toString(Model) AS model,
    InputTokens AS input_tokens,
    OutputTokens AS output_tokens,
    toString(Uncounted) AS uncounted
FROM otel_traces
WHERE IsLlm AND has({{trace_ids:Array(String)}}, TraceId)
    AND Timestamp >= toDateTime(tupleElement(({TRACE_TIMES}), 1))
    AND Timestamp <= toDateTime(tupleElement(({TRACE_TIMES}), 2))
ORDER BY start, span
LIMIT 10000"""

#: Columns of `explain`.
COLUMNS = (
    "trace",
    "span",
    "name",
    "scope",
    "start",
    "seconds",
    "model",
    "input_tokens",
    "output_tokens",
    "decision",
    "record",
    "evidence",
    "because",
)


def summary(client: Client, scope: Scope) -> pd.DataFrame:
    """What was decided of the calls in scope: a row for each service, decision, instrumentation scope and
    set of evidence, most spans first.

    Columns: `project`, `service`, `decision` (duplicate, repeats, retry, ambiguous), `scope`, `evidence`,
    `spans`, and the tokens of those spans: not counted a second time (but for those of an attempt, which were
    billed), or of what is ambiguous perhaps counted twice.
    """
    return frame(client, _SUMMARY, scope.params())


def explain(client: Client, trace_id: str) -> pd.DataFrame:
    """Every span that calls a model in one trace, with those of other traces that tell of the same calls, by
    start: what was decided of each and why. Empty for a trace without calls.

    `record` is the span that counts instead (with its trace, where that is another one), or those that may be
    the same call; `evidence` the words of what decided, `because` the same in sentences.
    """
    decided = frame(client, _OF_TRACE, {"trace": trace_id}).to_dict(orient="records")
    decisions = {(row["TraceId"], row["SpanId"]): row for row in decided}
    named = {trace_id: None} | {row["TraceId"]: None for row in decided}
    for row in decided:
        named |= {row["RecordTraceId"]: None} if row["RecordTraceId"] else {}
        named |= {trace: None for trace, _ in row["Candidates"]}
    concerned = set(decisions) | {
        key
        for row in decided
        for key in [(row["RecordTraceId"], row["RecordSpanId"]), *map(tuple, row["Candidates"])]
    }
    spans = frame(client, _SPANS, {"trace_ids": list(named)}).to_dict(orient="records")
    rows = []
    for span in spans:
        key = (span["trace"], span["span"])
        if span["trace"] != trace_id and key not in concerned:
            continue
        decision = decisions.get(key)
        word = span["uncounted"] or (decision["Decision"] if decision else "")
        evidence = sorted(decision["Evidence"]) if decision else []
        rows.append(
            {
                **{name: span[name] for name in COLUMNS if name in span},
                "decision": word or "counts",
                "record": _record(trace_id, decision),
                "evidence": ", ".join(evidence),
                "because": _because(word, evidence),
            }
        )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _record(trace_id: str, decision: Mapping[Hashable, object] | None) -> str:
    if decision is None:
        return ""
    record = (str(decision["RecordTraceId"]), str(decision["RecordSpanId"]))
    candidates: Iterable[tuple[str, str]] = decision["Candidates"]  # type: ignore[assignment]
    keys = [record] if record[1] else list(candidates)
    return ", ".join(span if trace == trace_id else f"{trace}/{span}" for trace, span in keys)


def _because(word: str, evidence: Iterable[str]) -> str:
    sentences = [EVIDENCE[name] for name in evidence if name in EVIDENCE]
    return "; ".join([DECISIONS.get(word, word), *sentences])

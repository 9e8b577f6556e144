"""Recorded exchanges through the SDK into a collector, and the calls that it stored of each."""

from __future__ import annotations

import contextvars
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx

import llmtrace
from llmtrace.testing import Answer, ReplayServer
from llmtrace_collector.attributes.counts import COUNTS
from tests.collector.running import Served, settings
from tests.sdk.naive import Recording
from tests.sdk.test_recordings import Loopback, answer_of

#: A call as it is stored: what was read from the answer, and what it costs.
Row = dict[str, Any]

#: Counts as they are charged.
_COUNTS = ", ".join(
    f"call.{count.name} AS {count.name}"
    for count in COUNTS
    if count.name not in ("InputTokens", "OutputTokens")
)

_CALLS = f"""SELECT
    span.TraceId AS TraceId, span.SpanId AS SpanId, span.SessionId AS Name, span.Timestamp AS At,
    span.Operation AS Operation, span.Provider AS Provider, span.IsLlm AS IsLlm,
    span.SpanAttributes['llmtrace.inner_call'] AS Inner,
    span.RequestModel AS RequestModel, span.ResponseModel AS ResponseModel,
    ifNull(span.InputTokens, 0) AS InputTokens, ifNull(span.OutputTokens, 0) AS OutputTokens, {_COUNTS},
    (span.InputTokens IS NOT NULL OR span.OutputTokens IS NOT NULL) AND span.Estimated = '' AS Known,
    span.Uncounted AS Uncounted,
    span.UsageFault AS UsageFault, span.ServiceTier AS ServiceTier, span.SpanAttributes AS SpanAttributes,
    call.ComputedCost AS ComputedCost, call.Cost AS Cost, call.Stated AS Stated,
    span.StatedCost AS StatedCost, call.PriceSource AS PriceSource, call.UnpricedParts AS UnpricedParts
FROM otel_traces AS span
LEFT JOIN call_cost AS call ON call.TraceId = span.TraceId AND call.SpanId = span.SpanId
WHERE span.SessionId != '' AND (span.IsLlm OR span.Operation = 'fetch_response')"""


def recordings_of(folder: Path) -> Iterator[Recording]:
    """The exchanges of every `*.jsonl` in `folder`, each file a source."""
    for file in sorted(folder.glob("*.jsonl")):
        with file.open(encoding="utf-8") as lines:
            for line in lines:
                yield Recording(file.stem, json.loads(line))


def send(url: str, recordings: Sequence[Recording]) -> None:
    """Send every request through the SDK, which exports to `url`; its place is the session of its span. Each
    in a context of its own: one that failed is not repeated by the next.
    """
    llmtrace.init(endpoint=url, http_spans="none")
    with ReplayServer(Answer()) as server, httpx.Client(transport=Loopback(server), timeout=60) as client:
        for place, recording in enumerate(recordings):
            server.answer_with(answer_of(recording))
            contextvars.copy_context().run(_send, client, recording, str(place))
    llmtrace.flush(60)
    llmtrace.shutdown()


def _send(client: httpx.Client, recording: Recording, session: str) -> None:
    record = recording.record
    with (
        llmtrace.context(session_id=session),
        client.stream(record["method"], record["url"], content=recording.sent or None) as response,
    ):
        for _ in response.iter_raw():
            pass


def stored_calls(folder: Path, recordings: Sequence[Recording]) -> dict[int, list[Row]]:
    """The calls that a collector in `folder` stored of each recording, by its place."""
    served = Served(settings(folder / "store"))
    try:
        send(served.url, recordings)
        return {int(name): rows for name, rows in _stored(served).items()}
    finally:
        llmtrace.shutdown(timeout=1)
        served.close()


def stored_spans(folder: Path, file: Path) -> list[Row]:
    """The calls that a collector in `folder` stored of a file of OTLP: one request a line, in JSON."""
    served = Served(settings(folder / "store"))
    try:
        with file.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                answer = served.post(line, headers={"content-type": "application/json"})
                if answer.status_code != 200:
                    raise ValueError(f"line {number} of {file}: {answer.status_code} {answer.text[:200]}")
        rows = _stored(served, with_session=False)
        return [row for of_session in rows.values() for row in of_session]
    finally:
        served.close()


def _stored(served: Served, *, with_session: bool = True) -> dict[str, list[Row]]:
    """Calls by their session, which those of a file may lack."""
    served.stored()
    served.collector.price_book.sync()
    text = _CALLS if with_session else _CALLS.replace("span.SessionId != ''", "true")
    rows: defaultdict[str, list[Row]] = defaultdict(list)
    for row in served.collector.store.rows(text):
        rows[row["Name"]].append(row)
    return dict(rows)

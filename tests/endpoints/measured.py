"""Endpoints called through the SDK into a collector, and what it stored of each."""

from __future__ import annotations

import contextvars
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import llmtrace
from llmtrace_collector.attributes.counts import COUNTS
from tests.collector.running import Served, settings

from .endpoint import Endpoint, Price

_COUNTS = ", ".join(f"ifNull(span.{count.name}, 0) AS {count.name}" for count in COUNTS)

_SPANS = f"""SELECT
    span.SessionId AS Name, span.Operation AS Operation, span.IsLlm AS IsLlm, {_COUNTS},
    call.Cost AS Cost, call.Stated AS Stated, call.PriceSource AS Source, call.SpanId != '' AS IsCounted
FROM otel_traces AS span
LEFT JOIN call_cost AS call ON call.TraceId = span.TraceId AND call.SpanId = span.SpanId
WHERE span.SessionId != '' AND span.Operation != ''
ORDER BY Name, Operation"""


@dataclass
class Measured:
    """What the store holds of one endpoint's call."""

    spans: tuple[str, ...] = ()
    usage: dict[str, int | float] = field(default_factory=dict)
    price: Price = "none"


def measure(folder: Path, endpoints: Sequence[Endpoint]) -> dict[tuple[str, bool], Measured]:
    """By name, and whether it was streamed; of a collector in `folder`. Those not covered are left out, and
    those without their recording."""
    served = Served(settings(folder / "store"))
    try:
        llmtrace.init(endpoint=served.url, service_name="endpoints", spool_dir="off")
        for endpoint in _runnable(endpoints):
            for is_stream in (False, True) if endpoint.streams else (False,):
                contextvars.copy_context().run(_send, endpoint, is_stream)
        llmtrace.flush(60)
        llmtrace.shutdown()
        served.stored()
        served.collector.price_book.sync()
        rows: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in served.collector.store.rows(_SPANS):
            rows[row["Name"]].append(row)
    finally:
        llmtrace.shutdown(timeout=1)
        served.close()
    return {
        (endpoint.name, is_stream): _measured(rows[_session(endpoint, is_stream)])
        for endpoint in _runnable(endpoints)
        for is_stream in ((False, True) if endpoint.streams else (False,))
    }


def _runnable(endpoints: Sequence[Endpoint]) -> list[Endpoint]:
    """Those that are covered, and whose recordings are there."""
    return [endpoint for endpoint in endpoints if endpoint.send is not None and not endpoint.missing]


def _session(endpoint: Endpoint, is_stream: bool) -> str:
    return f"{endpoint.name}{' (stream)' if is_stream else ''}"


def _send(endpoint: Endpoint, is_stream: bool) -> None:
    if endpoint.send is not None:
        with llmtrace.context(session_id=_session(endpoint, is_stream)):
            endpoint.send(is_stream)


def _measured(rows: Sequence[dict[str, Any]]) -> Measured:
    sums = {count.name: sum(row[count.name] for row in rows) for count in COUNTS}
    return Measured(
        tuple(row["Operation"] for row in rows),
        {name: total for name, total in sums.items() if total},
        _price([row for row in rows if row["IsCounted"]]),
    )


def _price(calls: Sequence[dict[str, Any]]) -> Price:
    if not calls:
        return "none"
    if any(call["Cost"] is None for call in calls):
        return "unpriced"
    if all(call["Source"].startswith("reserved capacity") for call in calls):
        return "reserved"
    return "stated" if all(call["Stated"] for call in calls) else "listed"

"""What a real collector stores of the OTLP that emitters sent: the records that count, with their cost."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from llmtrace.testing import Received
from llmtrace_collector.access.identity import PROJECT_HEADER
from llmtrace_collector.accounting.call_dedup import CallDeduplicator
from llmtrace_collector.attributes.counts import COUNTS
from tests.collector.running import CLIENT, Served, settings

#: A span, or a record with its cost.
Row = dict[str, Any]

#: Columns of counts, in their order.
COUNT_NAMES = tuple(count.name for count in COUNTS)

_RECORDS = f"""SELECT
    span.TraceId AS TraceId, span.SpanId AS SpanId, span.ParentSpanId AS ParentSpanId,
    toUnixTimestamp64Nano(span.Timestamp) AS Start, span.Duration AS Duration, span.SpanName AS SpanName,
    span.ScopeName AS ScopeName, span.SessionId AS SessionId, span.Operation AS Operation,
    span.Provider AS Provider, span.RequestModel AS RequestModel, span.ResponseModel AS ResponseModel,
    span.ResponseId AS ResponseId, span.FinishReasons AS FinishReasons, span.StatusCode AS StatusCode,
    span.ErrorType AS ErrorType, span.TimeToFirstToken AS TimeToFirstToken, span.UsageFault AS UsageFault,
    span.InputMessages AS InputMessages, span.OutputMessages AS OutputMessages,
    span.SystemInstructions AS SystemInstructions, span.ToolDefinitions AS ToolDefinitions,
    {", ".join(f"span.{name} AS {name}" for name in COUNT_NAMES)}, call.Cost AS Cost
FROM otel_traces AS span
LEFT JOIN call_cost AS call ON call.TraceId = span.TraceId AND call.SpanId = span.SpanId
WHERE span.Project = {{project:String}} AND span.IsLlm AND span.Counted
ORDER BY span.Timestamp"""  # ours

_LOGGED = """SELECT TraceId, SpanId, InputMessages, OutputMessages, SystemInstructions, ToolDefinitions
FROM span_messages WHERE Project = {project:String}"""

_SPANS = """SELECT *, toUnixTimestamp64Nano(Timestamp) AS Start FROM otel_traces
WHERE Project = {project:String} ORDER BY Timestamp"""


class ConformanceStore:
    """A collector with an empty store. Use as a context manager."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="llmtrace-conformance-", dir=folder)
        self._served = Served(settings(Path(self._folder.name)))
        self.refused: list[str] = []
        """What the collector did not take: project, path, answer."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._served.close()
        self._folder.cleanup()

    def take(self, requests: Iterable[Received], project: str) -> None:
        """Hand on what an emitter sent, byte for byte, to where it sent it."""
        for request in requests:
            if not request.path.endswith(("/traces", "/logs")):
                continue
            headers = {
                name: value
                for name, value in request.headers.items()
                if name in ("content-type", "content-encoding", "authorization")
            }
            answer = CLIENT.post(
                f"{self._served.url}{request.path}",
                content=request.body,
                headers={**headers, PROJECT_HEADER: project},
            )
            if answer.status_code != 200:
                self.refused.append(f"{project}: {request.path}: {answer.status_code} {answer.text[:200]}")

    def settle(self) -> None:
        """Store what was taken, count each call once, price it."""
        self._served.stored()
        CallDeduplicator(self._served.collector.store).sync()
        self._served.collector.price_book.sync()

    def records(self, project: str) -> list[Row]:
        """The counted calls of a project, in the order of their starts; messages in log records are those of
        their spans, as the trace page has it.
        """
        records = self.rows(_RECORDS, {"project": project})
        logged = {
            (row.pop("TraceId"), row.pop("SpanId")): row for row in self.rows(_LOGGED, {"project": project})
        }
        for record in records:
            for column, text in logged.get((record["TraceId"], record["SpanId"]), {}).items():
                record[column] = record[column] or text
        return records

    def rows(self, text: str, parameters: dict[str, str]) -> list[Row]:
        """The rows of any SELECT."""
        return self._served.collector.store.rows(text, parameters)

    def spans(self, project: str) -> list[Row]:
        """All spans of a project, in the order of their starts."""
        return self.rows(_SPANS, {"project": project})

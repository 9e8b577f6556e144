"""An exporter that keeps everything, in place of the collector."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.id_generator import IdGenerator

from llmtrace import config as configuration
from llmtrace import semconv
from llmtrace.api import lifecycle
from llmtrace.delivery.exporter import Batch, ExportResult, LogRecord
from llmtrace.spans import retries

from . import calls
from .calls import Call, Tokens, ToolRun
from .clock import SteppingClock


class SequentialIds(IdGenerator):
    """Ids 1, 2, 3, … for repeatable snapshots."""

    def __init__(self) -> None:
        self._traces = self._spans = 0
        self._lock = threading.Lock()

    def generate_trace_id(self) -> int:
        with self._lock:
            self._traces += 1
            return self._traces

    def generate_span_id(self) -> int:
        with self._lock:
            self._spans += 1
            return self._spans


class Captured:
    """What was recorded so far. Each reading flushes first."""

    def __init__(self) -> None:
        self._spans: list[ReadableSpan] = []
        self._records: list[LogRecord] = []

    def spans(self) -> list[ReadableSpan]:
        """Ended spans, in the order of their ends."""
        lifecycle.flush()
        return sorted(self._spans, key=lambda span: span.end_time or 0)

    @property
    def calls(self) -> list[Call]:
        """Calls of models that have ended, in the order in which they began; earlier attempts too."""
        return calls.calls(self.spans())

    @property
    def tools(self) -> list[ToolRun]:
        """Runs of tools (`@llmtrace.tool`) that have ended, in the order in which they began."""
        return calls.tool_runs(self.spans())

    @property
    def tokens(self) -> Tokens:
        """The tokens of all calls together, without earlier attempts."""
        return calls.total(call for call in self.calls if call.counted)

    @property
    def cost(self) -> float | None:
        """USD of all calls together, by the public price list; None where that of one is unknown, see
        `cost_unknown`.
        """
        costs = [call.cost for call in self.calls if call.counted]
        return None if None in costs else sum(cost for cost in costs if cost is not None)

    @property
    def cost_unknown(self) -> list[str]:
        """Why the cost is unknown: the reasons, none where it is known."""
        return sorted({call.cost_unknown for call in self.calls if call.counted and call.cost is None})

    def __repr__(self) -> str:
        lines = [f"  {call!r}" for call in self.calls] + [f"  {run!r}" for run in self.tools]
        return "\n".join(
            [f"<captured: {len(self.calls)} calls, {len(self.tools)} runs of tools", *lines, ">"]
        )

    def scores(self) -> list[LogRecord]:
        """Recorded scores, in order."""
        lifecycle.flush()
        return [record for record in self._records if record.event_name == semconv.EVALUATION_EVENT]

    def attachments(self) -> list[LogRecord]:
        """Images and audio, in the order in which they were sent."""
        lifecycle.flush()
        return [record for record in self._records if record.event_name == semconv.ATTACHMENT_EVENT]

    def logs(self) -> list[LogRecord]:
        """What was sent of the program's log, in order: it needs `capture(logs=True)`."""
        lifecycle.flush()
        return [record for record in self._records if not record.event_name]

    def snapshot(self) -> list[dict[str, Any]]:
        """Each span whole, but for its ids and times, as plain values that compare with ==."""
        return [
            {
                "name": span.name,
                "kind": span.kind.name,
                "attributes": {
                    key: list(value) if isinstance(value, tuple) else value
                    for key, value in (span.attributes or {}).items()
                },
                "status": (span.status.status_code.name, span.status.description),
                "events": [event.name for event in span.events],
            }
            for span in self.spans()
        ]

    # The exporter's side; it runs on the delivery thread.
    def pack_spans(self, spans: Sequence[ReadableSpan]) -> Batch:
        self._spans.extend(spans)
        return Batch("traces", len(spans), b"")

    def pack_logs(self, records: Sequence[LogRecord]) -> Batch:
        self._records.extend(records)
        return Batch("logs", len(records), b"")

    def send(self, batch: Batch, timeout: float) -> ExportResult:
        return ExportResult("acknowledged")

    def close(self) -> None:
        """Nothing to release."""


@contextmanager
def capture(
    *,
    id_generator: IdGenerator | None = None,
    clock: SteppingClock | None = None,
    **settings: Any,
) -> Iterator[Captured]:
    """Trace the block into memory: nothing is sent. Ends a running `init`, which has to be called again.

    The program's own `init` within the block changes nothing; after its `shutdown` it starts this again.

    id_generator, clock: `SequentialIds()` and `SteppingClock()` make spans the same in every run.
    settings: arguments of `init`, such as `capture_content=False`.
    """
    lifecycle.shutdown()
    retries.last.set(None)  # a test repeats no request of the one before
    captured = Captured()
    config = configuration.resolve(**settings)
    before = lifecycle.deliver_to(lambda: captured)
    lifecycle.start(config, id_generator=id_generator)
    try:
        with clock.installed() if clock is not None else nullcontext():
            yield captured
    finally:
        lifecycle.shutdown()
        lifecycle.deliver_to(before)

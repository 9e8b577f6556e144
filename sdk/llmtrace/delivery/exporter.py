"""What is sent, and where it goes: the interface between the queue and the network (or a test)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.util.types import AttributeValue

from .settings import Signal


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One log record, such as a score. Ids are 0 where unknown; `time` is nanoseconds since 1970."""

    time: int
    event_name: str
    """What kind of event it is, as `gen_ai.evaluation.result`; "" for one that is none."""
    trace_id: int
    span_id: int
    attributes: Mapping[str, AttributeValue]
    body: str | bytes = ""
    severity_text: str = ""
    severity_number: int = 0
    flags: int = 0
    """The trace's, as the W3C writes them."""
    resource: Resource | None = None
    """None: the exporter's own; `scope` likewise."""
    scope: InstrumentationScope | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """A serialized request; sent again as the same bytes, by whose hash the collector knows repeats."""

    signal: Signal
    items: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class ExportResult:
    """`acknowledged`: durable, but for `rejected` items; `retry`: send again; `refused`: give up."""

    kind: Literal["acknowledged", "retry", "refused"]
    detail: str = ""
    retry_after: float | None = None
    rejected: int = 0
    certificate_refused: bool = False
    """`detail` is about a certificate, and says what mends it; waiting alone does not."""
    timed_out: bool = False
    """Nobody answered in time: another attempt would take as long."""


class Transport(Protocol):
    """Where batches go. Sends for one thread at a time; another may pack batches meanwhile."""

    def send(self, batch: Batch, timeout: float) -> ExportResult:
        """One attempt of about `timeout` seconds; never raises for a network failure."""

    def close(self) -> None:
        """Release connections; it may be used again (a forked child does)."""


class Exporter(Transport, Protocol):
    """A transport that makes the batches too."""

    def pack_spans(self, spans: Sequence[ReadableSpan]) -> Batch:
        """Serialize spans; raises only when one of them cannot be a span."""

    def pack_logs(self, records: Sequence[LogRecord]) -> Batch:
        """Serialize log records."""

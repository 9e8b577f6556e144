"""What every OTLP endpoint does with a request: decompress, convert, check, append to the log."""

from __future__ import annotations

import time
from concurrent.futures import Future
from dataclasses import dataclass, field

from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from llmtrace_collector.metrics import CollectorMetrics
from llmtrace_collector.settings import CollectorSettings

from .completeness import ArrivalCounts, RequestOrigin
from .decompress import Refused, decompress
from .otlp_json import to_protobuf
from .validate import Checked, Malformed, check
from .wal import WalFull, WriteAheadLog
from .wal_frame import Frame

#: The flag of spans that are kept although they end before they start.
END_BEFORE_START = "end before start"

#: Seconds after which a sender should try again when the log is full.
RETRY_AFTER = 2


@dataclass(frozen=True)
class IncomingRequest:
    """A request as it came in, at `received` (Unix nanoseconds). `project` is the key's; empty: the one that
    the resource names.
    """

    signal: str
    body: bytes
    encoding: str = "identity"
    as_json: bool = False
    project: str = ""
    received: int = field(default_factory=time.time_ns)


class Intake:
    """The one way into the log, for OTLP/HTTP and OTLP/gRPC alike. Safe to call from any thread."""

    def __init__(
        self,
        settings: CollectorSettings,
        wal: WriteAheadLog,
        metrics: CollectorMetrics,
        arrival_counts: ArrivalCounts,
    ) -> None:
        self._settings = settings
        self._wal = wal
        self._metrics = metrics
        self._arrival_counts = arrival_counts

    def check(self, request: IncomingRequest) -> Checked:
        """The request's rows fit for the log. Raises Refused (400, 413, 415)."""
        limit = self._settings.max_body_bytes
        plain = decompress(request.body, request.encoding, limit)
        try:
            if request.as_json:
                plain = to_protobuf(request.signal, plain)
            return check(
                request.signal,
                plain,
                now=request.received,
                retention_days=self._settings.retention_days,
                retention=self._settings.retention,
                project=request.project,
                keep_bytes=not (self._settings.redact or self._settings.redact_patterns),
            )
        except Malformed as error:
            raise Refused(400, str(error)) from error

    def append(self, request: IncomingRequest, checked: Checked) -> Future[bool]:
        """Hand the rows to the log; the future resolves when they are on disk, or fails with WalFull."""
        return self._wal.append(
            request.signal,
            Frame(request.project, request.received, checked.body),
            checked.days,
            checked.services,
        )

    def count_acknowledged(self, request: IncomingRequest, checked: Checked, *, new: bool) -> None:
        """Count an acknowledged request."""
        self._metrics.log_bytes.set(self._wal.size)
        self._metrics.rejected.labels(request.signal).inc(checked.rejected)
        origin = RequestOrigin(request.signal, request.project, request.received)
        for rows in checked.services:
            self._arrival_counts.add(origin, rows, "received" if new else "duplicate", rows.accepted)
            self._arrival_counts.add(origin, rows, "rejected", rows.rejected)
            if new and rows.faulty:
                self._arrival_counts.flag(rows.service, END_BEFORE_START, rows.faulty)
        if not checked.accepted:
            return
        if new:
            self._metrics.received.labels(request.signal).inc(checked.accepted)
        else:
            self._metrics.repeated.labels(request.signal).inc()

    def count_refused(self, request: IncomingRequest, refused: Refused) -> None:
        """Count a refused request."""
        self._metrics.refused.labels(request.signal, str(refused.status)).inc()

    def accept(self, request: IncomingRequest) -> Checked:
        """All of it, waiting for the disk. Raises Refused."""
        started = time.perf_counter()
        checked = self.check(request)
        new = True
        if checked.accepted:
            try:
                new = self.append(request, checked).result()
            except WalFull as error:
                raise refusal_when_full(error) from error
        self.count_acknowledged(request, checked, new=new)
        self._metrics.ack_seconds.observe(time.perf_counter() - started)
        return checked


def refusal_when_full(error: WalFull) -> Refused:
    """The answer when the log may not grow."""
    return Refused(503, str(error), retry_after=RETRY_AFTER)


def acknowledgement(signal: str, checked: Checked) -> Message:
    """The response message, with partial success when rows were left out."""
    if signal == "traces":
        traces = ExportTraceServiceResponse()
        if checked.rejected:
            traces.partial_success.rejected_spans = checked.rejected
            traces.partial_success.error_message = checked.message
        return traces
    if signal == "metrics":
        metrics = ExportMetricsServiceResponse()
        if checked.rejected:
            metrics.partial_success.rejected_data_points = checked.rejected
            metrics.partial_success.error_message = checked.message
        return metrics
    logs = ExportLogsServiceResponse()
    if checked.rejected:
        logs.partial_success.rejected_log_records = checked.rejected
        logs.partial_success.error_message = checked.message
    return logs

"""What every OTLP endpoint does with a request: decompress, convert, check, append to the log."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from llmtrace.common.http_limits.refusal import Refusal
from llmtrace_collector.metrics import CollectorMetrics
from llmtrace_collector.settings import CollectorSettings

from .arrival_clock import ArrivalClock
from .completeness import ArrivalCounts, RequestOrigin
from .decompress import decompress, decompress_small
from .heavy_work import HeavyWork
from .nested_values import Malformed
from .otlp_bounds import TooManyRows
from .otlp_json import to_protobuf
from .validate import Checked, check
from .wal import WalFull, WriteAheadLog
from .wal_frame import Frame

#: The flag of spans that are kept although they end before they start.
END_BEFORE_START = "end before start"

#: Seconds after which a sender should try again when the log is full.
RETRY_AFTER = 2

#: What is checked where it came in, in a few milliseconds at most; the rest takes its turn in a thread. Bytes
#: are those after decompression; of JSON much less, which takes twenty times as long to read.
_SMALL_BYTES, _SMALL_JSON_BYTES, _SMALL_ROWS = 256 << 10, 4 << 10, 1024

_ARRIVALS = ArrivalClock()


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
    received: int = field(default_factory=_ARRIVALS.now)


class Intake:
    """The one way into the log, for OTLP/HTTP and OTLP/gRPC alike. Safe to call from any thread."""

    def __init__(
        self,
        settings: CollectorSettings,
        wal: WriteAheadLog,
        metrics: CollectorMetrics,
        arrival_counts: ArrivalCounts,
        disk_full: Callable[[], str] = lambda: "",
    ) -> None:
        """`disk_full` says why nothing more may be written; empty while it may."""
        self._settings = settings
        self._wal = wal
        self._metrics = metrics
        self._arrival_counts = arrival_counts
        self._disk_full = disk_full
        self._heavy_work = HeavyWork()

    def check_small(self, request: IncomingRequest) -> Checked | None:
        """The rows of a request that takes no more than milliseconds; None for others. Raises Refusal (400,
        415)."""
        most = _SMALL_JSON_BYTES if request.as_json else _SMALL_BYTES
        plain = decompress_small(request.body, request.encoding, min(most, self._settings.max_body_bytes))
        if plain is None:
            return None
        try:
            return self._check(request, plain, _SMALL_ROWS)
        except TooManyRows:
            return None

    def check_large(self, request: IncomingRequest) -> Future[Checked]:
        """The rows of any request, in a thread; the future may raise Refusal (400, 413, 415). Raises Refusal
        503 when too many wait already."""
        return self._heavy_work.submit(self._check_whole, request)

    def _check_whole(self, request: IncomingRequest) -> Checked:
        plain = decompress(request.body, request.encoding, self._settings.max_body_bytes)
        return self._check(request, plain)

    def _check(self, request: IncomingRequest, plain: bytes, rows_at_most: int | None = None) -> Checked:
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
                rows_at_most=rows_at_most,
            )
        except Malformed as error:
            raise Refusal(400, str(error)) from error

    def append(self, request: IncomingRequest, checked: Checked) -> Future[bool]:
        """Hand the rows to the log; the future resolves when they are on disk, or fails with WalFull."""
        if full := self._disk_full():  # what is free then is the store's, and of what frees space
            refused: Future[bool] = Future()
            refused.set_exception(WalFull(full))
            return refused
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

    def count_refused(self, signal: str, refusal: Refusal) -> None:
        """Count a refused request."""
        self._metrics.refused.labels(signal, str(refusal.status)).inc()

    def close(self) -> None:
        """Finish what is being checked."""
        self._heavy_work.close()

    def accept(self, request: IncomingRequest) -> Checked:
        """All of it, waiting for the disk. Raises Refusal."""
        started = time.perf_counter()
        checked = self.check_small(request)
        if checked is None:
            checked = self.check_large(request).result()
        new = True
        if checked.accepted:
            try:
                new = self.append(request, checked).result()
            except WalFull as error:
                raise refusal_when_full(error) from error
        self.count_acknowledged(request, checked, new=new)
        self._metrics.ack_seconds.observe(time.perf_counter() - started)
        return checked


def refusal_when_full(error: WalFull) -> Refusal:
    """The answer when the log may not grow."""
    return Refusal(503, str(error), retry_after=RETRY_AFTER)


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

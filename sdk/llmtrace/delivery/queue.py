"""The bounded queue and the one thread behind it.

The caller's side (`submit_*`) costs a lock and an append and never waits for the network. The thread turns
finished calls into spans, packs batches and hands each to the sender. Everything that does not arrive is
counted.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final, Protocol

from opentelemetry import context as otel_context
from opentelemetry.sdk.trace import ReadableSpan

from llmtrace import internal_errors, semconv
from llmtrace.internal_errors import swallow
from llmtrace.redaction.redactor import Redactor
from llmtrace.spans.finished_spans import copied, is_ours
from llmtrace.spans.sampling import TailSampler

from . import double_spans
from .exporter import Batch, Exporter, ExportResult, LogRecord
from .sender import Sender
from .settings import DeliverySettings
from .spool import Spool
from .stats import DeliveryCounters, Stats

_DELIVERING: Final = swallow("delivering spans", may_raise=False)
_BUILDING: Final = swallow("building the span of a call", may_raise=False)
_REDACTING: Final = swallow("redacting a span", may_raise=False)
_ENCODING: Final = swallow("encoding spans", may_raise=False)
_SPAN_BASE_WEIGHT: Final = 1024
_LOG_WEIGHT: Final = 512
_REPORT_SECONDS: Final = 60.0


class FinishedCall(Protocol):
    """A finished LLM call, or anything else that is over and whose spans are still to be built."""

    def complete(self) -> Sequence[ReadableSpan]:
        """Build and end the spans, on the delivery thread, and return those that nothing else submits.

        They are sent as they are: what is to be redacted is redacted here.
        """

    def weight(self) -> int:
        """Bytes of the bodies it holds. Asked on the caller's thread, as `span_count` is."""

    def span_count(self) -> int:
        """About how many spans it comes to."""

    def may_be_retried(self) -> bool:
        """Whether to wait a moment longer before `complete`."""


@dataclass(frozen=True, slots=True)
class PeriodicReport:
    """What is sent every `seconds` and once more at the end; each supersedes the last, so none is kept."""

    seconds: float
    pack: Callable[[], Batch | None]
    """Makes it, on the delivery thread; None where there is nothing to report."""
    on_result: Callable[[ExportResult], None] = lambda _: None
    """Gets what became of each that was sent."""


class DeliveryWorker:
    """Queue and thread. Thread-safe; `after_fork` makes it usable in a child process."""

    def __init__(
        self,
        settings: DeliverySettings,
        open_exporter: Callable[[], Exporter],
        *,
        spool: Spool | None = None,
        reports: bool = False,
        periodic_reports: Sequence[PeriodicReport] = (),
        redactor: Redactor | None = None,
        open_sampler: Callable[[], TailSampler] | None = None,
        on_dropped: Callable[[int], None] | None = None,
    ) -> None:
        """`open_exporter` is called on the thread, at the first batch: it may import what is slow to import.

        spool: where batches wait while the collector is unreachable. reports: send it the counters.
        redactor: cleans spans that were not made here, and log records. open_sampler: makes what decides
        which traces are sent; None sends all. on_dropped: gets the number of spans and log records that were
        just lost, on any thread.
        """
        self._settings = settings
        self._open_exporter = open_exporter
        self._spool = spool
        self._reports = list(periodic_reports)
        self._starts_at_once = bool(periodic_reports)
        if reports:
            self._reports.append(PeriodicReport(_REPORT_SECONDS, self._packed_counters))
        self._pause = min([settings.schedule_delay, *(report.seconds for report in self._reports)])
        self._on_dropped = on_dropped
        self._redactor = redactor or Redactor(secrets=True, pii=False)
        self._open_sampler = open_sampler
        self._stopping = False
        self._reset()

    def _reset(self) -> None:
        self._counters = DeliveryCounters(self._warn_of_dropped)
        self._lock = self._counters.lock
        self._sender = Sender(self._settings, self._open_exporter, self._counters, self._spool)
        self._sampler = self._open_sampler() if self._open_sampler is not None else None
        self._roots_elsewhere: deque[int] = deque(maxlen=self._settings.max_queue_items)
        self._wake = threading.Event()
        self._done = threading.Condition()
        self._calls: deque[tuple[int, int, FinishedCall]] = deque()
        self._spans_of_calls = 0
        self._spans: deque[tuple[int, bool, ReadableSpan]] = deque()
        self._logs: deque[LogRecord] = deque()
        self._queued_bytes = 0
        self._flushes_requested = self._flushes_done = 0
        now = time.monotonic()
        self._next_reports = [now + report.seconds for report in self._reports]
        self._thread: threading.Thread | None = None

    def resume(self) -> None:
        """Start the thread at once if an earlier process left batches on disk, or there is what to report."""
        if self._starts_at_once or self._sender.has_leftovers:
            self._start()

    def submit_call(self, call: FinishedCall, *, quiet: bool = False) -> None:
        """Queue a finished call. `quiet` starts and wakes nothing (for use during garbage collection)."""
        weight, spans = call.weight(), call.span_count()
        with self._lock:
            if self._is_full(weight):
                self._counters.generated += spans
                self._counters.count_dropped(spans)
                return
            self._calls.append((weight, spans, call))
            self._queued_bytes += weight
            self._spans_of_calls += spans
            queued = self._spans_of_calls
        if not quiet:
            self._notify(queued)

    def submit_span(self, span: ReadableSpan, *, redacted: bool = False) -> None:
        """Queue an ended span; `redacted` says that it was redacted already."""
        weight = _weigh(span)
        with self._lock:
            self._counters.generated += 1
            if self._is_full(weight):
                self._counters.count_dropped(1)
                return
            self._spans.append((weight, redacted, span))
            self._queued_bytes += weight
            queued = len(self._spans)
        self._notify(queued)

    def note_root(self, trace_id: int) -> None:
        """A root span has ended that is not ours to deliver: its trace can be decided about."""
        if self._sampler is not None:
            self._roots_elsewhere.append(trace_id)

    def submit_log(self, record: LogRecord) -> None:
        """Queue a log record, such as a score."""
        with self._lock:
            self._counters.generated += 1
            if self._is_full(_LOG_WEIGHT):
                self._counters.count_dropped(1)
                return
            self._logs.append(record)
            self._queued_bytes += _LOG_WEIGHT
            queued = len(self._logs)
        self._notify(queued)

    def flush(self, timeout: float) -> bool:
        """Send what was submitted before now; True if all was acknowledged within `timeout` seconds."""
        if threading.current_thread() is self._thread:
            return False
        with self._done:
            self._flushes_requested += 1
            flush_number, dropped = self._flushes_requested, self._counters.dropped
        self._start()
        self._sender.hurry.set()
        self._wake.set()
        with self._done:
            finished = self._done.wait_for(lambda: self._flushes_done >= flush_number, timeout)
        return finished and self._counters.dropped == dropped and self._counters.spooled == 0

    def shutdown(self, timeout: float) -> bool:
        """Send for at most `timeout` seconds, then end the thread; the rest goes to disk or is dropped."""
        with self._lock:
            if self._stopping:
                return True
            self._stopping = True
            thread, dropped = self._thread, self._counters.dropped
        self._sender.set_deadline(time.monotonic() + timeout)
        self._wake.set()
        if thread is not None:
            thread.join(timeout)
        else:
            with _suppress_instrumentation():
                self._last_cycle()  # at interpreter exit no thread can be started any more
        if thread is not None and thread.is_alive():
            with _suppress_instrumentation():
                self._rescue()
        else:
            self._sender.close()
        return self._counters.dropped == dropped and self._counters.spooled == 0

    def stats(self) -> Stats:
        """Counters; see Stats."""
        with self._lock:
            return self._counters.read(uncounted=self._spans_of_calls)

    def after_fork(self) -> None:
        """In the child: the queue is the parent's to send; locks, thread and connection are made anew."""
        self._sender.close()
        self._reset()

    def _is_full(self, weight: int) -> bool:
        queued = self._spans_of_calls + len(self._spans) + len(self._logs)
        return (
            queued >= self._settings.max_queue_items
            or self._queued_bytes + weight > self._settings.max_queue_bytes
        )

    def _rescue(self) -> None:
        """The thread hangs in the network and the deadline is over: keep the rest without it."""
        batches: list[Batch] = []
        with swallow("keeping the last spans", may_raise=False):
            if self._spool is not None:
                while self._calls or self._spans:
                    self._complete_next()
                    spans = self._take_spans()
                    if self._sampler is not None:
                        self._sampler.hold(spans)
                        spans, left_out = self._sampler.decide(everything=True)
                        self._counters.sampled_out += left_out
                    if spans:
                        batches.append(self._sender.exporter.pack_spans(spans))
                scores = self._take_logs(len(self._logs))
                if scores:
                    batches.append(self._sender.exporter.pack_logs(scores))
                self._sender.rescue(batches)
        with self._lock:
            rest = self._spans_of_calls + len(self._spans) + len(self._logs)
            if rest:
                self._counters.generated += self._spans_of_calls
                self._counters.count_dropped(rest)
                self._calls.clear()
                self._spans.clear()
                self._logs.clear()
                self._queued_bytes = self._spans_of_calls = 0

    def _notify(self, queued: int) -> None:
        if self._thread is None:
            self._start()
        if queued >= self._settings.max_batch_items and not self._wake.is_set():
            self._wake.set()

    def _start(self) -> None:
        with self._lock:
            if self._thread is not None or self._stopping:
                return
            thread = threading.Thread(target=self._run, name="llmtrace-delivery", daemon=True)
            self._thread = thread
        try:
            thread.start()
        except RuntimeError as error:  # the interpreter is leaving; shutdown() sends on its own thread
            self._thread = None
            internal_errors.report("starting the delivery thread", error, may_raise=False)

    def _run(self) -> None:
        with _suppress_instrumentation():
            while True:
                self._wake.wait(self._pause)
                self._wake.clear()
                stopping, flush_number = self._stopping, self._flushes_requested
                with _DELIVERING:  # the thread must outlive any failure
                    self._last_cycle() if stopping else self._cycle()
                if not stopping:
                    self._sender.hurry.clear()
                with self._done:
                    self._flushes_done = flush_number
                    self._done.notify_all()
                if stopping:
                    return

    def _cycle(self) -> None:
        """Send what is queued at the start, not what arrives meanwhile: flush must end under load."""
        # Spans are counted first: the calls below a root span were submitted before it.
        spans, calls, scores = len(self._spans), len(self._calls), len(self._logs)
        while calls > 0 or spans > 0:
            while calls > 0 and len(self._spans) < self._settings.max_batch_items:
                calls -= 1
                spans += self._complete_next()
            spans -= self._send_spans()
            if not self._spans:
                spans = 0
        self._send_decided()
        records = self._take_logs(scores)
        if records:
            self._sender.deliver(self._sender.exporter.pack_logs(records))
        self._sender.replay()
        for number, report in enumerate(self._reports):
            if time.monotonic() >= self._next_reports[number]:
                self._next_reports[number] = time.monotonic() + report.seconds
                self._send_report(report)

    def _last_cycle(self) -> None:
        self._cycle()
        for report in self._reports:
            self._send_report(report)

    def _send_report(self, report: PeriodicReport) -> None:
        batch = report.pack()
        result = self._sender.send_once(batch) if batch is not None else None
        if result is not None:
            report.on_result(result)

    def _packed_counters(self) -> Batch | None:
        record = self._counters.report()
        return None if record is None else self._sender.exporter.pack_logs([record])

    def _warn_of_dropped(self, count: int) -> None:
        internal_errors.warn_once(
            "drop",
            "llmtrace drops spans (the collector at %s is away or too slow and queue and spool are full, or "
            "it refused them); llmtrace.stats() counts them.",
            self._settings.endpoints["traces"].url,
        )
        if self._on_dropped is not None:
            self._on_dropped(count)

    def _complete_next(self) -> int:
        with self._lock:
            if not self._calls:
                return 0
            weight, expected, call = self._calls.popleft()
            if not self._stopping and not self._sender.hurry.is_set() and call.may_be_retried():
                self._calls.append((weight, expected, call))
                return 0
            self._queued_bytes -= weight
            self._spans_of_calls -= expected
        spans = None
        with _BUILDING:  # one call must not stop the others
            spans = call.complete()
        if spans is None:
            with self._lock:
                self._counters.generated += expected
                self._counters.count_dropped(expected)
            return 0
        weighed = [(_weigh(span), True, span) for span in spans]
        with self._lock:
            self._counters.generated += len(weighed)
            self._spans.extend(weighed)
            self._queued_bytes += sum(weight for weight, _, _ in weighed)
        return max(len(weighed), 1)  # none: an ordinary span, which its provider's processor has submitted

    def _send_spans(self) -> int:
        spans = self._take_spans()
        if spans:
            if self._sampler is not None:
                self._sampler.hold(spans)
            else:
                self._deliver_spans(spans)
        return len(spans)

    def _send_decided(self) -> None:
        sampler = self._sampler
        if sampler is None:
            return
        roots = [self._roots_elsewhere.popleft() for _ in range(len(self._roots_elsewhere))]
        sampler.hold((), roots)
        sampled, left_out = sampler.decide(everything=self._stopping)
        with self._lock:
            self._counters.sampled_out += left_out
        size = self._settings.max_batch_items
        for start in range(0, len(sampled), size):
            self._deliver_spans(sampled[start : start + size])

    def _take_spans(self) -> list[ReadableSpan]:
        spans: list[ReadableSpan] = []
        size = 0
        with self._lock:
            while self._spans and len(spans) < self._settings.max_batch_items:
                weight, redacted, span = self._spans[0]
                if spans and size + weight > self._settings.max_batch_bytes:
                    break
                self._spans.popleft()
                self._queued_bytes -= weight
                size += weight
                spans.append(span if redacted else self._redact(span))
        return spans

    def _redact(self, span: ReadableSpan) -> ReadableSpan:
        """A span that was not made from a call: redacted, and not counted where it describes one."""
        with _REDACTING:
            span = self._redactor.span(span)
            if is_ours(span) or not double_spans.is_double(span):
                return span
            attributes = {**(span.attributes or {}), semconv.COUNTED: False}
            message = span.status.description
            return copied(span, attributes=attributes, events=span.events, description=message)
        return copied(span)  # what cannot be redacted is not sent whole

    def _take_logs(self, count: int) -> list[LogRecord]:
        with self._lock:
            records = [self._logs.popleft() for _ in range(min(count, len(self._logs)))]
            self._queued_bytes -= _LOG_WEIGHT * len(records)
        return [
            replace(record, attributes=self._redactor.attributes(record.attributes))
            for record in map(double_spans.resolved, records)
        ]

    def _deliver_spans(self, spans: Sequence[ReadableSpan]) -> None:
        batch = None
        with _ENCODING:
            batch = self._sender.exporter.pack_spans(spans)
        if batch is not None:
            self._sender.deliver(batch)
        elif len(spans) == 1:  # a span that cannot be packed is dropped alone
            self._counters.count_dropped(1)
        else:
            for span in spans:
                self._deliver_spans([span])


@contextmanager
def _suppress_instrumentation() -> Iterator[None]:
    """Nothing done within is ever traced, our own HTTP above all."""
    token = otel_context.attach(otel_context.set_value("suppress_instrumentation", True))
    try:
        yield
    finally:
        otel_context.detach(token)


def _weigh(span: ReadableSpan) -> int:
    weight = _SPAN_BASE_WEIGHT
    for value in (span.attributes or {}).values():
        if type(value) is str:
            weight += len(value)
    return weight

"""The thread that delivers, and the way to it.

The caller's side (`submit_*`) costs a lock and an append and never waits for the network. The thread turns
finished calls into spans, packs batches and hands each to the sender; what lies on disk has a thread of its
own (`replay_thread`). Everything that does not arrive is counted.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from opentelemetry import context as otel_context
from opentelemetry.sdk.trace import ReadableSpan

from llmtrace import internal_errors
from llmtrace.internal_errors import swallow
from llmtrace.redaction.redactor import Redactor
from llmtrace.spans.sampling import TailSampler

from .attachments import Attachments
from .bounded_queue import BoundedQueue, FinishedCall
from .counters_report import CountersReport, ReportSource
from .exporter import Batch, Exporter, ExportResult, LogRecord
from .packing import Packer, RescuedError
from .replay_thread import ReplayThread
from .sender import Sender
from .settings import DeliverySettings
from .shutdown import Shutdown
from .spool import Spool
from .stats import DeliveryCounters, Stats

_DELIVERING: Final = swallow("delivering spans", may_raise=False)
_COUNTING: Final = swallow("keeping the counters", may_raise=False)
_ENDING: Final = swallow("ending the delivery", may_raise=False)
#: The shortest pause between two looks at the queue, as a share of `schedule_delay`, the longest.
_SHORTEST_PAUSE_SHARE: Final = 0.2
#: For each second of CPU that a look took, so many seconds of pause: what is lost by a kill is kept small
#: where that is cheap.
_PAUSE_PER_WORK: Final = 400.0
_LAST_CYCLES: Final = 3
#: Seconds in which a process that ends at once is to be known to others; once per process.
_LONGEST_WAIT_AT_START: Final = 0.01
_LEFT_SECONDS: Final = 10.0
"""How often it is looked for what processes left that have ended meanwhile."""


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
        reports: ReportSource | None = None,
        periodic_reports: Sequence[PeriodicReport] = (),
        redactor: Redactor | None = None,
        open_sampler: Callable[[], TailSampler] | None = None,
        on_dropped: Callable[[int], None] | None = None,
        attachment_bytes: int = 0,
    ) -> None:
        """`open_exporter` is called on the thread, at the first batch: it may import what is slow to import.

        spool: where batches wait while the collector is unreachable. reports: in whose name to send it the
        counters; None: not at all.
        redactor: cleans spans that were not made here, and log records. open_sampler: makes what decides
        which traces are sent; None sends all. on_dropped: gets the number of spans and log records that were
        just lost, on any thread. attachment_bytes: the longest image or audio that is sent with its span.
        """
        self._settings = settings
        self._attachment_bytes = attachment_bytes
        self._open_exporter = open_exporter
        self._spool = spool
        self._reports = list(periodic_reports)
        self._report_source = reports
        self._longest_pause = min([settings.schedule_delay, *(report.seconds for report in self._reports)])
        self._on_dropped = on_dropped
        self._redactor = redactor or Redactor(secrets=True, pii=False)
        self._open_sampler = open_sampler
        self._stopping = False
        self._reset()

    def _reset(self) -> None:
        self._counters = DeliveryCounters(self._warn_of_dropped)
        self._lock = self._counters.lock
        self._queue = BoundedQueue(self._settings, self._counters)
        self._sender = Sender(
            self._settings,
            self._open_exporter,
            self._counters,
            self._spool,
            is_crowded=self._queue.is_half_full,
            has_to_keep=lambda: self._shutdown.has_to_keep(),
        )
        self._replay_thread = ReplayThread(self._sender, _suppress_instrumentation)
        self._counters_report = (
            CountersReport(self._report_source, self._counters, self._queue, self._sender, self._spool)
            if self._report_source is not None
            else None
        )
        self._pause = self._longest_pause * _SHORTEST_PAUSE_SHARE
        self.attachments = Attachments(self._attachment_bytes)
        self._packer = Packer(
            self._settings,
            self._queue,
            self._counters,
            self._sender,
            redactor=self._redactor,
            sampler=self._open_sampler() if self._open_sampler is not None else None,
            attachments=self.attachments,
        )
        self._shutdown = Shutdown(
            self._queue,
            self._packer,
            self._sender,
            self._replay_thread,
            counters_report=self._counters_report,
            spool=self._spool,
        )
        self._wake = threading.Event()
        self._is_known = threading.Event()
        self._done = threading.Condition()
        self._flushes_requested = self._flushes_done = self._failed_cycles = 0
        now = time.monotonic()
        self._next_reports = [now + report.seconds for report in self._reports]
        self._next_leftover_scan = now + _LEFT_SECONDS
        self._thread: threading.Thread | None = None

    def resume(self) -> None:
        """Start at once if an earlier process left batches on disk, or there is what to report."""
        if self._spool is not None and (elsewhere := self._spool.under_other_keys()):
            internal_errors.warn_once(
                "other keys",
                "llmtrace: spans that were kept for the collector under other keys wait in %s, and are sent "
                "by a process that has theirs; what none will send any more can be deleted.",
                ", ".join(map(str, elsewhere)),
            )
        if self._sender.has_leftovers:
            self._replay_thread.start()
        if self._reports:
            self._start()

    def submit_call(self, call: FinishedCall, *, quiet: bool = False) -> bool:
        """Queue a finished call; whether there was room. `quiet` starts and wakes nothing (for use during
        garbage collection).
        """
        queued = self._queue.add_call(call)
        if queued and not quiet:
            self._notify(queued)
        return bool(queued)

    @property
    def disk(self) -> DeliverySettings | None:
        """What says where it keeps something on disk, and how much; None where it does not."""
        return self._settings if self._spool is not None else None

    def is_crowded(self) -> bool:
        """Whether the queue is more than half full."""
        return self._queue.is_half_full()

    def wake(self) -> None:
        """Let the thread look at the queue at once."""
        self._wake.set()

    def count_dropped(self, spans: int) -> None:
        """Count spans that will never be, for what they were to be made of was dropped."""
        with self._lock:
            self._counters.generated += spans
            self._counters.count_dropped(spans)

    def submit_span(self, span: ReadableSpan, *, redacted: bool = False) -> None:
        """Queue an ended span; `redacted` says that it was redacted already."""
        self._notify(self._queue.add_span(span, redacted=redacted))

    def note_root(self, trace_id: int) -> None:
        """A root span has ended that is not ours to deliver: its trace can be decided about."""
        self._packer.note_root(trace_id)

    def submit_log(self, record: LogRecord) -> None:
        """Queue a log record, such as a score."""
        self._notify(self._queue.add_log(record))

    def count_limited(self, count: int) -> None:
        """Count log records that were left out for the limit on their rate."""
        with self._lock:
            self._counters.logs_limited += count

    def flush(self, timeout: float) -> bool:
        """Send what was submitted before now; True if all was acknowledged within `timeout` seconds."""
        if threading.current_thread() is self._thread:
            return False
        with self._done:
            self._flushes_requested += 1
            flush_number, losses = self._flushes_requested, self._losses()
        self._start()
        self._sender.hurry.set()
        self._wake.set()
        began = time.monotonic()
        with self._done:
            finished = self._done.wait_for(lambda: self._flushes_done >= flush_number, timeout)
        if finished and (self._sender.has_to_replay or self._replay_thread.is_running):
            self._replay_thread.flush(timeout - (time.monotonic() - began))
        return finished and self._losses() == losses and self._counters.spooled == 0

    def shutdown(self, timeout: float, *, ends_process: bool = False) -> bool:
        """Send for at most `timeout` seconds, then end the thread; the rest goes to disk or is dropped.

        ends_process: see `BoundedQueue.close`.
        """
        with self._lock:
            if self._stopping:
                return True
            self._stopping = True
            thread, losses = self._thread, self._losses()
        self._shutdown.begin(timeout, ends_process=ends_process)
        self._wake.set()
        with _suppress_instrumentation():
            is_hanging = False
            if thread is not None:
                thread.join(timeout)
                is_hanging = self._shutdown.is_hanging(thread)
            else:
                self._attempt_cycle(last=True)  # at interpreter exit no thread can be started any more
            self._shutdown.finish(is_hanging=is_hanging)
        everything_settled = self.stats().pending == 0  # else the thread still redacts it
        return everything_settled and self._losses() == losses and self._counters.spooled == 0

    def seal(self, seconds: float) -> None:
        """After `shutdown`, when the process ends in a moment: see `CountersReport.seal`."""
        with _ENDING:
            if self._counters_report is not None:
                self._counters_report.seal(seconds)

    def stats(self) -> Stats:
        """Counters; see Stats."""
        with self._lock:
            return self._counters.read(uncounted=self._queue.spans_of_calls)

    def after_fork(self) -> None:
        """In the child: the queue is the parent's to send; locks, thread and connection are made anew."""
        if self._spool is not None:
            self._spool.after_fork()
        self._sender.close()
        self._reset()

    def _notify(self, queued: int) -> None:
        """After something was queued, so many of its kind now; 0: it was dropped."""
        if not queued:
            if self._queue.is_closed and self._counters_report is not None:
                with _COUNTING:
                    self._counters_report.keep_late()
            return
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
            return
        if self._counters_report is not None:
            self._is_known.wait(_LONGEST_WAIT_AT_START)

    def _run(self) -> None:
        with suppress(RescuedError), _suppress_instrumentation():
            if self._counters_report is not None:
                with _COUNTING:
                    self._counters_report.begin()
            self._is_known.set()
            if self._counters_report is not None:
                with _COUNTING:
                    self._counters_report.make_room()
            while True:
                self._wake.wait(self._pause)
                self._wake.clear()
                began = time.thread_time()
                stopping, flush_number = self._stopping, self._flushes_requested
                with _DELIVERING:  # the thread must outlive any failure
                    self._attempt_cycle(last=stopping)
                worked = time.thread_time() - began
                shortest = self._longest_pause * _SHORTEST_PAUSE_SHARE
                self._pause = min(max(worked * _PAUSE_PER_WORK, shortest), self._longest_pause)
                if not stopping:
                    self._sender.hurry.clear()
                with self._done:
                    self._flushes_done = flush_number
                    self._done.notify_all()
                if stopping:
                    return

    def _attempt_cycle(self, *, last: bool) -> None:
        """A cycle that may fail: what it lost is counted."""
        with _DELIVERING:
            self._last_cycle() if last else self._cycle()
            return
        self._failed_cycles += 1
        self._queue.count_lost(self._packer.held)
        if last:
            self._shutdown.rescue()

    def _losses(self) -> tuple[int, int]:
        """What grows when something that was submitted did not arrive."""
        return self._counters.dropped, self._failed_cycles

    def _cycle(self) -> None:
        """Send what is queued at the start, not what arrives meanwhile: flush must end under load."""
        # Spans are counted first: the calls below a root span were submitted before it.
        spans, calls, logs = self._queue.spans, self._queue.calls, self._queue.logs
        while calls > 0 or spans > 0:
            while calls > 0 and self._queue.spans < self._settings.max_batch_items:
                self._shutdown.leave_to_other()
                calls -= 1
                may_wait = not self._stopping and not self._sender.hurry.is_set()
                spans += self._packer.complete_next(may_wait=may_wait)
            self._shutdown.leave_to_other()
            count, taken = self._packer.take_spans()
            self._deliver_spans(taken)
            spans -= count
            if not self._queue.spans:
                spans = 0
        for sampled in self._packer.take_decided(everything=self._stopping):
            self._deliver_spans(sampled)
        while logs > 0:
            count, records = self._packer.take_logs(logs)
            if not count:
                break
            logs -= count
            if records:
                self._deliver(self._packer.packed_logs(records))
        if self._counters_report is not None:
            if not self._stopping:  # the last one follows
                self._counters_report.send()
            self._counters_report.keep()
        self._start_replaying()
        for number, report in enumerate(self._reports):
            if time.monotonic() >= self._next_reports[number]:
                self._next_reports[number] = time.monotonic() + report.seconds
                self._send_report(report)

    def _start_replaying(self) -> None:
        """Where something is on disk, of this process or of one that has ended."""
        if self._spool is None:
            return
        now, is_needed = time.monotonic(), self._sender.has_to_replay
        if now >= self._next_leftover_scan:
            is_needed = self._sender.has_leftovers or is_needed
            # A folder with very many files takes long to look through.
            self._next_leftover_scan = now + max(_LEFT_SECONDS, 1000 * (time.monotonic() - now))
        if is_needed:
            self._replay_thread.start()

    def _last_cycle(self) -> None:
        for _ in range(_LAST_CYCLES):  # other threads go on meanwhile
            self._cycle()
            if self._queue.is_empty():
                break
        if self._counters_report is not None:
            self._counters_report.send(is_last=True)
        for report in self._reports:
            self._send_report(report)
        # What came while the report was on its way is for another process.
        self._shutdown.keep_rest()
        if self._spool is None:
            self._shutdown.close_queue()
            if not self._queue.is_empty():
                self._cycle()

    def _send_report(self, report: PeriodicReport) -> None:
        batch = report.pack()
        result = self._sender.send_once(batch) if batch is not None else None
        if result is not None:
            report.on_result(result)

    def _warn_of_dropped(self, count: int) -> None:
        if not self._queue.is_closed:
            internal_errors.warn_once(
                "drop",
                "llmtrace drops spans (the collector at %s is away or too slow and queue and spool are full, "
                "or it refused them); llmtrace.stats() counts them.",
                self._settings.endpoints["traces"].url,
            )
        if self._on_dropped is not None:
            self._on_dropped(count)

    def _deliver_spans(self, spans: Sequence[ReadableSpan]) -> None:
        if spans:
            self._deliver(self._packer.packed_spans(spans))

    def _deliver(self, batches: Iterable[Batch]) -> None:
        for batch in batches:
            self._sender.deliver(batch)
            if self._counters_report is not None:
                self._counters_report.keep()


@contextmanager
def _suppress_instrumentation() -> Iterator[None]:
    """Nothing done within is ever traced, our own HTTP above all."""
    token = otel_context.attach(otel_context.set_value("suppress_instrumentation", True))
    try:
        yield
    finally:
        otel_context.detach(token)

"""From what waits in the queue to batches: spans are built, redacted, sampled and packed.

What cannot be built or packed is counted as dropped, and costs no other.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Final, TypeVar

from opentelemetry.sdk.trace import ReadableSpan

from llmtrace import semconv
from llmtrace.internal_errors import swallow
from llmtrace.redaction.redactor import Redactor
from llmtrace.spans.finished_spans import copied, is_ours
from llmtrace.spans.sampling import TailSampler

from . import double_spans
from .attachments import Attachments
from .bounded_queue import BoundedQueue
from .exporter import Batch, Exporter, LogRecord
from .sender import Sender
from .settings import DeliverySettings
from .stats import DeliveryCounters

_BUILDING: Final = swallow("building the span of a call", may_raise=False)
_REDACTING: Final = swallow("redacting a span", may_raise=False)
_REDACTING_LOG: Final = swallow("redacting a log record", may_raise=False)
_ENCODING: Final = swallow("encoding spans or scores", may_raise=False)

ItemT = TypeVar("ItemT")


class RescuedError(BaseException):
    """On the delivery thread: it took too long at the end, and the thread that ends the process goes on."""


class Packer:
    """For the delivery thread; `rest` and `interrupted` for the one that ends the process."""

    def __init__(
        self,
        settings: DeliverySettings,
        queue: BoundedQueue,
        counters: DeliveryCounters,
        sender: Sender[Exporter],
        *,
        redactor: Redactor,
        sampler: TailSampler | None,
        attachments: Attachments,
    ) -> None:
        """The sender's exporter is what packs. sampler: decides which traces are sent; None sends all."""
        self._settings = settings
        self._queue = queue
        self._counters = counters
        self._sender = sender
        self._redactor = redactor
        self._sampler = sampler
        self._attachments = attachments
        self._roots_elsewhere: deque[int] = deque(maxlen=settings.max_queue_items)
        self._packing: Callable[[], list[Batch]] | None = None
        #: Of the delivery thread and the one that ends the process, one sends what is being packed.
        self._packing_lock = threading.Lock()

    @property
    def held(self) -> int:
        """How many spans wait for a decision on their trace."""
        return self._sampler.held if self._sampler is not None else 0

    def note_root(self, trace_id: int) -> None:
        """A root span has ended that is not ours to deliver: its trace can be decided about. Any thread."""
        if self._sampler is not None:
            self._roots_elsewhere.append(trace_id)

    def complete_next(self, *, may_wait: bool) -> int:
        """Build the spans of the oldest call; how many are queued then. may_wait: see `take_call`."""
        taken = self._queue.take_call(may_wait=may_wait)
        if taken is None:
            return 0
        call, expected = taken
        with _BUILDING:  # one call must not stop the others
            spans = call.complete()
            self._queue.add_built(spans)
            return max(len(spans), 1)  # none: an ordinary span, which its provider's processor has submitted
        with self._counters.lock:
            self._counters.generated += expected
            self._counters.count_dropped(expected)
        return 0

    def take_spans(self) -> tuple[int, list[ReadableSpan]]:
        """(how many of the queued spans were taken, those of them that are to be sent now)."""
        spans = self._queue.take_spans(self._redact)
        if spans and self._sampler is not None:
            self._sampler.hold(spans)
            return len(spans), []
        return len(spans), spans

    def take_decided(self, *, everything: bool) -> Iterator[list[ReadableSpan]]:
        """Spans of traces that were decided about, in groups; everything: of all that are held."""
        sampler = self._sampler
        if sampler is None:
            return
        roots = [self._roots_elsewhere.popleft() for _ in range(len(self._roots_elsewhere))]
        sampler.hold((), roots)
        sampled, left_out = sampler.decide(everything=everything)
        with self._counters.lock:
            self._counters.sampled_out += left_out
        size = self._settings.max_batch_items
        for start in range(0, len(sampled), size):
            yield sampled[start : start + size]

    def take_logs(self, count: int) -> tuple[int, list[LogRecord]]:
        """(how many of at most `count` queued log records were taken, those that can be sent)."""
        taken = self._queue.take_logs(count)
        return len(taken), self._redacted_logs(taken)

    def packed_spans(self, spans: Sequence[ReadableSpan]) -> Iterator[Batch]:
        """Batches of spans, and of what is attached to them. Raises RescuedError."""
        yield from self._interruptible(partial(self._packed, self._pack_spans, spans))
        for record in self._records_of(spans):  # alone: it may be as large as a batch
            yield from self._interruptible(partial(self._packed, self._pack_logs, [record]))

    def packed_logs(self, records: Sequence[LogRecord]) -> Iterator[Batch]:
        """Batches of log records. Raises RescuedError."""
        yield from self._interruptible(partial(self._packed, self._pack_logs, records))

    def rest(self) -> Iterator[Batch]:
        """What waits when it is called, as batches; what comes meanwhile may be among it."""
        calls, spans, logs = self._queue.calls, self._queue.spans, self._queue.logs
        while calls > 0 or spans > 0:
            while calls > 0 and self._queue.spans < self._settings.max_batch_items:
                calls -= 1
                spans += self.complete_next(may_wait=False)
            count, taken = self.take_spans()
            yield from self._rest_of(taken)
            spans = spans - count if count else 0
        for sampled in self.take_decided(everything=True):
            yield from self._rest_of(sampled)
        while logs > 0:
            count, records = self.take_logs(logs)
            if records:
                yield from self._packed(self._pack_logs, records)
            logs = logs - count if count else 0

    def interrupted(self) -> list[Batch]:
        """What the delivery thread is packing, which gets RescuedError for it."""
        with self._packing_lock:
            packing, self._packing = self._packing, None
        return packing() if packing is not None else []

    def _rest_of(self, spans: Sequence[ReadableSpan]) -> Iterator[Batch]:
        if spans:
            yield from self._packed(self._pack_spans, spans)
            for record in self._records_of(spans):
                yield from self._packed(self._pack_logs, [record])

    def _interruptible(self, packing: Callable[[], list[Batch]]) -> list[Batch]:
        self._packing = packing
        batches = packing()
        with self._packing_lock:
            if self._packing is None:
                raise RescuedError  # and what else waits is another thread's now
            self._packing = None
        return batches

    def _packed(self, pack: Callable[[Sequence[ItemT]], Batch], items: Sequence[ItemT]) -> list[Batch]:
        """One batch; where one of the items cannot be packed, it is dropped and the others go alone."""
        with _ENCODING:
            return [pack(items)]
        if len(items) > 1:
            return [batch for item in items for batch in self._packed(pack, [item])]
        self._counters.count_dropped(1, "logs" if isinstance(items[0], LogRecord) else "traces")
        return []

    def _pack_spans(self, spans: Sequence[ReadableSpan]) -> Batch:
        return self._sender.exporter.pack_spans(spans)

    def _pack_logs(self, records: Sequence[LogRecord]) -> Batch:
        return self._sender.exporter.pack_logs(records)

    def _records_of(self, spans: Sequence[ReadableSpan]) -> list[LogRecord]:
        """What is attached to spans."""
        records = self._attachments.of(spans)
        with self._counters.lock:
            self._counters.generated += len(records)
        return records

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

    def _redacted_logs(self, taken: Sequence[LogRecord]) -> list[LogRecord]:
        records: list[LogRecord] = []
        for record in taken:
            with _REDACTING_LOG:
                records.append(self._redacted_log(double_spans.resolved(record)))
                continue
            self._counters.count_dropped(1, "logs")  # what cannot be redacted is not sent
        return records

    def _redacted_log(self, record: LogRecord) -> LogRecord:
        body = self._redactor.text(record.body) if isinstance(record.body, str) and record.body else ""
        return replace(record, attributes=self._redactor.attributes(record.attributes), body=body)

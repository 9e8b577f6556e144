"""What waits for the delivery thread: finished calls, ended spans and log records, within one bound."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Protocol, runtime_checkable

from opentelemetry import context as otel_context
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.util.types import AttributeValue

from .exporter import LogRecord
from .settings import DeliverySettings
from .stats import DeliveryCounters

_SPAN_BASE_WEIGHT: Final = 1024
_LOG_BASE_WEIGHT: Final = 512


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


@runtime_checkable
class DroppableCall(Protocol):
    """A finished call that holds more than `span_count` says."""

    def drop(self) -> int:
        """It is never completed: let go of what it holds. About how many spans are lost."""


class BoundedQueue:
    """Three queues under the lock of the counters. What does not fit is counted as dropped."""

    def __init__(self, settings: DeliverySettings, counters: DeliveryCounters) -> None:
        self._settings = settings
        self._counters = counters
        self._lock = counters.lock
        self._calls: deque[tuple[int, int, FinishedCall]] = deque()
        self._spans: deque[tuple[int, bool, ReadableSpan]] = deque()
        self._logs: deque[tuple[int, LogRecord]] = deque()
        self.bytes = 0
        self.is_closed = False
        """Whether nothing is taken any more: what comes is counted as dropped."""
        self._ends_process = False
        self.spans_of_calls = 0
        """How many spans the queued calls come to; they count as generated when they are built."""

    @property
    def items(self) -> int:
        """How many spans, built or not, and log records wait."""
        return self.spans_of_calls + len(self._spans) + len(self._logs)

    @property
    def calls(self) -> int:
        """How many calls wait."""
        return len(self._calls)

    @property
    def spans(self) -> int:
        """How many spans wait."""
        return len(self._spans)

    @property
    def logs(self) -> int:
        """How many log records wait."""
        return len(self._logs)

    def add_call(self, call: FinishedCall) -> int:
        """How many spans of calls wait now; 0 where this one was dropped."""
        weight, spans = call.weight(), call.span_count()
        with self._lock:
            if not self._is_full(weight):
                self._calls.append((weight, spans, call))
                self.bytes += weight
                self.spans_of_calls += spans
                if (shared := self._counters.shared) is not None:
                    shared[0] = self._counters.generated + self.spans_of_calls
                return self.spans_of_calls
            if not self._is_over():
                self._counters.generated += spans
                self._counters.count_dropped(spans)
                return 0
        return _wait_for_the_end()

    def add_span(self, span: ReadableSpan, *, redacted: bool) -> int:
        """How many spans wait now; 0 where this one was dropped."""
        weight = _weigh(span)
        with self._lock:
            if not self._is_full(weight):
                self._counters.generated += 1
                self._spans.append((weight, redacted, span))
                self.bytes += weight
                if (shared := self._counters.shared) is not None:
                    shared[0] = self._counters.generated + self.spans_of_calls
                return len(self._spans)
            if not self._is_over():
                self._counters.generated += 1
                self._counters.count_dropped(1)
                return 0
        return _wait_for_the_end()

    def add_log(self, record: LogRecord) -> int:
        """How many log records wait now; 0 where this one was dropped."""
        weight = _weigh_log(record)
        with self._lock:
            if not self._is_full(weight):
                self._counters.generated += 1
                self._counters.logs += 1
                self._logs.append((weight, record))
                self.bytes += weight
                if (shared := self._counters.shared) is not None:
                    shared[0] = self._counters.generated + self.spans_of_calls
                return len(self._logs)
            if not self._is_over():
                self._counters.generated += 1
                self._counters.logs += 1
                self._counters.count_dropped(1, "logs")
                return 0
        return _wait_for_the_end()

    def close(self, *, ends_process: bool = False) -> None:
        """Take nothing any more.

        ends_process: it is about to end by a signal. Who adds something waits for that and never goes on, so
        that nothing that the program gets back from us is missing. What is added on the main thread, which
        ends it, or by threads of ours, is dropped.
        """
        with self._lock:
            self.is_closed, self._ends_process = True, ends_process

    def add_built(self, spans: Iterable[ReadableSpan]) -> None:
        """Spans of a call that was taken: there was room for it, so there is for them."""
        weighed = [(_weigh(span), True, span) for span in spans]
        with self._lock:
            self._counters.generated += len(weighed)
            self._spans.extend(weighed)
            self.bytes += sum(weight for weight, _, _ in weighed)

    def take_call(self, *, may_wait: bool) -> tuple[FinishedCall, int] | None:
        """The oldest call, and how many spans it was counted as.

        None where there is none, or where it may be retried: with `may_wait` it goes to the end of the queue.
        """
        with self._lock:
            if not self._calls:
                return None
            weight, spans, call = self._calls.popleft()
            if may_wait and call.may_be_retried():
                self._calls.append((weight, spans, call))
                return None
            self.bytes -= weight
            self.spans_of_calls -= spans
            return call, spans

    def take_spans(self, redact: Callable[[ReadableSpan], ReadableSpan]) -> list[ReadableSpan]:
        """A batch of the oldest, those redacted that are not yet: without the lock, for it may take long."""
        taken: list[tuple[bool, ReadableSpan]] = []
        size = 0
        with self._lock:
            while self._spans and len(taken) < self._settings.max_batch_items:
                weight, redacted, span = self._spans[0]
                if taken and size + weight > self._settings.max_batch_bytes:
                    break
                self._spans.popleft()
                self.bytes -= weight
                size += weight
                taken.append((redacted, span))
        return [span if redacted else redact(span) for redacted, span in taken]

    def take_logs(self, count: int) -> list[LogRecord]:
        """A batch of the oldest, of at most `count` log records; empty where there are none."""
        records: list[LogRecord] = []
        size = 0
        with self._lock:
            while self._logs and len(records) < min(count, self._settings.max_batch_items):
                weight, record = self._logs[0]
                if records and size + weight > self._settings.max_batch_bytes:
                    break
                self._logs.popleft()
                self.bytes -= weight
                size += weight
                records.append(record)
        return records

    def count_lost(self, held: int) -> int:
        """Count as dropped what was taken and is neither settled nor among the `held`; how many they are.

        For the one that takes, after a failure.
        """
        with self._lock:
            waiting = self.spans_of_calls + len(self._spans) + len(self._logs)
            lost = self._counters.read(uncounted=self.spans_of_calls).pending - waiting - held
            if lost > 0:
                self._counters.count_dropped(lost)
        return max(lost, 0)

    def drop_all(self) -> None:
        """Count everything as dropped."""
        with self._lock:
            of_calls = sum(
                call.drop() if isinstance(call, DroppableCall) else spans for _, spans, call in self._calls
            )
            spans = of_calls + len(self._spans)
            self._counters.generated += of_calls
            if spans:
                self._counters.count_dropped(spans)
            if self._logs:
                self._counters.count_dropped(len(self._logs), "logs")
            self._calls.clear()
            self._spans.clear()
            self._logs.clear()
            self.bytes = self.spans_of_calls = 0

    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return not self.items

    def is_half_full(self) -> bool:
        """Whether either bound is half reached."""
        return (
            self.items * 2 > self._settings.max_queue_items or self.bytes * 2 > self._settings.max_queue_bytes
        )

    def _is_full(self, weight: int) -> bool:
        too_many = self.items >= self._settings.max_queue_items
        return too_many or self.is_closed or self.bytes + weight > self._settings.max_queue_bytes

    def _is_over(self) -> bool:
        """Whether this thread is to wait for the end of the process."""
        return (
            self._ends_process
            and threading.get_ident() != threading.main_thread().ident
            and not otel_context.get_value("suppress_instrumentation")
        )


def _wait_for_the_end() -> int:
    threading.Event().wait()
    return 0


def _weigh(span: ReadableSpan) -> int:
    return _SPAN_BASE_WEIGHT + _text_size(span.attributes or {})


def _weigh_log(record: LogRecord) -> int:
    return _LOG_BASE_WEIGHT + len(record.body) + _text_size(record.attributes)


def _text_size(attributes: Mapping[str, AttributeValue]) -> int:
    size = 0
    for value in attributes.values():
        if type(value) is str:
            size += len(value)
    return size

"""The bounded queue and the one thread behind it.

The caller's side (`submit_*`) costs a lock and an append and never waits for the network. The thread turns
finished calls into spans, packs batches and sends each until it is acknowledged, refused, or older than
`Config.retry_for`. Everything that does not arrive is counted.
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from opentelemetry import context as otel_context
from opentelemetry.sdk.trace import ReadableSpan

from .. import guard, recent
from ..config import Config
from .outlet import Batch, Outlet, ScoreRecord

_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 5.0
_ATTEMPTS_AT_EXIT: Final = 3
_SPAN_BASE_WEIGHT: Final = 1024
_SCORE_WEIGHT: Final = 512


class FinishedCall(Protocol):
    """A finished LLM call whose span is still to be built."""

    def complete(self) -> None:
        """Build and end the span (which submits it here)."""

    def weight(self) -> int:
        """Bytes of the bodies it holds."""


@dataclass(frozen=True, slots=True)
class Stats:
    """Spans and scores since `init` (in a forked child: since the fork).

    `generated` = `sent` + `dropped` + `pending`; `sent` counts what the collector acknowledged.
    """

    generated: int = 0
    sent: int = 0
    dropped: int = 0
    pending: int = 0


class Delivery:
    """Queue, thread and counters. Thread-safe; `after_fork` makes it usable in a child process."""

    def __init__(self, config: Config, open_outlet: Callable[[], Outlet]) -> None:
        """`open_outlet` is called on the thread, at the first batch: it may import what is slow to import."""
        self._config = config
        self._open_outlet = open_outlet
        self._opened: Outlet | None = None
        self._stopping = False
        self._reset()

    def _reset(self) -> None:
        # Re-entrant: a garbage-collected stream submits its call from whatever code runs, this included.
        self._lock = threading.RLock()
        self._wake = threading.Event()
        self._hurry = threading.Event()
        self._done = threading.Condition()
        self._calls: deque[tuple[int, FinishedCall]] = deque()
        self._spans: deque[tuple[int, ReadableSpan]] = deque()
        self._scores: deque[ScoreRecord] = deque()
        self._queued_bytes = 0
        self._generated = self._sent = self._dropped = 0
        self._ticket = self._served = 0
        self._thread: threading.Thread | None = None

    def submit_call(self, call: FinishedCall, *, quiet: bool = False) -> None:
        """Queue a finished call. `quiet` starts and wakes nothing (for use during garbage collection)."""
        weight = call.weight()
        with self._lock:
            if self._full(weight):
                self._generated += 1
                self._lose(1)
                return
            self._calls.append((weight, call))
            self._queued_bytes += weight
            waiting = len(self._calls)
        if not quiet:
            self._notice(waiting)

    def submit_span(self, span: ReadableSpan) -> None:
        """Queue an ended span."""
        weight = _weigh(span)
        with self._lock:
            self._generated += 1
            if self._full(weight):
                self._lose(1)
                return
            self._spans.append((weight, span))
            self._queued_bytes += weight
            waiting = len(self._spans)
        self._notice(waiting)

    def submit_score(self, record: ScoreRecord) -> None:
        """Queue a score."""
        with self._lock:
            self._generated += 1
            if self._full(_SCORE_WEIGHT):
                self._lose(1)
                return
            self._scores.append(record)
            self._queued_bytes += _SCORE_WEIGHT
            waiting = len(self._scores)
        self._notice(waiting)

    def flush(self, timeout: float) -> bool:
        """Send what was submitted before now; True if all was acknowledged within `timeout` seconds."""
        if threading.current_thread() is self._thread:
            return False
        with self._done:
            self._ticket += 1
            ticket, dropped = self._ticket, self._dropped
        self._start()
        self._hurry.set()
        self._wake.set()
        with self._done:
            served = self._done.wait_for(lambda: self._served >= ticket, timeout)
        return served and self._dropped == dropped

    def shutdown(self, timeout: float) -> bool:
        """Send for at most `timeout` seconds, then end the thread and count the rest as dropped."""
        with self._lock:
            if self._stopping:
                return True
            self._stopping = True
            thread, dropped = self._thread, self._dropped
        self._hurry.set()
        self._wake.set()
        if thread is not None:
            thread.join(timeout)
        else:
            self._cycle()  # at interpreter exit no thread can be started any more
        with self._lock:
            rest = len(self._calls) + len(self._spans) + len(self._scores)
            if rest:
                self._generated += len(self._calls)
                self._lose(rest)
                self._clear()
        if self._opened is not None and (thread is None or not thread.is_alive()):
            self._opened.close()
        return self._dropped == dropped

    def stats(self) -> Stats:
        """Counters; see Stats."""
        with self._lock:
            generated = self._generated + len(self._calls)
            return Stats(generated, self._sent, self._dropped, generated - self._sent - self._dropped)

    def after_fork(self) -> None:
        """In the child: the queue is the parent's to send; locks, thread and connection are made anew."""
        self._reset()
        if self._opened is not None:
            self._opened.close()

    @property
    def _outlet(self) -> Outlet:
        if self._opened is None:
            self._opened = self._open_outlet()
        return self._opened

    def _full(self, weight: int) -> bool:
        waiting = len(self._calls) + len(self._spans) + len(self._scores)
        return (
            waiting >= self._config.max_queue_items
            or self._queued_bytes + weight > self._config.max_queue_bytes
        )

    def _clear(self) -> None:
        self._calls.clear()
        self._spans.clear()
        self._scores.clear()
        self._queued_bytes = 0

    def _lose(self, count: int) -> None:
        self._dropped += count
        guard.warn_once(
            "drop",
            "llmtrace drops spans (the collector at %s is away or too slow and the queue is full, or it "
            "refused them); llmtrace.stats() counts them.",
            self._config.traces_endpoint,
        )

    def _notice(self, waiting: int) -> None:
        if self._thread is None:
            self._start()
        if waiting >= self._config.max_batch_items and not self._wake.is_set():
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
            guard.report("starting the delivery thread", error, may_raise=False)

    def _run(self) -> None:
        # Nothing done on this thread is ever traced, our own HTTP above all.
        otel_context.attach(otel_context.set_value("suppress_instrumentation", True))
        while True:
            self._wake.wait(self._config.schedule_delay)
            self._wake.clear()
            stopping, ticket = self._stopping, self._ticket
            try:
                self._cycle()
            except Exception as error:  # noqa: BLE001  # the guard: the thread must outlive any failure
                guard.report("delivering spans", error, may_raise=False)
            self._hurry.clear()
            with self._done:
                self._served = ticket
                self._done.notify_all()
            if stopping:
                return

    def _cycle(self) -> None:
        """Send what is queued at the start, not what arrives meanwhile: flush must end under load."""
        calls, spans, scores = len(self._calls), len(self._spans), len(self._scores)
        while calls > 0 or spans > 0:
            for _ in range(min(calls, self._config.max_batch_items)):
                calls -= 1
                spans += self._complete_next()
            spans -= self._send_spans()
            if not self._spans:
                spans = 0
        if scores:
            self._send_scores(scores)

    def _complete_next(self) -> int:
        with self._lock:
            if not self._calls:
                return 0
            weight, call = self._calls.popleft()
            self._queued_bytes -= weight
        try:
            call.complete()
        except Exception as error:  # noqa: BLE001  # the guard: one call must not stop the others
            guard.report("building the span of a call", error, may_raise=False)
        return 1

    def _send_spans(self) -> int:
        taken: list[ReadableSpan] = []
        size = 0
        with self._lock:
            while self._spans and len(taken) < self._config.max_batch_items:
                weight, span = self._spans[0]
                if taken and size + weight > self._config.max_batch_bytes:
                    break
                self._spans.popleft()
                self._queued_bytes -= weight
                size += weight
                taken.append(span)
        if taken:
            self._deliver(self._packed(taken))
        return len(taken)

    def _packed(self, spans: Sequence[ReadableSpan]) -> Batch | None:
        try:
            return self._outlet.pack_spans(spans)
        except Exception as error:  # noqa: BLE001  # the guard: a span that cannot be packed is dropped alone
            guard.report("encoding spans", error, may_raise=False)
        if len(spans) == 1:
            self._count(dropped=1)
            return None
        for span in spans:
            self._deliver(self._packed([span]))
        return None

    def _send_scores(self, count: int) -> None:
        with self._lock:
            taken = [self._scores.popleft() for _ in range(min(count, len(self._scores)))]
            self._queued_bytes -= _SCORE_WEIGHT * len(taken)
        if taken:
            self._deliver(self._outlet.pack_scores([recent.resolved(each) for each in taken]))

    def _deliver(self, batch: Batch | None) -> None:
        if batch is None:
            return
        deadline = time.monotonic() + self._config.retry_for
        pause, attempts = _FIRST_PAUSE, 0
        while True:
            outcome = self._outlet.send(batch)
            if outcome.kind == "acknowledged":
                self._count(sent=batch.items - outcome.rejected, dropped=outcome.rejected)
                if outcome.rejected:
                    guard.warn_once("rejected", "The collector rejected spans: %s", outcome.detail)
                return
            if outcome.kind == "refused":
                guard.warn_once("refused", "The collector refused a batch: %s", outcome.detail)
                break
            guard.warn_once(
                "away",
                "No acknowledgement from %s (%s). Batches are kept and sent again for %.0f s; is the "
                "collector running there (`llmtrace up`), or is LLMTRACE_ENDPOINT wrong?",
                self._config.traces_endpoint,
                outcome.detail,
                self._config.retry_for,
            )
            attempts = attempts + 1 if self._stopping else 0
            wait = outcome.retry_after or pause * random.uniform(0.8, 1.2)  # noqa: S311  # jitter
            if attempts >= _ATTEMPTS_AT_EXIT or time.monotonic() + wait > deadline:
                break
            if self._stopping:
                time.sleep(min(wait, _FIRST_PAUSE / 2))
            else:
                self._hurry.wait(wait)
                self._hurry.clear()
            pause = min(pause * 2, _LONGEST_PAUSE)
        self._count(dropped=batch.items)

    def _count(self, *, sent: int = 0, dropped: int = 0) -> None:
        with self._lock:
            self._sent += sent
            if dropped:
                self._lose(dropped)


def _weigh(span: ReadableSpan) -> int:
    weight = _SPAN_BASE_WEIGHT
    for value in (span.attributes or {}).values():
        if isinstance(value, str):
            weight += len(value)
    return weight

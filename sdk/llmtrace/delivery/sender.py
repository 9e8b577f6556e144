"""One batch at a time to the collector: attempts, pauses, and the spool while it is away.

A batch that gets no acknowledgement is tried a few times, or for some seconds, then kept on disk; so is one
whose attempt times out, at once. From then on batches go to disk and nothing waits for the network, until
`replay`, on another thread, has had an answer. An attempt that hangs while the queue fills is left behind:
its batch is on disk then, and its answer counts when it comes. Where there is no disk to write to, a batch is
tried in place until it is too old.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from llmtrace import internal_errors

from .attempt import Attempt
from .collector_state import CollectorState, Warn, jitter
from .exporter import Batch, ExportResult, Transport
from .replay import Replay
from .settings import DeliverySettings
from .spool import Spool, Spooled
from .stats import DeliveryCounters

_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 5.0
_ATTEMPTS_BEFORE_SPOOLING: Final = 3
_SECONDS_BEFORE_SPOOLING: Final = 5.0
_ATTEMPTS_AT_EXIT: Final = 3


TransportT = TypeVar("TransportT", bound=Transport)


@dataclass(frozen=True, slots=True)
class _LeftBehind:
    """An attempt that hangs, and where its batch is on disk, if that is worth keeping."""

    attempt: Attempt
    spooled: Spooled | None


class Sender(Generic[TransportT]):
    """Delivers batches and counts what became of them.

    Used by one thread at a time, but for `keep`, `keep_or_drop` and `rescue`; another may be in `replay`
    meanwhile.
    """

    def __init__(
        self,
        settings: DeliverySettings,
        open_exporter: Callable[[], TransportT],
        counters: DeliveryCounters,
        spool: Spool | None,
        *,
        warn: Warn = internal_errors.warn_once,
        is_crowded: Callable[[], bool] | None = None,
        has_to_keep: Callable[[], bool] | None = None,
    ) -> None:
        """`open_exporter` is called at the first batch: it may import what is slow to import.

        warn: gets the kind of a warning, its text and its arguments, as logging takes them. is_crowded: says
        that so much waits to be sent that an attempt which hangs is to be left behind; None: never.
        has_to_keep: says that there is no time left to try another batch before it is kept.
        """
        self._settings = settings
        self._open_exporter = open_exporter
        self._exporter: TransportT | None = None
        self._counters = counters
        self._spool = spool
        self._warn = warn
        self._collector = CollectorState(settings, warn, has_spool=spool is not None)
        self._replay = (
            Replay(spool, counters, self._collector, open_exporter, warn) if spool is not None else None
        )
        self._is_crowded = is_crowded
        self._has_to_keep = has_to_keep or self._collector.is_over
        self._left_behind: _LeftBehind | None = None
        self._left_behind_lock = threading.Lock()
        self._in_flight: Batch | None = None
        self._in_flight_spooled: Spooled | None = None
        #: Of the delivery thread and the one that ends the process, one keeps what is in flight.
        self._in_flight_lock = threading.Lock()
        self.hurry = self._collector.hurry

    @property
    def exporter(self) -> TransportT:
        """Where batches go, opened when first asked for."""
        if self._exporter is None:
            self._exporter = self._open_exporter()
        return self._exporter

    @property
    def has_leftovers(self) -> bool:
        """Whether a process that has ended left something on disk for the same destination."""
        return self._spool is not None and self._spool.has_left()

    @property
    def has_to_replay(self) -> bool:
        """Whether `replay` has something to do for this process."""
        return self._counters.spooled > 0 or self._collector.is_away or self._left_behind is not None

    @property
    def seconds_to_replay(self) -> float:
        """Until `replay` tries again what did not go."""
        return max(self._collector.next_attempt - time.monotonic(), 0.0)

    @property
    def is_away(self) -> bool:
        """Whether the collector answered nothing when it was last tried."""
        return self._collector.is_away

    def set_deadline(self, deadline: float) -> None:
        """From now on nothing waits beyond `deadline` (monotonic seconds)."""
        self._collector.deadline = deadline
        self.hurry.set()
        self._collector.replays_now.set()

    def close(self) -> None:
        """Release connections and the spool; a later batch opens them again. Not while `replay` runs."""
        self.disconnect()
        if self._replay is not None:
            self._replay.close()
        if self._spool is not None:
            self._spool.close()

    def disconnect(self) -> None:
        """Release the connections that new batches go by."""
        if self._exporter is not None:
            self._exporter.close()

    def deliver(self, batch: Batch) -> ExportResult | None:
        """Send, or count as lost: the last attempt's result. None where it is on disk now."""
        self._in_flight, self._in_flight_spooled = batch, None
        try:
            if self._collector.is_away and self._spool_in_flight(batch):
                return None
            return self._attempt_until_settled(batch)
        finally:
            self._in_flight = None

    def send_once(self, batch: Batch) -> ExportResult | None:
        """One attempt at something that a later one supersedes; None while the collector is away, and where
        there is no time for it any more.
        """
        if self._collector.is_away or (self._spool is not None and self._has_to_keep()):
            return None
        result = self._attempt(batch, lambda: True)
        if isinstance(result, Attempt):
            self._leave_behind(result, None)
            return None
        return result

    def keep(self, batch: Batch) -> None:
        """Write a batch to disk before anything else, for the next `replay` to send; from any thread.

        It survives a power cut. Raises OSError where it cannot be kept.
        """
        if self._spool is None:
            raise OSError("there is no folder to keep it in")
        self._put(self._spool, batch, sync=True)

    def keep_or_drop(self, batch: Batch) -> None:
        """Write a batch to disk, or count it as lost; from any thread."""
        if self._write_to_spool(batch) is None:
            self._counters.count_dropped(batch.items, batch.signal)

    def rescue(self, batches: list[Batch]) -> None:
        """Keep on disk what another thread is still trying to send, and `batches`; for the way out."""
        with self._in_flight_lock:
            in_flight, self._in_flight = self._in_flight, None
            self._collector.is_away = True
            for batch in ([in_flight] if in_flight is not None else []) + batches:
                self.keep_or_drop(batch)

    @contextmanager
    def replaying_now(self) -> Iterator[None]:
        """Within, `replay` waits for no attempt to be due and makes no pause."""
        self._collector.replays_now.set()
        yield
        if self._collector.deadline is None:
            self._collector.replays_now.clear()

    def replay(self, *, paced: bool = False) -> bool:
        """Send what is on disk, this process's first; True when nothing is left there that can be sent.

        It may wait for the network, on a thread that has nothing else to do. paced: leave the collector time
        for others. Raises OSError where the folder cannot be used.
        """
        replay, collector = self._replay, self._collector
        if replay is None:
            return True
        replay.count_dropped()
        if not self._settle_left_behind():
            return False
        if collector.is_away and (
            collector.deadline is not None
            or (time.monotonic() < collector.next_attempt and not collector.replays_now.is_set())
        ):
            return False
        try:
            return not collector.is_over() and replay.run(paced=paced)
        finally:
            replay.count_dropped()

    def _settle_left_behind(self) -> bool:
        """Wait for the attempt that was left behind, as for any; False where the collector is away."""
        left = self._left_behind
        if left is None:
            return True
        result = left.attempt.wait(lambda: self._collector.deadline is not None)
        if result is None:
            return False
        with self._left_behind_lock:
            if self._left_behind is not left:  # another thread waited for it too
                return not self._collector.is_away
            self._left_behind = None
        if result.kind == "retry":
            self._collector.failed(result)
            return False
        self._collector.answered()
        if left.spooled is not None and self._replay is not None:
            self._replay.settle(left.spooled, result)
        return True

    def _leave_behind(self, attempt: Attempt, spooled: Spooled | None) -> None:
        self._left_behind = _LeftBehind(attempt, spooled)

    def _attempt(self, batch: Batch, may_leave: Callable[[], bool]) -> ExportResult | Attempt:
        """One attempt's result; itself where it hangs, the queue fills and `may_leave` is true."""
        if (left := self._left_behind) is not None:
            # There is no room on disk, and connections serve one at a time.
            left.attempt.wait(lambda: False)
            self._settle_left_behind()
        timeout = self._collector.attempt_timeout()
        if self._is_crowded is None or self._spool is None:
            return self.exporter.send(batch, timeout)
        attempt = Attempt(self.exporter, batch, timeout)
        if self._collector.deadline is None:
            result = attempt.wait(lambda: self._is_behind() and may_leave())
        else:
            result = attempt.wait(lambda: self._has_to_keep() and may_leave(), hanging_after=0.0)
        if result is None:
            self._collector.is_away = True
            return attempt
        return result

    def _is_behind(self) -> bool:
        return self._is_crowded is not None and self._is_crowded()

    def _attempt_until_settled(self, batch: Batch) -> ExportResult | None:
        began = time.monotonic()
        give_up_at = began + self._settings.retry_for
        pause, attempts, attempts_at_exit = _FIRST_PAUSE, 0, 0
        while True:
            if self._has_to_keep() and self._spool_in_flight(batch):
                return None
            result = self._attempt(batch, lambda: self._spool_in_flight(batch))
            if isinstance(result, Attempt):
                self._leave_behind(result, self._in_flight_spooled)
                return None
            if result.kind == "acknowledged":
                self._collector.answered()
                self._acknowledged(batch, result)
                return result
            if result.kind == "refused":
                self._warn("refused", "The collector refused a batch: %s", result.detail)
                break
            self._collector.warn_of(result)
            leaving = self._collector.deadline is not None
            attempts += 1
            attempts_at_exit += leaving
            wait = result.retry_after or pause * jitter()
            over = attempts_at_exit >= _ATTEMPTS_AT_EXIT or time.monotonic() + wait > give_up_at
            is_away = (
                attempts >= _ATTEMPTS_BEFORE_SPOOLING
                or time.monotonic() - began >= _SECONDS_BEFORE_SPOOLING
                or result.timed_out
                or self._is_behind()
            )
            if (leaving or over or is_away) and self._spool_in_flight(batch):
                self._collector.failed(result)
                return None
            if over:
                break
            if leaving:
                time.sleep(min(wait, _FIRST_PAUSE / 2))
            else:
                self.hurry.wait(wait)
                self.hurry.clear()
            pause = min(pause * 2, _LONGEST_PAUSE)
        self._counters.count_dropped(batch.items, batch.signal)
        return result

    def _acknowledged(self, batch: Batch, result: ExportResult) -> None:
        with self._counters.lock:
            self._counters.sent += batch.items - result.rejected
        if result.rejected:
            self._counters.count_dropped(result.rejected, batch.signal)
            self._warn("rejected", "The collector rejected spans: %s", result.detail)

    def _spool_in_flight(self, batch: Batch) -> bool:
        """Keep it on disk, unless `rescue` has done so."""
        with self._in_flight_lock:
            if self._in_flight is None:
                return True
            self._in_flight_spooled = self._write_to_spool(batch)
            if self._in_flight_spooled is None:
                return False
            self._in_flight = None
            return True

    def _write_to_spool(self, batch: Batch) -> Spooled | None:
        if self._spool is None:
            return None
        try:
            return self._put(self._spool, batch)
        except OSError as error:
            self._warn(
                "spool",
                "Spans cannot be kept on disk while the collector is away (%s); they wait in memory. "
                "LLMTRACE_SPOOL_DIR names a folder that can be written to, LLMTRACE_SPOOL_BYTES its bound.",
                error,
            )
            return None

    def _put(self, spool: Spool, batch: Batch, *, sync: bool = False) -> Spooled:
        """Write a batch to disk and count it. Raises OSError."""
        with self._counters.lock:  # before it can be settled
            self._counters.spooled += batch.items
        try:
            spooled = spool.put(batch, sync=sync)
        except BaseException:
            with self._counters.lock:
                self._counters.spooled -= batch.items
            raise
        finally:
            if self._replay is not None:
                self._replay.count_dropped()
        return spooled

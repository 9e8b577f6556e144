"""One batch at a time to the collector: attempts, pauses, and the spool while it is unreachable.

Used by one thread at a time. A batch that gets no acknowledgement is tried a few times, or for some seconds,
then kept on disk; from then on batches go to disk at once and the oldest is tried at growing intervals, until
one arrives and all are replayed. An attempt that hangs while the queue fills is left behind: its batch is on
disk then, and so is all that follows, until it is over. Where there is no disk to write to, a batch is tried
in place until it is too old.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, TypeVar

from llmtrace import internal_errors

from .attempt import Attempt
from .exporter import Batch, ExportResult, Transport
from .settings import DeliverySettings
from .spool import Spool, Spooled
from .stats import DeliveryCounters

_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 5.0
_ATTEMPTS_BEFORE_SPOOLING: Final = 3
_SECONDS_BEFORE_SPOOLING: Final = 5.0
_ATTEMPTS_AT_EXIT: Final = 3
_LONGEST_PROBE_PAUSE: Final = 15.0
_FOREIGN_SCAN_SECONDS: Final = 30.0
_FOREIGN_PER_ROUND: Final = 16

Warn = Callable[..., None]


TransportT = TypeVar("TransportT", bound=Transport)


@dataclass(frozen=True, slots=True)
class _LeftBehind:
    """An attempt that hangs, and its batch on disk, if that is worth keeping."""

    attempt: Attempt
    spooled: Spooled | None
    own: bool
    """This process put it there."""


class Sender(Generic[TransportT]):
    """Delivers batches and counts what became of them."""

    def __init__(
        self,
        settings: DeliverySettings,
        open_exporter: Callable[[], TransportT],
        counters: DeliveryCounters,
        spool: Spool | None,
        *,
        warn: Warn = internal_errors.warn_once,
        is_crowded: Callable[[], bool] | None = None,
    ) -> None:
        """`open_exporter` is called at the first batch: it may import what is slow to import.

        warn: gets the kind of a warning, its text and its arguments, as logging takes them. is_crowded: says
        that so much waits to be sent that an attempt which hangs is to be left behind; None: never.
        """
        self._settings = settings
        self._open_exporter = open_exporter
        self._exporter: TransportT | None = None
        self._counters = counters
        self._spool = spool
        self._warn = warn
        self._own_batches: dict[Path, Spooled] = {}
        self._collector_unreachable = False
        self._pause = _FIRST_PAUSE
        self._next_probe = self._next_scan = 0.0
        self._is_crowded = is_crowded
        self._left_behind: _LeftBehind | None = None
        self._in_flight: Batch | None = None
        self._in_flight_spooled: Spooled | None = None
        #: Of the delivery thread and the one that ends the process, one keeps what is in flight.
        self._in_flight_lock = threading.Lock()
        #: The spool has one user at a time, and what is there is listed with what is known as this process's.
        self._spool_lock = threading.Lock()
        self._unreadable: set[Path] = set()
        self.hurry = threading.Event()
        self._deadline: float | None = None

    @property
    def exporter(self) -> TransportT:
        """Where batches go, opened when first asked for."""
        if self._exporter is None:
            self._exporter = self._open_exporter()
        return self._exporter

    @property
    def has_leftovers(self) -> bool:
        """Whether an earlier process left something on disk for the same destination."""
        return self._spool is not None and self._spool.has_batches()

    def set_deadline(self, deadline: float) -> None:
        """From now on nothing waits beyond `deadline` (monotonic seconds)."""
        self._deadline = deadline
        self.hurry.set()

    def close(self) -> None:
        """Release connections; a later batch opens them again."""
        if self._exporter is not None:
            self._exporter.close()

    def deliver(self, batch: Batch) -> ExportResult | None:
        """Send, or count as lost: the last attempt's result. None where it is on disk now."""
        self._in_flight, self._in_flight_spooled = batch, None
        try:
            if self._collector_unreachable and self._spool_in_flight(batch):
                return None
            return self._attempt_until_settled(batch)
        finally:
            self._in_flight = None

    def send_once(self, batch: Batch) -> ExportResult | None:
        """One attempt at something that a later one supersedes; None while the collector is unreachable."""
        if self._collector_unreachable:
            return None
        result = self._attempt(batch, lambda: True)
        if isinstance(result, Attempt):
            self._left_behind = _LeftBehind(result, None, own=False)
            return None
        return result

    def keep(self, batch: Batch) -> None:
        """Write a batch to disk before anything else, for the next `replay` to send; from any thread.

        It survives a power cut. Raises OSError where it cannot be kept.
        """
        if self._spool is None:
            raise OSError("there is no folder to keep it in")
        self._put(self._spool, batch, sync=True)

    def rescue(self, batches: list[Batch]) -> None:
        """Keep on disk what another thread is still trying to send, and `batches`; for the way out."""
        with self._in_flight_lock:
            in_flight, self._in_flight = self._in_flight, None
            self._collector_unreachable = True
            for batch in ([in_flight] if in_flight is not None else []) + batches:
                if self._write_to_spool(batch) is None:
                    self._counters.count_dropped(batch.items)

    def replay(self) -> bool:
        """Send what is on disk, this process's first; True when nothing of its own is left there."""
        spool = self._spool
        if spool is None:
            return True
        was_unreachable = self._collector_unreachable
        if self._left_behind is not None and not self._settle_left_behind():
            return not self._own_batches
        hurry = self.hurry.is_set()
        now = time.monotonic()
        if self._collector_unreachable and now < self._next_probe and not hurry:
            return not self._own_batches
        if self._deadline is not None and (self._collector_unreachable or now >= self._deadline):
            return not self._own_batches
        with self._counters.lock:
            own_batches = list(self._own_batches.values())
        for spooled in own_batches:
            if self._is_behind() or not self._send_spooled(spooled, own=True):
                return False
        if was_unreachable or now >= self._next_scan:
            self._next_scan = now + _FOREIGN_SCAN_SECONDS
            self._replay_foreign(spool)
        return not self._own_batches

    def _replay_foreign(self, spool: Spool) -> None:
        if not spool.has_batches():
            self._collector_unreachable = False
            return
        with spool.exclusively() as has_lock:
            if not has_lock:
                return
            with self._spool_lock:
                besides = self._own_batches.keys() | self._unreadable
                batches = spool.batches(_FOREIGN_PER_ROUND + 1, besides=besides)
            for spooled in batches[:_FOREIGN_PER_ROUND]:
                if not self._send_spooled(spooled, own=False):
                    return
            self._collector_unreachable = False  # also where none could be read
            if len(batches) > _FOREIGN_PER_ROUND:
                self._next_scan = 0.0  # go on next round: new spans come first
            else:
                self._unreadable.clear()  # somebody may have repaired them by the next scan

    def _send_spooled(self, spooled: Spooled, *, own: bool) -> bool:
        """False when the collector is unreachable."""
        try:
            batch = spooled.read()
        except OSError as error:
            self._unreadable.add(spooled.path)
            self._warn("unreadable", "A batch on disk is left there, for it cannot be read: %s", error)
            return True
        if batch is None:
            self._count_removed()
            # Another process has sent it. One that removes it as stale cannot be told from that.
            self._count_spooled(spooled, sent=spooled.items if own else 0, dropped=0, own=own)
            return True
        result = self._attempt(batch, lambda: True)
        if isinstance(result, Attempt):
            self._left_behind = _LeftBehind(result, spooled, own)
            return False
        return self._settle(spooled, result, own=own)

    def _settle(self, spooled: Spooled | None, result: ExportResult, *, own: bool) -> bool:
        """After an attempt at what is on disk; False when the collector is unreachable."""
        if result.kind == "retry":
            self._mark_unreachable(result)
            return False
        self._collector_unreachable, self._pause = False, _FIRST_PAUSE
        if spooled is None:
            return True
        spooled.remove()
        lost = spooled.items if result.kind == "refused" else result.rejected
        if lost:
            self._warn("refused", "The collector refused a batch: %s", result.detail)
        self._count_spooled(spooled, sent=spooled.items - lost, dropped=lost, own=own)
        return True

    def _settle_left_behind(self) -> bool:
        """Wait for the attempt that was left behind, as for any; False where the collector is unreachable."""
        left, self._left_behind = self._left_behind, None
        if left is None:
            return True
        result = left.attempt.wait(lambda: self._is_behind() or self._deadline is not None)
        if result is None:
            self._left_behind = left
            return False
        return self._settle(left.spooled, result, own=left.own)

    def _attempt(self, batch: Batch, may_leave: Callable[[], bool]) -> ExportResult | Attempt:
        """One attempt's result; itself where it hangs, the queue fills and `may_leave` is true."""
        if self._left_behind is not None:  # there is no room on disk: connections serve one at a time
            self._left_behind.attempt.wait(lambda: False)
            self._settle_left_behind()
        timeout = self._attempt_timeout()
        if self._is_crowded is None or self._spool is None or self._deadline is not None:
            return self.exporter.send(batch, timeout)
        attempt = Attempt(self.exporter, batch, timeout)
        # On the way out `rescue` keeps what is in flight.
        result = attempt.wait(lambda: self._deadline is None and self._is_behind() and may_leave())
        if result is None:
            self._collector_unreachable = True
            return attempt
        return result

    def _is_behind(self) -> bool:
        return self._is_crowded is not None and self._is_crowded()

    def _count_spooled(self, spooled: Spooled, *, sent: int, dropped: int, own: bool) -> None:
        with self._counters.lock:
            if own:
                if self._own_batches.pop(spooled.path, None) is None:
                    return
                self._counters.spooled -= spooled.items
                self._counters.sent += sent
            else:
                self._counters.replayed += sent
                self._counters.generated += dropped
            if dropped:
                self._counters.count_dropped(dropped)

    def _attempt_until_settled(self, batch: Batch) -> ExportResult | None:
        began = time.monotonic()
        give_up_at = began + self._settings.retry_for
        pause, attempts, attempts_at_exit = _FIRST_PAUSE, 0, 0
        while True:
            if (
                self._deadline is not None
                and time.monotonic() >= self._deadline
                and self._spool_in_flight(batch)
            ):
                return None
            result = self._attempt(batch, lambda: self._spool_in_flight(batch))
            if isinstance(result, Attempt):
                self._left_behind = _LeftBehind(result, self._in_flight_spooled, own=True)
                return None
            if result.kind == "acknowledged":
                self._collector_unreachable = False
                self._acknowledged(batch, result)
                return result
            if result.kind == "refused":
                self._warn("refused", "The collector refused a batch: %s", result.detail)
                break
            self._warn_unreachable(result)
            leaving = self._deadline is not None
            attempts += 1
            attempts_at_exit += leaving
            wait = result.retry_after or pause * random.uniform(0.8, 1.2)  # noqa: S311  # jitter
            over = attempts_at_exit >= _ATTEMPTS_AT_EXIT or time.monotonic() + wait > give_up_at
            is_away = (
                attempts >= _ATTEMPTS_BEFORE_SPOOLING
                or time.monotonic() - began >= _SECONDS_BEFORE_SPOOLING
                or self._is_behind()
            )
            if (leaving or over or is_away) and self._spool_in_flight(batch):
                self._mark_unreachable(result)
                return None
            if over:
                break
            if leaving:
                time.sleep(min(wait, _FIRST_PAUSE / 2))
            else:
                self.hurry.wait(wait)
                self.hurry.clear()
            pause = min(pause * 2, _LONGEST_PAUSE)
        self._counters.count_dropped(batch.items)
        return result

    def _acknowledged(self, batch: Batch, result: ExportResult) -> None:
        with self._counters.lock:
            self._counters.sent += batch.items - result.rejected
        if result.rejected:
            self._counters.count_dropped(result.rejected)
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
        try:
            with self._spool_lock:
                spooled = spool.put(batch, sync=sync)
                with self._counters.lock:
                    self._own_batches[spooled.path] = spooled
                    self._counters.spooled += spooled.items
            return spooled
        finally:
            self._count_removed()

    def _count_removed(self) -> None:
        """What had to make room in the spool is lost."""
        if self._spool is None:
            return
        with self._spool_lock:
            removed = self._spool.take_removed()
        for spooled in removed:
            is_own = spooled.path in self._own_batches
            self._count_spooled(spooled, sent=0, dropped=spooled.items, own=is_own)

    def _mark_unreachable(self, result: ExportResult) -> None:
        self._warn_unreachable(result)
        self._collector_unreachable = True
        self._next_probe = time.monotonic() + (
            result.retry_after or self._pause * random.uniform(0.8, 1.2)  # noqa: S311  # jitter
        )
        self._pause = min(self._pause * 2, _LONGEST_PROBE_PAUSE)

    def _warn_unreachable(self, result: ExportResult) -> None:
        if result.certificate_refused:
            self._warn(
                "certificate",
                "Nothing is sent, and batches are kept until this is mended: %s.",
                result.detail,
            )
            return
        self._warn(
            "unreachable",
            "No acknowledgement from %s (%s). Batches are kept and sent again%s; is the "
            "collector running there (`llmtrace up`), or is the address (LLMTRACE_ENDPOINT) wrong?",
            self._settings.endpoints["traces"].url,
            result.detail,
            f" for {self._settings.retry_for:.0f} s" if self._spool is None else "",
        )

    def _attempt_timeout(self) -> float:
        """Seconds one attempt may take."""
        if self._deadline is None:
            return self._settings.request_timeout
        remaining = self._deadline - time.monotonic()
        return min(self._settings.request_timeout, max(remaining, 0.1))

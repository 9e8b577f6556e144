"""One batch at a time to the collector: attempts, pauses, and the spool while it is away.

Used by one thread at a time. A batch that gets no acknowledgement is tried a few times, then kept on disk;
from then on batches go to disk at once and the oldest is tried at growing intervals, until one arrives and
all are replayed. Where there is no disk to write to, a batch is tried in place until it is too old.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from llmtrace import internal_errors
from llmtrace.config import Config

from .exporter import Batch, Exporter, ExportResult
from .spool import Spool, Spooled
from .stats import DeliveryCounters

_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 5.0
_ATTEMPTS_BEFORE_SPOOLING: Final = 3
_ATTEMPTS_AT_EXIT: Final = 3
_LONGEST_PROBE_PAUSE: Final = 15.0
_FOREIGN_SCAN_SECONDS: Final = 30.0
_FOREIGN_PER_ROUND: Final = 16


class Sender:
    """Delivers batches and keeps the ledger."""

    def __init__(
        self,
        config: Config,
        open_outlet: Callable[[], Exporter],
        ledger: DeliveryCounters,
        spool: Spool | None,
    ) -> None:
        """`open_outlet` is called at the first batch: it may import what is slow to import."""
        self._config = config
        self._open_outlet = open_outlet
        self._opened: Exporter | None = None
        self._ledger = ledger
        self._spool = spool
        self._own: dict[Path, Spooled] = {}
        self._away = False
        self._pause = _FIRST_PAUSE
        self._next_probe = self._next_scan = 0.0
        self._in_flight: Batch | None = None
        #: Of the delivery thread and the one that ends the process, one keeps what is in flight.
        self._keeping = threading.Lock()
        self.hurry = threading.Event()
        self._deadline: float | None = None

    @property
    def outlet(self) -> Exporter:
        """Where batches go, opened when first asked for."""
        if self._opened is None:
            self._opened = self._open_outlet()
        return self._opened

    @property
    def leftovers(self) -> bool:
        """Whether an earlier process left something on disk for the same destination."""
        return self._spool is not None and bool(self._spool.waiting())

    def leave_by(self, deadline: float) -> None:
        """From now on nothing waits beyond `deadline` (monotonic seconds)."""
        self._deadline = deadline
        self.hurry.set()

    def close(self) -> None:
        """Release connections; a later batch opens them again."""
        if self._opened is not None:
            self._opened.close()

    def deliver(self, batch: Batch) -> None:
        """Send, keep on disk, or count as lost; returns when one of these is done."""
        self._in_flight = batch
        try:
            if not (self._away and self._keep_in_flight(batch)):
                self._attempt_until_settled(batch)
        finally:
            self._in_flight = None

    def offer(self, batch: Batch) -> None:
        """One attempt at something that a later one supersedes."""
        if not self._away:
            self.outlet.send(batch, self._patience())

    def rescue(self, batches: list[Batch]) -> None:
        """Keep on disk what another thread is still trying to send, and `batches`; for the way out."""
        with self._keeping:
            held, self._in_flight = self._in_flight, None
            self._away = True
            for batch in ([held] if held is not None else []) + batches:
                if not self._keep(batch):
                    self._ledger.lose(batch.items)

    def replay(self) -> bool:
        """Send what is on disk, this process's first; True when nothing of its own is left there."""
        spool = self._spool
        if spool is None:
            return True
        hurry = self.hurry.is_set()
        now = time.monotonic()
        if self._away and now < self._next_probe and not hurry:
            return not self._own
        if self._deadline is not None and (self._away or now >= self._deadline):
            return not self._own
        for kept in list(self._own.values()):
            if not self._send_kept(kept, own=True):
                return False
        if self._away or now >= self._next_scan:
            self._next_scan = now + _FOREIGN_SCAN_SECONDS
            self._replay_foreign(spool)
        return True

    def _replay_foreign(self, spool: Spool) -> None:
        if not spool.waiting():
            self._away = False
            return
        with spool.exclusively() as alone:
            if not alone:
                return
            waiting = spool.waiting()
            for count, kept in enumerate(waiting, 1):
                if kept.path in self._own:
                    continue
                if not self._send_kept(kept, own=False):
                    return
                if count >= _FOREIGN_PER_ROUND and len(waiting) > count:
                    self._next_scan = 0.0  # go on next round: new spans come first
                    return

    def _send_kept(self, kept: Spooled, *, own: bool) -> bool:
        """False when the collector is away."""
        batch = kept.read()
        if batch is None:  # another process has sent it
            self._settle(kept, sent=kept.items, dropped=0, own=own)
            return True
        outcome = self.outlet.send(batch, self._patience())
        if outcome.kind == "retry":
            self._went_away(outcome)
            return False
        self._away, self._pause = False, _FIRST_PAUSE
        kept.remove()
        lost = batch.items if outcome.kind == "refused" else outcome.rejected
        if lost:
            internal_errors.warn_once("refused", "The collector refused a batch: %s", outcome.detail)
        self._settle(kept, sent=batch.items - lost, dropped=lost, own=own)
        return True

    def _settle(self, kept: Spooled, *, sent: int, dropped: int, own: bool) -> None:
        with self._ledger.lock:
            if own:
                if self._own.pop(kept.path, None) is None:
                    return
                self._ledger.spooled -= kept.items
                self._ledger.sent += sent
            else:
                self._ledger.replayed += sent
                self._ledger.generated += dropped
            if dropped:
                self._ledger.lose(dropped)

    def _attempt_until_settled(self, batch: Batch) -> None:
        too_late = time.monotonic() + self._config.retry_for
        pause, attempts, attempts_at_exit = _FIRST_PAUSE, 0, 0
        while True:
            if (
                self._deadline is not None
                and time.monotonic() >= self._deadline
                and self._keep_in_flight(batch)
            ):
                return
            outcome = self.outlet.send(batch, self._patience())
            if outcome.kind == "acknowledged":
                self._away = False
                self._acknowledged(batch, outcome)
                return
            if outcome.kind == "refused":
                internal_errors.warn_once("refused", "The collector refused a batch: %s", outcome.detail)
                break
            self._say_away(outcome)
            leaving = self._deadline is not None
            attempts += 1
            attempts_at_exit += leaving
            wait = outcome.retry_after or pause * random.uniform(0.8, 1.2)  # noqa: S311  # jitter
            over = attempts_at_exit >= _ATTEMPTS_AT_EXIT or time.monotonic() + wait > too_late
            if (leaving or over or attempts >= _ATTEMPTS_BEFORE_SPOOLING) and self._keep_in_flight(batch):
                self._went_away(outcome)
                return
            if over:
                break
            if leaving:
                time.sleep(min(wait, _FIRST_PAUSE / 2))
            else:
                self.hurry.wait(wait)
                self.hurry.clear()
            pause = min(pause * 2, _LONGEST_PAUSE)
        self._ledger.lose(batch.items)

    def _acknowledged(self, batch: Batch, outcome: ExportResult) -> None:
        with self._ledger.lock:
            self._ledger.sent += batch.items - outcome.rejected
        if outcome.rejected:
            self._ledger.lose(outcome.rejected)
            internal_errors.warn_once("rejected", "The collector rejected spans: %s", outcome.detail)

    def _keep_in_flight(self, batch: Batch) -> bool:
        """Keep it on disk, unless `rescue` has done so."""
        with self._keeping:
            if self._in_flight is None:
                return True
            if not self._keep(batch):
                return False
            self._in_flight = None
            return True

    def _keep(self, batch: Batch) -> bool:
        if self._spool is None:
            return False
        try:
            kept = self._spool.put(batch)
        except OSError as error:
            internal_errors.warn_once(
                "spool",
                "Spans cannot be kept on disk while the collector is away (%s); they wait in memory. "
                "LLMTRACE_SPOOL_DIR names a folder that can be written to, LLMTRACE_SPOOL_BYTES its bound.",
                error,
            )
            return False
        with self._ledger.lock:
            self._own[kept.path] = kept
            self._ledger.spooled += batch.items
        return True

    def _went_away(self, outcome: ExportResult) -> None:
        self._say_away(outcome)
        self._away = True
        self._next_probe = time.monotonic() + (
            outcome.retry_after or self._pause * random.uniform(0.8, 1.2)  # noqa: S311  # jitter
        )
        self._pause = min(self._pause * 2, _LONGEST_PROBE_PAUSE)

    def _say_away(self, outcome: ExportResult) -> None:
        internal_errors.warn_once(
            "away",
            "No acknowledgement from %s (%s). Batches are kept and sent again%s; is the "
            "collector running there (`llmtrace up`), or is LLMTRACE_ENDPOINT wrong?",
            self._config.traces_endpoint,
            outcome.detail,
            f" for {self._config.retry_for:.0f} s" if self._spool is None else "",
        )

    def _patience(self) -> float:
        """Seconds one attempt may take."""
        if self._deadline is None:
            return self._config.request_timeout
        left = self._deadline - time.monotonic()
        return min(self._config.request_timeout, max(left, 0.1))

"""The scan of messages for injection patterns: one pass over what arrived, at a pace of its own.

The store leaves out what no pattern can hit (`abuse/prefilter.py`); what is left is looked at here. A stage
that takes longer over a text belongs beside this one, over `Arrivals` of its own, and holds it up no more.
"""

from __future__ import annotations

import logging
import math
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError
from clickhouse_connect.driver.httpclient import HttpClient

from llmtrace_analysis.detect import store_queries
from llmtrace_analysis.detect.abuse.prompt_injection import PatternMatch, scan

from .arrivals import Arrivals, Batch

logger = logging.getLogger(__name__)

#: Rows that are read at a time: what is waited for at a stop, and what is read again after a failure.
_BATCH_ROWS = 4_000

#: What cannot be read at once is read in so many parts, and those again, up to so many.
_DIVIDE, _FINEST = 8, 64

#: The engine's codes that say so of rows: damaged (33, 40, 107, 117, 246, 271, 432), or too many or too long
#: for the time (159), the memory (173, 241) or the answer (307, 396).
_ROWS_AT_FAULT = re.compile(r"\bCode: (33|40|107|117|159|173|241|246|271|307|396|432)\b")

#: Matches that are remembered of one user: more change neither the incident nor what people do.
_MOST_MATCHES = 500

#: Share of one core's time that the scan may take, here and in the store together.
_SHARE = 0.5


@dataclass(frozen=True)
class ScanState:
    """How far the scan is."""

    lag_seconds: float
    """How long the oldest call that may not have been scanned has been in the store."""
    scanned: int
    """Calls with messages, since the start."""
    suspects: int
    """Those of them that were looked at here; the store had left out the others."""
    unread: int
    """Calls that are known to wait."""
    given_up: int
    """Calls that could not be read."""

    @property
    def share(self) -> float:
        """Scanned calls among all that arrived, 0 to 1."""
        arrived = self.scanned + self.unread + self.given_up
        return self.scanned / arrived if arrived else 1.0


class MessageScan:
    """Reads each call's new messages once and remembers who sent which patterns within the window.

    `step` is one thread's; everything else may be called by any. After a restart the window is read again, so
    nothing needs to be kept.
    """

    def __init__(
        self,
        open_reader: Callable[[], Client],
        purposes: Sequence[str],
        window_seconds: int,
        interval_seconds: float,
    ) -> None:
        """`open_reader` connects to the store; called again after a failure. `purposes`: what the calls were
        for whose messages are read. `window_seconds`: how long a match counts.
        """
        self._open_reader = open_reader
        self._client: Client | None = None
        self._purposes = purposes
        self._window_ms = window_seconds * 1000
        self._interval = interval_seconds
        self._arrivals = Arrivals(self._window_ms)
        self._listed = (0, -math.inf)
        """When arrivals were last listed: milliseconds of the store's clock, seconds of our steady one."""
        self._lock = threading.Lock()
        self._matches: dict[tuple[str, str], deque[PatternMatch]] = {}
        self._scanned = self._suspects = self._given_up = 0
        self._unread = 0
        self._seen_until: float | None = None
        """Of the store's clock, seconds: what it stamped before was scanned."""
        self._current_at = time.monotonic()
        """Of our steady clock: until when what had arrived was scanned."""

    def step(self, begin: Callable[[], None] = lambda: None) -> float:
        """Read a batch of what is unread; the seconds to wait before the next. Raises what the store does.

        `begin` is called first.
        """
        begin()
        started = time.monotonic()
        try:
            if self._client is None:
                self._client = self._open_reader()
                if isinstance(self._client, HttpClient):
                    # The expressions are too long for an address.
                    self._client.form_encode_query_params = True
            is_current = self._read(self._client, started)
        except BaseException:
            self.close()
            raise
        worked = time.monotonic() - started
        rest = worked * (1 / _SHARE - 1)
        return max(rest, self._interval - worked) if is_current else rest

    def _read(self, client: Client, started: float) -> bool:
        """List what arrived, unless that was just done, and read a batch of it; whether that was all."""
        if not self._arrivals.unread_rows or started - self._listed[1] >= self._interval:
            now_ms = store_queries.store_now_ms(client)
            since_ms = self._arrivals.since(now_ms, started)
            stamps = store_queries.arrivals(client, since_ms, self._purposes)
            self._arrivals.listed(stamps, since_ms, now_ms, started)
            self._listed = (now_ms, started)
        now_ms, listed_at = self._listed
        batch = next(self._arrivals.batches(_BATCH_ROWS), None)
        if batch is not None:
            self._scan(client, batch)
        oldest_ms = self._arrivals.oldest_unread_ms
        reached_ms = now_ms if oldest_ms is None else min(oldest_ms, now_ms)
        with self._lock:
            self._unread = self._arrivals.unread_rows
            self._seen_until = reached_ms / 1000
            self._current_at = listed_at - (now_ms - reached_ms) / 1000
            self._forget(self._seen_until - self._window_ms / 1000)
        return oldest_ms is None

    def _scan(self, client: Client, batch: Batch) -> None:
        parts = max(1, -(-batch.rows // _BATCH_ROWS))
        suspects = 0
        matches: list[PatternMatch] = []
        given_up = 0
        todo = [(parts, part) for part in range(parts)]
        while todo:
            of, part = todo.pop()
            try:
                for row in store_queries.suspects(client, batch.stamps, self._purposes, of, part):
                    suspects += 1
                    if names := scan(row.text, row.cut):
                        at = min(row.stamp, self._listed[0]) / 1000
                        matches.append(
                            PatternMatch(row.project, row.user, at, row.trace_id, row.span_id, names)
                        )
            except DatabaseError as error:
                if not _ROWS_AT_FAULT.search(str(error)):
                    raise
                # The others must not wait for these rows for ever.
                if of < _FINEST * parts:
                    todo += [(_DIVIDE * of, part + of * step) for step in range(_DIVIDE)]
                    continue
                given_up += -(-batch.rows // of)
                reason = " ".join(str(error).split())[:300]
                logger.error("messages_not_scanned stamp_ms=%d reason=%s", batch.stamps[0], reason)  # noqa: TRY400
        given_up = min(given_up, batch.rows)
        self._arrivals.read(batch.stamps)
        with self._lock:
            self._scanned += batch.rows - given_up
            self._suspects += suspects
            self._given_up += given_up
            self._remember(matches)

    def _remember(self, matches: Iterable[PatternMatch]) -> None:
        for match in matches:
            mine = self._matches.setdefault((match.project, match.user), deque(maxlen=_MOST_MATCHES))
            # A batch that grew is read again.
            if all(match.span_id != known.span_id or match.trace_id != known.trace_id for known in mine):
                mine.append(match)

    def _forget(self, before: float) -> None:
        for who, matches in list(self._matches.items()):
            newer = [match for match in matches if match.at >= before]
            if len(newer) < len(matches):
                self._matches[who] = deque(newer, maxlen=_MOST_MATCHES)
            if not newer:
                del self._matches[who]

    def matches(self) -> dict[tuple[str, str], list[PatternMatch]]:
        """(project, user) → the matches within the window, ascending; `at` by the store's clock."""
        with self._lock:
            return {who: sorted(hits, key=lambda match: match.at) for who, hits in self._matches.items()}

    @property
    def seen_until(self) -> float | None:
        """What the store stamped before this (Unix seconds of its clock) was scanned; None before any was."""
        return self._seen_until

    def state(self) -> ScanState:
        """How far it is now."""
        with self._lock:
            return ScanState(
                time.monotonic() - self._current_at,
                self._scanned,
                self._suspects,
                self._unread,
                self._given_up,
            )

    def close(self) -> None:
        """Close the connection; the next step opens another."""
        if self._client is not None:
            self._client.close()
            self._client = None

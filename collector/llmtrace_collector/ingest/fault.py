"""Whose fault it is that a segment could not be stored: its own, or the store's."""

from __future__ import annotations

import logging
import time

from llmtrace_collector.store.engine import StoreError, StoreUnavailable
from llmtrace_collector.store.store import Store

from .segment import Segment

logger = logging.getLogger(__name__)

#: How often what may be either's fault is tried again before the store is asked to take rows of our own.
_WAITS = 3

#: How long (seconds) what one segment alone may cause is waited for: a store that is short of memory because
#: of others has mostly caught up by then, and the log has room for as long.
PATIENCE = 300.0

#: How long (seconds) an insert that was given up is waited for at most, and how often it is looked at.
_LONGEST_INSERT, _PAUSE = 60.0, 0.5


class FaultFinder:
    """Inserts segments and says of those that failed whether the store has anything against their bytes.

    What the engine says of parsing and converting is the data's fault. That a disk, memory or time is short
    is the store's: it is waited for. Anything else is waited for too, three times; after that the store
    decides by whether it takes rows of our own. A segment that it refuses once more, though it takes those,
    is at fault.

    One segment alone may use up memory or time, or end the connection. Where nothing else was said of it for
    `PATIENCE` seconds, the store decides about that in the same way.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._token = ""
        self._failures = 0
        #: What is waited for because memory, time or the connection was short, and since when.
        self._waiting, self._since = "", 0.0
        #: The segment that was waited for long enough.
        self._at_fault = ""

    def try_insert(self, segment: Segment, whole: Segment | None = None) -> str | None:
        """Insert a segment; what the store says against its bytes, None when it took them. Raises
        StoreUnavailable and OSError: the same call later may end otherwise. `whole`: what it is a piece of,
        which was at fault, so that the store is asked at once.
        """
        whole = whole or segment
        error = self._refusal(segment)
        if error is None or error.speaks_of_data:
            return None if error is None else _text(error)
        if isinstance(error, StoreUnavailable):
            self._wait(whole, error)
        else:
            if segment.token != self._token:
                self._token, self._failures = segment.token, 0
            self._failures += 1
            if self._failures <= _WAITS and segment is whole:
                raise StoreUnavailable(_text(error), error.code) from error
        try:
            self._store.demand_takes_rows(segment.signal)
        except StoreUnavailable:
            self._waiting = ""
            raise
        # What was wrong with the store may have ended in between.
        again = self._refusal(segment)
        if again is None:
            return None
        reason = _text(again)
        if isinstance(again, StoreUnavailable):
            if not (isinstance(error, StoreUnavailable) and again.may_speak_of_data):
                raise again
            if self._is_stored_after_all(segment, again):
                return None
            self._at_fault = whole.token
            reason = f"{reason} (each time, while the store took other rows)"
        logger.warning("the store takes rows of our own, but not %s: %s", segment.token, again)
        return reason

    def _wait(self, whole: Segment, error: StoreUnavailable) -> None:
        """Return when a segment was waited for long enough; else raise `error`."""
        if not error.may_speak_of_data:
            self._waiting = ""
            raise error
        if whole.token == self._at_fault:
            return
        if whole.token != self._waiting:
            self._waiting, self._since = whole.token, time.monotonic()
        if time.monotonic() - self._since < PATIENCE:
            raise error

    def _is_stored_after_all(self, segment: Segment, error: StoreUnavailable) -> bool:
        """Whether an insert that was given up has stored all rows. Raises `error` while it goes on: its rows
        would be stored again by pieces of the segment.
        """
        ends = time.monotonic() + _LONGEST_INSERT
        while self._store.is_inserting(segment.token):
            if time.monotonic() >= ends:
                raise error
            time.sleep(_PAUSE)
        return self._store.holds_all(segment.signal, segment.row_times())

    def _refusal(self, segment: Segment) -> StoreError | None:
        """What the store says against a segment now. Raises OSError."""
        if not segment.has_requests():
            return None
        try:
            with segment.plain_file() as path:
                self._store.insert_segment(segment.signal, path, segment.token)
        except StoreError as error:
            return error
        return None


def _text(error: StoreError) -> str:
    return str(error) or type(error).__name__

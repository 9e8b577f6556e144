"""Handles of the embedded engine, shared by threads: one query at a time on each, few of them open."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

#: Handles that are open at the same time; each costs a megabyte.
MOST_OPEN = 64

#: Seconds that queries in progress have when the engine is closed: longer than a read may take.
_CLOSING_SECONDS = 40.0


@dataclass(frozen=True)
class Session:
    """What a handle is for: its scope (see access_control.py), and whether it only reads."""

    scope: str
    reads: bool


class Handles:
    """The handles of one engine; every method may be called from any thread.

    `connect` opens one, `prepare` makes it one of a session. A handle whose query fails is closed: what the
    query had already written would be the start of the next one's result.
    """

    def __init__(self, connect: Callable[[], Any], prepare: Callable[[Any, Session], None]) -> None:
        self._connect = connect
        self._prepare = prepare
        # The engine ends with its last handle: this one stays.
        self.first = connect()
        self._idle: list[tuple[Session, Any]] = []
        self._used = 0
        self._closed = False
        self._changed = threading.Condition()

    @property
    def open(self) -> int:
        """How many handles are open."""
        with self._changed:
            return 1 + self._used + len(self._idle)

    @contextmanager
    def use(self, session: Session) -> Iterator[Any]:
        """A handle of the session, which nobody else uses meanwhile."""
        handle = self._take(session)
        try:
            yield handle
        except BaseException:
            with self._changed:
                self._used -= 1
                handle.close()
                self._changed.notify()
            raise
        with self._changed:
            self._used -= 1
            if self._closed:
                handle.close()
            else:
                self._idle.append((session, handle))
            self._changed.notify()

    def _take(self, session: Session) -> Any:
        with self._changed:
            self._changed.wait_for(lambda: self._used < MOST_OPEN - 1)
            # The one that was used last: those that nobody needs grow old.
            for position in reversed(range(len(self._idle))):
                if self._idle[position][0] == session:
                    self._used += 1
                    return self._idle.pop(position)[1]
            if self._used + len(self._idle) >= MOST_OPEN - 1:
                self._idle.pop(0)[1].close()
            # Opening handles at the same time as another thread is not something chDB promises.
            handle = self._connect()
            try:
                self._prepare(handle, session)
            except BaseException:
                handle.close()
                raise
            self._used += 1
            return handle

    def close(self) -> None:
        """Close every handle, once those in use are free."""
        with self._changed:
            self._changed.wait_for(lambda: self._used == 0, _CLOSING_SECONDS)
            if self._closed:
                return
            self._closed = True
            for _, handle in self._idle:
                handle.close()
            self._idle.clear()
            self.first.close()

"""Connections of one server: how many there may be, and which goes when one more comes."""

from __future__ import annotations

import resource
import time
from typing import Literal, Protocol

#: What a connection is at: a request's header has not come, none is under way, a body is coming, or an answer
#: is made. `handshake`: it was accepted this moment, or TLS is agreed on.
Phase = Literal["handshake", "header", "idle", "body", "answer"]

#: Which go to make room: those that have sent nothing yet first. An answer is never cut off.
_EVICTED: tuple[Phase, ...] = ("header", "handshake", "idle", "body")

#: What is younger (seconds) goes only where nothing is older, and then the oldest.
_GRACE_SECONDS = 1.0

#: Connections beyond the bound that get an answer still: health's, or 503.
RESERVE = 16


class Connection(Protocol):
    """What can be ended at once."""

    def abort(self) -> None: ...


class ConnectionBound:
    """Keeps connections by what they are at, in the order in which they came to it. For one event loop."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._phases: dict[Phase, dict[Connection, float]] = {phase: {} for phase in (*_EVICTED, "answer")}
        self._phase_of: dict[Connection, Phase] = {}

    def __len__(self) -> int:
        return len(self._phase_of)

    def enter(self, connection: Connection, phase: Phase) -> None:
        """A connection has come to a phase."""
        before = self._phase_of.get(connection)
        if before is not None:
            del self._phases[before][connection]
        self._phase_of[connection] = phase
        self._phases[phase][connection] = time.monotonic()

    def leave(self, connection: Connection) -> None:
        """A connection has ended."""
        phase = self._phase_of.pop(connection, None)
        if phase is not None:
            del self._phases[phase][connection]

    def make_room(self) -> bool:
        """Whether one more may come; ends another for it where the bound is reached."""
        if len(self) < self.limit:
            return True
        oldest = [next(iter(self._phases[phase].items())) for phase in _EVICTED if self._phases[phase]]
        if not oldest:
            return False
        aged = time.monotonic() - _GRACE_SECONDS
        first = next(
            (connection for connection, since in oldest if since < aged),
            min(oldest, key=lambda item: item[1])[0],
        )
        self.leave(first)
        first.abort()
        return True


def raise_descriptor_limit() -> int:
    """Raise this process's soft limit of open files to its hard one; returns what holds now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (ValueError, OSError):  # an unlimited hard limit is more than the system allows
            return soft
    return 1 << 20 if hard == resource.RLIM_INFINITY else hard


def connection_limit(wanted: int, descriptors: int) -> int:
    """How many connections leave half of the `descriptors` to files: the store's, the log's."""
    return max(8, min(wanted, descriptors // 2 - RESERVE))

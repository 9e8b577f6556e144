"""Which minutes are known: whether nothing came because nothing was, or because nothing could be received.

Whatever was stored in a minute, and each report of watch, says that the collector was up. Where watch
reported within the last hour, a minute without any such evidence is not known, and neither are the five after
it: senders that waited deliver late. Where none reported, since none ran, minutes are known until ten have
passed in which nothing was stored.
"""

from __future__ import annotations

from .minutes import Evidence

_REPORT_MINUTES, _SETTLING_MINUTES, _ARRIVAL_MINUTES = 60, 5, 10

_NEVER = -(10**9)


class KnownMinutes:
    """Judges minute after minute, from what lies before."""

    def __init__(self) -> None:
        self._reported = self._arrived = self._down = _NEVER

    def advance(self, minute: int, evidence: Evidence) -> bool:
        """Whether the minute (Unix time / 60) is known."""
        is_up = minute in evidence.up
        if minute in evidence.reported:
            self._reported = minute
        if is_up:
            self._arrived = minute
        if minute - self._reported > _REPORT_MINUTES:
            return minute - self._arrived < _ARRIVAL_MINUTES
        if not is_up:
            self._down = minute
        return minute - self._down > _SETTLING_MINUTES

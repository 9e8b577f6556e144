"""Whether the engine's clock was set back: what is stored after that has times that passes have been over."""

from __future__ import annotations

import time
from collections.abc import Iterable

#: Steps back of less than so much are not told from how long a query takes, milliseconds.
_TOLERANCE = 100
#: How far the passes go back where how far the clock went is not known, milliseconds.
_UNKNOWN = 3_600_000
#: Clocks of several nodes differ by so much at the most, milliseconds.
_APART = 1000


class Clock:
    """The engine's clock next to one that nobody sets."""

    def __init__(self, *, alone: bool) -> None:
        self._apart = 0 if alone else _APART
        self._last: tuple[int, float] | None = None

    def set_back_to(self, now: int, edges: Iterable[int]) -> int | None:
        """Since when (Unix milliseconds) spans may have been stored with times that were passed already;
        None: the clock went on. `now` is what it says, `edges` how far passes have come.
        """
        steady = time.monotonic() * 1000
        before, self._last = self._last, (now, steady)
        if before is not None:
            step = (before[0] - now) + (steady - before[1])
            if step > max(_TOLERANCE, self._apart):
                return before[0] - int(step) - _TOLERANCE
        # It may have been set back while nobody watched it.
        return now - _UNKNOWN if max(edges, default=0) > now + self._apart else None

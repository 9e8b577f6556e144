"""Stop strings over text that arrives bit by bit."""

from __future__ import annotations


class StopMatcher:
    """Lets text through up to the first stop string, and holds back what may become one.

    What is let through, joined, is exactly the text before the earliest stop string; where two begin at
    the same place, the one that completes first wins.
    """

    def __init__(self, stops: tuple[str, ...]) -> None:
        self._stops = stops
        self._held = ""
        self.matched: str | None = None

    def feed(self, text: str) -> str:
        """Text that may be sent now. After a match (`matched` is set) it is always empty."""
        if self.matched is not None or not text:
            return ""
        if not self._stops:
            return text
        held = self._held + text
        matches = [(at, at + len(stop), stop) for stop in self._stops if (at := held.find(stop)) >= 0]
        if matches:
            at, _, self.matched = min(matches)
            self._held = ""
            return held[:at]
        keep = max(_overlap(held, stop) for stop in self._stops)
        self._held = held[len(held) - keep :]
        return held[: len(held) - keep]

    def flush(self) -> str:
        """What was held back, once no more text comes."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that is a beginning of `stop`."""
    for size in range(min(len(text), len(stop) - 1), 0, -1):
        if stop.startswith(text[-size:]):
            return size
    return 0

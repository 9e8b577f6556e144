"""A token bucket: an allowance that fills evenly within a minute."""

from __future__ import annotations


class TokenBucket:
    """Refills evenly to `limit` within a minute. `now` is a clock's seconds; the same clock throughout."""

    def __init__(self, limit: int, now: float) -> None:
        self.limit = limit
        self._left = float(limit)
        self._at = now

    def left(self, now: float) -> float:
        """How much may be taken now."""
        self._left = min(self._left + (now - self._at) * self.limit / 60, self.limit)
        self._at = now
        return self._left

    def take(self, amount: int) -> None:
        """Take what `left` says is there; a negative amount gives back."""
        self._left = min(self._left - amount, self.limit)

    def seconds_until(self, amount: int, now: float) -> float:
        """How long until `amount` may be taken; 0 when it may be now."""
        return max((amount - self.left(now)) * 60 / self.limit, 0.0)

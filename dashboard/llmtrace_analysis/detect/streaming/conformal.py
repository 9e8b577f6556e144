"""How unusual a number is among those before it: ranks instead of assumptions about how they are spread."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque

#: The share of the past that the tail is fitted to, with so many numbers at least, and after so many numbers
#: again.
_TAIL_SHARE, _TAIL_LEAST, _FIT_EVERY = 0.05, 20, 25

#: No tail is believed to fall faster than a number's double being so many times rarer.
_STEEPEST = 8.0


class SortedWindow:
    """The last so many numbers, in order of size. None may be NaN."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._arrivals: deque[float] = deque()
        self.ordered: list[float] = []

    def __len__(self) -> int:
        return len(self.ordered)

    def add(self, number: float) -> None:
        """Add a number; the oldest goes where there are too many."""
        if len(self.ordered) >= self._size:
            del self.ordered[bisect_left(self.ordered, self._arrivals.popleft())]
        self._arrivals.append(number)
        insort(self.ordered, number)

    def distance(self, number: float, nearest: int = 3) -> float:
        """Mean distance to the nearest numbers; 0 where there are too few."""
        ordered = self.ordered
        if len(ordered) < nearest:
            return 0.0
        right = bisect_left(ordered, number)
        left = right - 1
        total = 0.0
        for _ in range(nearest):
            if right >= len(ordered) or (left >= 0 and number - ordered[left] <= ordered[right] - number):
                total += number - ordered[left]
                left -= 1
            else:
                total += ordered[right] - number
                right += 1
        return total / nearest

    def quantile(self, share: float) -> float:
        """The number below which this share of them lies; NaN of none."""
        if not self.ordered:
            return math.nan
        return self.ordered[min(int(share * len(self.ordered)), len(self.ordered) - 1)]


class Conformal:
    """The chance that one of the past numbers is at least as large, for one number after the other.

    Beyond the largest numbers of the past the chance goes on as their tail falls (Hill's estimate), so that
    what is far out is told from a new record.
    """

    def __init__(self, size: int) -> None:
        self._window = SortedWindow(size)
        self._since_fit = _FIT_EVERY
        self._threshold = 0.0
        self._exponent = 0.0

    def chance(self, number: float) -> float:
        """Chance of a number (0 or more), by those before it; it joins them."""
        window = self._window
        at_least = len(window) - bisect_left(window.ordered, number)
        chance = (at_least + 1) / (len(window) + 1)
        if self._since_fit >= _FIT_EVERY:
            self._fit()
        if self._exponent and number > self._threshold:
            beyond = _TAIL_SHARE * (number / self._threshold) ** -self._exponent
            chance = min(chance, max(beyond, 1e-12))
        self._since_fit += 1
        window.add(number)
        return chance

    def _fit(self) -> None:
        ordered = self._window.ordered
        self._since_fit = 0
        self._exponent = 0.0
        first = int(len(ordered) * (1 - _TAIL_SHARE))
        tail = ordered[first:]
        if len(tail) >= _TAIL_LEAST and ordered[first] > 0:
            self._threshold = ordered[first]
            mean = sum(math.log(number / self._threshold) for number in tail) / len(tail)
            self._exponent = min(1 / mean if mean > 0 else _STEEPEST, _STEEPEST)


class RestPeriod:
    """What is no news: within so many steps of something as unusual."""

    def __init__(self) -> None:
        self._recent: deque[tuple[int, float]] = deque()
        self._step = 0

    def is_news(self, nats: float, steps: int, margin: float = 0.0) -> bool:
        """Whether nothing within the last steps was so unusual, up to a margin. Steps may become more, not
        fewer.
        """
        self._step += 1
        recent = self._recent
        while recent and recent[0][0] <= self._step - steps:
            recent.popleft()
        news = not recent or nats > recent[0][1] + margin
        while recent and recent[-1][1] <= nats:
            recent.pop()
        recent.append((self._step, nats))
        return news

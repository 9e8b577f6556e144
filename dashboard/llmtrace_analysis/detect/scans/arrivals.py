"""What of the store was read already, by the stamps that the store put on it.

An insert's rows bear one stamp (`StoredAt`, milliseconds of the store's own clock), so what is new is a
handful of stamps with their numbers of rows, whatever the spans' own clocks say. Nothing here trusts a clock
to go forward: a stamp is read when its rows were read, and where the store's clock was set back, stamps are
looked for as much earlier.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

#: A stamp is put on when an insert begins; its rows are seen once it has ended.
_INSERT_MS = 120_000


@dataclass(frozen=True)
class Batch:
    """Rows to read together: those of some stamps, ascending."""

    stamps: tuple[int, ...]
    rows: int


class Arrivals:
    """One reader's memory of what it read. Times are milliseconds of the store's clock, but for `at`."""

    def __init__(self, history_ms: int) -> None:
        """`history_ms`: how far back the first look reads."""
        self._history_ms = history_ms
        self._rows: dict[int, int] = {}
        """Stamp → rows that were read of it."""
        self._unread: dict[int, int] = {}
        """Stamp → all its rows, where not all were read."""
        self._began: tuple[int, float] | None = None
        """The store's clock and our steady one (seconds) at the last look that was listed."""

    def since(self, now_ms: int, at: float) -> int:
        """From which stamp on there may be rows that were not read, at `now_ms` of the store's clock and `at`
        of our steady one (seconds)."""
        if self._began is None:
            return now_ms - self._history_ms
        before_ms, before = self._began
        set_back_ms = max(0, before_ms + int((at - before) * 1000) - now_ms)
        return min(before_ms - set_back_ms - _INSERT_MS, *self._unread, now_ms)

    def listed(self, stamps: Mapping[int, int], since_ms: int, now_ms: int, at: float) -> None:
        """Note all stamps from `since_ms` on, with their numbers of rows."""
        self._began = (now_ms, at)
        # More rows of a stamp than before: two inserts began in one millisecond.
        self._unread = {stamp: rows for stamp, rows in stamps.items() if rows > self._rows.get(stamp, 0)}
        self._rows = {stamp: rows for stamp, rows in self._rows.items() if stamp >= since_ms}

    def batches(self, rows: int) -> Iterator[Batch]:
        """What is unread, oldest first, in batches of about so many rows; a stamp is not divided."""
        stamps: list[int] = []
        total = 0
        for stamp, count in sorted(self._unread.items()):
            stamps.append(stamp)
            total += count
            if total >= rows:
                yield Batch(tuple(stamps), total)
                stamps, total = [], 0
        if stamps:
            yield Batch(tuple(stamps), total)

    def read(self, stamps: Sequence[int]) -> None:
        """Note that the rows of these stamps were read, as many as were listed."""
        for stamp in stamps:
            self._rows[stamp] = self._unread.pop(stamp)

    @property
    def unread_rows(self) -> int:
        """Rows that are listed and were not read; of a stamp that grew, all."""
        return sum(self._unread.values())

    @property
    def oldest_unread_ms(self) -> int | None:
        """The first stamp that was not read; None where all were."""
        return min(self._unread, default=None)

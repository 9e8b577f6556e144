"""The detectors of one kind of series: which series there are is learned on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from llmtrace_analysis.detect.detectors.series import BoolArray, FloatArray, IntArray
from llmtrace_analysis.detect.streaming.detector_bank import DetectorBank, Direction, Event, EventMeasure
from llmtrace_analysis.detect.streaming.minute_buckets import Means, MinuteBuckets, Parts
from llmtrace_analysis.detect.streaming.sensitivity import Sensitivity

from .busy_users import Listing
from .kinds import LONG_SHARE, WatchedKind
from .minutes import Key, MinuteTable
from .series import WatchedSeries

#: What a series took on average is of about so many of its last minutes.
_SECONDS_OF = 200

#: A series that nothing came of for so long is forgotten, minutes.
_DAY = 1440
_FORGET_MINUTES = 7 * _DAY


_DIRECTIONS: tuple[Direction, ...] = ("up", "down")


class Opened(NamedTuple):
    """An event of a series."""

    series: WatchedSeries
    event: Event
    group: int
    """Series of one kind with the same number are siblings."""


class Closed(NamedTuple):
    """What an event told of is over."""

    series: WatchedSeries
    measure: EventMeasure
    direction: Direction
    minute: int


@dataclass
class _Located:
    """Where a table has the rows of a bank."""

    table: MinuteTable
    columns: IntArray
    """Of every row its place among the keys of the table; -1 where it has none."""
    rows: IntArray
    """Of every key of the table its row; -1 where it has none yet."""


class KindBank:
    """Rows are series in the order in which they came; which minute a row was added in depends on nothing
    but the minutes before.
    """

    def __init__(self, kind: WatchedKind, sensitivity: Sensitivity, utc_offset_minutes: int) -> None:
        self.kind = kind
        self._sensitivity, self._utc_offset = sensitivity, utc_offset_minutes
        self._bank: DetectorBank | None = None
        self.series: list[WatchedSeries] = []
        self._rows: dict[Key, int] = {}
        self._groups: dict[Key, int] = {}
        self._group_of: list[int] = []
        self._known_before: set[int] = set()
        """Rows that are new to us and to nobody else."""
        self._counted: dict[Key, float] = {}
        self._hour = -1
        self._seconds = np.zeros(0)
        self._seen = np.zeros(0, dtype=np.int64)
        self._located: _Located | None = None

    def advance(
        self, minute: int, table: MinuteTable, whole: MinuteTable, listing: Listing | None = None
    ) -> list[Opened | Closed]:
        """Add a known minute. `table` has it, `whole` the same before parts were summed; `listing`: who is
        watched, where not all are.
        """
        changes: list[Opened | Closed] = []
        if minute % _DAY == 0:
            changes += self._forget(minute)
        located = self._locate(table)
        self._admit(minute, located, whole, listing)
        if self._bank is None:
            return changes
        buckets = table.buckets(minute, located.columns, self.kind.levels, self.kind.shares)
        self._seen = np.where(buckets.calls > 0, minute, self._seen)
        if self.kind.is_counted_at_start:
            buckets = self._without_long(minute, located, buckets)
        result = self._bank.advance(minute, buckets)
        changes += [
            Closed(self.series[row], measure, direction, minute) for row, measure, direction in result.closed
        ]
        for event in result.events:
            if event.kind != "new_series" or event.series not in self._known_before:
                changes.append(Opened(self.series[event.series], event, self._group_of[event.series]))
        return changes

    def _forget(self, minute: int) -> list[Closed]:
        """Go on without the series that nothing has come of for a week; what was open of them is over."""
        if self._bank is None or not (self._seen < minute - _FORGET_MINUTES).any():
            return []
        places = np.flatnonzero(self._seen >= minute - _FORGET_MINUTES)
        rows = set(places.tolist())
        closed = [
            Closed(series, measure, direction, minute)
            for row, series in enumerate(self.series)
            if row not in rows
            for measure in (*self._bank.measures, *self.kind.shares)
            for direction in _DIRECTIONS
        ]
        self._bank.select(places)
        moved = {int(row): place for place, row in enumerate(places)}
        self._rows = {key: moved[row] for key, row in self._rows.items() if row in moved}
        self._known_before = {moved[row] for row in self._known_before if row in moved}
        self.series = [self.series[row] for row in places]
        self._group_of = [self._group_of[row] for row in places]
        self._seconds, self._seen = self._seconds[places], self._seen[places]
        self._located = None
        return closed

    def share(self, sensitivity: Sensitivity) -> None:
        """Judge by another sensitivity from now on: more series share it."""
        self._sensitivity = sensitivity
        if self._bank is not None:
            self._bank.sensitivity = sensitivity

    def demand(self, margin: Callable[[WatchedSeries, EventMeasure], float]) -> None:
        """Nats that are added to the threshold of each series and measure from now on."""
        if self._bank is not None:
            self._bank.margins = {
                measure: np.array([margin(series, measure) for series in self.series])
                for measure in (*self._bank.measures, *self.kind.shares)
            }

    def _locate(self, table: MinuteTable) -> _Located:
        if self._located is None or self._located.table is not table:
            rows = np.fromiter((self._rows.get(key, -1) for key in table.keys), np.int64, len(table.keys))
            columns = np.full(len(self.series), -1, dtype=np.int64)
            columns[rows[rows >= 0]] = np.flatnonzero(rows >= 0)
            self._located = _Located(table, columns, rows)
        return self._located

    def _admit(self, minute: int, located: _Located, whole: MinuteTable, listing: Listing | None) -> None:
        """Add rows for the keys that have become frequent enough."""
        if minute // 60 != self._hour:
            self._hour = minute // 60
            self._counted.clear()
        table = located.table
        if not table.keys:
            return
        calls = table.sums["calls"][minute - table.first]
        groups: list[int] = []
        for place in np.flatnonzero((calls > 0) & (located.rows < 0)):
            key = table.keys[place]
            self._counted[key] = self._counted.get(key, 0.0) + float(calls[place])
            is_admitted = (
                len(self.series) < self.kind.most_series
                and (listing is not None or self._counted[key] >= self.kind.least_calls)
                and (not self.kind.needs_others or self._has_others(key))
                and (listing is None or listing.since[key] <= minute)
            )
            if is_admitted:
                row = self._rows[key] = located.rows[place] = len(self.series)
                located.columns = np.append(located.columns, place)
                self.series.append(self._series_of(key))
                if listing is not None and key not in listing.newcomers:
                    self._known_before.add(row)
                groups.append(self._group(key, row, minute, whole))
        if groups:
            self._group_of += groups
            self._extend(np.array(groups, dtype=np.int64), minute)

    def _extend(self, groups: IntArray, minute: int) -> None:
        self._seconds = np.append(self._seconds, np.full(len(groups), np.nan))
        self._seen = np.append(self._seen, np.full(len(groups), minute))
        if self._bank is None:
            self._bank = DetectorBank(groups, self._sensitivity, self._utc_offset)
        else:
            self._bank.extend(groups)

    def _has_others(self, key: Key) -> bool:
        """Whether others differ in the first dimension alone; who comes first waits for the second."""
        return any(
            other[0] == key[0] and other[1] != key[1] and other[2:] == key[2:]
            for other in (*self._counted, *self._rows)
        )

    def _series_of(self, key: Key) -> WatchedSeries:
        dimensions = dict(zip(self.kind.names, key[1:], strict=True))
        return WatchedSeries(self.kind.kind, key[0], MappingProxyType(dimensions))

    def _group(self, key: Key, row: int, minute: int, whole: MinuteTable) -> int:
        siblings = self.kind.siblings
        group: Key
        if siblings is None:
            group = (*key, str(row))
        elif self.kind.drops:
            group = (key[0], _most_calls(whole, minute, key))
        else:
            group = (
                key[0],
                *(part for name, part in zip(self.kind.names, key[1:], strict=True) if name in siblings),
            )
        return self._groups.setdefault(group, len(self._groups))

    def _without_long(self, minute: int, located: _Located, buckets: MinuteBuckets) -> MinuteBuckets:
        """Nothing is known of series whose minutes are read before all of them has ended."""
        calls = buckets.calls
        mean = np.full(len(calls), np.nan)
        np.divide(located.table.values("seconds", minute, located.columns), calls, out=mean, where=calls > 0)
        usual = np.where(np.isnan(self._seconds), mean, self._seconds)
        moved = usual + np.minimum(calls / _SECONDS_OF, 1.0) * (mean - usual)
        self._seconds = np.where(np.isfinite(mean), moved, self._seconds)
        long = self._seconds > LONG_SHARE * 60 * self.kind.later_minutes
        return _unknown_where(buckets, long) if long.any() else buckets


def _most_calls(whole: MinuteTable, minute: int, key: Key) -> str:
    """The first dimension of the part that most calls of a key come from in a minute."""
    calls = whole.sums["calls"][minute - whole.first]
    of_key = [place for place, part in enumerate(whole.keys) if (part[0], *part[2:]) == key]
    return max((whole.keys[place] for place in of_key), key=lambda part: calls[whole.keys.index(part)])[1]


def _unknown_where(buckets: MinuteBuckets, where: BoolArray) -> MinuteBuckets:
    def without(values: FloatArray) -> FloatArray:
        return np.where(where, np.nan, values)

    return MinuteBuckets(
        calls=without(buckets.calls),
        output_mean=without(buckets.output_mean),
        levels={
            level: Means(without(means.calls), without(means.mean)) for level, means in buckets.levels.items()
        },
        shares={
            share: Parts(without(parts.of), without(parts.hits)) for share, parts in buckets.shares.items()
        },
    )

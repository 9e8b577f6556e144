"""All detectors over many series side by side, advanced minute by minute."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from llmtrace_analysis.detect.detectors.series import BoolArray, FloatArray, IntArray

from .episodes import Episodes
from .growth import grow, select
from .levels import Judged, Levels
from .measures import MEASURES, Measure, MeasureConstants
from .minute_buckets import CallSpread, MinuteBuckets, Share, TokenAdjustment
from .own_history import OwnHistory
from .proportions import Proportions
from .sensitivity import Sensitivity
from .series_changes import SeriesChanges
from .silence import Silence

Kind = Literal["spike", "shift", "drift", "silence", "drop", "error_share", "new_series", "vanished_series"]
Direction = Literal["up", "down", ""]
EventMeasure = Measure | Share

#: An episode is over after so many quiet minutes, and rests for so long.
_QUIET_MINUTES, _REST_MINUTES = 10, 30

#: A level that has held for so long counts as usual from then on, minutes: a day, since what is over sooner
#: would only be news again by its end.
_ADOPT_MINUTES = 1440

#: Fewer expected calls per minute than this: their number is judged by silence alone.
_FEW_CALLS = 5.0

#: A variance with which nothing is out of the ordinary.
_UNJUDGED = 1e6

#: Silence is what is expected cautiously: so many sigmas below the usual.
_CAUTION = 2.0

#: Levels whose means are of logarithms.
_LOGARITHMS = frozenset(("latency", "ttft", "tpot"))

#: The band that is shown.
_BAND_SIGMAS = 3.0

#: A sigma is shown as this at most: beyond it nothing is expected of the value.
_WIDEST = 10.0


class Event(NamedTuple):
    """An incident opens: what, of which series, and since when."""

    kind: Kind
    series: int
    measure: EventMeasure
    direction: Direction
    opened: int
    """Minute (Unix time / 60) whose end made it known."""
    start: int
    """Minute in which it began, as far as can be told."""
    value: float
    """In the measure's own unit: calls, seconds, tokens per call, USD per call, share of calls."""
    expected: float
    low: float
    high: float
    score: float
    """0 to 1: 1 - exp(-nats)."""


class Ended(NamedTuple):
    """An incident is over."""

    series: int
    measure: EventMeasure
    direction: Direction


@dataclass(frozen=True)
class MinuteResult:
    """What one minute showed."""

    judged: Judged
    """Columns: of every series, every measure of the bank (calls, then its levels)."""
    errors: FloatArray
    """How surprising failures are, by series, nats."""
    events: tuple[Event, ...]
    closed: tuple[Ended, ...]


class _Share:
    """The detectors of one share."""

    def __init__(self, series: int) -> None:
        self.proportions = Proportions(series)
        self.episodes = Episodes(series, _QUIET_MINUTES, _REST_MINUTES)
        self.before = OwnHistory(series)


class DetectorBank:
    """Detectors of many series. A series is a row: what it holds does not depend on the other rows of the
    bank, but for its group's, nor on when others were added.

    Advancing it minute by minute is the only way to use it, so that live and replayed history give the same.
    Its measures are calls and those levels and shares that the first minute has.
    """

    def __init__(
        self, groups: IntArray, sensitivity: Sensitivity | None = None, utc_offset_minutes: int = 0
    ) -> None:
        """`groups`: a number for each series; series of one group are siblings."""
        self._series = len(groups)
        self.sensitivity = sensitivity
        """May change with the number of series that share it; None: these alone do."""
        self._utc_offset = utc_offset_minutes
        self._changes = SeriesChanges(groups)
        self._silence = Silence(self._series)
        self._adjustment = TokenAdjustment(self._series)
        self.measures: tuple[Measure, ...] = ()
        self.margins: dict[EventMeasure, FloatArray] = {}
        """Nats that are added to the threshold of a measure, by series; none where it is not there."""
        self._levels: Levels
        self._shares: dict[Share, _Share] = {}

    def extend(self, groups: IntArray) -> None:
        """Append series, which begin with the next minute."""
        fresh = len(groups)
        self._series += fresh
        self._changes.extend(groups)
        grow(self._silence, Silence, fresh)
        grow(self._adjustment, TokenAdjustment, fresh)
        if not self.measures:
            return
        grow(self._levels, self._new_levels, fresh)
        grow(self._spread, self._new_spread, fresh)
        grow(self._episodes, self._new_episodes, fresh)
        grow(self._levels_before, self._new_history, fresh)
        for share in self._shares.values():
            grow(share, _Share, fresh)

    def select(self, series: IntArray) -> None:
        """Go on with these series alone, in this order."""
        self._series = len(series)
        self._changes.select(series)
        select(self._silence, Silence, series)
        select(self._adjustment, TokenAdjustment, series)
        self.margins = {}
        if not self.measures:
            return
        select(self._levels, self._new_levels, series)
        select(self._spread, self._new_spread, series)
        select(self._episodes, self._new_episodes, series)
        select(self._levels_before, self._new_history, series)
        for share in self._shares.values():
            select(share, _Share, series)

    def _begin(self, buckets: MinuteBuckets) -> None:
        self.measures = ("calls", *buckets.levels)
        self._levels = self._new_levels(self._series)
        self._spread = self._new_spread(self._series)
        self._episodes = self._new_episodes(self._series)
        self._levels_before = self._new_history(self._series)
        self._shares = {name: _Share(self._series) for name in buckets.shares}

    def _constants(self, series: int) -> list[MeasureConstants]:
        return [MEASURES[measure] for _ in range(series) for measure in self.measures]

    def _new_levels(self, series: int) -> Levels:
        return Levels(self._constants(series), self._utc_offset)

    def _new_spread(self, series: int) -> CallSpread:
        return CallSpread(np.array([item.call_variance for item in self._constants(series)]))

    def _new_episodes(self, series: int) -> Episodes:
        return Episodes(2 * series * len(self.measures), _QUIET_MINUTES, _REST_MINUTES)

    def _new_history(self, series: int) -> OwnHistory:
        return OwnHistory(2 * series * len(self.measures))

    @property
    def _threshold(self) -> float:
        return (self.sensitivity or Sensitivity(series=self._series)).threshold

    def advance(self, minute: int, buckets: MinuteBuckets) -> MinuteResult:
        """Add the next minute (Unix time / 60); minutes ascend, and may be left out where nothing is
        known.
        """
        if not self.measures:
            self._begin(buckets)
        new = self._changes.advance(minute, buckets.calls)
        judged = self._judge(minute, buckets)
        silence, silent_since = self._silence.advance(minute, buckets.calls, self._cautious_calls(judged))
        closed: list[Ended] = []
        events = [
            *self._appearances(buckets, new, minute),
            *self._deviations(minute, judged, silence, silent_since, closed),
        ]
        errors = np.zeros(self._series)
        for name, parts in buckets.shares.items():
            share = self._shares[name]
            nats, starts, rates = share.proportions.advance(minute, parts.hits, parts.of)
            events += self._excesses(minute, name, nats, starts, rates, closed)
            if name == "errors":
                errors = nats
        return MinuteResult(judged, errors, tuple(events), tuple(closed))

    def _judge(self, minute: int, buckets: MinuteBuckets) -> Judged:
        width = len(self.measures)
        usual_calls = np.exp(self._levels.expected(minute)[::width])
        # A series that was never called is not known, rather than silent.
        called = minute >= self._changes.first
        values = np.full((width, self._series), np.nan)
        number = np.full((width, self._series), np.inf)
        values[0] = np.where(called, np.log(np.maximum(buckets.calls, 0.5)), np.nan)
        for place, (name, means) in enumerate(buckets.levels.items(), 1):
            if name == "latency":
                values[place] = self._adjustment.advance(means.mean, buckets.output_mean)
            else:
                values[place] = means.mean if name in _LOGARITHMS else _logarithm(means.mean)
            number[place] = means.calls
        columns, of = values.T.ravel(), number.T.ravel()
        sampling = self._spread.advance(columns, np.where(np.isinf(of), np.nan, of)) / np.fmax(of, 1.0)
        sampling[::width] = np.where(
            usual_calls < _FEW_CALLS, _UNJUDGED, 1 / np.maximum(usual_calls, _FEW_CALLS)
        )
        return self._levels.advance(minute, columns, of, sampling)

    def _cautious_calls(self, judged: Judged) -> FloatArray:
        width = len(self.measures)
        usual = np.exp(judged.expected[::width])
        sigma = self._levels.minute_sigma[::width]
        return np.where(usual >= 1.0, usual * np.exp(-_CAUTION * sigma), 0.0)

    def _deviations(
        self,
        minute: int,
        judged: Judged,
        silence: FloatArray,
        silent_since: IntArray,
        closed: list[Ended],
    ) -> Iterator[Event]:
        levels, episodes = self._levels, self._episodes
        before, width = self._levels_before, len(self.measures)
        nats = before.conform(judged.nats.T.ravel()).reshape(-1, 2).T
        silent = np.zeros(nats.shape, dtype=bool)
        # Whatever noticed it: two minutes without a call are a silence and no smaller number.
        silent[1, ::width] = (silence > nats[1, ::width]) | (minute > silent_since)
        nats[1, ::width] = np.maximum(nats[1, ::width], silence)
        margins = np.array([self._margin(measure) for measure in self.measures])
        firing = nats >= self._threshold + margins.T.ravel()
        changes = episodes.advance(minute, firing.T.ravel(), self._lasting(minute, firing))
        long = episodes.active & (episodes.ages(minute) >= _ADOPT_MINUTES)
        if changes.closed.any():
            levels.settle(_either(changes.closed))
        if long.any():
            episodes.end(minute, long)
            levels.adopt(minute, _either(long))
        closed += [self._ended(int(place)) for place in np.flatnonzero(changes.closed | long)]
        before.learn(minute, judged.nats.T.ravel(), ~episodes.active)
        levels.learn(minute, ~_either(episodes.active))
        for place in np.flatnonzero(changes.opened):
            column, side = divmod(int(place), 2)
            series = column // width
            since = int(silent_since[series]) if silent[side, column] else levels.start(column, side, minute)
            kind = "silence" if silent[side, column] else self._kind(judged, side, column, since, minute)
            yield self._event(minute, judged, side, column, kind, since, float(nats[side, column]))

    def _margin(self, measure: EventMeasure) -> FloatArray:
        margin = np.zeros(self._series)
        known = self.margins.get(measure, margin[:0])
        margin[: len(known)] = known
        return margin

    def _ended(self, place: int) -> Ended:
        column, side = divmod(place, 2)
        series, measure = divmod(column, len(self.measures))
        return Ended(series, self.measures[measure], "down" if side else "up")

    def _lasting(self, minute: int, firing: BoolArray) -> BoolArray:
        """Which open episodes go on: what was gathered says so, and so does the level of the last minutes."""
        episodes = self._episodes
        lasting = np.zeros(firing.size, dtype=bool)
        active = np.flatnonzero(episodes.active)
        if len(active):
            where, sides = np.divmod(active, 2)
            level = self._levels.level(minute, where) * np.where(sides == 0, 1.0, -1.0)
            lasting[active] = firing.T.ravel()[active] & (level >= self._levels.least_shift[where] / 2)
        return lasting

    def _kind(self, judged: Judged, side: int, column: int, since: int, minute: int) -> Kind:
        if column % len(self.measures) == 0 and side == 1:
            return "drop"
        if judged.is_spike[side, column]:
            return "spike"
        return "drift" if self._levels.is_drift(column, since, minute) else "shift"

    def _event(
        self, minute: int, judged: Judged, side: int, column: int, kind: Kind, start: int, nats: float
    ) -> Event:
        series, place = divmod(column, len(self.measures))
        measure = self.measures[place]
        usual = np.exp(judged.expected[:: len(self.measures)])
        if kind == "silence" and self._changes.siblings_go_on(minute, usual)[series]:
            kind = "vanished_series"
        centre, reach = judged.expected[column], _BAND_SIGMAS * min(float(judged.sigma[column]), _WIDEST)
        return Event(
            kind=kind,
            series=series,
            measure=measure,
            direction="down" if side else "up",
            opened=minute,
            start=start,
            value=0.0 if kind in ("silence", "vanished_series") else float(np.exp(judged.values[column])),
            expected=float(np.exp(centre)),
            low=float(np.exp(centre - reach)),
            high=float(np.exp(centre + reach)),
            score=_score(nats),
        )

    def _excesses(
        self,
        minute: int,
        name: Share,
        nats: FloatArray,
        starts: IntArray,
        rates: FloatArray,
        closed: list[Ended],
    ) -> Iterator[Event]:
        share = self._shares[name]
        surprise = share.before.conform(nats)
        firing = surprise >= self._threshold + self._margin(name)
        usual = share.proportions.usual
        changes = share.episodes.advance(minute, firing, firing)
        closed += [Ended(int(row), name, "up") for row in np.flatnonzero(changes.closed)]
        share.before.learn(minute, nats, ~share.episodes.active)
        share.proportions.learn(minute, ~share.episodes.active)
        for row in np.flatnonzero(changes.opened):
            yield Event(
                kind="error_share",
                series=int(row),
                measure=name,
                direction="up",
                opened=minute,
                start=int(starts[row]),
                value=float(rates[row]),
                expected=float(usual[row]),
                low=0.0,
                high=float(2 * usual[row]),
                score=_score(surprise[row]),
            )

    def _appearances(self, buckets: MinuteBuckets, new: BoolArray, minute: int) -> Iterator[Event]:
        for row in np.flatnonzero(new):
            yield Event(
                kind="new_series",
                series=int(row),
                measure="calls",
                direction="up",
                opened=minute,
                start=int(self._changes.first[row]),
                value=float(buckets.calls[row]),
                expected=0.0,
                low=0.0,
                high=0.0,
                score=1.0,
            )


def _either(of_directions: BoolArray) -> BoolArray:
    """Of every column, whether it is so in one direction or the other."""
    up, down = of_directions.reshape(-1, 2).T
    either: BoolArray = up | down
    return either


def _logarithm(means: FloatArray) -> FloatArray:
    return np.log(np.where(means > 0, means, np.nan))


def _score(nats: float) -> float:
    return float(-np.expm1(-nats))

"""All detectors over many series side by side, advanced minute by minute."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from llmtrace_analysis.detect.detectors.series import BoolArray, FloatArray, IntArray

from .episodes import Episodes
from .levels import Judged, Levels
from .measures import MEASURES, ORDER, Measure
from .minute_buckets import CallSpread, MinuteBuckets, TokenAdjustment
from .own_history import OwnHistory
from .proportions import Proportions
from .sensitivity import Sensitivity
from .series_changes import SeriesChanges
from .silence import Silence

Kind = Literal["spike", "shift", "drift", "silence", "drop", "error_share", "new_series", "vanished_series"]
Direction = Literal["up", "down", ""]

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

#: The band that is shown.
_BAND_SIGMAS = 3.0

#: A sigma is shown as this at most: beyond it nothing is expected of the value.
_WIDEST = 10.0


class Event(NamedTuple):
    """An incident opens: what, of which series, and since when."""

    kind: Kind
    series: int
    measure: Measure | Literal["errors"]
    direction: Direction
    opened: int
    """Minute (Unix time / 60) whose end made it known."""
    start: int
    """Minute in which it began, as far as can be told."""
    value: float
    """In the measure's own unit: calls, seconds, tokens per call, USD per call, share of failed calls."""
    expected: float
    low: float
    high: float
    score: float
    """0 to 1: 1 - exp(-nats)."""


@dataclass(frozen=True)
class MinuteResult:
    """What one minute showed."""

    judged: Judged
    """Columns: every measure of `ORDER`, and of it every series."""
    errors: FloatArray
    """How surprising failures are, by series, nats."""
    events: tuple[Event, ...]


class DetectorBank:
    """Detectors of many series. A series is a row: what it holds does not depend on the other rows of the
    bank, but for its group's.

    Advancing it minute by minute is the only way to use it, so that live and replayed history give the same.
    """

    def __init__(
        self, groups: IntArray, sensitivity: Sensitivity | None = None, utc_offset_minutes: int = 0
    ) -> None:
        """`groups`: a number for each series; series of one group are siblings."""
        series = len(groups)
        self._series = series
        self._threshold = (sensitivity or Sensitivity(series=series)).threshold
        constants = [MEASURES[measure] for measure in ORDER for _ in range(series)]
        self._levels = Levels(constants, utc_offset_minutes)
        self._spread = CallSpread(np.array([item.call_variance for item in constants]))
        self._adjustment = TokenAdjustment(series)
        self._proportions = Proportions(series)
        self._silence = Silence(series)
        self._changes = SeriesChanges(groups)
        self._episodes = Episodes(2 * len(constants), _QUIET_MINUTES, _REST_MINUTES)
        self._failing = Episodes(series, _QUIET_MINUTES, _REST_MINUTES)
        self._levels_before = OwnHistory(2 * len(constants))
        self._errors_before = OwnHistory(series)

    def advance(self, minute: int, buckets: MinuteBuckets) -> MinuteResult:
        """Add the next minute (Unix time / 60); minutes ascend, and may be left out where nothing is
        known.
        """
        new = self._changes.advance(minute, buckets.calls)
        judged = self._judge(minute, buckets)
        silence, silent_since = self._silence.advance(minute, buckets.calls, self._cautious_calls(judged))
        errors, error_starts, rates = self._proportions.advance(minute, buckets.errors, buckets.calls)
        events = [
            *self._appearances(buckets, new, minute),
            *self._deviations(minute, judged, silence, silent_since),
            *self._failures(minute, errors, error_starts, rates),
        ]
        return MinuteResult(judged, errors, tuple(events))

    def _judge(self, minute: int, buckets: MinuteBuckets) -> Judged:
        usual_calls = np.exp(self._levels.expected(minute)[: self._series])
        # A series that was never called is not known, rather than silent.
        called = minute >= self._changes.first
        calls = np.where(called, np.log(np.maximum(buckets.calls, 0.5)), np.nan)
        latency = self._adjustment.advance(buckets.latency_mean, buckets.output_mean)
        tokens, cost = _logarithm(buckets.tokens_mean), _logarithm(buckets.cost_mean)
        values = np.concatenate([calls, latency, tokens, cost])
        unbounded = np.full(self._series, np.inf)
        number = np.concatenate([unbounded, buckets.latency_calls, buckets.usage_calls, buckets.priced_calls])
        sampling = self._spread.advance(values, np.where(np.isinf(number), np.nan, number))
        sampling = sampling / np.fmax(number, 1.0)
        sampling[: self._series] = np.where(
            usual_calls < _FEW_CALLS, _UNJUDGED, 1 / np.maximum(usual_calls, _FEW_CALLS)
        )
        return self._levels.advance(minute, values, number, sampling)

    def _cautious_calls(self, judged: Judged) -> FloatArray:
        usual = np.exp(judged.expected[: self._series])
        sigma = self._levels.minute_sigma[: self._series]
        return np.where(usual >= 1.0, usual * np.exp(-_CAUTION * sigma), 0.0)

    def _deviations(
        self, minute: int, judged: Judged, silence: FloatArray, silent_since: IntArray
    ) -> Iterator[Event]:
        levels, episodes = self._levels, self._episodes
        before = self._levels_before
        nats = before.conform(judged.nats.ravel()).reshape(judged.nats.shape)
        silent = np.zeros(nats.shape, dtype=bool)
        # Whatever noticed it: two minutes without a call are a silence and no smaller number.
        silent[1, : self._series] = (silence > nats[1, : self._series]) | (minute > silent_since)
        nats[1, : self._series] = np.maximum(nats[1, : self._series], silence)
        firing = nats >= self._threshold
        changes = episodes.advance(minute, firing.ravel(), self._lasting(minute, firing))
        long = episodes.active & (episodes.ages(minute) >= _ADOPT_MINUTES)
        if changes.closed.any():
            levels.settle(_either(changes.closed))
        if long.any():
            episodes.end(minute, long)
            levels.adopt(minute, _either(long))
        before.learn(minute, judged.nats.ravel(), ~episodes.active)
        levels.learn(minute, ~_either(episodes.active))
        for place in np.flatnonzero(changes.opened):
            side, column = divmod(int(place), len(judged.values))
            since = int(silent_since[column]) if silent[side, column] else levels.start(column, side, minute)
            kind = "silence" if silent[side, column] else self._kind(judged, side, column, since, minute)
            yield self._event(minute, judged, side, column, kind, since, float(nats[side, column]))

    def _lasting(self, minute: int, firing: BoolArray) -> BoolArray:
        """Which open episodes go on: what was gathered says so, and so does the level of the last minutes."""
        episodes, columns = self._episodes, firing.shape[1]
        lasting = np.zeros(firing.size, dtype=bool)
        active = np.flatnonzero(episodes.active)
        if len(active):
            sides, where = np.divmod(active, columns)
            level = self._levels.level(minute, where) * np.where(sides == 0, 1.0, -1.0)
            lasting[active] = firing.ravel()[active] & (level >= self._levels.least_shift[where] / 2)
        return lasting

    def _kind(self, judged: Judged, side: int, column: int, since: int, minute: int) -> Kind:
        if column < self._series and side == 1:
            return "drop"
        if judged.is_spike[side, column]:
            return "spike"
        return "drift" if self._levels.is_drift(column, since, minute) else "shift"

    def _event(
        self, minute: int, judged: Judged, side: int, column: int, kind: Kind, start: int, nats: float
    ) -> Event:
        measure, series = ORDER[column // self._series], column % self._series
        usual = np.exp(judged.expected[: self._series])
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

    def _failures(
        self, minute: int, nats: FloatArray, starts: IntArray, rates: FloatArray
    ) -> Iterator[Event]:
        surprise = self._errors_before.conform(nats)
        firing = surprise >= self._threshold
        usual = self._proportions.usual
        changes = self._failing.advance(minute, firing, firing)
        self._errors_before.learn(minute, nats, ~self._failing.active)
        self._proportions.learn(minute, ~self._failing.active)
        for row in np.flatnonzero(changes.opened):
            yield Event(
                kind="error_share",
                series=int(row),
                measure="errors",
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
    up, down = np.split(of_directions, 2)
    either: BoolArray = up | down
    return either


def _logarithm(means: FloatArray) -> FloatArray:
    return np.log(np.where(means > 0, means, np.nan))


def _score(nats: float) -> float:
    return float(-np.expm1(-nats))

"""The passes that keep the rollups: what was stored since the last one, and a share of what was there
before.

Each step of a pass may be made twice, or by two collectors at once, and gives the same rows; how far it
came is noted after it. So a pass that was killed anywhere is made again from where it was.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from llmtrace_collector.store.engine import StoreEngine, StoreError

from . import hours, steps, traces
from .clock import Clock
from .days import DAY, day_bounds, whole_projects
from .edges import Edge, fold_back, note_edge, read_edge, read_edges
from .settings import RollupSettings
from .traces import Quiet
from .usage import rebuild_usage_of_day

logger = logging.getLogger(__name__)

#: Spans that another collector began to store may be seen so much later than their time says, milliseconds.
_OTHERS_MARGIN = 30_000
#: How far back the hours are examined again where another collector's pass may have undone one, milliseconds.
_OTHERS_LOOKBACK = 600_000
#: What is behind is brought in by so much at once, milliseconds of StoredAt.
_WINDOW = 600_000
#: Traces without a root are waited for long, and written less often, milliseconds.
_ROOTLESS_EVERY = 60_000
#: Spans that are made into steps and traces by one statement each; where there are more, it is done by hours.
_FEW = 200_000
_HOUR = 3600


class Rollups:
    """The rollups of one store. Every method may be called from any thread; passes and rebuilds take
    turns.
    """

    def __init__(self, engine: StoreEngine, settings: RollupSettings) -> None:
        self._engine = engine
        self._settings = settings
        self._lock = threading.Lock()
        self._clock = Clock(alone=engine.alone)
        # Held while a day of hours is written alone: who rebuilds usage holds up the inserts meanwhile.
        self._hours_lock = threading.Lock()

    @property
    def margin(self) -> int:
        """How long after now, in milliseconds, all that was stored until now is seen."""
        return 0 if self._engine.alone else _OTHERS_MARGIN

    def run(self, upto: int, *, at_once: bool = False) -> int:
        """One pass over what was stored before `upto` (Unix milliseconds), all of which can be read;
        what is still behind then, in milliseconds. `at_once`: every trace counts as quiet, and nothing
        is left for the next pass.
        """
        settings = self._settings
        if at_once:
            settings = replace(
                settings, trace_quiet_seconds=0, trace_rootless_seconds=0, fill_seconds=math.inf
            )
        with self._lock:
            behind = self._pass(upto, settings)
            while at_once and behind:
                behind = self._pass(upto, settings)
        return behind

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Hold passes and rebuilds: how far they came and what they made fit together meanwhile."""
        with self._lock, self._hours_lock:
            yield

    def _pass(self, upto: int, settings: RollupSettings) -> int:
        """Every rollup once; one that fails does not hold up the others, and fails the pass at its end."""
        edges = self._edges()
        quiet, rootless = _ms(settings.trace_quiet_seconds), _ms(settings.trace_rootless_seconds)
        every = min(_ROOTLESS_EVERY, rootless)

        def advance(name: str, to: int, bring_in: Callable[[int, int], None], every: int = 0) -> int:
            edge = edges.get(name, Edge())
            left = self._advance(name, edge, to, bring_in, every)
            if edge.known and to - left > edge.scanned_to:
                edges[name] = replace(edge, scanned_to=to - left)
            return left

        def first_times() -> int:
            # An upgrade knows what was noted at inserts before it: here nothing is.
            self._times(0, upto)
            note_edge(self._engine, traces.TIMES, scanned_to=upto)
            edges[traces.TIMES] = Edge(known=True, scanned_to=upto)
            return 0

        def advance_traces(name: str, to: int, bring_in: Callable[[int, int], None], every: int = 0) -> int:
            # They are looked for by when they were: what is not noted of that yet waits for the next pass.
            noted = edges.get(traces.TIMES, Edge()).scanned_to if name in edges else to
            return advance(name, min(to, noted), bring_in, every)

        work: list[Callable[[], int]] = [
            lambda: self._close_hours(edges.get(hours.NAME, Edge()), upto),
            lambda: advance(steps.NAME, upto, lambda since, to: self._steps(since, to, settings)),
            lambda: advance(traces.TIMES, upto, self._times) if traces.TIMES in edges else first_times(),
            lambda: advance_traces(traces.NAME, upto - quiet, self._rooted),
            lambda: advance_traces(traces.ROOTLESS, upto - rootless, self._rootless, every),
        ]
        behind = 0
        failures: list[StoreError] = []
        for bring_up in work:
            try:
                behind = max(behind, bring_up())
            except StoreError as error:
                failures.append(error)
        if failures:
            raise failures[0]
        if not behind:
            self._fill(edges.get(FILLED, Edge()), settings)
        return behind

    def _edges(self) -> dict[str, Edge]:
        """How far the rollups have come, by the clock as it is now."""
        edges = read_edges(self._engine)
        now = int(self._engine.execute("SELECT toUnixTimestamp64Milli(now64(3))"))
        moment = self._clock.set_back_to(now, (edge.scanned_to for edge in edges.values()))
        if moment is None:
            return edges
        logger.warning("the clock was set back: what was stored since is rolled up again")
        fold_back(self._engine, moment)
        return read_edges(self._engine)

    def _close_hours(self, edge: Edge, upto: int) -> int:
        lookback = 0 if self._engine.alone else _OTHERS_LOOKBACK
        hours.close_hours(self._engine, edge, upto, self._hours_lock, lookback)
        return 0

    def rebuild_usage(self, day: str, minutes: Sequence[int] = (), emptied: Collection[str] = ()) -> None:
        """Make a day (`YYYY-MM-DD`) of usage anew, or some minutes of it (Unix seconds). No span may be
        stored meanwhile. What projects without spans have stays, but of those that `emptied` names.
        """
        with self._hours_lock:
            rebuild_usage_of_day(self._engine, day, minutes, emptied)

    def rebuild_spans(self, day: str, emptied: Collection[str] = ()) -> None:
        """Make the steps and traces that started on a day (`YYYY-MM-DD`) anew; `emptied` as there."""
        begin, end = day_bounds(day)
        with self._lock:
            for hour in range(begin, end, _HOUR):
                traces.note_missing_times(self._engine, hour, hour + _HOUR)
            if self._few(begin, end):
                self._rebuild(begin, end, self._settings, emptied)
            else:
                for hour in range(begin, end, _HOUR):
                    self._rebuild(hour, hour + _HOUR, self._settings, emptied)

    def recount(self, minutes: Sequence[int]) -> None:
        """Make the traces with calls in these minutes (Unix seconds) anew: which calls count has changed."""
        with self._lock:
            traces.rebuild_traces_of_minutes(self._engine, minutes, self._quiet())

    def _advance(
        self, name: str, edge: Edge, upto: int, bring_in: Callable[[int, int], None], every: int
    ) -> int:
        """Bring what was stored since the last pass into a rollup; the milliseconds that are left then.
        What was there before the first pass is filled in.
        """
        if not edge.known:
            note_edge(self._engine, name, scanned_to=upto)
            return 0
        if upto - edge.scanned_to < max(every, 1):
            return 0
        first = self._first_stored(edge.scanned_to, upto)
        if first is None:
            return 0
        until = min(upto, first + _WINDOW)
        bring_in(first, until)
        note_edge(self._engine, name, scanned_to=until)
        return upto - until

    def _first_stored(self, since: int, upto: int) -> int | None:
        """When the first span of this time was stored (Unix milliseconds); None: none was."""
        text = self._engine.execute(
            "SELECT count(), toUnixTimestamp64Milli(min(StoredAt)) FROM otel_traces "  # noqa: S608 - numbers
            f"WHERE StoredAt >= fromUnixTimestamp64Milli(toInt64({since})) "
            f"AND StoredAt < fromUnixTimestamp64Milli(toInt64({upto}))"
        )
        count, first = text.split()
        return int(first) if int(count) else None

    def _steps(self, since: int, upto: int, settings: RollupSettings) -> None:
        steps.roll_up_steps(self._engine, since, upto, settings.step_names)

    def _times(self, since: int, upto: int) -> None:
        traces.note_times(self._engine, since, upto)

    def _rooted(self, since: int, upto: int) -> None:
        traces.roll_up_rooted(self._engine, since, upto)

    def _rootless(self, since: int, upto: int) -> None:
        traces.roll_up_rootless(self._engine, since, upto)

    def _fill(self, edge: Edge, settings: RollupSettings) -> None:
        """Make what was stored before the rollups were first made, newest first, for a while."""
        deadline = time.monotonic() + settings.fill_seconds
        while edge.filled_from:
            newest = self._newest_before(edge.filled_from)
            if newest is None:
                note_edge(self._engine, FILLED, filled_from=0)
                if edge.known:
                    logger.info("the steps and traces of all spans are made")
                return
            end = newest // 1000 // _HOUR * _HOUR + _HOUR
            begin = (end - 1) // DAY * DAY
            if not self._few(begin, end):
                begin = end - _HOUR
            if not edge.known:
                logger.info("steps and traces of the spans that are there already are made, newest first")
            self._rebuild(begin, end, settings)
            note_edge(self._engine, FILLED, filled_from=begin * 1000)
            edge = read_edge(self._engine, FILLED)
            if time.monotonic() >= deadline:
                return

    def _newest_before(self, moment: int) -> int | None:
        """When the newest span that started before `moment` did (Unix milliseconds)."""
        text = self._engine.execute(
            "SELECT count(), toUnixTimestamp64Milli(max(Timestamp)) FROM otel_traces "  # noqa: S608 - a number
            f"WHERE Timestamp < fromUnixTimestamp64Nano(toInt64({moment}) * 1000000)"
        )
        count, newest = text.split()
        return int(newest) if int(count) else None

    def _few(self, begin: int, end: int) -> bool:
        """Whether so few spans started in this time (Unix seconds) that they are made at once."""
        text = self._engine.execute(
            "SELECT count() FROM otel_traces "  # noqa: S608 - numbers
            f"WHERE Timestamp >= toDateTime({begin}) AND Timestamp < toDateTime64({end}, 9)"
        )
        return int(text) <= _FEW

    def _rebuild(self, begin: int, end: int, settings: RollupSettings, emptied: Collection[str] = ()) -> None:
        projects = whole_projects(self._engine, begin, emptied)
        steps.rebuild_steps(self._engine, begin, end, settings.step_names, projects)
        traces.rebuild_traces(self._engine, begin, end, self._quiet(), projects)

    def _quiet(self) -> Quiet:
        """The traces that are quiet are those that the passes have come to: they write the others."""
        return Quiet(
            read_edge(self._engine, traces.NAME).scanned_to,
            read_edge(self._engine, traces.ROOTLESS).scanned_to,
        )


#: The edge down to which spans of before the first pass are in steps and traces.
FILLED = "steps and traces of before"


def _ms(seconds: float) -> int:
    return round(seconds * 1000)

"""`trace_rows`: a row for each trace, once it is quiet; made anew whenever it has become quiet again. And
`otel_traces_trace_id_ts`: when the traces were.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from llmtrace_collector.store.engine import StoreEngine

from .edges import NEVER
from .statements import ask_rollup, run_rollup

#: Traces with a root, which are quiet sooner, and those without.
NAME, ROOTLESS = "traces", "traces without root"
#: When traces were, which those that become quiet are looked for by.
TIMES = "trace times"

#: Traces whose root started within so many milliseconds are read together.
_NEAR = 1_200_000
#: So many of them that began long before their root are written apart.
_EARLY = 500
#: A root that was stored so much before a trace's newest span is looked for with it, milliseconds. Others are
#: looked for one by one: they cost more, and what is looked through for all costs every pass.
_ROOTS = 10_000
#: The same where a trace without a root is looked for.
_ROOTS_OF_ROOTLESS = 60_000
#: How far clocks of services may differ, milliseconds.
_SKEW = 60_000


@dataclass(frozen=True)
class Quiet:
    """Since when no span may have been stored for a trace to be quiet: one with a root, and one without (Unix
    milliseconds).
    """

    rooted: int
    rootless: int


def note_times(engine: StoreEngine, since: int, upto: int) -> None:
    """Note when the traces of spans were that were stored from `since` to `upto` (Unix milliseconds). What is
    noted twice changes nothing.
    """
    run_rollup(engine, "trace_times", since=since, upto=upto)


def note_missing_times(engine: StoreEngine, begin: int, end: int) -> None:
    """The same for spans that started from `begin` to `end` (Unix seconds), where it was not noted."""
    run_rollup(engine, "trace_times_of_range", begin=begin, end=end)


def roll_up_rooted(engine: StoreEngine, since: int, upto: int) -> None:
    """Write the traces with a root that became quiet: their newest span was stored from `since` to
    `upto` (Unix milliseconds).
    """
    window: dict[str, object] = {
        "since": since,
        "upto": upto,
        "near": upto - _NEAR,
        "roots_since": since - _ROOTS,
        "of_root": True,
    }
    ((near_count, far_count, _, first),) = ask_rollup(engine, "quieted_traces", **window)
    early: list[str] = []
    if int(near_count):
        window["first"] = int(first) - _SKEW
        early = [trace for (trace,) in ask_rollup(engine, "early_traces", **window, most=_EARLY)]
        if len(early) == _EARLY:
            # There may be more of them: none counts as near.
            window["near"], early = NEVER, []
        elif len(early) < int(near_count):
            _write(engine, "traces_near", **window, early=early)
    if int(far_count) or early or window["near"] == NEVER:
        _write(engine, "traces_far", **window, early=early)


def roll_up_rootless(engine: StoreEngine, since: int, upto: int) -> None:
    """Write the traces without a root that became quiet, as `roll_up_rooted`."""
    window = {
        "since": since,
        "upto": upto,
        "near": upto,
        "roots_since": since - _ROOTS_OF_ROOTLESS,
        "of_root": False,
    }
    ((_, _, count, _),) = ask_rollup(engine, "quieted_traces", **window)
    if int(count):
        _write(engine, "traces_far", **window, early=[])


def rebuild_traces(
    engine: StoreEngine, begin: int, end: int, quiet: Quiet, projects: Collection[str]
) -> None:
    """Make the traces that started from `begin` to `end` (Unix seconds) anew, those that are quiet. Those of
    `projects` whose spans are gone are taken back.
    """
    _write(
        engine,
        "traces_of_range",
        begin=begin,
        end=end,
        rooted=quiet.rooted,
        rootless=quiet.rootless,
        projects=projects,
    )


def rebuild_traces_of_minutes(engine: StoreEngine, minutes: Sequence[int], quiet: Quiet) -> None:
    """Make the traces with calls in these minutes (Unix seconds) anew, those that are quiet."""
    _write(engine, "traces_of_minutes", minutes=minutes, rooted=quiet.rooted, rootless=quiet.rootless)


def _write(engine: StoreEngine, name: str, **values: object) -> None:
    """Run the INSERT in `rollups/<name>.sql`. Most traces have no row yet, and are written without
    looking for it.
    """
    ((count,),) = ask_rollup(engine, name, **values, counts_rows=True)
    run_rollup(engine, name, **values, counts_rows=False, replaces=count != "0")

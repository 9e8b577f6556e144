"""`steps_10s`: every ten seconds that gained a span are made anew from all their spans."""

from __future__ import annotations

from collections.abc import Collection

from llmtrace_collector.store.engine import StoreEngine

from .statements import ask_rollup, run_rollup

NAME = "steps"

#: Ten seconds that are made by one statement: an hour.
_BUCKETS = 360


def roll_up_steps(engine: StoreEngine, since: int, upto: int, most: int) -> None:
    """Bring in spans stored from `since` to `upto` (Unix milliseconds); `most` steps of a service and
    ten seconds are told apart.
    """
    every = [int(bucket) for (bucket,) in ask_rollup(engine, "buckets", since=since, upto=upto)]
    for first in range(0, len(every), _BUCKETS):
        buckets = every[first : first + _BUCKETS]
        run_rollup(engine, "steps_of_buckets", buckets=buckets, most=most)


def rebuild_steps(engine: StoreEngine, begin: int, end: int, most: int, projects: Collection[str]) -> None:
    """Make the steps that started from `begin` to `end` (Unix seconds, whole tens) anew. Those of `projects`
    whose spans are gone are taken back.
    """
    run_rollup(engine, "steps_of_range", begin=begin, end=end, most=most, projects=projects)

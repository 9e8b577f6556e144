"""`steps_10s`: every ten seconds that gained a span are made anew from all their spans."""

from __future__ import annotations

from llmtrace_collector.store.engine import StoreEngine

from .statements import ask_rollup, has_all_spans, run_rollup

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
        whole = has_all_spans(engine, buckets[0])
        run_rollup(engine, "steps_of_buckets", buckets=buckets, most=most, whole=whole)


def rebuild_steps(engine: StoreEngine, begin: int, end: int, most: int) -> None:
    """Make the steps that started from `begin` to `end` (Unix seconds, whole tens) anew."""
    whole = has_all_spans(engine, begin)
    run_rollup(engine, "steps_of_range", begin=begin, end=end, most=most, whole=whole)

"""`steps_10s`: every ten seconds that gained a span are made anew from all their spans."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from llmtrace_collector.store.engine import StoreEngine

from .statements import ask_rollup, run_rollup

NAME = "steps"

#: Ten seconds that a statement names; where there are more of them, it looks for them itself.
_NAMED = 360
#: What one statement makes at the most: ten seconds of a day, and of them what gained so many spans.
_BUCKETS, _GAINED = 8640, 100_000


def roll_up_steps(engine: StoreEngine, since: int, upto: int, most: int) -> None:
    """Bring in spans stored from `since` to `upto` (Unix milliseconds); `most` steps of a service and
    ten seconds are told apart.
    """
    gained = [
        (int(bucket), int(spans)) for bucket, spans in ask_rollup(engine, "buckets", since=since, upto=upto)
    ]
    for buckets in _portions(gained):
        named = buckets if len(buckets) <= _NAMED else []
        within = {"first": buckets[0], "last": buckets[-1], "since": since, "upto": upto}
        run_rollup(engine, "steps_of_buckets", buckets=named, **within, most=most)


def _portions(gained: Iterable[tuple[int, int]]) -> Iterator[list[int]]:
    """The buckets of one statement each, from all of them with the spans that each gained."""
    portion: list[int] = []
    spans = 0
    for bucket, count in gained:
        if portion and (len(portion) == _BUCKETS or spans + count > _GAINED):
            yield portion
            portion, spans = [], 0
        portion.append(bucket)
        spans += count
    if portion:
        yield portion


def rebuild_steps(engine: StoreEngine, begin: int, end: int, most: int, projects: Collection[str]) -> None:
    """Make the steps that started from `begin` to `end` (Unix seconds, whole tens) anew. Those of `projects`
    whose spans are gone are taken back.
    """
    run_rollup(engine, "steps_of_range", begin=begin, end=end, most=most, projects=projects)

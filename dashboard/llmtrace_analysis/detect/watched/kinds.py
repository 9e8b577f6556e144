"""The kinds of series: where their minutes are read, what is measured of each, and how many there may be.

All constants of what is watched are in this table, with their reasons.
"""

from __future__ import annotations

from dataclasses import dataclass

from llmtrace_analysis.detect.streaming.minute_buckets import Level, Share

from . import sources
from .series import Kind
from .sources import Source

#: Every minute is read so many seconds after its end: exporters send every 5 seconds, gateways in between as
#: often, and the collector stores within two. Spans count in the minute in which they ended, so that a long
#: call is missing from none.
DELAY_SECONDS = 30

#: Steps and agents count where they start, by a rollup ten seconds behind: they are read so many minutes
#: later, in which a tool ends, or an agent.
_STEP_MINUTES, _AGENT_MINUTES = 2, 14

#: A series that takes longer than this share of that time on average is not judged by number, latency or
#: errors: its minutes are read before all of it has ended.
LONG_SHARE = 0.25

#: The whole is read later than its parts, so that an incident is about the part where it is one of a part.
_WHOLE_MINUTES, _INGEST_MINUTES = 1, 3


@dataclass(frozen=True, eq=False)
class WatchedKind:
    """How one kind of series is read and judged."""

    kind: Kind
    names: tuple[str, ...]
    """Names of the dimensions, in the order of a key's parts after the project."""
    sources: tuple[Source, ...]
    levels: tuple[Level, ...] = ()
    shares: tuple[Share, ...] = ()
    siblings: tuple[str, ...] | None = None
    """Series of one project with the same of these dimensions are siblings: one may take another's place, and
    a new one is an incident. None: each stands alone."""
    later_minutes: int = 0
    """How many minutes after the others it is read."""
    is_counted_at_start: bool = False
    least_calls: int = 1
    """Calls within a clock hour from which on a series is watched."""
    most_series: int = 100
    """The first that come. Each takes about half a megabyte, and time: see docs/watch.md."""
    drops: int = 0
    """How many of a source's columns are summed over: calls are read by service, and watched without."""
    needs_others: bool = False
    """Watched only where another series differs in the first dimension alone: else it says what the whole
    says."""


_TOKENS: tuple[Level, ...] = ("tokens", "input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens")

KINDS: tuple[WatchedKind, ...] = (
    WatchedKind(
        "call",
        ("provider", "model"),
        sources.CALLS,
        ("latency", "ttft", "tpot", *_TOKENS, "cost"),
        ("errors", "refusals", "truncated", "retries", "cache_hits"),
        # Of the service that calls them most: see `Rows`.
        siblings=(),
        most_series=200,
        drops=1,
    ),
    WatchedKind(
        "call",
        ("service", "provider", "model"),
        sources.CALLS,
        ("latency", "ttft", "tokens", "cost"),
        ("errors", "refusals", "truncated"),
        siblings=("service",),
        most_series=200,
        needs_others=True,
    ),
    WatchedKind(
        "step",
        ("service", "operation", "step"),
        sources.STEPS,
        ("latency",),
        ("errors",),
        later_minutes=_STEP_MINUTES,
        is_counted_at_start=True,
        most_series=200,
    ),
    WatchedKind(
        "agent",
        ("service", "agent", "version"),
        sources.AGENTS,
        ("latency",),
        ("errors",),
        siblings=("service", "agent"),
        later_minutes=_AGENT_MINUTES,
        is_counted_at_start=True,
    ),
    # A root that is named after an id is another each time: it must come every three minutes to be watched.
    WatchedKind(
        "trace",
        ("service", "trace"),
        sources.ROOTS,
        ("latency",),
        ("errors",),
        later_minutes=_WHOLE_MINUTES,
        least_calls=20,
    ),
    # Who calls less than once a minute has no minutes that could be judged.
    WatchedKind(
        "user",
        ("user",),
        sources.USERS,
        ("tokens",),
        ("errors", "refusals"),
        # Of the project: a new user among those with the most calls is an incident.
        siblings=(),
        later_minutes=_WHOLE_MINUTES,
        least_calls=60,
    ),
    WatchedKind(
        "key",
        ("account",),
        sources.ACCOUNTS,
        ("tokens",),
        ("errors",),
        later_minutes=_WHOLE_MINUTES,
        least_calls=60,
        most_series=50,
    ),
    WatchedKind(
        "prompt",
        ("prompt", "version"),
        sources.PROMPTS,
        ("input_tokens", "output_tokens"),
        ("errors", "refusals", "truncated"),
        siblings=("prompt",),
        later_minutes=_WHOLE_MINUTES,
        least_calls=20,
    ),
    WatchedKind("score", ("score",), sources.SCORES, ("score",), most_series=50),
    # By service, so that one that sends nothing any more is seen among others that do.
    WatchedKind("ingest", ("service",), sources.ARRIVALS, later_minutes=_INGEST_MINUTES, least_calls=20),
)

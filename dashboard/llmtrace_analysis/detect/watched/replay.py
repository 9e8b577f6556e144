"""The past, replayed minute by minute: every minute is judged by those before it alone, as it was live."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from clickhouse_connect.driver.client import Client

from llmtrace_analysis.detect.streaming.detector_bank import Event
from llmtrace_analysis.detect.streaming.sensitivity import Sensitivity

from .minute_by_minute import MinuteByMinute
from .series import WatchedSeries
from .troubles import Trouble

MOST_DAYS = 14
"""What the expected values are made of at most: four days of a weekend and ten of work."""

#: Minutes that are read at once. Where that takes longer than this (seconds), it is fewer the next time:
#: other readers of the store wait meanwhile.
_FIRST_MINUTES, _LEAST_MINUTES, _MOST_MINUTES, _READ_SECONDS = 60, 10, 1440, 2.0


@dataclass(frozen=True)
class WatchedEvent:
    """What opened an incident, and what belongs to it."""

    series: WatchedSeries
    event: Event
    closed_minute: int | None
    """The minute (Unix time / 60) at whose end it was over; None where it is not yet."""
    others: tuple[tuple[WatchedSeries, Event], ...] = ()
    """What showed the same in another way."""

    @classmethod
    def of(cls, trouble: Trouble) -> WatchedEvent:
        """A trouble as it is now."""
        first, *others = trouble.events
        return cls(
            first.series,
            first.event,
            trouble.closed,
            tuple((opened.series, opened.event) for opened in others),
        )


def replay(
    client: Client,
    since_minute: int,
    until_minute: int,
    sensitivity: Sensitivity,
    purposes: Sequence[str],
    progress: Callable[[int], None] | None = None,
    utc_offset_minutes: int = 0,
) -> Iterator[WatchedEvent]:
    """What would have opened incidents from one minute (Unix time / 60) to before another: each when it is
    over, at last those that are not. `progress` is called with each minute up to which it has come.

    Raises what the store does.
    """
    watched = MinuteByMinute(since_minute, sensitivity, purposes, utc_offset_minutes)
    for trouble in run(client, watched, until_minute, progress):
        yield WatchedEvent.of(trouble)
    for trouble in watched.troubles.open:
        yield WatchedEvent.of(trouble)


def run(
    client: Client,
    watched: MinuteByMinute,
    until_minute: int,
    progress: Callable[[int], None] | None = None,
    answered: frozenset[int] = frozenset(),
) -> Iterator[Trouble]:
    """Advance to before a minute, in chunks; the troubles that are over by then, as they end. `answered`: see
    `MinuteByMinute.read`.
    """
    minutes = _FIRST_MINUTES
    while watched.until < until_minute:
        started = time.monotonic()
        chunk = watched.read(client, min(watched.until + minutes, until_minute), answered)
        seconds = time.monotonic() - started
        minutes = (
            max(_LEAST_MINUTES, minutes // 2) if seconds > _READ_SECONDS else min(2 * minutes, _MOST_MINUTES)
        )
        for over in watched.advance(chunk):
            yield from over
        if progress is not None:
            progress(watched.until)

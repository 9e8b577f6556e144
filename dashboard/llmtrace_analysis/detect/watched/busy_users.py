"""Which users are watched: those who called often in some clock hour, from the next one on.

There may be any number of users, of whom few call often enough for their minutes to be judged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from clickhouse_connect.driver.client import Client

from .kinds import WatchedKind
from .minutes import Key, read_busy, read_calling_hours

_HOUR = 60

#: Who had not called for so long before the hour is new, minutes.
_ABSENT_MINUTES = 3 * 1440


@dataclass(frozen=True)
class Listing:
    """Who is watched, up to a minute."""

    until: int
    """Unix time / 60; the begin of an hour whose users are not listed yet."""
    since: Mapping[Key, int] = field(default_factory=dict)
    """From which minute on."""
    newcomers: frozenset[Key] = field(default=frozenset())
    """Those who had not called in the days before."""


def extended(
    listing: Listing, client: Client, kind: WatchedKind, until: int, purposes: Sequence[str]
) -> Listing:
    """A listing that reaches to `until` (Unix time / 60) at least. Who is listed once stays, up to the most
    that are watched. Raises what the store does.
    """
    if until <= listing.until:
        return listing
    end = -(-until // _HOUR) * _HOUR
    (source,) = kind.sources
    busy = read_busy(
        client, source, listing.until - _HOUR, end - _HOUR, kind.least_calls, kind.most_series, purposes
    )
    since = dict(listing.since)
    for hour, key in busy:
        if key not in since and len(since) < kind.most_series:
            since[key] = (hour + 1) * _HOUR
    fresh = since.keys() - listing.since.keys()
    called = read_calling_hours(client, sorted(fresh), listing.until - _HOUR - _ABSENT_MINUTES, end)
    newcomers = {
        key
        for key in fresh
        if not any(0 < since[key] - _HOUR - hour * _HOUR <= _ABSENT_MINUTES for hour in called.get(key, ()))
    }
    return Listing(end, since, listing.newcomers | newcomers)

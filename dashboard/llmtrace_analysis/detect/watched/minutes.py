"""Minutes of watched series as the store has them, and how they become what detectors take.

The same for the last minute and for chunks of days.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from clickhouse_connect.driver.client import Client

from llmtrace_analysis.detect.detectors.series import FloatArray, IntArray
from llmtrace_analysis.detect.streaming.minute_buckets import Level, Means, MinuteBuckets, Parts, Share

from .sources import EVIDENCE, Source

Key = tuple[str, ...]
"""Project, then the dimensions."""

#: Level → the sum of how many calls it is of; those that are not named here have one of their own name.
_CALLS_OF: Mapping[Level, str] = {
    "tokens": "usage_calls",
    "input_tokens": "usage_calls",
    "output_tokens": "usage_calls",
    "cached_tokens": "usage_calls",
    "reasoning_tokens": "usage_calls",
    "score": "calls",
}
#: Share → the sums of hits and of what they are a share.
_SHARES: Mapping[Share, tuple[str, str]] = {
    "errors": ("errors", "calls"),
    "refusals": ("refusals", "finished_calls"),
    "truncated": ("truncated", "finished_calls"),
    "retries": ("retries", "attempts"),
    "cache_hits": ("cache_hits", "calls"),
}


@dataclass(frozen=True)
class MinuteTable:
    """Sums of consecutive minutes. Arrays are minutes x keys; 0 where nothing was."""

    first: int
    """Unix time / 60."""
    minutes: int
    keys: tuple[Key, ...]
    sums: Mapping[str, FloatArray]

    @classmethod
    def of_rows(
        cls, since: int, until: int, parts: Sequence[tuple[Source, Sequence[Sequence[Any]]]]
    ) -> MinuteTable:
        """From the columns that sources' queries return, of minutes from `since` to before `until`."""
        places: dict[Key, int] = {}
        located = []
        for source, columns in parts:
            width = 2 + len(source.columns)
            if not columns:
                continue
            keys = zip(*columns[1:width], strict=True)
            key_places = np.fromiter((places.setdefault(key, len(places)) for key in keys), dtype=np.int64)
            minute_places = np.asarray(columns[0], dtype=np.int64) - since
            located.append((source, minute_places, key_places, columns[width:]))
        sums: dict[str, FloatArray] = {
            name: np.zeros((until - since, len(places))) for source, _ in parts for name in source.sums
        }
        for source, minute_places, key_places, values in located:
            for name, column in zip(source.sums, values, strict=True):
                sums[name][minute_places, key_places] = np.asarray(column, dtype=np.float64)
        return cls(since, until - since, tuple(places), sums)

    def summed(self, drops: int) -> MinuteTable:
        """Without the first dimensions: keys that differ in them alone are one."""
        places: dict[Key, int] = {}
        of = np.fromiter(
            (places.setdefault((key[0], *key[1 + drops :]), len(places)) for key in self.keys),
            dtype=np.int64,
            count=len(self.keys),
        )
        sums = {}
        for name, values in self.sums.items():
            by_key = np.zeros((len(places), self.minutes))
            np.add.at(by_key, of, values.T)
            sums[name] = by_key.T
        return MinuteTable(self.first, self.minutes, tuple(places), sums)

    def values(self, name: str, minute: int, columns: IntArray) -> FloatArray:
        """A sum of one minute, of some keys by their place; 0 of place -1."""
        if name not in self.sums or not self.keys:
            return np.zeros(len(columns))
        of_minute = self.sums[name][minute - self.first]
        taken: FloatArray = np.where(columns < 0, 0.0, of_minute[np.maximum(columns, 0)])
        return taken

    def buckets(
        self, minute: int, columns: IntArray, levels: Iterable[Level], shares: Iterable[Share]
    ) -> MinuteBuckets:
        """One minute of some keys by their place; of place -1 nothing came."""

        def values(name: str) -> FloatArray:
            return self.values(name, minute, columns)

        def total(name: str) -> FloatArray:
            if name == "tokens":
                return values("input_tokens") + values("output_tokens")
            return values("calls") + values("retries") if name == "attempts" else values(name)

        def means(level: Level) -> Means:
            calls = values(_CALLS_OF.get(level, f"{level}_calls"))
            return Means(calls, _mean(total(level), calls))

        def parts(share: Share) -> Parts:
            hits, of = _SHARES[share]
            return Parts(of=total(of), hits=values(hits))

        return MinuteBuckets(
            calls=values("calls"),
            output_mean=_mean(values("output"), values("output_calls")),
            levels={level: means(level) for level in levels},
            shares={share: parts(share) for share in shares},
        )


def _mean(total: FloatArray, calls: FloatArray) -> FloatArray:
    mean: FloatArray = np.divide(total, calls, out=np.full(len(calls), np.nan), where=calls > 0)
    return mean


@dataclass(frozen=True)
class Evidence:
    """Minutes in which the collector was up, and those of them in which watch said so."""

    up: frozenset[int]
    reported: frozenset[int]


def read_evidence(client: Client, since: int, until: int) -> Evidence:
    """Of the minutes (Unix time / 60) from `since` to before `until`."""
    rows = client.query(EVIDENCE, parameters={"since": since, "until": until}).result_rows
    return Evidence(
        frozenset(int(minute) for minute, _ in rows),
        frozenset(int(minute) for minute, reported in rows if reported),
    )


def read_minutes(
    client: Client,
    sources: Sequence[Source],
    since: int,
    until: int,
    purposes: Sequence[str],
    listed: Collection[Key] = (),
) -> MinuteTable:
    """Minutes (Unix time / 60) from `since` to before `until`. `listed`: the keys that are read of sources
    that read no others. Raises what the store does.
    """
    projects, keys = [key[0] for key in listed], [key[1] for key in listed]
    parts = []
    for source in sources:
        columns: Sequence[Sequence[Any]] = ()
        if not source.listed or keys:
            of_keys = {"projects": projects, "keys": keys} if source.listed else {}
            parameters = {"since": since, "until": until, "purposes": list(purposes), **of_keys}
            result = client.query(source.sql, parameters=parameters, column_oriented=True)
            columns = result.result_columns
        parts.append((source, columns))
    return MinuteTable.of_rows(since, until, parts)


def read_busy(
    client: Client, source: Source, since: int, until: int, least: int, most: int, purposes: Sequence[str]
) -> list[tuple[int, Key]]:
    """Hour (Unix time / 3600) and key: of every hour the keys with the most calls, of those with `least` or
    more.
    """
    parameters = {"since": since, "until": until, "purposes": list(purposes), "least": least, "most": most}
    rows = client.query(source.busy_sql, parameters=parameters).result_rows
    # A name with such a character cannot be asked for.
    return [(int(hour), tuple(key)) for hour, *key, _ in rows if "\0" not in "".join(key)]


_CALLING_HOURS = """SELECT DISTINCT
    toString(Project) AS project, UserId, intDiv(toUnixTimestamp(Time), 3600) AS hour
FROM usage_10s
WHERE Time >= toDateTime({since:UInt32} * 60) AND Time < toDateTime({until:UInt32} * 60)
    AND has({users:Array(String)}, UserId)"""


def read_calling_hours(client: Client, keys: Sequence[Key], since: int, until: int) -> dict[Key, set[int]]:
    """User (project, user) → the hours (Unix time / 3600) of that time in which it called."""
    hours: dict[Key, set[int]] = {}
    if keys:
        parameters = {"since": since, "until": until, "users": [user for _, user in keys]}
        for project, user, hour in client.query(_CALLING_HOURS, parameters=parameters).result_rows:
            hours.setdefault((project, user), set()).add(int(hour))
    return hours

"""All watched series, advanced a minute at a time: what the watch does live, a replay does with the past."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from clickhouse_connect.driver.client import Client

from llmtrace_analysis.detect.streaming.detector_bank import EventMeasure
from llmtrace_analysis.detect.streaming.sensitivity import Sensitivity
from llmtrace_collector.store.incident import fingerprint

from .busy_users import Listing, extended
from .kind_bank import Closed, KindBank, Opened
from .kinds import KINDS, WatchedKind
from .known_minutes import KnownMinutes
from .minutes import Evidence, MinuteTable, read_evidence, read_minutes
from .series import WatchedSeries
from .sources import Source
from .troubles import Trouble, Troubles
from .wording import RULE_NAMES

_LATEST = max(kind.later_minutes for kind in KINDS)


@dataclass(frozen=True)
class Chunk:
    """What was read of the store to advance some minutes."""

    since: int
    until: int
    tables: Mapping[WatchedKind, tuple[MinuteTable, MinuteTable]]
    """The minutes of a kind's series, and the same before parts were summed."""
    evidence: Evidence
    listing: Listing


class MinuteByMinute:
    """The detectors of every kind, and the troubles that are open."""

    def __init__(
        self,
        since: int,
        sensitivity: Sensitivity,
        purposes: Sequence[str],
        utc_offset_minutes: int = 0,
        kinds: Sequence[WatchedKind] = KINDS,
    ) -> None:
        """`since`: the first minute (Unix time / 60) that is advanced."""
        self.until = since
        """The next minute."""
        self.troubles = Troubles()
        self._purposes = tuple(purposes)
        self._sensitivity, self._sharing = sensitivity, 0
        self._banks = [KindBank(kind, sensitivity, utc_offset_minutes) for kind in kinds]
        self._listing = Listing(since // 60 * 60)
        self._listed_kind = next(kind for kind in KINDS if kind.sources[0].listed)
        self._known = KnownMinutes()
        self._known_before: deque[bool] = deque([False] * (_LATEST + 1), maxlen=_LATEST + 1)

    @property
    def series(self) -> list[WatchedSeries]:
        """All that are watched."""
        return [series for bank in self._banks for series in bank.series]

    def demand(self, margins: Mapping[str, float]) -> None:
        """Add nats to thresholds from now on: fingerprint of an incident → nats. Others have none."""

        def margin(series: WatchedSeries, measure: EventMeasure) -> float:
            rule = RULE_NAMES[measure]
            return margins.get(fingerprint(rule, series.project, series.dimensions), 0.0)

        for bank in self._banks:
            bank.demand(margin)

    def read(self, client: Client, until: int, answered: frozenset[int] = frozenset()) -> Chunk:
        """Read the minutes from the next to before `until`. `answered`: minutes in which we know the
        collector to have been up. Raises what the store does.
        """
        since = self.until
        listing = extended(self._listing, client, self._listed_kind, until, self._purposes)
        evidence = read_evidence(client, since, until)
        evidence = Evidence(evidence.up | answered, evidence.reported | answered)
        read: dict[tuple[tuple[Source, ...], int], MinuteTable] = {}
        tables = {}
        for bank in self._banks:
            kind = bank.kind
            later = kind.later_minutes
            what = kind.sources, later
            if what not in read:
                read[what] = read_minutes(
                    client, kind.sources, since - later, until - later, self._purposes, listing.since
                )
            whole = read[what]
            tables[kind] = (whole.summed(kind.drops) if kind.drops else whole, whole)
        return Chunk(since, until, tables, evidence, listing)

    def advance(self, chunk: Chunk) -> Iterator[list[Trouble]]:
        """Advance the minutes of a chunk; after each, the troubles that are over with it."""
        self._listing = chunk.listing
        self._share()
        for minute in range(chunk.since, chunk.until):
            self._known_before.append(self._known.advance(minute, chunk.evidence))
            changes: list[Opened | Closed] = []
            for bank in self._banks:
                later = bank.kind.later_minutes
                if self._known_before[-1 - later]:
                    table, whole = chunk.tables[bank.kind]
                    listing = chunk.listing if bank.kind is self._listed_kind else None
                    changes += bank.advance(minute - later, table, whole, listing)
            self._share()
            self.until = minute + 1
            yield self.troubles.add(changes, minute)

    def _share(self) -> None:
        """All series share one number of false incidents."""
        number = max(sum(len(bank.series) for bank in self._banks), 1)
        if number != self._sharing:
            self._sharing = number
            shared = replace(self._sensitivity, series=number)
            for bank in self._banks:
                bank.share(shared)

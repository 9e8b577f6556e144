"""An incident that a replay would have opened, and the incidents that really were."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from llmtrace_collector.store.incident import Incident, Label, fingerprint

#: Two of one rule and series that are no further apart, seconds, are the same: under other settings the same
#: trouble is noticed a little later.
SAME_SECONDS = 1800.0


@dataclass(frozen=True)
class Fired:
    """An incident that would have been opened."""

    rule: str
    project: str
    kind: str
    """spike, shift, drift, silence, …"""
    opened: float
    """When it began, as far as the rule could tell; Unix seconds."""
    known: float
    """When it would have been opened."""
    ended: float | None
    """When it would have been resolved; None: not yet at the end of the replay."""
    value: float | None
    expected_low: float | None
    expected_high: float | None
    unit: str = ""
    dimensions: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    incident_id: str = ""
    """Of the real incident that it matches."""
    label: Label = ""
    """What people said of that."""

    @property
    def fingerprint(self) -> str:
        """Of its rule and series, as incidents have it."""
        return fingerprint(self.rule, self.project, self.dimensions)

    def minutes(self, until: float) -> float:
        """How long it would have lasted, in minutes; until `until` where it had not ended."""
        return ((until if self.ended is None else self.ended) - self.opened) / 60


def merged(fired: Iterable[Fired]) -> list[Fired]:
    """In the order of their beginnings. Those of one rule and series that overlap are one incident, which
    ends with the last of them.
    """
    open_ones: dict[str, int] = {}
    incidents: list[Fired] = []
    for item in sorted(fired, key=lambda item: (item.known, item.opened, item.rule, item.kind)):
        place = open_ones.get(item.fingerprint)
        if place is not None and (end := incidents[place].ended or float("inf")) >= item.opened:
            later = None if item.ended is None or end == float("inf") else max(end, item.ended)
            incidents[place] = replace(incidents[place], ended=later)
        else:
            open_ones[item.fingerprint] = len(incidents)
            incidents.append(item)
    return sorted(incidents, key=lambda item: (item.opened, item.known, item.rule))


def matched(fired: Sequence[Fired], real: Sequence[Incident], until: float) -> list[Fired]:
    """The same, with id and label of the real incident at the same time, of the same rule and series."""
    of_series: dict[str, list[Incident]] = defaultdict(list)
    for incident in real:
        of_series[incident.fingerprint].append(incident)
    pairs = []
    for item in fired:
        near = [incident for incident in of_series[item.fingerprint] if _is_same(item, incident, until)]
        # A label says more than a match without: several real incidents may lie in one that lasted longer.
        best = min(near, key=lambda i: (not i.label, abs(i.opened_at - item.opened)), default=None)
        pairs.append(item if best is None else replace(item, incident_id=best.incident_id, label=best.label))
    return pairs


def is_matched(incident: Incident, fired: Iterable[Fired], until: float) -> bool:
    """Whether a real incident would have been opened."""
    return any(item.fingerprint == incident.fingerprint and _is_same(item, incident, until) for item in fired)


def _is_same(item: Fired, incident: Incident, until: float) -> bool:
    ended = until if item.ended is None else item.ended
    return incident.opened_at <= ended + SAME_SECONDS and item.opened <= incident.ended_at + SAME_SECONDS

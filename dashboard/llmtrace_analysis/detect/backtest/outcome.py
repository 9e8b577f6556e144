"""What a replay came to: incidents a week, and how it stands to what people labelled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from llmtrace_collector.store.incident import Incident

from .fired import Fired, is_matched, matched, merged

WEEK_SECONDS = 7 * 86_400.0

LabelUse = Literal["then", "now", "none"]
"""Which labels ask for more evidence: those known at each time of the past, all of today, or none."""


@dataclass(frozen=True)
class Configuration:
    """What is replayed with."""

    sensitivity: float
    """[watch] sensitivity: false incidents a week."""
    purposes: tuple[str, ...]
    lookback_minutes: int
    rest_seconds: float
    labels: LabelUse = "then"


@dataclass(frozen=True)
class Outcome:
    """What would have been opened between two times (Unix seconds) by a configuration."""

    configuration: Configuration
    since: float
    until: float
    fired: tuple[Fired, ...]
    """In the order of their beginnings, with the labels of the real incidents that they match."""
    useful: tuple[int, int]
    """Of the real incidents that were labelled useful: how many would have been opened, and of how many."""
    noise: tuple[int, int]
    """The same of those that were labelled noise."""

    @property
    def weeks(self) -> float:
        """How long the replay is."""
        return (self.until - self.since) / WEEK_SECONDS

    @property
    def per_week(self) -> float:
        """Incidents a week, true and false."""
        return len(self.fired) / self.weeks

    @property
    def by_rule(self) -> dict[str, int]:
        """Rule → incidents, the most frequent first."""
        return dict(Counter(item.rule for item in self.fired).most_common())


def outcome(
    configuration: Configuration,
    since: float,
    until: float,
    fired: Sequence[Fired],
    real: Sequence[Incident],
) -> Outcome:
    """Put together what fired. `real`: the incidents that there were."""
    incidents = merged(item for item in fired if since <= item.known < until)
    counts = {}
    for label in ("useful", "noise"):
        labelled = [incident for incident in real if incident.label == label]
        opened = sum(is_matched(incident, incidents, until) for incident in labelled)
        counts[label] = (opened, len(labelled))
    return Outcome(
        configuration,
        since,
        until,
        tuple(matched(incidents, real, until)),
        counts["useful"],
        counts["noise"],
    )


@dataclass(frozen=True)
class Difference:
    """What one configuration would have opened and the other not."""

    both: int
    only_first: tuple[Fired, ...]
    only_second: tuple[Fired, ...]


def difference(first: Outcome, second: Outcome) -> Difference:
    """The incidents of two outcomes over the same time, matched by rule, series and time."""

    def without(these: Outcome, those: Outcome) -> tuple[Fired, ...]:
        return tuple(
            item for item in these.fired if not any(_same(item, other, these.until) for other in those.fired)
        )

    only_first, only_second = without(first, second), without(second, first)
    return Difference(len(first.fired) - len(only_first), only_first, only_second)


def _same(item: Fired, other: Fired, until: float) -> bool:
    if item.fingerprint != other.fingerprint:
        return False
    ends = [until if fired.ended is None else fired.ended for fired in (item, other)]
    return item.opened <= ends[1] and other.opened <= ends[0]


def suggested(outcomes: Sequence[Outcome], wanted: float) -> Outcome | None:
    """The most sensitive of them with no more than so many incidents a week; None where all have more."""
    fitting = [item for item in outcomes if item.per_week <= wanted]
    return max(fitting, key=lambda item: item.configuration.sensitivity, default=None)

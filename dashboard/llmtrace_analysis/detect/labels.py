"""What people's labels on past incidents ask of the next ones: margins, in nats, by rule and series.

A label says what the traffic of a series alone cannot: whether anybody wanted to hear of it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from llmtrace_collector.store.incident import Incident, Label

from .streaming.sensitivity import Sensitivity

#: Nats that a noise label adds: the next must be four times as rare. Two ask for 16 times, which ends most
#: repetitions of the same; a single one leaves what is plain to see as it is.
NATS_A_LABEL = math.log(4)

#: A label weighs half as much after so long: programs and their traffic change in a month or two.
HALF_LIFE_SECONDS = 30 * 86_400.0

#: Labels never ask for more: four in a row, 256 times as rare. What is really broken goes on gathering nats
#: while it lasts, so that it is found later and not never.
MOST_NATS = 4 * NATS_A_LABEL

#: How far back labels are read: six half-lives, where one is worth a sixty-fourth.
MEMORY_SECONDS = 6 * HALF_LIFE_SECONDS

#: Rules that are scored in nats; all others have limits of their own, which labels do not move.
SCORED_RULES = "anomaly."


@dataclass(frozen=True)
class Labelled:
    """A label on one incident."""

    fingerprint: str
    """Of the incident: its rule and its series."""
    rule: str
    label: Label
    at: float
    """When it was labelled, Unix seconds."""


@dataclass(frozen=True)
class Margin:
    """What the labels of a rule and series ask for."""

    nats: float
    """On top of the threshold, 0 or more."""
    useful: int
    noise: int

    def evidence(self, false_incidents_a_week: float) -> float:
        """How many times the evidence that would do without labels, by the nats of one series."""
        threshold = Sensitivity(false_incidents_a_week).threshold
        return (threshold + self.nats) / threshold

    @property
    def rarity(self) -> float:
        """How many times as unlikely by chance the next incident must be."""
        return math.exp(self.nats)

    def in_words(self) -> str:
        """What the labels ask for, a sentence; empty where it is nothing."""
        if self.rarity < 1.1:
            return ""
        counts = [
            f"{number} {word}" for number, word in ((self.noise, "noise"), (self.useful, "useful")) if number
        ]
        labels = f"{' and '.join(counts)} label{'' if self.noise + self.useful == 1 else 's'}"
        return (
            f"The next incident of this rule and series must be {self.rarity:.1f}× as unlikely by chance: "
            f"{labels}."
        )


NO_MARGIN = Margin(0.0, 0, 0)


def labelled(incident: Incident) -> Labelled | None:
    """The label of an incident; None without one."""
    if not incident.label or incident.labelled_at is None:
        return None
    return Labelled(incident.fingerprint, incident.rule, incident.label, incident.labelled_at)


def margins(labels: Iterable[Labelled], now: float) -> dict[str, Margin]:
    """Fingerprint → margin, by what was labelled until `now` (Unix seconds).

    In the order of their times each noise label adds `NATS_A_LABEL` and each useful one takes as much back,
    within 0 and `MOST_NATS`; in between, what was added decays by its half-life. So useful labels cannot be
    saved up, nor can a hundred noise labels be: the last few decide.
    """
    of_series: dict[str, list[Labelled]] = defaultdict(list)
    for item in labels:
        if now - MEMORY_SECONDS <= item.at <= now and item.rule.startswith(SCORED_RULES):
            of_series[item.fingerprint].append(item)
    return {name: _margin(items, now) for name, items in of_series.items()}


def _margin(items: list[Labelled], now: float) -> Margin:
    nats, at = 0.0, 0.0
    for item in sorted(items, key=lambda item: item.at):
        step = NATS_A_LABEL if item.label == "noise" else -NATS_A_LABEL
        nats = min(max(_decayed(nats, item.at - at) + step, 0.0), MOST_NATS)
        at = item.at
    useful = sum(item.label == "useful" for item in items)
    return Margin(_decayed(nats, now - at), useful, len(items) - useful)


def _decayed(nats: float, seconds: float) -> float:
    return float(nats * 0.5 ** (seconds / HALF_LIFE_SECONDS))


@dataclass(frozen=True)
class Usefulness:
    """How many of a rule's incidents were worth opening, as far as people said so."""

    rule: str
    useful: int
    noise: int
    unlabelled: int

    @property
    def share(self) -> float | None:
        """Useful ones of those with a label; None where none has."""
        of = self.useful + self.noise
        return self.useful / of if of else None


def usefulness(counts: Mapping[tuple[str, Label], int]) -> list[Usefulness]:
    """By rule, in the order of their names, from (rule, label) → number of incidents."""
    rules = sorted({rule for rule, _ in counts})
    return [
        Usefulness(
            rule,
            counts.get((rule, "useful"), 0),
            counts.get((rule, "noise"), 0),
            counts.get((rule, ""), 0),
        )
        for rule in rules
    ]

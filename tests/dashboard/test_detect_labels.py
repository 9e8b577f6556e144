"""Labels of the past become margins: bounded, fading, of one rule and series alone."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtrace_analysis.detect.label_margins import PastMargins
from llmtrace_analysis.detect.labels import (
    HALF_LIFE_SECONDS,
    MEMORY_SECONDS,
    MOST_NATS,
    NATS_A_LABEL,
    Labelled,
    Margin,
    margins,
    usefulness,
)
from llmtrace_analysis.detect.streaming.sensitivity import Sensitivity, evidence_of
from llmtrace_collector.store.incident import Label

NOW = 1_800_000_000.0
DAY = 86_400.0


def labelled(*labels: Label, rule: str = "anomaly.latency", days_ago: float = 1.0) -> list[Labelled]:
    """One after another, a minute apart."""
    return [Labelled("series", rule, label, NOW - days_ago * DAY + 60 * n) for n, label in enumerate(labels)]


def nats(labels: list[Labelled], now: float = NOW) -> float:
    margin = margins(labels, now).get("series")
    return 0.0 if margin is None else margin.nats


def test_noise_adds_and_useful_takes_back() -> None:
    assert nats(labelled("noise", days_ago=0)) == pytest.approx(NATS_A_LABEL)
    assert nats(labelled("noise", "noise", days_ago=0.001)) == pytest.approx(2 * NATS_A_LABEL, rel=1e-3)
    assert nats(labelled("noise", "noise", "useful", days_ago=0.01)) == pytest.approx(NATS_A_LABEL, rel=1e-2)
    assert nats(labelled("useful", "useful", "noise", days_ago=0.01)) == pytest.approx(NATS_A_LABEL, rel=1e-2)


def test_a_label_fades_by_half_in_its_half_life() -> None:
    labels = labelled("noise", days_ago=0)
    assert nats(labels, NOW + HALF_LIFE_SECONDS) == pytest.approx(NATS_A_LABEL / 2)
    assert nats(labels, NOW + MEMORY_SECONDS + 1) == 0.0
    assert nats(labels, NOW - 1) == 0.0, "nobody knows of it yet"


def test_only_rules_that_are_scored_move() -> None:
    assert margins(labelled("noise", rule="abuse.request_flood"), NOW) == {}


@given(st.lists(st.sampled_from(["noise", "useful"]), max_size=40), st.floats(0, 100))
def test_a_margin_is_bounded_and_noise_never_lowers_it(words: list[Label], days_ago: float) -> None:
    before = nats(labelled(*words, days_ago=days_ago + 1))
    assert 0.0 <= before <= MOST_NATS
    more = [*labelled(*words, days_ago=days_ago + 1), Labelled("series", "anomaly.latency", "noise", NOW)]
    assert nats(more) >= before
    less = [*more[:-1], Labelled("series", "anomaly.latency", "useful", NOW)]
    assert nats(less) <= before


def test_what_a_margin_means_is_said() -> None:
    margin = margins(labelled("noise", "noise", days_ago=0.001), NOW)["series"]
    assert margin.in_words() == (
        "The next incident of this rule and series must be 16.0× as unlikely by chance: 2 noise labels."
    )
    assert Margin(0.0, 3, 0).in_words() == ""
    threshold = Sensitivity(2.0).threshold
    assert margin.evidence(2.0) == pytest.approx(1 + margin.nats / threshold)
    assert evidence_of(2.0) * margin.evidence(2.0) == pytest.approx(evidence_of(2.0, margin.nats))
    assert evidence_of(1.0) == 1.0 > evidence_of(2.0)


def test_margins_of_the_past_are_what_was_known_then() -> None:
    first, second = labelled("noise", days_ago=10)[0], labelled("noise", days_ago=2)[0]
    past = PastMargins([first, second])
    assert past.at(NOW - 11 * DAY) == {}
    assert past.at(NOW - 9 * DAY)["series"].noise == 1
    assert past.at(NOW)["series"].noise == 2
    # In any order.
    assert past.at(NOW - 9 * DAY)["series"].noise == 1
    assert past.at(NOW)["series"].nats == pytest.approx(margins([first, second], NOW)["series"].nats)


def test_the_share_of_useful_ones_is_of_those_with_a_label() -> None:
    counts: dict[tuple[str, Label], int] = {
        ("anomaly.cost", ""): 2,
        ("anomaly.latency", "useful"): 3,
        ("anomaly.latency", "noise"): 1,
        ("anomaly.latency", ""): 9,
    }
    cost, latency = usefulness(counts)
    assert (cost.rule, cost.share) == ("anomaly.cost", None)
    assert (latency.useful, latency.noise, latency.unlabelled, latency.share) == (3, 1, 9, 0.75)
    assert math.exp(NATS_A_LABEL) == pytest.approx(4)

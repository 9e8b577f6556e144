"""A watch that begins is quiet about what was already so, and about users who are all the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from llmtrace_analysis.detect.cold_start import ColdStart
from llmtrace_analysis.detect.incident_lifecycle import Finding, advance
from llmtrace_analysis.watch.app import build
from llmtrace_collector.store.incident import Incident
from tests.collector.running import Served, settings

from .test_alerts import SECRET, Receiver
from .test_watch import Scene, watch_settings

BEGAN = 1_800_000_000.0


def finding(name: str, at: float, rule: str = "abuse.prompt_injection", **fields: Any) -> Finding:
    values: dict[str, Any] = {
        "rule": rule,
        "kind": "abuse",
        "project": "p",
        "dimensions": {"user": name},
        "metric": "hits",
        "severity": "warning",
        "title": f"Attempts by {name}",
        "summary": "",
        "observed": 3.0,
        "expected_low": 0.0,
        "expected_high": 2.0,
        "unit": "messages",
        "seen": (at,),
        "openings": (at,),
        **fields,
    }
    return Finding(**values)


def opened(findings: list[Finding], now: float) -> list[Incident]:
    changes = advance(findings, [], {}, now, rest_seconds=300, update_seconds=0)
    return [change.incident for change in changes]


def test_a_few_open_many_are_one_summary_until_they_end() -> None:
    start = ColdStart()
    few = [finding(f"u{number}", BEGAN - 100) for number in range(3)]
    assert start.quieted(few, [], BEGAN) == few
    known = opened(few, BEGAN)
    many = [*few, *(finding(f"late{number}", BEGAN - 50) for number in range(20))]
    quieted = start.quieted(many, known, BEGAN + 3)
    assert quieted[:3] == few, "what is open goes on"
    (summary,) = quieted[3:]
    assert summary.title == "20 of abuse.prompt_injection as watch began"
    assert "Attempts by late0; " in summary.summary
    assert "and 15 more" in summary.summary
    # One of them goes on while it is in the summary, another ends and comes again; a new one is its own.
    goes_on = finding("late0", BEGAN - 50, seen=(BEGAN - 50, BEGAN + 60), openings=(BEGAN - 50, BEGAN + 60))
    assert [item.fingerprint for item in start.quieted([goes_on], known, BEGAN + 60)] == [summary.fingerprint]
    again, new = finding("late1", BEGAN + 90), finding("other", BEGAN + 90)
    assert start.quieted([again, new], known, BEGAN + 90) == [again, new]


def test_rules_and_projects_are_counted_apart() -> None:
    start = ColdStart()
    injections = [finding(f"u{number}", BEGAN, project=f"p{number}") for number in range(4)]
    budgets = [finding("b", BEGAN - 9, rule="budget.exceeded", project="q")]
    (summary, budget) = start.quieted([*injections, *budgets], [], BEGAN)
    assert (summary.project, summary.observed) == ("", 4.0), "of several projects: for keys of all"
    assert budget == budgets[0]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    collector = Served(settings(tmp_path_factory.mktemp("cold")))
    yield collector
    collector.close()


def test_fifty_equal_users_open_nothing(served: Served) -> None:
    """A collector and a watch that both begin, under load: no incident, no webhook."""
    receiver = Receiver()
    scene = Scene(served, "equal")
    webhook = {"url": receiver.url, "secret": SECRET}
    with closing(build(watch_settings(served, webhooks=(webhook,)))) as watch:
        watch.start()
        for step in range(0, 40, 10):
            # The users come one after another, and each sends at its full pace from then on.
            users = [f"user-{number}" for number in range(50) if number % 4 * 10 <= step]
            scene.send([scene.call(step, user=user) for user in users for _ in range(50)])
            assert watch.evaluate(scene.at(step + 9))
            assert watch.evaluate(scene.at(step + 14))
        assert scene.incidents() == []
        assert receiver.nothing()
    # Once the project is known, one user who sends more than all others is found, and nobody else.
    later = 400
    scene.send([scene.call(later, user="eve") for _ in range(900)])
    scene.send([scene.call(later, user=f"user-{number}") for number in range(50) for _ in range(50)])
    with closing(build(watch_settings(served))) as watch:
        assert watch.evaluate(scene.at(later + 9))
    assert [row["Dimensions"] for row in scene.incidents()] == [{"user": "eve"}]
    receiver.close()

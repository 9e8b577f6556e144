"""What is watched by the minute, over a real store of some days: faults become one incident each, through the
same evaluations that `llmtrace watch` makes, and end when they are over.

Days are made by SQL; a make-believe clock goes through the last of them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from benchmarks.fortnight import DAY, Fault, Flow, fill, fill_reports, traffic
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import OperationalError

from llmtrace_analysis.detect.streaming.sensitivity import Sensitivity
from llmtrace_analysis.detect.watched.known_minutes import KnownMinutes
from llmtrace_analysis.detect.watched.level_rule import LevelRule
from llmtrace_analysis.detect.watched.minutes import Evidence
from llmtrace_analysis.detect.watched.replay import WatchedEvent, replay
from llmtrace_analysis.detect.watched.wording import RULE_NAMES
from llmtrace_analysis.watch.app import build
from llmtrace_analysis.watch.service import Watch
from llmtrace_collector.store.store import open_store
from tests.collector.running import Served, settings

from .test_watch import watch_settings

RETENTION_DAYS = 3650

#: Noon of the last Friday but this week's, so that the days before are days of work, whenever this runs.
_NOW = int(time.time()) // 60
FAULT = ((_NOW // DAY + 3) // 7 * 7 - 3 - 3) * DAY + 12 * 60
SINCE = FAULT - 5 * DAY // 2
END = FAULT + 150

#: The collector was down in these minutes of the day before.
DOWN = range(FAULT - DAY + 180, FAULT - DAY + 210)

HOUR = {"since": FAULT, "until": FAULT + 60}
FLOWS: dict[str, list[tuple[Flow, Fault]]] = {
    "slow": [(Flow(has_steps=False), Fault(**HOUR, slow=2))],
    "silent": [(Flow(has_steps=False), Fault(FAULT, FAULT + 40, traffic=0))],
    "steps": [(Flow(), Fault(**HOUR, tool_failing=0.25, late=3))],
    "switched": [
        (Flow(has_steps=False), Fault(FAULT, END, traffic=0)),
        (Flow(has_steps=False, model="gpt-4o"), Fault(SINCE, FAULT, traffic=0)),
    ],
}
INCIDENTS = {"slow": 1, "silent": 1, "steps": 2, "switched": 1}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("watched-series")
    down = Fault(DOWN.start, DOWN.stop, traffic=0)
    with closing(open_store(f"chdb://{folder / 'store'}", RETENTION_DAYS)) as store:
        for number, (project, flows) in enumerate(FLOWS.items()):
            counts = traffic(SINCE, END - SINCE, 15, number)
            for flow, fault in flows:
                fill(store, replace(flow, project=project), SINCE, counts, [down, fault])
        fill_reports(store, SINCE, DOWN.start)
        fill_reports(store, DOWN.stop, END)
        store.roll_up(at_once=True)
    collector = Served(settings(folder, retention_days=RETENTION_DAYS))
    yield collector
    collector.close()


def watch_of(served: Served) -> tuple[Watch, LevelRule]:
    watch = build(watch_settings(served))
    (levels,) = (rule for rule in watch._rules if isinstance(rule, LevelRule))
    levels._replay_minutes = FAULT - SINCE
    return watch, levels


def incidents(served: Served) -> dict[str, list[dict[str, Any]]]:
    rows = served.rows("SELECT * FROM incidents ORDER BY Project, OpenedAt")
    by_project: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_project.setdefault(row["Project"], []).append(row)
    return by_project


def test_each_fault_is_one_incident_and_over_with_the_fault(served: Served) -> None:
    watch, levels = watch_of(served)
    now = 60.0 * FAULT + 31
    assert watch.evaluate(now)
    assert incidents(served) == {}
    levels.advance(now)
    assert watch.evaluate(now)
    assert incidents(served) == {}, "nothing is wrong yet; what was so in the past is over"
    for minute in range(FAULT + 2, FAULT + 42, 2):
        now = 60.0 * minute + 31
        levels.advance(now)
        assert watch.evaluate(now)
    opened = incidents(served)
    assert {project: len(rows) for project, rows in opened.items()} == INCIDENTS
    (slow,), (silent,), (switched,) = (opened[name] for name in ("slow", "silent", "switched"))
    tool, retrieval = sorted(opened["steps"], key=lambda row: str(row["Rule"]))
    assert slow["Rule"] == "anomaly.latency"
    assert slow["Dimensions"] == {"provider": "openai", "model": "gpt-4o-mini"}
    assert slow["Title"].startswith("Latency of gpt-4o-mini (openai): ")
    assert len(slow["Evidence"]) == 10
    assert silent["Rule"] == "anomaly.calls"
    assert silent["Title"].startswith("No calls of gpt-4o-mini (openai) since 1")
    assert silent["Severity"] == "critical"
    assert tool["Rule"] == "anomaly.error_rate"
    assert tool["Dimensions"] == {"service": "shop", "operation": "execute_tool", "step": "lookup"}
    assert len(tool["Evidence"]) == 10
    assert retrieval["Rule"] == "anomaly.latency"
    assert retrieval["Dimensions"] == {"service": "shop", "operation": "retrieval", "step": "docs"}
    assert switched["Rule"] == "anomaly.calls"
    assert "took over from gpt-4o-mini" in switched["Title"]
    watch.close()

    # Killed and started again: what is open goes on, before and after the past is replayed.
    watch, levels = watch_of(served)
    assert watch.evaluate(now)
    levels.advance(now)
    assert watch.evaluate(now)
    again = incidents(served)
    assert {name: [row["State"] for row in rows] for name, rows in again.items()} == {
        name: ["open"] * number for name, number in INCIDENTS.items()
    }
    for minute in range(FAULT + 45, END, 5):
        now = 60.0 * minute + 31
        levels.advance(now)
        assert watch.evaluate(now)
    over = incidents(served)
    assert {project: [row["State"] for row in rows] for project, rows in over.items()} == {
        name: ["resolved"] * number for name, number in INCIDENTS.items()
    }
    watch.close()

    # A replay of the same minutes comes to the same.
    with closing(served.reader()) as client:
        events = list(replay(client, SINCE, END, Sensitivity(), ("product",)))
    assert {named(event) for event in events if event.event.opened >= FAULT} == {
        (row["Project"], row["Rule"], *sorted(row["Dimensions"].items()))
        for rows in over.values()
        for row in rows
    }
    assert not [event for event in events if event.event.opened in DOWN]


def named(event: WatchedEvent) -> tuple[Any, ...]:
    """As the incident that it opens is named."""
    rule = RULE_NAMES[event.event.measure]
    return event.series.project, rule, *sorted(event.series.dimensions.items())


def test_a_store_that_is_away_and_a_clock_that_is_set_back_change_nothing(served: Served) -> None:
    is_away = False

    def reader() -> Client:
        if is_away:
            raise OperationalError("away")
        return served.reader()

    now = 60.0 * FAULT + 31
    with closing(LevelRule(reader, ("product",), Sensitivity(), replay_days=0.1)) as rule:
        rule.advance(now)
        assert rule.judged_until == 60 * FAULT
        assert rule.replayed_share == 1
        rule.advance(now - 7200)
        assert rule.judged_until == 60 * FAULT
        rule.close()
        is_away = True
        with pytest.raises(OperationalError):
            rule.advance(now + 600)
        assert rule.judged_until == 60 * FAULT
        # What was missed is caught up with, in order.
        is_away = False
        rule.advance(now + 600)
        assert rule.judged_until == 60 * FAULT + 600


def test_a_key_of_one_project_watches_that_alone(served: Served) -> None:
    answer = served.write("POST", "/v1/keys", {"project": "steps", "role": "read"})
    assert answer.is_success, answer.text
    key = answer.json()["key"]
    with closing(LevelRule(lambda: served.reader(key), ("product",), Sensitivity(), replay_days=0.1)) as rule:
        rule.advance(60.0 * FAULT + 31)
        assert rule._watched is not None
        assert {(series.kind, series.project) for series in rule._watched.series} == {
            (kind, "steps") for kind in ("call", "trace", "step", "ingest")
        }


def test_down_is_no_silence_and_silence_is_none_only_where_nothing_says_that_the_collector_is_up() -> None:
    known = KnownMinutes()
    up = Evidence(frozenset(range(100)), frozenset(range(100)))
    assert [known.advance(minute, up) for minute in range(100)][1:] == [True] * 99
    # Reports go on: nothing else came, so that there was nothing.
    silent = Evidence(frozenset(range(100, 120)), frozenset(range(100, 120)))
    assert all(known.advance(minute, silent) for minute in range(100, 120))
    # Nothing says that it is up; after it came back, senders deliver late for a while.
    back = Evidence(frozenset(range(130, 150)), frozenset(range(130, 150)))
    judged = [known.advance(minute, back) for minute in range(120, 150)]
    assert judged == [False] * 15 + [True] * 15


def test_without_a_watch_minutes_are_known_as_long_as_anything_is_stored() -> None:
    known = KnownMinutes()
    stored = Evidence(frozenset({0, 4, 8}), frozenset())
    assert [known.advance(minute, stored) for minute in range(20)] == [True] * 18 + [False] * 2

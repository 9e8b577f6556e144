"""The life of an incident, step by step on a made-up clock."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from llmtrace_analysis.detect.detectors.series import SeriesKey
from llmtrace_analysis.detect.incident_lifecycle import Change, Finding, QuietPeriod, advance, to_report
from llmtrace_analysis.detect.rules import excluded_times
from llmtrace_analysis.settings import WatchSettings
from llmtrace_collector.store.incident import Incident

ADAPT_SECONDS = 1800.0
KEY = SeriesKey("default", "openai", "gpt-4o-mini")
RULE = "anomaly.latency"
START = 1_000_000.0


def finding(*seen: float, openings: tuple[float, ...] = (), **changes: Any) -> Finding:
    usual = Finding(
        rule=RULE,
        kind="anomaly",
        project="default",
        dimensions=KEY.dimensions,
        metric="latency",
        severity="warning",
        title="slow",
        summary="",
        observed=5.0,
        expected_low=0.1,
        expected_high=3.0,
        unit="s",
        seen=tuple(START + time for time in seen),
        openings=tuple(START + time for time in openings),
        evidence=("a",),
    )
    return replace(usual, **changes)


def step(
    findings: list[Finding], known: list[Incident], at: float, until: float | None = None
) -> list[Change]:
    """One evaluation at START + at, complete up to `until`."""
    quiet_periods = {RULE: QuietPeriod(START + (at if until is None else until), 30.0, ADAPT_SECONDS)}
    return advance(findings, known, quiet_periods, START + at, rest_seconds=300, update_seconds=15)


def opened() -> Incident:
    (change,) = step([finding(10, 20, openings=(0,))], [], 24)
    assert change.action == "open"
    return change.incident


def test_it_opens_once_with_an_id_that_a_restart_gives_again() -> None:
    incident = opened()
    assert (incident.opened_at, incident.last_seen_at, incident.count) == (START, START + 20, 2)
    assert incident.incident_id == opened().incident_id
    assert step([finding(10, 20, openings=(0,))], [incident], 27, until=20) == []
    assert step([finding(10, 20)], [], 24) == [], "outside, but not enough"


def test_updates_are_bounded_and_keep_the_worst() -> None:
    incident = replace(opened(), updated_at=START + 24)
    worse = finding(10, 20, 30, observed=9.0, severity="critical", title="slower", evidence=("a", "b"))
    assert step([worse], [incident], 34, until=30) == []
    (change,) = step([worse], [incident], 40, until=30)
    assert change.action == "update"
    updated = change.incident
    assert (updated.count, updated.observed, updated.severity, updated.title) == (
        3,
        9.0,
        "critical",
        "slower",
    )
    assert updated.evidence == ("a", "b")
    (change,) = step([finding(40, observed=4.0)], [updated], 60, until=40)
    assert (change.incident.observed, change.incident.severity, change.incident.title) == (
        9.0,
        "critical",
        "slower",
    )


def test_it_is_resolved_when_calm_and_rests() -> None:
    incident = opened()
    assert step([], [incident], 49, until=40) == []
    (change,) = step([], [incident], 54, until=50)
    assert (change.action, change.incident.state, change.incident.resolved_at) == (
        "resolve",
        "resolved",
        START + 54,
    )
    again = finding(70, 80, openings=(60,))
    assert step([again], [change.incident], 84) == []
    later = finding(350, 360, 370, openings=(340, 350, 360))
    (reopened,) = step([later], [change.incident], 374)
    assert reopened.incident.opened_at == START + 360, "nothing of the rest period counts"
    assert reopened.incident.incident_id != incident.incident_id


def test_what_lasts_becomes_usual() -> None:
    incident = replace(opened(), last_seen_at=START + 1790)
    assert excluded_times(KEY, [incident], ADAPT_SECONDS) == [(START, float("inf"))]
    (change,) = step([finding(1800)], [incident], 1804, until=1800)
    assert change.action == "resolve"
    assert "30 minutes" in change.note
    assert excluded_times(KEY, [change.incident], ADAPT_SECONDS) == []
    assert excluded_times(KEY._replace(model="gpt-4o"), [incident], ADAPT_SECONDS) == []


def test_an_acknowledged_incident_goes_on_and_rules_that_did_not_look_are_left_alone() -> None:
    acknowledged = replace(opened(), state="acknowledged", acknowledged_by="ada", updated_at=START)
    (change,) = step([finding(10, 20, 30)], [acknowledged], 34, until=30)
    assert change.action == "update"
    report = to_report(change)
    assert report["state"] == "open"
    assert not {"acknowledged_by", "acknowledged_at", "incident_id", "updated_at"} & report.keys()
    assert report["opened_at"] == "1970-01-12T13:46:40.000Z"
    theirs = replace(acknowledged, rule="somebody.elses")
    assert step([], [theirs], 9999) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"band_width": 4},
        {"lookback_minutes": 2},
        {"sensitivity": 0},
        {"interval_seconds": 0},
        {"unknown": 1},
    ],
)
def test_settings_that_cannot_work_stop_the_start(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        WatchSettings.model_validate(wrong)

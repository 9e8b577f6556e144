"""The rules `headroom.*`: ramps before they are at the limit, refusals, bursts, shared quotas, the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from llmtrace_analysis.detect.incident_lifecycle import Change, Finding, advance
from llmtrace_analysis.queries.scope import Scope
from llmtrace_analysis.watch.headroom import PTU_RULE, REQUESTS_RULE, TOKENS_RULE, HeadroomRule
from llmtrace_analysis.watch.recent_use import RecentUse
from llmtrace_collector.store.incident import Incident
from llmtrace_collector.store.store import Store, open_store

from .test_headroom import AZURE, NOW, at_azure, call, limited_by

END = NOW.timestamp()


@pytest.fixture
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    opened = open_store(f"chdb://{tmp_path_factory.mktemp('rule')}", 3650)
    yield opened
    opened.close()


def ramp(per_minute: int, minutes: int = 30) -> list[dict[str, object]]:
    """Four calls a minute, whose tokens grow from 20,000 a minute on."""
    return [
        call((minutes - minute) * 60 - 15 * part, "gpt-4o", tokens=(20_000 + per_minute * minute) // 4)
        for minute in range(minutes)
        for part in range(4)
    ]


def first_finding(
    store: Store, rows: Sequence[dict[str, object]], quota: dict[str, Any]
) -> tuple[Finding, float] | None:
    """The first finding that opens, and when: evaluated every 15 seconds with what was there then."""
    for row in rows:
        row["ResourceAttributes"] = {"llmtrace.project": "shop"}
    store.insert_rows("otel_traces", list(rows))
    rule = HeadroomRule(lambda: [quota])
    with store.client as client:
        at = END - 1500
        while at <= END:
            for finding in rule.findings(client, [], at):
                if finding.openings:
                    return finding, at
            at += 15
    return None


@pytest.mark.parametrize("per_minute", [3_000, 8_000])
def test_a_ramp_opens_before_the_limit_and_says_when_it_is_reached(store: Store, per_minute: int) -> None:
    opened = first_finding(store, ramp(per_minute), {"provider": "openai", "tokens_per_minute": 100_000})
    assert opened is not None
    finding, at = opened
    # 30 minutes before END it begins, at 20,000; the minute that uses all has ended then.
    reached = END - 30 * 60 + (100_000 - 20_000) / per_minute * 60 + 60
    assert at < reached - 60
    assert (finding.rule, finding.severity, finding.project) == (TOKENS_RULE, "warning", "shop")
    assert 0.5 <= finding.observed < 1
    minutes = float(finding.summary.partition("is reached in ")[2].partition(" min")[0])
    assert minutes * 60 == pytest.approx(reached - at, rel=0.2)


def test_even_use_below_the_share_opens_nothing(store: Store) -> None:
    rows = [call(second, "gpt-4o", tokens=12_000 + 500 * (second % 3)) for second in range(5, 1500, 10)]
    assert first_finding(store, rows, {"provider": "openai", "tokens_per_minute": 100_000}) is None


def test_refusals_of_a_limit_in_use_are_critical_and_those_of_an_idle_one_are_not(store: Store) -> None:
    used = [call(60 + second, "gpt-4o", weight=10) for second in range(0, 60, 10)]
    refused = [call(70 + second, "gpt-4o", status=429) for second in (0, 10, 20)]
    quota = {"provider": "openai", "requests_per_minute": 100, "requests_per_10_seconds": 100}
    opened = first_finding(store, [*used, *refused], quota)
    assert opened is not None
    finding, _ = opened
    assert (finding.rule, finding.severity) == (REQUESTS_RULE, "critical")
    assert finding.title.startswith("3 calls refused by the limit of openai")
    idle = HeadroomRule(lambda: [{"provider": "openai", "requests_per_minute": 100_000}])
    with store.client as client:
        assert idle.findings(client, [], END) == []


def test_bursts_that_a_minute_hides(store: Store) -> None:
    rows = [call(second, "gpt-4o", weight=30) for second in (65, 185)]
    quota = {"provider": "openai", "requests_per_minute": 120}
    opened = first_finding(store, rows, quota)
    assert opened is not None
    assert opened[0].title == "Bursts of openai: 30 requests in ten seconds, the limit is 20"
    assert opened[0].observed == pytest.approx(1.5)
    # A provider of which nothing says that it holds ten seconds has a minute's limit alone.
    unknown = [call(second, "some", "mistral_ai", weight=30) for second in (65, 185)]
    assert first_finding(store, unknown, {"provider": "mistral_ai", "requests_per_minute": 120}) is None


def test_deployments_that_exceed_their_quota_together_are_named(store: Store) -> None:
    rows = [
        call(second, deployment, AZURE, tokens=10_000, answering="gpt-4o-2024-08-06", **at_azure(resource))
        for second in range(5, 300, 10)
        for deployment, resource in (("chat", "shop"), ("search", "lab"))
    ]
    quota = {"provider": AZURE, "region": "eastus", "model": "gpt-4o", "tokens_per_minute": 100_000}
    opened = first_finding(store, rows, quota)
    assert opened is not None
    finding, _ = opened
    assert "2 exceed it together: chat eastus shop 60,000, search eastus lab 60,000" in finding.summary
    assert finding.dimensions["region"] == "eastus"


def test_provisioned_throughput_as_answers_report_it(store: Store) -> None:
    rows = [
        call(second, "ptu", AZURE, **at_azure("shop"), **limited_by(deployment__utilization=0.93))
        for second in range(5, 300, 10)
    ]
    opened = first_finding(store, rows, {"provider": "openai", "requests_per_minute": 1})
    assert opened is not None
    assert (opened[0].rule, opened[0].title) == (
        PTU_RULE,
        "ptu eastus shop uses 93% of its provisioned throughput",
    )


def test_it_is_over_after_a_quiet_while(store: Store) -> None:
    rows = [call(1200 + second, "gpt-4o", tokens=15_000) for second in range(0, 240, 10)]
    store.insert_rows("otel_traces", rows)
    rule = HeadroomRule(lambda: [{"provider": "openai", "tokens_per_minute": 100_000}])
    incidents: dict[str, Incident] = {}
    changes: list[tuple[str, float]] = []
    with store.client as client:
        for step in range(100):
            at = END - 1400 + 15 * step
            for change in _evaluated(rule, client, list(incidents.values()), at):
                incidents[change.incident.incident_id] = change.incident
                if change.action != "update":
                    changes.append((change.action, at))
    assert [action for action, _ in changes] == ["open", "resolve"]
    assert changes[0][1] < END - 1200
    assert END - 1200 + 300 <= changes[1][1] <= END - 1200 + 300 + 120


def _evaluated(rule: HeadroomRule, client: Client, incidents: list[Incident], at: float) -> list[Change]:
    findings = rule.findings(client, incidents, at)
    return advance(findings, incidents, rule.quiet_periods(at), at, rest_seconds=300, update_seconds=15)


def test_between_two_steps_nothing_is_read(store: Store) -> None:
    asked: list[int] = []
    rule = HeadroomRule(lambda: asked.append(1) or [])  # type: ignore[func-returns-value]
    with store.client as client:
        for second in range(0, 31, 3):
            rule.findings(client, [], END + second)
    assert len(asked) == 2
    assert timedelta(seconds=rule.quiet_periods(END + 31)[TOKENS_RULE].seconds) == timedelta(minutes=5)


def test_what_is_kept_is_what_a_whole_read_gives(store: Store) -> None:
    """Calls come step by step; some are late, and are there once all is read again."""
    recent, at = RecentUse(), int(END) - 900
    with store.client as client:
        for step in range(24):
            rows = [
                call(END - at + 5 + 7 * number, "gpt-4o", weight=1 + number,
                     **limited_by(tokens__limit=1000 + step, tokens__remaining=step))
                for number in range(4)
            ]  # fmt: skip
            late = [call(END - at + 200, "late", tokens=7)] if step == 12 else []
            store.insert_rows("otel_traces", rows + late)
            until = datetime.fromtimestamp(at, UTC)
            scope = Scope(until - timedelta(seconds=600), until)
            known_use, known_limits, period = recent.read(client, scope)
            whole_use, whole_limits, _ = RecentUse().read(client, scope)
            sums = [
                {caller: use.column("input").sum() for caller, use in uses.items() if caller.model != "late"}
                for uses in (known_use, whole_use)
            ]
            assert sums[0] == sums[1]
            assert period.until == at
            assert dict(known_limits) == dict(whole_limits)
            at += 30
        assert any(caller.model == "late" for caller in known_use)

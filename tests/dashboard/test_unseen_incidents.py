"""Spend that no span explains as an incident: opened, the same while it lasts, worse, and over."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner, Result

from llmtrace.testing import Answer, ReplayServer
from llmtrace.testing.replay import Received
from llmtrace_analysis.settings import WatchSettings
from llmtrace_analysis.watch.app import build, build_unseen_spend_check
from llmtrace_analysis.watch.service import Watch
from llmtrace_analysis.watch.unseen_spend import UnseenSpendCheck
from llmtrace_cli.main import cli
from tests.collector import otlp
from tests.collector.running import Served, settings, until

from . import billing_month as bills

#: Tomorrow's noon, for the collector has the real clock; the two days from DAY on are closed then.
NOW = (datetime.now(UTC) + timedelta(days=1)).replace(hour=12, minute=0, second=0, microsecond=0)
DAY = NOW.replace(hour=0) - timedelta(days=3)


def call(key: str, model: str, tokens: int, at: datetime = DAY) -> bills.Call:
    return bills.Call("openai", key, at + timedelta(hours=3), model, model, tokens, 0, 0, 100)


TRACED = [call("a", "gpt-4o", 900_000), call("a", "gpt-4o", 700_000, DAY + timedelta(days=1))]
#: 2.60 USD and more of a key that nobody traces.
LEAKED = call("planted", "gpt-4o", 1_040_000)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A collector that has seen the traced calls, and one of the day before them."""
    collector = Served(settings(tmp_path_factory.mktemp("unseen"), retention_days=3650))
    spans = []
    for traced in (*TRACED, call("a", "gpt-4o", 10, DAY - timedelta(days=1))):
        attributes: dict[str, Any] = {
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": traced.model,
            "gen_ai.response.model": traced.model,
            "gen_ai.usage.input_tokens": traced.input,
            "gen_ai.usage.output_tokens": traced.output,
            "llmtrace.account": bills.mark("openai", traced.key),
        }
        spans.append(otlp.llm(attributes, start=int(traced.at.timestamp() * 1e9), duration=10**9))
    assert collector.post(otlp.traces(spans, {"service.name": "shop"})).status_code == 200
    collector.stored()
    rolled_up = "SELECT sum(Calls) FROM usage_hour"
    until(lambda: collector.value(rolled_up) == str(len(spans)), 60, "the rollup")
    yield collector
    collector.close()


class Provider:
    """A usage API whose bill changes."""

    def __init__(self) -> None:
        self.calls = list(TRACED)
        self.refuses = False

    def __call__(self, request: Received) -> Answer:
        return Answer(b"", 403) if self.refuses else bills.UsageApi("openai", self.calls)(request)


@pytest.fixture
def provider() -> Iterator[tuple[Provider, str]]:
    api = Provider()
    with ReplayServer(respond=api, provider="") as server:
        yield api, server.url


def watch_settings(served: Served, url: str, **fields: Any) -> WatchSettings:
    return WatchSettings.model_validate(
        {
            "collector_url": served.url,
            "admin_key": served.admin_key,
            "update_seconds": 0,
            "rest_seconds": 0,
            "billing": [{"provider": "openai", "base_url": url, "key": bills.ADMIN_KEY}],
            **fields,
        }
    )


def incidents(served: Served) -> list[dict[str, Any]]:
    return served.rows(
        "SELECT IncidentId, State, Severity, Title, Summary, Observed, Project, Count FROM incidents "
        "WHERE Rule = 'spend.unseen_openai' ORDER BY OpenedAt"
    )


def checked(
    served: Served, url: str, now: datetime, check: UnseenSpendCheck | None = None
) -> UnseenSpendCheck:
    """A check at that time and an evaluation of watch, whose own clock goes on."""
    configured = watch_settings(served, url)
    check = check or build_unseen_spend_check(configured)
    check.check(now.timestamp())
    watch: Watch = build(configured)
    watch._rules = [check]
    try:
        assert watch.evaluate(now.timestamp())
    finally:
        watch.close()
    return check


def test_the_command_opens_and_resolves_the_same_incident(
    served: Served, provider: tuple[Provider, str], tmp_path: Any
) -> None:
    """First, for the others' incidents are of tomorrow."""
    api, url = provider
    config = tmp_path / "llmtrace.toml"
    config.write_text(
        f"[[watch.billing]]\nprovider = 'openai'\nbase_url = '{url}'\nkey = '{bills.ADMIN_KEY}'\n"
    )

    def run(*words: str) -> Result:
        period = ["--from", f"{DAY:%Y-%m-%d}", "--to", f"{DAY + timedelta(days=2):%Y-%m-%d}"]
        command = ["--config", str(config), "cost", "reconcile", "openai", *period, "--incident", *words]
        return CliRunner().invoke(
            cli, [*command, "--url", served.url], env={"LLMTRACE_ADMIN_KEY": served.admin_key}
        )

    before = len(incidents(served))
    assert run().exit_code == 0
    assert len(incidents(served)) == before
    api.calls = [*TRACED, LEAKED]
    done = run("--fail-above", "2")
    assert done.exit_code == 1, done.output
    assert "incident opened: Unseen spend at openai: $2.60" in done.stderr
    assert "no call of this key was traced" in done.stdout
    opened = incidents(served)[-1]
    assert opened["State"] == "open"
    assert "incident updated" in run().stderr
    api.calls = list(TRACED)
    assert "incident resolved" in run("--fail-above", "0").stderr
    assert incidents(served)[-1]["IncidentId"] == opened["IncidentId"]
    assert incidents(served)[-1]["State"] == "resolved"


def test_one_incident_lasts_grows_and_ends(served: Served, provider: tuple[Provider, str]) -> None:
    api, url = provider
    before = len(incidents(served))
    checked(served, url, NOW)
    assert len(incidents(served)) == before
    api.calls = [*TRACED, LEAKED]
    check = checked(served, url, NOW + timedelta(hours=1))
    (opened,) = incidents(served)[before:]
    assert (opened["State"], opened["Severity"], opened["Project"]) == ("open", "warning", "")
    assert opened["Observed"] == pytest.approx(LEAKED.cost)
    assert opened["Title"] == f"Unseen spend at openai: $2.60 on {LEAKED.day} that no span explains"
    assert "forgotten notebook" in opened["Summary"]
    assert "no call of this key was traced" in opened["Summary"]
    assert bills.ADMIN_KEY not in str(opened)
    # The same check again is the same; a later one that is worse is the same incident, and critical.
    checked(served, url, NOW + timedelta(hours=1), check)
    assert incidents(served)[before:] == [opened]
    api.calls = [*TRACED, LEAKED, replace(LEAKED, input=5_000_000)]
    checked(served, url, NOW + timedelta(hours=2))
    (worse,) = incidents(served)[before:]
    assert (worse["IncidentId"], worse["State"], worse["Severity"]) == (
        opened["IncidentId"],
        "open",
        "critical",
    )
    assert worse["Observed"] > 10
    # Who cannot be asked says nothing: neither that it is over, nor after a restart.
    api.refuses = True
    failing = checked(served, url, NOW + timedelta(hours=3))
    assert incidents(served)[before:] == [worse]
    assert failing.reasons() == []
    api.refuses = False
    api.calls = list(TRACED)
    checked(served, url, NOW + timedelta(hours=4))
    (over,) = incidents(served)[before:]
    assert (over["IncidentId"], over["State"]) == (opened["IncidentId"], "resolved")


def test_days_that_are_not_closed_and_those_before_the_first_span_are_not_judged(
    served: Served, provider: tuple[Provider, str]
) -> None:
    api, url = provider
    early = DAY - timedelta(days=1)
    api.calls = [
        *TRACED,
        replace(LEAKED, at=early),
        replace(LEAKED, at=NOW),
        replace(LEAKED, at=NOW - timedelta(days=1)),
    ]
    configured = watch_settings(served, url, billing_days=3, billing_delay_hours=24)
    check = build_unseen_spend_check(configured)
    assert check.check((NOW - timedelta(hours=13)).timestamp())
    assert check.findings(served.reader(), [], time.time()) == []
    # Half an hour after midnight it is still too early for the day that has ended; a day later it is judged.
    assert check.check((NOW + timedelta(hours=13)).timestamp())
    (finding,) = check.findings(served.reader(), [], time.time())
    assert f"on {NOW - timedelta(days=1):%Y-%m-%d}" in finding.title


def test_a_provider_that_cannot_be_asked_for_long_is_a_reason(
    served: Served, provider: tuple[Provider, str], caplog: pytest.LogCaptureFixture
) -> None:
    api, url = provider
    api.refuses = True
    check = build_unseen_spend_check(watch_settings(served, url))
    assert not check.check(time.time())
    assert not check.check(time.time())
    warnings = [record for record in caplog.records if "billing_not_checked" in record.getMessage()]
    assert len(warnings) == 1
    assert "an admin key" in warnings[0].getMessage()
    assert check.quiet_periods(time.time()) == {}
    check._started_at -= 100_000
    assert [reason.code for reason in check.reasons()] == ["billing-check"]
    api.refuses = False
    assert check.check(time.time())
    assert check.reasons() == []


def test_watch_asks_by_itself(served: Served, provider: tuple[Provider, str]) -> None:
    _, url = provider
    watch = build(watch_settings(served, url))
    try:
        watch.start_threads()
        rule = next(rule for rule in watch._rules if isinstance(rule, UnseenSpendCheck))
        until(lambda: bool(rule.quiet_periods(time.time())), 60, "the first check")
        names = {thread.name for thread in watch._threads}
        assert "unseen spend" in names
        watch.demand_threads()
    finally:
        watch.close()

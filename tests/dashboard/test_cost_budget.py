"""Budgets: windows, keys and states over a real store, and the endpoint that applications ask."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import SecretStr

import llmtrace
from llmtrace.common.http_limits.middleware import HttpLimits
from llmtrace_analysis.detect.budgets import EXCEEDED_RULE, FORECAST_RULE, WARNING_RULE, budget_findings
from llmtrace_analysis.settings import WatchSettings
from llmtrace_analysis.watch.app import build
from llmtrace_collector.access.api_keys import ApiKeyStore
from llmtrace_collector.access.auth import Authenticator, ConfiguredKeys
from llmtrace_collector.access.security_events import SecurityEvents
from llmtrace_collector.accounting.budgets import BudgetAnswer, BudgetQuery, Budgets, window_start
from llmtrace_collector.accounting.price_book import PriceBook
from llmtrace_collector.api.budgets import router
from llmtrace_collector.api.limits import rules
from llmtrace_collector.metrics import CollectorMetrics
from llmtrace_collector.settings import Budget, CollectorSettings
from llmtrace_collector.store.store import Store, open_store
from tests.collector.otlp import llm, traces
from tests.collector.running import CLIENT, Launched, settings, until

NOW = datetime(2026, 11, 20, 12, 30, tzinfo=UTC)


def call(at: datetime, user: str, model: str = "gpt-4o", **more: str) -> dict[str, object]:
    """A million input tokens: 2.50 USD of gpt-4o."""
    return {
        "Timestamp": at.strftime("%Y-%m-%d %H:%M:%S"),
        "TraceId": "t",
        "SpanId": "s",
        "SpanKind": "Client",
        "SpanAttributes": {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": model,
            "gen_ai.usage.input_tokens": "1000000",
            "gen_ai.usage.output_tokens": "0",
            "user.id": user,
            **more,
        },
    }


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    opened = open_store(f"chdb://{tmp_path_factory.mktemp('budget')}", 3650)
    calls = [
        call(NOW - timedelta(minutes=10), "ann"),
        call(NOW - timedelta(hours=20), "ann"),
        call(NOW - timedelta(days=5), "bob"),
        call(NOW - timedelta(days=25), "bob"),
        call(NOW - timedelta(minutes=5), "bob", "no-price"),
        call(
            NOW - timedelta(days=300), "eve", **{"llmtrace.tags": '["a", "b"]', "llmtrace.account": "key-1"}
        ),
    ]
    opened.insert_rows("otel_traces", calls)
    PriceBook(opened, ()).sync()
    yield opened
    opened.close()


def ask(store: Store, rule: Budget, tags: tuple[str, ...] = (), **query: str) -> BudgetAnswer:
    budgets = Budgets(store, (rule,))
    budgets.count(NOW)
    answer = budgets.answer(BudgetQuery(**{"project": "default", **query}, tags=tags))
    assert answer is not None
    return answer


@pytest.mark.parametrize(
    ("window", "ann", "bob"),
    [("day", 2.5, 0), ("24h", 5.0, 0), ("7d", 5.0, 2.5), ("month", 5.0, 2.5), ("30d", 5.0, 5.0)],
)
def test_each_window_counts_its_own_calls(store: Store, window: str, ann: float, bob: float) -> None:
    rule = Budget.model_validate({"name": "b", "limit": 100, "window": window, "per": "user"})
    for user, spent in (("ann", ann), ("bob", bob), ("new", 0)):
        (status,) = ask(store, rule, user=user).budgets
        assert status.key == user
        assert [status.spent, status.remaining] == pytest.approx([spent, 100 - spent])
    assert ask(store, rule).budgets == []


def test_states_follow_the_limit_and_the_pace(store: Store) -> None:
    def state(limit: float, **fields: object) -> tuple[bool, str]:
        rule = Budget.model_validate({"name": "b", "limit": limit, "window": "24h", **fields})
        answer = ask(store, rule)
        return answer.allowed, answer.budgets[0].state

    assert state(100) == (True, "ok")
    assert state(6) == (True, "warning")
    assert state(6, warn_at=0.9) == (True, "ok")
    assert state(5) == (False, "exceeded")
    # Half of the day is over: 2.5 now are about 4.8 at its end.
    assert state(4, window="day") == (True, "warning")
    assert state(2, unit="requests") == (False, "exceeded")
    assert state(3_500_000, unit="tokens", warn_at=1) == (True, "ok")


def test_calls_without_a_price_are_told(store: Store) -> None:
    rule = Budget(name="b", limit=1, window="24h", per="user")
    (status,) = ask(store, rule, user="bob").budgets
    assert (status.spent, status.unpriced_calls, status.state) == (0, 1, "ok")


def test_a_budget_of_one_model_concerns_calls_of_it_alone(store: Store) -> None:
    rule = Budget(name="b", limit=1, window="24h", model="gpt-4o")
    assert ask(store, rule, model="gpt-4o").allowed is False
    assert ask(store, rule, model="other").budgets == []


def test_budgets_of_tags_and_accounts() -> None:
    # A store of its own would cost seconds: what concerns a call is known without one.
    assert BudgetQuery(tags=("a", "b")).values("tag") == ("a", "b")
    assert BudgetQuery(account="key-1").values("account") == ("key-1",)
    assert BudgetQuery().values("tag") == BudgetQuery().values("user") == ()


def test_a_budget_for_each_tag_counts_a_call_under_all_of_its_tags(store: Store) -> None:
    then = NOW - timedelta(days=300) + timedelta(hours=1)
    rules = (
        Budget(name="tags", limit=2, window="week", per="tag"),
        Budget(name="account", limit=10, window="24h", account="key-1"),
        Budget(name="other", limit=10, window="24h", tag="other"),
    )
    budgets = Budgets(store, rules)
    budgets.count(then)
    answer = budgets.answer(BudgetQuery(project="default", account="key-1", tags=("a", "b", "c")))
    assert answer is not None
    assert [(status.budget, status.key, status.spent) for status in answer.budgets] == [
        ("tags", "a", 2.5), ("tags", "b", 2.5), ("tags", "c", 0.0), ("account", "", 2.5)
    ]  # fmt: skip
    assert not answer.allowed
    full = budgets.statuses()
    assert full is not None
    assert [(status.budget, status.key) for status in full.budgets] == [("tags", "a"), ("tags", "b")]
    everyone = budgets.statuses(every=True)
    assert everyone is not None
    assert {status.budget for status in everyone.budgets} == {"tags", "account"}


def test_the_time_of_a_breach_is_told_before_it_comes(store: Store) -> None:
    (status,) = ask(store, Budget(name="b", limit=4, window="day")).budgets
    assert status.state == "warning"
    assert status.expected == pytest.approx(2.5 * 24 / 12.5)
    assert status.breach_at == datetime(2026, 11, 20, 20, tzinfo=UTC)
    (finding,) = budget_findings([status.model_dump(mode="json")], NOW.timestamp())
    assert (finding.rule, finding.severity, finding.kind) == (FORECAST_RULE, "warning", "budget")
    assert "At this pace the limit is reached at 2026-11-20 20:00 UTC" in finding.summary
    (used,) = ask(store, Budget(name="b", limit=2, window="day")).budgets
    rules = [finding.rule for finding in budget_findings([used.model_dump(mode="json")], NOW.timestamp())]
    assert rules == [EXCEEDED_RULE, WARNING_RULE]


def test_an_application_and_watch_are_told_by_the_same_collector(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMTRACE_SPOOL_DIR", str(tmp_path / "spool"))
    rules = [{"name": "per user", "limit": 2, "unit": "requests", "window": "24h", "per": "user"}]
    with Launched(settings(tmp_path, budgets=rules)) as collector:
        collector.post(traces([llm({"user.id": "ann"}), llm({"user.id": "ann"})]))
        llmtrace.init(endpoint=collector.url)
        until(lambda: not llmtrace.check_budget("ann", timeout=5), 30, "the budget's end")
        assert llmtrace.check_budget("bob", timeout=5)
        llmtrace.shutdown(timeout=1)
        watch = build(WatchSettings(collector_url=collector.url, admin_key=SecretStr(collector.admin_key)))
        assert watch.evaluate(time.time())
        watch.close()
        rows = collector.rows("SELECT Rule, Kind, Severity FROM incidents ORDER BY Rule")
        assert rows == [
            {"Rule": "budget.exceeded", "Kind": "budget", "Severity": "critical"},
            {"Rule": "budget.warning", "Kind": "budget", "Severity": "warning"},
        ]


def test_calendar_windows_begin_where_calendars_do() -> None:
    month = Budget(name="b", limit=1, window="month")
    assert window_start(month, NOW) == datetime(2026, 11, 1, tzinfo=UTC)
    week = Budget(name="b", limit=1, window="week")
    assert window_start(week, NOW) == datetime(2026, 11, 16, tzinfo=UTC)
    assert window_start(Budget(name="b", limit=1, window="day"), NOW) == datetime(2026, 11, 20, tzinfo=UTC)


def test_applications_ask_the_collector_and_are_told_within_seconds(tmp_path: Path) -> None:
    rules = [{"name": "per user", "limit": 2, "unit": "requests", "window": "24h", "per": "user"}]
    with Launched(settings(tmp_path, budgets=rules)) as collector:
        url = f"{collector.url}/v1/budget?user=ann"
        deadline = time.monotonic() + 15
        while (answer := CLIENT.get(url)).status_code == 503 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert answer.json()["allowed"] is True
        collector.post(traces([llm({"user.id": "ann"}), llm({"user.id": "ann"})]))
        while CLIENT.get(url).json()["allowed"] and time.monotonic() < deadline:
            time.sleep(0.1)
        exceeded = CLIENT.get(url).json()
        assert exceeded["allowed"] is False
        assert exceeded["budgets"][0]["state"] == "exceeded"
        assert CLIENT.get(f"{collector.url}/v1/budget?user=bob").json()["allowed"] is True


def test_a_key_that_may_send_or_read_is_needed_where_there_are_keys(store: Store) -> None:
    app = FastAPI()
    budgets = Budgets(store, ())
    app.include_router(router(budgets))
    authenticator = Authenticator(ConfiguredKeys("send", "read", "admin"), ApiKeyStore(store))
    metrics = CollectorMetrics()
    app.add_middleware(
        HttpLimits,
        rules=rules(CollectorSettings(), authenticator, SecurityEvents(store, metrics), metrics),
    )
    with TestClient(app, base_url="http://localhost") as client:
        assert client.get("/v1/budget").status_code == 401
        early = client.get("/v1/budget", headers={"authorization": "Bearer send"})
        assert (early.status_code, early.headers["retry-after"]) == (503, "1")
        budgets.count()
        for key in ("send", "read", "admin"):
            assert (
                client.get("/v1/budget", headers={"authorization": f"Bearer {key}"}).json()["allowed"] is True
            )

"""Own prices in another currency, and days and months of a time zone: reports, budgets, exports."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import click
import pytest
from clickhouse_connect.driver.client import Client
from fastapi.testclient import TestClient

from llmtrace.common.time_zones import UnknownZone, day_of, days_between, month_of, start_of, time_zone
from llmtrace_analysis.cost import fixed_costs, focus, report
from llmtrace_analysis.cost.currency import NoRate
from llmtrace_analysis.cost.focus_columns import violations
from llmtrace_analysis.queries.scope import Scope
from llmtrace_analysis.settings import ExchangeRate
from llmtrace_cli.cost.options import make_scope, moment
from llmtrace_collector.accounting.budgets import BudgetQuery, Budgets, window_start
from llmtrace_collector.accounting.price_book import PriceBook
from llmtrace_collector.settings import Budget, CollectorSettings
from llmtrace_collector.store.store import Store, open_store
from llmtrace_dashboard.settings import DashboardSettings

from .prices_app import prices_app

SHANGHAI = "Asia/Shanghai"
RATES = (
    ExchangeRate(currency="CNY", per_usd=7.0, since=date(2026, 1, 1)),
    ExchangeRate(currency="CNY", per_usd=8.0, since=date(2026, 11, 20)),
)
MONTH = Scope(*month_of(date(2026, 11, 1), SHANGHAI), zone=SHANGHAI)

#: Times of calls, UTC: in Shanghai the second is of the next day, the last of the next month.
TIMES = ("2026-11-10 15:30:00", "2026-11-10 16:30:00", "2026-11-25 01:00:00", "2026-11-30 16:00:00")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    opened = open_store(f"chdb://{tmp_path_factory.mktemp('zones')}", 3650)
    opened.insert_rows(
        "otel_traces",
        [
            {
                "Timestamp": at,
                "TraceId": f"{number:032x}",
                "SpanId": f"{number:016x}",
                "SpanKind": "Client",
                "Duration": 10**9,
                "SpanAttributes": {
                    "gen_ai.operation.name": "chat",
                    "gen_ai.provider.name": "DashScope",
                    "gen_ai.request.model": "our-qwen",
                    "gen_ai.usage.input_tokens": "1000",
                    "gen_ai.usage.output_tokens": "500",
                },
            }
            for number, at in enumerate(TIMES)
        ],
    )
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def client(store: Store) -> Iterator[Client]:
    """A reader of the store, after a price in yuan was set: 2 per million in, 6 out."""
    book = PriceBook(store, (), RATES)
    book.sync()
    with TestClient(prices_app(store, book)) as prices_api:
        body = {"provider": "alibaba", "model": "our-qwen", "input_per_million": 2, "output_per_million": 6}
        assert prices_api.put("/v1/prices", json={**body, "currency": "CNY"}).status_code == 200
        refused = prices_api.put("/v1/prices", json={**body, "currency": "JPY"})
        assert "there is no rate for JPY" in refused.json()["detail"]
        line = {"kind": "gpu", "name": "H200", "units": 2, "price": 24.0, "valid_from": "2026-11-10",
                "valid_to": "2026-11-12", "currency": "CNY"}  # fmt: skip
        assert prices_api.put("/v1/cost/fixed/gpus", json=line).status_code == 200
        refused = prices_api.put("/v1/cost/fixed/gpus", json={**line, "currency": "JPY"})
        assert refused.status_code == 422
    opened = store.client
    yield opened
    opened.close()


#: Of a call in yuan.
COST = (1000 * 2 + 500 * 6) / 1e6


def test_a_price_in_yuan_costs_so_many_yuan_whatever_the_rate(client: Client) -> None:
    data = report.report(client, MONTH, ["provider", "day"], currency="CNY", rates=RATES)
    assert set(data["provider"]) == {"alibaba"}
    assert data["cost"].to_list() == pytest.approx([COST] * 3, rel=1e-12)
    dollars = report.report(client, MONTH, ["day"]).set_index("day")["cost"]
    assert dollars["2026-11-10"] == pytest.approx(COST / 7)
    assert dollars["2026-11-25"] == pytest.approx(COST / 8)


def test_days_and_months_are_those_of_the_zone(client: Client) -> None:
    days = report.report(client, MONTH, ["day"])
    assert sorted(days["day"]) == ["2026-11-10", "2026-11-11", "2026-11-25"]
    utc = report.report(client, replace(MONTH, zone="UTC"), ["day"]).set_index("day")["calls"]
    assert utc["2026-11-10"] == 2
    later = replace(MONTH, until=MONTH.until + timedelta(days=1))
    months = report.report(client, later, ["month"]).set_index("month")["calls"]
    assert months.to_dict() == {"2026-11": 3, "2026-12": 1}
    hours = report.report(client, MONTH, ["hour"])
    assert "2026-11-11 00:00" in set(hours["hour"])
    daily = report.daily(client, replace(later, since=start_of(date(2026, 11, 10), SHANGHAI)))
    assert str(daily.index[0].date()) == "2026-11-10"
    assert daily["2026-12-01"] > 0


def test_fixed_lines_in_yuan_are_dollars_of_their_days(client: Client) -> None:
    lines = fixed_costs.amortised(fixed_costs.lines(client), replace(MONTH, zone="UTC"), RATES)
    assert lines["cost"].to_list() == pytest.approx([24 * 2 * 24 / 7] * 2)
    # The same two days are three in Shanghai, the first and the last in part.
    lines = fixed_costs.amortised(fixed_costs.lines(client), MONTH, RATES)
    assert lines["day"].to_list() == ["2026-11-10", "2026-11-11", "2026-11-12"]
    assert lines["hours"].to_list() == [16, 24, 8]
    with pytest.raises(NoRate):
        fixed_costs.amortised(fixed_costs.lines(client), MONTH, ())


def test_the_export_is_of_the_zone_and_in_yuan(client: Client) -> None:
    data = focus.export(client, MONTH, version="1.4", currency="CNY", rates=RATES)
    assert violations(data, "1.4") == []
    usage = data[data["ChargeFrequency"] == "Usage-Based"]
    assert usage["BilledCost"].sum() == pytest.approx(3 * COST)
    assert usage["ListUnitPrice"].to_list() == pytest.approx([2, 6] * 3)
    assert set(usage["ChargePeriodStart"]) == {
        "2026-11-09T16:00:00Z", "2026-11-10T16:00:00Z", "2026-11-24T16:00:00Z",
    }  # fmt: skip
    assert set(data["BillingPeriodStart"]) == {"2026-10-31T16:00:00Z"}
    assert data["BilledCost"].sum() == pytest.approx(3 * COST + 24 * 2 * 48)


def test_budgets_count_the_days_of_their_zone(store: Store, client: Client) -> None:
    now = datetime(2026, 11, 10, 17, tzinfo=UTC)
    for zone, start, spent in (
        ("UTC", datetime(2026, 11, 10, tzinfo=UTC), 2),
        (SHANGHAI, datetime(2026, 11, 10, 16, tzinfo=UTC), 1),
    ):
        rule = Budget(name="b", limit=10, unit="requests", window="day", time_zone=zone)
        budgets = Budgets(store, (rule,))
        budgets.count(now)
        answer = budgets.answer(BudgetQuery())
        assert answer is not None
        (status,) = answer.budgets
        assert (status.window_start, status.spent, status.time_zone) == (start, spent, zone)


@pytest.mark.parametrize(
    ("window", "zone", "start"),
    [
        ("month", SHANGHAI, datetime(2026, 10, 31, 16, tzinfo=UTC)),
        ("week", SHANGHAI, datetime(2026, 11, 8, 16, tzinfo=UTC)),
        ("month", "America/New_York", datetime(2026, 11, 1, 4, tzinfo=UTC)),
        ("day", "America/New_York", datetime(2026, 11, 10, 5, tzinfo=UTC)),
        ("24h", SHANGHAI, datetime(2026, 11, 9, 18, tzinfo=UTC)),
    ],
)
def test_calendar_windows_begin_in_their_zone(window: str, zone: str, start: datetime) -> None:
    rule = Budget.model_validate({"name": "b", "limit": 1, "window": window, "time_zone": zone})
    assert window_start(rule, datetime(2026, 11, 10, 17, tzinfo=UTC)) == start


def test_days_of_clock_changes_have_their_hours() -> None:
    berlin = "Europe/Berlin"
    days = list(
        days_between(start_of(date(2026, 10, 24), berlin), start_of(date(2026, 10, 27), berlin), berlin)
    )
    assert [(day.end - day.start).total_seconds() / 3600 for day in days] == [24, 25, 24]
    start, end = month_of(date(2026, 3, 15), berlin)
    assert (end - start).total_seconds() / 3600 == 31 * 24 - 1
    assert day_of(datetime(2026, 11, 10, 23, 30, tzinfo=UTC), berlin) == date(2026, 11, 11)
    assert list(days_between(start, start, berlin)) == []


@pytest.mark.parametrize(
    "name", ["", "Mars/Olympus", "../etc/passwd", "/etc/localtime", "file:x", "Asia/Шанхай"]
)
def test_a_zone_that_is_none_is_refused_with_a_sentence(name: str) -> None:
    with pytest.raises(UnknownZone, match="is no time zone; write a name"):
        time_zone(name)
    with pytest.raises(ValueError, match="is no time zone"):
        Budget(name="b", limit=1, time_zone=name)


def test_settings_say_which_currency_goes_first_and_need_its_rate() -> None:
    settings = DashboardSettings.model_validate(
        {"currency": "CNY", "exchange_rates": RATES, "time_zone": SHANGHAI}
    )
    assert (settings.currency, settings.time_zone) == ("CNY", SHANGHAI)
    with pytest.raises(ValueError, match="currency is CNY, which has no rate"):
        DashboardSettings(currency="CNY")


def test_a_collector_does_not_start_with_a_price_that_it_cannot_convert(tmp_path: Path) -> None:
    from llmtrace_collector.app import Collector

    price = {"model": "m", "input_per_million": 1, "output_per_million": 1, "currency": "CNY"}
    settings = CollectorSettings.model_validate({"data_dir": tmp_path, "prices": [price]})
    with pytest.raises(ValueError, match="the price of m is in CNY, which has no rate"):
        Collector(settings)


def test_the_command_line_reads_days_in_the_zone() -> None:
    context = click.Context(click.Command("report"))
    context.meta["llmtrace.time_zone"] = SHANGHAI
    parameter = click.Option(["--from"])
    assert moment(context, parameter, "2026-11") == datetime(2026, 10, 31, 16, tzinfo=UTC)
    assert moment(context, parameter, "2026-11-10T12:00+00:00") == datetime(2026, 11, 10, 12, tzinfo=UTC)
    until = datetime(2026, 11, 30, 17, tzinfo=UTC)
    scope = make_scope(None, until, zone=SHANGHAI)
    assert (scope.since, scope.zone) == (datetime(2026, 11, 30, 16, tzinfo=UTC), SHANGHAI)

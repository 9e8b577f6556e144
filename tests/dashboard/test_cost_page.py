"""The Cost page: every amount on it is one that the command beside it prints."""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import streamlit as st
from click.testing import CliRunner
from streamlit.testing.v1 import AppTest

from llmtrace_analysis.cost import currency, over_time, prices_in_use, report
from llmtrace_analysis.cost.parts import CHARTED
from llmtrace_analysis.queries.scope import Scope, aligned
from llmtrace_analysis.settings import ExchangeRate
from llmtrace_cli.main import cli
from llmtrace_dashboard.server import app
from llmtrace_dashboard.settings import DashboardSettings
from llmtrace_dashboard.ui import formats
from llmtrace_dashboard.ui.current_settings import configure
from llmtrace_dashboard.ui.page_links import PAGES
from tests.dashboard.stack import ADMIN_KEY, Stack, collector
from tests.dashboard.test_pages import text_of

DAYS = 27
RATES = (
    {"currency": "EUR", "per_usd": 0.9, "since": "2020-01-01"},
    {"currency": "EUR", "per_usd": 0.8, "since": "2026-11-10"},
)
_AMOUNT = re.compile(r"(?:\$|EUR )-?\d[\d,]*(?:\.\d+)?")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Four weeks of calls, and budgets."""
    budgets = [
        {"name": "the month", "limit": 5.0},
        {"name": "by person", "limit": 10, "unit": "requests", "per": "user"},
    ]
    folder = tmp_path_factory.mktemp("shop")
    with collector(folder, traces=600, deep=5, seconds=DAYS * 86_400, budgets=budgets) as running:
        yield running


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    st.cache_data.clear()
    st.cache_resource.clear()
    yield
    configure(DashboardSettings())


def _settings(shop: Stack) -> DashboardSettings:
    return DashboardSettings.model_validate(
        {"collector_url": shop.url, "exchange_rates": RATES, "data_dir": shop.data_dir}
    )


def _open(shop: Stack, **params: str) -> AppTest:
    configure(_settings(shop))
    test = AppTest.from_file(str(app.SCRIPT), default_timeout=60)
    test.query_params["range"] = "30d"
    test.run()
    test.switch_page(str(PAGES["/cost"]))
    for name, value in {"range": "30d", **params}.items():
        test.query_params[name] = value
    # What the sidebar keeps; AppTest runs a page without it.
    test.session_state["range"] = "30d"
    test.run()
    assert not test.exception, test.exception
    return test


def _printed(shop: Stack, page: AppTest) -> list[dict[str, Any]]:
    """What the commands on the page print, as rows."""
    rows: list[dict[str, Any]] = []
    commands = [code.value for code in page.code if code.value.startswith("llmtrace cost ")]
    commands = [command for command in commands if "prices set" not in command]
    assert commands, "the page shows no command"
    for command in commands:
        asked = shlex.split(command)[1:]
        environment = {
            "LLMTRACE_ADMIN_KEY": ADMIN_KEY,
            "LLMTRACE_DASHBOARD__EXCHANGE_RATES": json.dumps(RATES),
        }
        done = CliRunner().invoke(cli, [*asked, "--url", shop.url, "--format", "json"], env=environment)
        assert done.exit_code == 0, done.output
        rows += json.loads(done.stdout)
    return rows


def _month(shop: Stack) -> Scope:
    end = datetime.fromtimestamp(shop.end, UTC)
    return Scope(*aligned(end - timedelta(days=DAYS + 1), end, 3600))


def _totals(shop: Stack, page: AppTest, *more: str) -> dict[str, Any]:
    """The total that `llmtrace cost report` prints for the page's period."""
    command = next(code.value for code in page.code if "--from" in code.value)
    words = shlex.split(command)
    period = words[words.index("--from") : words.index("--from") + 4]
    environment = {"LLMTRACE_DASHBOARD__EXCHANGE_RATES": json.dumps(RATES), "LLMTRACE_ADMIN_KEY": ADMIN_KEY}
    asked = ["cost", "report", *period, *more, "--url", shop.url, "--format", "json"]
    done = CliRunner().invoke(cli, asked, env=environment)
    assert done.exit_code == 0, done.output
    (total,) = json.loads(done.stdout)
    return dict(total)


def _amounts(rows: list[dict[str, Any]], code: str) -> set[str]:
    """Every number of the rows, as the page writes amounts."""
    numbers = [
        float(value)
        for row in rows
        for value in row.values()
        if isinstance(value, int | float) and not isinstance(value, bool)
    ]
    return {formats.money(number, code) for number in numbers} | {formats.price(number) for number in numbers}


@pytest.mark.parametrize(
    "params",
    [
        {"view": "spend", "by": "user"},
        {"view": "spend", "by": "tag", "of": "part", "step": "day"},
        {"view": "spend", "by": "provider", "currency": "EUR"},
        {"view": "savings"},
        {"view": "savings", "kind": "cacheable", "lifetime": "7d"},
        {"view": "whatif", "models": "openai/gpt-4o-mini, anthropic/claude-haiku-4-5", "cached": "30"},
        {"view": "reserved", "price": "0.0001", "tpm": "100", "weight": "3"},
    ],
    ids=lambda params: "-".join(params.values())[:40],
)
def test_every_amount_is_one_that_the_command_prints(shop: Stack, params: dict[str, str]) -> None:
    page = _open(shop, **params)
    code = params.get("currency", "USD")
    total = _totals(shop, page, *(["--currency", code] if code != "USD" else []))
    rows = [*_printed(shop, page), total]
    known = total["calls"] - total["unknown_cost_calls"]
    per_thousand = total["cost"] / known * 1000
    allowed = _amounts(rows, code) | {formats.money(per_thousand, code)}
    metrics = {metric.label: metric.value for metric in page.metric}
    assert metrics["Cost"] == formats.money(total["cost"], code)
    assert metrics["Unpriced calls"] == str(total["unpriced_calls"])
    commands = "\n".join(code_block.value for code_block in page.code)
    text = text_of(page).replace(commands, "")
    amounts = set(_AMOUNT.findall(text)) - {"$0"}
    assert len(amounts) > 2
    assert amounts <= allowed, amounts - allowed


def test_the_prices_in_use_are_those_of_the_book(shop: Stack) -> None:
    page = _open(shop, view="prices")
    rows = _printed(shop, page)
    # Some rows hold for long inputs alone, or no longer; those in use are the page's.
    prices = prices_in_use.by_price(shop.reader(), _month(shop))
    text = text_of(page)
    for model in ("gpt-4o", "gpt-4o-mini", "claude-sonnet-4-5"):
        assert model in text
        used = prices[prices["model"] == model].iloc[0]
        assert any(
            row["model"] == model
            and row["input"] == pytest.approx(used["input_price"])
            and row["output"] == pytest.approx(used["output_price"])
            and row["source"] == used["source"]
            for row in rows
        ), model
        assert formats.price(used["input_price"]) in text
        assert formats.price(used["output_price"]) in text
    assert "acme-7b-instruct" in text
    assert any("prices set llmtrace/acme-7b-instruct" in code.value for code in page.code)


def test_the_forecast_is_the_commands_and_budgets_say_how_they_stand(shop: Stack) -> None:
    page = _open(shop, view="outlook", user="")
    (forecast,) = _printed(shop, page)
    metrics = {metric.label: metric.value for metric in page.metric}
    assert metrics["Spent on full days"] == formats.usd(forecast["spent"])
    assert metrics["Expected at the month's end"] == formats.usd(forecast["expected"])
    assert metrics["90% interval"] == f"{formats.usd(forecast['low'])} – {formats.usd(forecast['high'])}"
    text = text_of(page)
    assert "the month" in text
    assert "$5.00" in text
    assert "by person" not in text, "a user's budget needs a user"


def test_a_currency_takes_the_rate_of_each_day(shop: Stack) -> None:
    rates = tuple(ExchangeRate.model_validate(rate) for rate in RATES)
    scope = _month(shop)
    with_days = report.report(shop.reader(), scope, ["model", "day"])
    expected: dict[str, float] = {}
    for row in with_days.dropna(subset=["cost"]).to_dict(orient="records"):
        rate = 0.8 if row["day"] >= "2026-11-10" else 0.9
        expected[row["model"]] = expected.get(row["model"], 0.0) + row["cost"] * rate
    by_model = report.report(shop.reader(), scope, ["model"], currency="EUR", rates=rates)
    priced = {
        row["model"]: row["cost"] for row in by_model.to_dict(orient="records") if not math.isnan(row["cost"])
    }
    assert priced == pytest.approx(expected)
    assert by_model["cost"].isna().sum() > 0, "unpriced stays unpriced in any currency"
    usd = report.report(shop.reader(), scope, ["model"])
    assert by_model["calls"].sum() == usd["calls"].sum()
    series = over_time.over_time(shop.reader(), scope, "model", [], 86_400, 0, "EUR", rates)
    assert series["cost"].sum() == pytest.approx(sum(expected.values()))
    parts = over_time.parts_over_time(shop.reader(), scope, 86_400, 0, "EUR", rates)
    assert parts[list(CHARTED)].sum().sum() == pytest.approx(sum(expected.values()))
    with pytest.raises(currency.NoRate, match="no rate for EUR on"):
        report.report(shop.reader(), scope, [], currency="EUR", rates=rates[1:])
    with pytest.raises(currency.NoRate, match="no rate for CHF"):
        report.report(shop.reader(), scope, [], currency="CHF", rates=rates)


def test_nonsense_in_the_address_means_the_default_or_says_what_is_wrong(shop: Stack) -> None:
    page = _open(shop, view="nowhere", by="shoe size", of="x", currency="XYZ")
    assert {metric.label for metric in page.metric} >= {"Cost", "Unpriced calls"}
    wrong = _open(shop, view="whatif", models="gpt-4o", cached="900")
    assert "names no model" in wrong.warning[0].value
    unknown = _open(shop, view="whatif", models="nobody/nothing")
    assert "the price list has no nobody/nothing" in text_of(unknown)

"""Stated costs in reports, plans, exports, budgets and commands, against sums in plain Python."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from clickhouse_connect.driver.client import Client

from llmtrace_analysis.cost import focus, focus_columns, prices_in_use, report, stated_costs
from llmtrace_analysis.cost.planning import waste, what_if
from llmtrace_analysis.queries.scope import Scope
from llmtrace_analysis.queries.traces import span_detail, summaries
from llmtrace_cli.cost import commands, stated
from llmtrace_cli.main import cli
from llmtrace_collector.accounting.budgets import BudgetQuery, Budgets
from llmtrace_collector.accounting.price_book import PriceBook
from llmtrace_collector.settings import Budget, ModelPrice
from llmtrace_collector.store.store import Store, open_store

MONTH = Scope(datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))
DAY = datetime(2026, 11, 10, tzinfo=UTC)
#: USD of 1,000 input and 100 output tokens: by the list, and by the price that people set for `own`.
LISTED, OWN = 0.0035, 0.0011
#: Off the list's price of everything of openai.
DISCOUNT = 0.2

#: (provider, model, account, who states, USD, weight) of each call → what it costs, whether that is stated.
CALLS: list[tuple[tuple[str, str, str, str, object, int], float | None, bool]] = [
    # A biller's figure holds as it is: dearer than the list, nothing, without a price.
    (("openrouter", "openai/gpt-4o", "a", "openrouter", 0.005, 1), 0.005, True),
    (("openrouter", "openai/gpt-4o", "a", "openrouter", 0.0, 1), 0.0, True),
    (("openrouter", "nobody/knows", "a", "openrouter", 0.25, 4), 0.25, True),
    # What others computed is by a list, of which the discount is taken; a price of one's own goes before it.
    (("openai", "gpt-4o", "b", "litellm", 0.00352, 1), 0.00352 * (1 - DISCOUNT), True),
    (("openai", "own", "b", "litellm", 0.5, 1), OWN * (1 - DISCOUNT), False),
    (("openai", "unlisted", "b", "logfire", 0.125, 2), 0.125 * (1 - DISCOUNT), True),
    # A 0 of theirs says that they know no price; what can be no cost says nothing.
    (("openai", "gpt-4o", "c", "litellm", 0.0, 1), LISTED * (1 - DISCOUNT), False),
    (("openai", "unlisted", "c", "litellm", 0.0, 3), None, False),
    (("openai", "gpt-4o", "c", "logfire", "NaN", 1), LISTED * (1 - DISCOUNT), False),
    # Nobody states anything.
    (("openai", "gpt-4o", "d", "", "", 1), LISTED * (1 - DISCOUNT), False),
    (("openai", "unlisted", "d", "", "", 1), None, False),
]


def _span(number: int, provider: str, model: str, account: str, by: str, cost: object, weight: int) -> Any:
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": provider,
        "gen_ai.request.model": model,
        "gen_ai.usage.input_tokens": "1000",
        "gen_ai.usage.output_tokens": "100",
        "llmtrace.account": account,
        "llmtrace.sample.weight": str(weight),
    }
    if by:
        attributes |= {"llmtrace.usage.stated_cost": str(cost), "llmtrace.usage.stated_by": by}
    at = DAY + timedelta(hours=number)
    return {
        "Timestamp": at.strftime("%Y-%m-%d %H:%M:%S"),
        "TraceId": f"{number:032x}",
        "SpanId": f"{number:016x}",
        "SpanKind": "Client",
        "SpanAttributes": attributes,
    }


def total(*, of_stated: bool | None = None) -> float:
    """USD of all calls by the table above, or of those whose cost is stated, or is not."""
    return sum(
        cost * call[-1]
        for call, cost, holds in CALLS
        if cost is not None and (of_stated is None or holds is of_stated)
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    opened = open_store(f"chdb://{tmp_path_factory.mktemp('stated')}", 3650)
    opened.insert_rows("otel_traces", [_span(n, *call) for n, (call, _, _) in enumerate(CALLS)])
    opened.insert_rows(
        "own_discounts",
        [{"Project": "", "Provider": "openai", "Model": "", "ValidFrom": 0, "Percent": 100 * DISCOUNT}],
    )
    own = ModelPrice(model="own", input_per_million=1.0, output_per_million=1.0)
    PriceBook(opened, (own,)).sync()
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def client(store: Store) -> Iterator[Client]:
    opened = store.client
    yield opened
    opened.close()


def run(client: Client, *words: str) -> Result:
    """`llmtrace cost …` of the month, over the store."""

    @contextmanager
    def reader(context: click.Context, url: str | None) -> Iterator[Client]:
        yield client

    period = ["--from", MONTH.since.isoformat(), "--to", MONTH.until.isoformat()]
    with pytest.MonkeyPatch.context() as patch:
        for module in (commands, stated):
            patch.setattr(module, "store_reader", reader)
        done = CliRunner().invoke(cli, ["cost", *words, *period])
    assert done.exit_code == 0, done.output
    return done


@pytest.mark.parametrize("by", [(), ("day",), ("stated_by",), ("trace",)])
def test_sums_take_the_stated_cost_first(client: Client, by: tuple[str, ...]) -> None:
    """Of hours as of single calls; a sampled call counts as often as it stands for."""
    data = report.report(client, MONTH, by)
    assert data["cost"].sum() == pytest.approx(total(), rel=1e-9)
    assert data["stated_cost"].sum() == pytest.approx(total(of_stated=True), rel=1e-9)
    assert data["stated_calls"].sum() == sum(call[-1] for call, _, holds in CALLS if holds)
    assert data["unpriced_calls"].sum() == sum(call[-1] for call, cost, _ in CALLS if cost is None)
    parts = [name for name in map(str, data) if name.endswith("_cost") and name != "list_cost"]
    assert data[parts].sum().sum() == pytest.approx(total(), rel=1e-9)


def test_a_report_says_what_part_is_stated(client: Client) -> None:
    share = total(of_stated=True) / total()
    assert stated_costs.stated_share(total(of_stated=True), total()) == pytest.approx(share)
    counted = sum(call[-1] for call, _, _ in CALLS)
    assert f"stated by answers: 9 of {counted} calls, {share:.0%} of the cost" in run(client, "report").stderr
    assert stated_costs.stated_share(0.0, float("nan")) is None


def test_differences_are_listed_by_model_provider_and_account(client: Client) -> None:
    data = stated_costs.stated_costs(client, MONTH)
    rows = {(row["model"], row["account"], row["stated_by"]): row for row in data.to_dict("records")}
    # What the list is held against is what the stated cost stands for: the list's price, or what is paid.
    routed = rows["openai/gpt-4o", "a", "openrouter"]
    assert (routed["stated"], routed["computed"]) == (0.005, pytest.approx(2 * LISTED))
    assert routed["difference"] == pytest.approx(0.005 - 2 * LISTED)
    assert routed["share"] == pytest.approx((0.005 - 2 * LISTED) / (2 * LISTED))
    assert (routed["biller"], routed["holds"], routed["calls"]) == (True, True, 2)
    near = rows["gpt-4o", "b", "litellm"]
    assert (near["computed"], near["biller"], near["holds"]) == (pytest.approx(LISTED), False, True)
    own = rows["own", "b", "litellm"]
    assert (own["computed"], own["holds"]) == (pytest.approx(OWN), False)
    unknown = rows["nobody/knows", "a", "openrouter"]
    assert unknown["stated"] == 1.0
    assert unknown["computed"] != unknown["computed"]
    listed = stated_costs.differing(data)
    # Within 1 % and without a price in the book are no differences; the greatest comes first.
    assert listed["model"].to_list() == ["own", "openai/gpt-4o"]
    assert len(stated_costs.differing(data, 0.005)) == 3


def test_the_command_lists_differences_and_what_is_not_used(client: Client) -> None:
    rows = json.loads(run(client, "stated", "--format", "json").stdout)
    assert [(row["provider"], row["model"], row["account"]) for row in rows] == [
        ("openai", "own", "b"),
        ("openrouter", "openai/gpt-4o", "a"),
    ]
    assert len(json.loads(run(client, "stated", "--over", "0.5", "--format", "json").stdout)) == 3
    assert len(json.loads(run(client, "stated", "--all", "--format", "json").stdout)) == 5
    by_model = json.loads(run(client, "stated", "--by", "model", "--all", "--format", "json").stdout)
    assert "account" not in by_model[0]
    done = run(client, "stated", "--model", "gpt-4o")
    assert "no stated cost differs from the computed one by more than 1 %" in done.stdout
    assert "not used: 1 calls of openai/gpt-4o: litellm states 0, and may know no price" in done.stderr
    assert "unlisted" not in done.stderr
    assert "refused: 1 calls of openai/gpt-4o: what logfire states can be no cost in USD" in done.stderr
    assert "no call states a cost" in run(client, "stated", "--model", "nothing").stdout


def test_help_has_examples() -> None:
    helped = CliRunner().invoke(cli, ["cost", "stated", "--help"]).output
    assert "Examples:" in helped
    assert "--over" in helped


def test_the_export_has_one_line_for_what_is_stated(client: Client) -> None:
    data = focus.export(client, MONTH)
    assert focus_columns.violations(data) == []
    assert data["BilledCost"].sum() == pytest.approx(total(), rel=1e-9)
    lines = data[data["x_TokenKind"] == "stated"]
    assert lines["BilledCost"].sum() == pytest.approx(total(of_stated=True), rel=1e-9)
    assert set(lines["x_PriceSource"]) == {"stated by openrouter", "stated by litellm", "stated by logfire"}
    assert lines["ConsumedQuantity"].sum() == 9


def test_prices_in_use_say_where_a_cost_comes_from(client: Client) -> None:
    data = prices_in_use.by_price(client, MONTH)
    of_stated = data[data["source"].str.startswith("stated by ")]
    assert of_stated["cost"].sum() == pytest.approx(total(of_stated=True), rel=1e-9)
    assert of_stated["input_price"].isna().all()
    assert data["cost"].sum() == pytest.approx(total(), rel=1e-9)


def test_a_budget_says_what_part_is_stated(store: Store) -> None:
    budgets = Budgets(
        store, [Budget(name="month", limit=5, window="month"), Budget(name="calls", limit=9, unit="requests")]
    )
    budgets.count(DAY + timedelta(days=10))
    answer = budgets.answer(BudgetQuery())
    assert answer is not None
    month, calls = answer.budgets
    assert month.spent == pytest.approx(total(), rel=1e-9)
    assert month.stated_share == pytest.approx(total(of_stated=True) / total(), rel=1e-9)
    assert calls.stated_share == 0.0


def test_a_span_says_who_states_its_cost_and_what_the_book_computes(client: Client) -> None:
    for number, (call, cost, holds) in enumerate(CALLS):
        detail = span_detail(client, f"{number:032x}", f"{number:016x}")
        assert detail is not None
        assert detail.cost == (None if cost is None else pytest.approx(cost, rel=1e-9)), call
        assert detail.stated_by == (call[3] if holds else ""), call
        summary = summaries(client, [f"{number:032x}"])[f"{number:032x}"]
        assert (summary.cost, summary.unpriced) == (detail.cost, int(cost is None)), call
        assert summary.stated == (detail.cost if holds else 0.0), call


def test_plans_compare_lists_with_lists(client: Client) -> None:
    """What another model would cost is by the list: so is what it is held against."""
    mix = what_if.mix(client, MONTH)
    listed = mix[(mix["provider"] == "openai") & (mix["model"] == "gpt-4o")]
    assert listed["cost"].sum() == pytest.approx(4 * LISTED)
    assert waste.waste(client, MONTH)["cost"].sum() == 0


def test_a_forecast_says_what_part_of_its_history_is_stated(client: Client) -> None:
    costs = report.daily_costs(client, MONTH)
    assert costs["cost"].sum() == pytest.approx(total(), rel=1e-9)
    assert costs["stated_cost"].sum() == pytest.approx(total(of_stated=True), rel=1e-9)
    assert report.daily(client, MONTH).equals(costs["cost"])

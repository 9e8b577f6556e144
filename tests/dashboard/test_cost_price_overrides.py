"""Price overrides: discounts, own prices of a tier, reserved capacity; sampled calls, limits and accounts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest
from clickhouse_connect.driver.client import Client
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from llmtrace_analysis.cost import fixed_costs, price_books, report
from llmtrace_analysis.cost.planning import capacity, savings, waste
from llmtrace_analysis.queries.scope import Scope
from llmtrace_collector.accounting.price_book import LIST_NAME, PriceBook
from llmtrace_collector.pricing.discounts import Discount, discounts, shares
from llmtrace_collector.store.store import Store, open_store

from .prices_app import prices_app

DAY = datetime(2026, 11, 10, tzinfo=UTC)
MONTH = Scope(datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))
#: USD of gpt-4o for 1000 fresh tokens in and 100 out.
ONE = (1000 * 2.5 + 100 * 10) / 1e6


def span(number: int, **fields: object) -> dict[str, object]:
    """A call of gpt-4o, 1000 in and 100 out; `fields` change it, `attributes` are added."""
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": str(fields.get("provider", "openai")),
        "gen_ai.request.model": str(fields.get("model", "gpt-4o")),
        "gen_ai.usage.input_tokens": str(fields.get("input", 1000)),
        "gen_ai.usage.output_tokens": str(fields.get("output", 100)),
        "user.id": str(fields.get("user", "ann")),
    }
    extra = fields.get("attributes", {})
    assert isinstance(extra, dict)
    at = DAY + timedelta(hours=number)
    return {
        "Timestamp": at.strftime("%Y-%m-%d %H:%M:%S"),
        "TraceId": f"{number:032x}",
        "SpanId": f"{number:016x}",
        "SpanKind": "Client",
        "Duration": 2_000_000_000,
        "StatusCode": "Error" if fields.get("failed") else "Unset",
        "ResourceAttributes": {"llmtrace.project": str(fields.get("project", "default"))},
        "SpanAttributes": attributes | extra,
    }


CALLS = [
    span(0, project="shop"),
    span(24, project="shop"),
    span(1, project="lab"),
    span(2, user="tier", attributes={"openai.response.service_tier": "batch"}),
    span(3, user="tier", attributes={"llmtrace.response.service_tier": "provisioned_throughput"}),
    span(4, user="tier", attributes={"llmtrace.response.cache_hit": "true"}),
    span(5, user="ten", attributes={"llmtrace.sample.weight": "10", "llmtrace.tags": '["b", "a"]'}),
    span(6, user="fixed", provider="azure.ai.openai", model="ptu-deployment"),
    span(7, user="long", input=50_000, output=10),
    span(8, user="gone", failed=True, attributes={"llmtrace.counted": "false"}),
    span(
        9,
        user="limits",
        attributes={
            "llmtrace.account": "key-abc",
            "http.response.status_code": "429",
            "llmtrace.ratelimit.requests.limit": "100",
            "llmtrace.ratelimit.requests.remaining": "5",
        },
    ),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    opened = open_store(f"chdb://{tmp_path_factory.mktemp('overrides')}", 3650)
    opened.insert_rows("otel_traces", CALLS)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def prices_api(store: Store) -> Iterator[TestClient]:
    price_book = PriceBook(store, ())
    price_book.sync()
    app = prices_app(store, price_book)
    with TestClient(app) as client:
        yield client


@pytest.fixture(scope="module")
def client(store: Store, prices_api: TestClient) -> Iterator[Client]:
    opened = store.client
    yield opened
    opened.close()


@pytest.fixture(autouse=True)
def _list_prices(prices_api: TestClient) -> Iterator[None]:
    """Each test leaves the public list's book in effect."""
    yield
    assert prices_api.post("/v1/prices/book", json={"book": LIST_NAME, "actor": "tests"}).status_code == 200


def costs(client: Client, by: str, scope: Scope = MONTH) -> dict[str, float]:
    data = report.report(client, scope, [by])
    return dict(zip(data[by], data["cost"], strict=True))


def test_a_discount_holds_for_its_project_from_its_day_on(client: Client, prices_api: TestClient) -> None:
    before = report.report(client, MONTH, ["project"]).set_index("project")
    bodies = [
        {"percent": 10, "provider": "openai"},
        {"percent": 50, "project": "shop", "valid_from": "2026-11-11"},
    ]
    for body in bodies:
        assert prices_api.put("/v1/prices/discounts", json=body).status_code == 200
    after = report.report(client, MONTH, ["project"]).set_index("project")
    assert before.loc["shop", "cost"] == pytest.approx(2 * ONE)
    # Its own discount goes before that of all: 10 % on the first day, 50 % on the second.
    assert after.loc["shop", "cost"] == pytest.approx(0.9 * ONE + 0.5 * ONE)
    assert after.loc["lab", "cost"] == pytest.approx(0.9 * ONE)
    assert after["list_cost"].to_dict() == pytest.approx(before["cost"].to_dict())
    parts = ["input_cost", "cache_read_cost", "cache_write_cost", "output_cost", "media_cost", "request_cost"]
    assert after[parts].sum(axis=1).to_dict() == pytest.approx(after["cost"].to_dict())
    # Calls and hours agree, to the day.
    rows = client.query("SELECT Project, sum(Cost * Weight) FROM call_cost GROUP BY Project").result_rows
    assert {row[0]: row[1] for row in rows} == pytest.approx(after["cost"].to_dict())
    prices_api.post("/v1/prices/book", json={"book": LIST_NAME})
    assert costs(client, "project") == pytest.approx(before["cost"].to_dict())
    for body in bodies:
        prices_api.put("/v1/prices/discounts", json={**body, "percent": 0})
    assert costs(client, "project") == pytest.approx(before["cost"].to_dict())


_NAMES = st.sampled_from(["", "a", "b"])
_RULES: st.SearchStrategy[list[dict[str, object]]] = st.lists(
    st.fixed_dictionaries(
        {
            "Project": _NAMES,
            "Provider": _NAMES,
            "Model": _NAMES,
            "ValidFrom": st.integers(0, 5).map(lambda day: day * 86_400),
            "Percent": st.sampled_from([0.0, 10.0, 25.0, 100.0]),
        }
    ),
    max_size=6,
    unique_by=lambda row: (row["Project"], row["Provider"], row["Model"], row["ValidFrom"]),
)


@given(_RULES, st.sampled_from(["a", "b"]), st.sampled_from(["a", "b"]), st.integers(0, 6))
def test_of_the_discounts_that_fit_the_most_specific_holds(
    rows: list[dict[str, object]], project: str, model: str, day: int
) -> None:
    rules = discounts(rows)
    applied = shares(rules, project, "a", model)
    assert all(first.end <= second.start for first, second in pairwise(applied))
    at = day * 86_400 + 1
    holding = [rule for rule in rules if rule.fits(project, "a", model) and rule.start <= at < rule.end]
    best = max(holding, key=lambda rule: rule.rank, default=Discount("", "", "", 0, 0.0))
    factor = next((share.factor for share in applied if share.start <= at < share.end), 1.0)
    assert factor == pytest.approx(1 - best.percent / 100)


def test_capacity_that_is_paid_anyway_costs_nothing_by_the_token(
    client: Client, prices_api: TestClient
) -> None:
    tiers = report.report(client, MONTH, ["tier"]).set_index("tier")
    assert tiers["unpriced_calls"]["provisioned_throughput"] == 0
    assert tiers["cost"]["provisioned_throughput"] == 0
    assert tiers.loc["response_cache", "cost"] == 0
    line = {"kind": "reserved", "name": "PTU East", "provider": "azure.ai.openai", "model": "ptu-deployment",
            "units": 50, "price": 2.0, "valid_from": "2026-11-10", "valid_to": "2026-11-12"}  # fmt: skip
    assert report.report(client, MONTH, ["user"]).set_index("user").loc["fixed", "unpriced_calls"] == 1
    assert prices_api.put("/v1/cost/fixed/ptu-1", json=line).status_code == 200
    covered = report.report(client, MONTH, ["user"]).set_index("user").loc["fixed"]
    assert (covered["unpriced_calls"], covered["cost"]) == (0, 0.0)
    paid = fixed_costs.amortised(fixed_costs.lines(client), MONTH)
    assert paid["cost"].to_list() == [50 * 2.0 * 24] * 2
    assert prices_api.put("/v1/cost/fixed/ptu-1", json={**line, "removed": True}).status_code == 200
    assert fixed_costs.lines(client).empty
    backwards = prices_api.put("/v1/cost/fixed/x", json={**line, "valid_to": "2026-11-01"})
    assert (backwards.status_code, backwards.json()["detail"]) == (422, "valid_to must be after valid_from")
    endless = {**line, "period": "total", "valid_to": None}
    assert prices_api.put("/v1/cost/fixed/x", json=endless).status_code == 422


@pytest.mark.parametrize(
    ("period", "start", "end", "expected"),
    [
        ("hour", "2026-11-01", "2026-12-01", 30 * 24 * 3.0),
        ("month", "2026-10-16", "2026-11-16", 3.0 / 2),
        ("total", "2026-11-21", "2026-12-11", 3.0 / 2),
    ],
)
def test_fixed_lines_are_spread_over_the_time_they_are_paid_for(
    period: str, start: str, end: str, expected: float
) -> None:
    line = {
        "id": "x", "kind": "gpu", "name": "n", "project": "", "provider": "", "model": "", "units": 1.0,
        "price": 3.0, "currency": "USD", "period": period, "start": pd.Timestamp(start).timestamp(),
        "end": pd.Timestamp(end).timestamp(), "note": "",
    }  # fmt: skip
    assert fixed_costs.amortised(pd.DataFrame([line]), MONTH)["cost"].sum() == pytest.approx(expected)


def test_waiting_and_caches_are_savings_against_the_standard_price(client: Client) -> None:
    saved = savings.savings(client, MONTH).set_index("kind")
    assert saved.loc["batch", "saved"] == pytest.approx(ONE / 2)
    assert saved.loc["response_cache", "saved"] == pytest.approx(ONE)
    wasted = waste.waste(client, MONTH).set_index("kind")
    assert (wasted["calls"]["retry"], wasted["input_tokens"]["retry"]) == (1, 1000)
    assert wasted.loc["retry", "cost"] == pytest.approx(ONE)
    assert wasted.loc["long_context", "calls"] == 1
    assert wasted.loc["long_context", "cost"] == pytest.approx(30_000 * 2.5 / 1e6)


def test_a_sampled_call_counts_as_often_as_it_stands_for(client: Client) -> None:
    hours = report.report(client, MONTH, ["user"]).set_index("user").loc["ten"]
    calls = report.report(client, MONTH, ["user", "session"]).set_index("user").loc["ten"]
    for row in (hours, calls):
        assert (row["calls"], row["input_tokens"]) == (10, 10_000)
        assert row["cost"] == pytest.approx(10 * ONE)
    tags = report.report(client, MONTH, ["tag"]).set_index("tag")
    assert tags.loc[["a", "b"], "cost"].to_list() == [pytest.approx(10 * ONE)] * 2
    live = client.query("SELECT sum(Cost) FROM usage_cost WHERE UserId = 'ten'").result_rows
    assert live == [(pytest.approx(10 * ONE),)]


def test_a_price_of_a_tier_and_prices_from_a_file_make_books_of_their_own(
    client: Client, prices_api: TestClient, tmp_path: Path
) -> None:
    first = report.report(client, MONTH, ["tier"]).set_index("tier")["cost"]
    body = {"provider": "openai", "model": "gpt-4o", "input_per_million": 1.0, "output_per_million": 1.0,
            "service_tier": "batch", "per_request": 0.5}  # fmt: skip
    assert prices_api.put("/v1/prices", json=body).status_code == 200
    tiers = report.report(client, MONTH, ["tier"]).set_index("tier")["cost"]
    assert tiers["batch"] == pytest.approx(1100 / 1e6 + 0.5)
    assert tiers[""] == pytest.approx(first[""])

    file = tmp_path / "mine.csv"
    file.write_text("provider,model,input,output,cache_read,web_search\nopenai,gpt-4o,5,20,1,0.01\n")
    rows = price_books.read_prices(file)
    assert rows == [
        {"provider": "openai", "model": "gpt-4o", "input_per_million": 5, "output_per_million": 20,
         "cache_read_per_million": 1, "per_web_search": 0.01, "service_tier": "", "valid_from": "1970-01-01"}
    ]  # fmt: skip
    before = price_books.in_effect(client)
    prepared = prices_api.post("/v1/prices/update", json={"prices": rows, "dry_run": True}).json()["book"]
    assert price_books.in_effect(client) == before != prepared
    changes = price_books.differences(
        price_books.prices(client, before), price_books.prices(client, prepared)
    )
    assert {"input", "output", "cache_read", "web_search"} <= set(changes["price"])
    preview = price_books.reprice(client, MONTH, before, prepared)
    taken = prices_api.post("/v1/prices/update", json={"prices": rows}).json()["book"]
    assert taken == prepared == price_books.in_effect(client)
    after = report.report(client, MONTH, ["tier"]).set_index("tier")["cost"]
    assert preview["difference"].sum() == pytest.approx(after.sum() - tiers.sum())
    file.write_text("model,input\nx,1\n")
    with pytest.raises(ValueError, match="no column 'output'"):
        price_books.read_prices(file)


def test_another_public_list_waits_until_it_is_taken(store: Store, client: Client) -> None:
    store.insert_rows(
        "price_books", [{"Book": "genai-prices 0.1/2", "At": "4000000000.000", "Actor": "llmtrace"}]
    )
    price_book = PriceBook(store, ())
    price_book.sync()
    assert price_books.in_effect(client) == "genai-prices 0.1/2"
    for table in ("price_books", "books_in_effect"):
        store.mutate(f"ALTER TABLE {table} DELETE WHERE Book = 'genai-prices 0.1/2'")
    assert price_books.in_effect(client) == LIST_NAME


def test_accounts_and_latency_are_read_from_the_calls(client: Client) -> None:
    accounts = capacity.accounts(client, MONTH).set_index("account")
    assert accounts.loc["key-abc", "cost"] == pytest.approx(ONE)
    assert accounts.loc["key-abc", "failure_rate"] == 0
    measured = capacity.latency(client, MONTH)
    openai = measured[measured["provider"] == "openai"].set_index("capacity")
    assert {"reserved", "pay as you go", "batch"} <= set(openai.index)
    assert openai.loc["reserved", "p95_seconds"] == pytest.approx(2.0)
    assert openai.loc["reserved", "cost_per_call"] == 0
    assert json.loads(measured.to_json(orient="records"))

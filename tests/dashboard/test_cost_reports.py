"""Reports, waste and savings over spans in a real store, against sums in plain Python."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest
from clickhouse_connect.driver.client import Client
from fastapi.testclient import TestClient

from llmtrace_analysis.cost import closed_months, prices_in_use, report
from llmtrace_analysis.cost.planning import savings, waste
from llmtrace_analysis.cost.priced_usage import UnknownDimension
from llmtrace_analysis.queries.scope import BILLED_PURPOSES, Scope
from llmtrace_collector.accounting.price_book import PriceBook
from llmtrace_collector.store.store import Store, open_store

from .prices_app import prices_app

DAY = datetime(2026, 11, 10, tzinfo=UTC)
MONTH = Scope(datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))
#: USD per million tokens of gpt-4o: input, cache read, output.
GPT_4O = (2.5, 1.25, 10.0)


def span(number: int, **fields: object) -> dict[str, object]:
    """A stored call: gpt-4o, 1000 input of which 400 cached, 100 output; `fields` change it."""
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": fields.get("model", "gpt-4o"),
        "gen_ai.usage.input_tokens": str(fields.get("input", 1000)),
        "gen_ai.usage.cache_read.input_tokens": str(fields.get("cached", 400)),
        "gen_ai.usage.output_tokens": str(fields.get("output", 100)),
        "user.id": fields.get("user", "ann"),
        "session.id": fields.get("session", "s1"),
        "llmtrace.purpose": fields.get("purpose", ""),
        "llmtrace.tags": json.dumps(fields.get("tags", [])),
        "llmtrace.stream.abandoned": "true" if fields.get("abandoned") else "",
    }
    if fields.get("input", 1000) is None:
        del attributes["gen_ai.usage.input_tokens"], attributes["gen_ai.usage.output_tokens"]
        del attributes["gen_ai.usage.cache_read.input_tokens"]
    at = DAY + timedelta(hours=number, minutes=int(str(fields.get("minutes", 0))))
    return {
        "Timestamp": at.strftime("%Y-%m-%d %H:%M:%S"),
        "TraceId": f"{fields.get('trace', number):032x}",
        "SpanId": f"{number:016x}",
        "SpanKind": "Client",
        "StatusCode": "Error" if fields.get("failed") else "Unset",
        "InputMessages": fields.get("prompt", f"prompt {number}"),
        "SpanAttributes": attributes,
    }


CALLS: list[dict[str, object]] = [
    {"user": "ann", "session": "s1", "tags": ["search", "beta"]},
    {"user": "ann", "session": "s1", "output": 300},
    {"user": "bob", "session": "s2", "model": "local-model"},
    {"user": "bob", "session": "s2", "failed": True, "input": 2000, "output": 0},
    {"user": "bob", "session": "s3", "failed": True, "input": None},
    {"user": "bob", "session": "s3", "abandoned": True, "output": 50},
    {"user": "cid", "session": "s4", "prompt": "same"},
    {"user": "cid", "session": "s4", "prompt": "same", "minutes": -58},
    {"user": "dee", "session": "s4", "prompt": "same", "failed": True},
    {"user": "cid", "session": "s4", "prompt": "same", "model": "gpt-4o-mini", "trace": 7},
]


def gpt_4o(fields: dict[str, object]) -> float:
    """USD of a call, None-safe."""
    tokens = {
        name: fields.get(name, usual) for name, usual in (("input", 1000), ("cached", 400), ("output", 100))
    }
    if tokens["input"] is None:
        return 0.0
    read = int(str(tokens["cached"]))
    price = GPT_4O
    return (
        (int(str(tokens["input"])) - read) * price[0]
        + read * price[1]
        + int(str(tokens["output"])) * price[2]
    ) / 1e6


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    opened = open_store(f"chdb://{tmp_path_factory.mktemp('reports')}", 3650)
    opened.insert_rows("otel_traces", [span(n, **fields) for n, fields in enumerate(CALLS)])
    opened.insert_rows(
        "scores",
        [
            {"Timestamp": "2026-11-10 12:00:00", "TraceId": f"{trace:032x}", "Name": "solved", "Value": value}
            for trace, value in ((0, 1.0), (0, 0.0), (1, 0.2), (7, 0.9))
        ],
    )
    PriceBook(opened, ()).sync()
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def client(store: Store) -> Iterator[Client]:
    opened = store.client
    yield opened
    opened.close()


def test_cost_by_model_and_user_adds_up_and_lists_what_has_no_price(client: Client) -> None:
    data = report.report(client, MONTH, ["model", "user"])
    expected: defaultdict[str, float] = defaultdict(float)
    for fields in CALLS:
        if fields.get("model", "gpt-4o") == "gpt-4o":
            expected[str(fields["user"])] += gpt_4o(fields)
    costs = data[data["model"] == "gpt-4o"].set_index("user")["cost"].to_dict()
    assert costs == {user: pytest.approx(cost, rel=1e-9) for user, cost in expected.items()}
    (local,) = data[data["model"] == "local-model"].to_dict("records")
    assert pd.isna(local["cost"])
    assert local["unpriced_calls"] == local["calls"] == 1
    parts = data[["input_cost", "cache_read_cost", "cache_write_cost", "output_cost", "request_cost"]]
    assert parts.sum(axis=1).to_list() == pytest.approx(data["cost"].fillna(0).to_list())
    (total,) = report.report(client, MONTH).to_dict("records")
    assert total["cost"] == pytest.approx(data["cost"].sum())
    assert (total["calls"], total["unpriced_calls"], total["calls_without_tokens"]) == (len(CALLS), 1, 1)
    (unknown,) = prices_in_use.unpriced(client, MONTH).to_dict("records")
    assert (unknown["provider"], unknown["model"], unknown["calls"]) == ("openai", "local-model", 1)


def test_sessions_and_tags_are_read_from_the_calls(client: Client) -> None:
    sessions = report.report(client, MONTH, ["session"]).set_index("session")
    assert sessions.loc["s1", "cost"] == pytest.approx(gpt_4o(CALLS[0]) + gpt_4o(CALLS[1]))
    assert sessions.loc["s3", "calls"] == 2
    tags = report.report(client, MONTH, ["tag"]).set_index("tag")
    assert tags["cost"][["search", "beta"]].to_list() == [pytest.approx(gpt_4o(CALLS[0]))] * 2
    assert tags.loc["", "calls"] == len(CALLS) - 1


def test_times_inside_an_hour_are_exact(client: Client) -> None:
    narrow = Scope(DAY + timedelta(minutes=30), DAY + timedelta(hours=1, minutes=30))
    (total,) = report.report(client, narrow).to_dict("records")
    assert (total["calls"], total["cost"]) == (1, pytest.approx(gpt_4o(CALLS[1])))


def test_cost_per_successful_outcome(client: Client) -> None:
    (row,) = report.per_success(client, MONTH, "solved", 0.5).to_dict("records")
    assert (row["outcomes"], row["successes"]) == (3, 2)
    (mini,) = (model_row for model_row in report.report(client, MONTH, ["model"]).to_dict("records")
               if model_row["model"] == "gpt-4o-mini")  # fmt: skip
    cost = gpt_4o(CALLS[0]) + gpt_4o(CALLS[1]) + gpt_4o(CALLS[7]) + mini["cost"]
    assert row["cost_per_success"] == pytest.approx(cost / 2)
    assert report.per_success(client, MONTH, "no such score", 0.5)["cost_per_success"].isna().all()


def test_waste_is_failed_abandoned_and_repeated_calls_each_once(client: Client) -> None:
    by_kind = {row["kind"]: row for row in waste.waste(client, MONTH).to_dict("records")}
    assert by_kind["failed"]["calls"] == 2
    assert by_kind["failed"]["cost"] == pytest.approx(gpt_4o(CALLS[3]) + gpt_4o(CALLS[8]))
    assert by_kind["abandoned"]["calls"] == 1
    assert by_kind["abandoned"]["cost"] == pytest.approx(gpt_4o(CALLS[5]))
    # The same prompt to another model, or after a failure alone, is no repeat.
    assert by_kind["duplicate"]["calls"] == 1
    assert by_kind["duplicate"]["cost"] == pytest.approx(gpt_4o(CALLS[7]))
    saved, *others = savings.savings(client, MONTH).to_dict("records")
    assert [(row["kind"], row["saved"]) for row in others] == [("batch", 0.0), ("response_cache", 0.0)]
    assert saved["tokens"] == 400 * (len(CALLS) - 1)
    assert saved["unpriced_tokens"] == 400
    nothing = Scope(datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 1, 2, tzinfo=UTC))
    assert waste.waste(client, nothing)["calls"].sum() == 0


def test_days_without_calls_cost_nothing(client: Client) -> None:
    costs = report.daily(client, MONTH)
    assert len(costs) == 30
    assert costs[costs > 0].index.to_list() == [pd.Timestamp("2026-11-10")]


def test_a_closed_month_stays_and_what_comes_late_is_an_adjustment(store: Store, client: Client) -> None:
    app = prices_app(store, PriceBook(store, ()))
    # A provider bills what a judge asked as well; simulated calls it never saw.
    purposes = ["product", "product", "judge", "simulated"]
    early = [span(-24 * 20 - hour, user="fin", purpose=purpose) for hour, purpose in enumerate(purposes)]
    store.insert_rows("otel_traces", early)
    october = Scope(datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC))
    assert report.report(client, october)["calls"].sum() == 2
    (total,) = report.report(client, replace(october, purposes=BILLED_PURPOSES)).to_dict("records")
    with TestClient(app) as prices_api:
        closed = prices_api.post("/v1/cost/close", json={"month": "2026-10", "actor": "fin"})
        assert closed.json() == {"month": "2026-10", "rows": 1, "cost": pytest.approx(total["cost"])}
        assert (
            "closed already" in prices_api.post("/v1/cost/close", json={"month": "2026-10"}).json()["detail"]
        )
        assert "not over yet" in prices_api.post("/v1/cost/close", json={"month": "2099-01"}).json()["detail"]
        assert "no call" in prices_api.post("/v1/cost/close", json={"month": "2020-01"}).json()["detail"]
    assert closed_months.adjustments(client).empty
    store.insert_rows("otel_traces", [span(-24 * 20 - 5, user="late")])
    (late,) = closed_months.adjustments(client).to_dict("records")
    assert (late["month"], late["model"], late["calls_closed"], late["calls_now"]) == (
        "2026-10",
        "gpt-4o",
        3,
        4,
    )
    assert late["adjustment"] == pytest.approx(gpt_4o({}))
    assert late["cost_closed"] == pytest.approx(total["cost"])


def test_an_unknown_dimension_is_answered_with_the_known_ones(client: Client) -> None:
    with pytest.raises(UnknownDimension, match="there is no dimension 'colour'; there are project, "):
        report.report(client, MONTH, ["colour"])

"""Every number that the pages read, against a plain Python computation over the same traffic."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from statistics import quantiles

import pytest
from clickhouse_connect.driver.client import Client

from llmtrace_analysis.cost import over_time, prices_in_use, report
from llmtrace_analysis.cost.parts import CHARTED
from llmtrace_analysis.queries import incidents, traces, usage, webhooks
from llmtrace_analysis.queries.scope import Scope
from tests.dashboard.stack import Stack
from tests.dashboard.traffic import HOSTILE_USER, SpanData


@pytest.fixture(scope="module")
def client(stack: Stack) -> Client:
    return stack.reader()


@pytest.fixture(scope="module")
def scope(stack: Stack) -> Scope:
    # Whole buckets: what is read from calls and from buckets is the same then.
    end = datetime.fromtimestamp(stack.end // 10 * 10, UTC)
    return Scope(end - timedelta(minutes=40), end - timedelta(minutes=5))


def _calls(stack: Stack, scope: Scope) -> list[SpanData]:
    """The calls in the scope's ten-second buckets, as usage counts them."""
    calls = []
    for call in stack.traffic.calls():
        bucket = call.start // 10_000_000_000 * 10
        inside = scope.since.timestamp() <= bucket < scope.until.timestamp()
        if not inside or (scope.purposes and call.purpose not in scope.purposes):
            continue
        if scope.model and call.attributes["gen_ai.request.model"] != scope.model:
            continue
        if scope.user and call.attributes["user.id"] != scope.user:
            continue
        calls.append(call)
    return calls


def _number(call: SpanData, name: str) -> int:
    value = call.attributes.get(f"gen_ai.usage.{name}", 0)
    assert isinstance(value, int)
    return value


def _cost(client: Client, calls: list[SpanData]) -> float:
    """USD by the price table, token by token, of the calls that have a price."""
    prices = {
        (row[0], row[1], row[2]): row[3:]
        for row in client.query(
            "SELECT Provider, Model, ResponseModel, InputPrice, CacheReadPrice, OutputPrice "
            "FROM prices FINAL WHERE Priced"
        ).result_rows
    }
    total = 0.0
    for call in calls:
        key = (
            call.attributes["gen_ai.provider.name"],
            call.attributes["gen_ai.request.model"],
            call.attributes.get("gen_ai.response.model", ""),
        )
        if key in prices:
            input_price, cache_read_price, output_price = prices[key]
            read = _number(call, "cache_read.input_tokens")
            total += (_number(call, "input_tokens") - read) * input_price
            total += read * (input_price if cache_read_price is None else cache_read_price)
            total += _number(call, "output_tokens") * (output_price or 0)
    return total


@pytest.mark.parametrize(
    "chosen",
    [
        {},
        {"purposes": ()},
        {"purposes": ("simulated",)},
        {"purposes": ("product", "judge")},
        {"model": "gpt-4o"},
        {"user": "ada"},
        {"user": HOSTILE_USER},
    ],
)
def test_totals_are_those_of_the_calls(
    stack: Stack, client: Client, scope: Scope, chosen: dict[str, str | tuple[str, ...]]
) -> None:
    asked = Scope(scope.since, scope.until + timedelta(minutes=5), **chosen)  # type: ignore[arg-type]
    calls = _calls(stack, asked)
    assert calls
    totals = usage.totals(client, asked)
    assert totals.calls == len(calls)
    assert totals.errors == sum(bool(call.error) for call in calls)
    assert totals.without_tokens == sum("gen_ai.usage.input_tokens" not in call.attributes for call in calls)
    assert totals.input_tokens == sum(_number(call, "input_tokens") for call in calls)
    assert totals.output_tokens == sum(_number(call, "output_tokens") for call in calls)
    assert totals.cache_read_tokens == sum(_number(call, "cache_read.input_tokens") for call in calls)
    assert totals.reasoning_tokens == sum(_number(call, "reasoning.output_tokens") for call in calls)
    unpriced = [
        call for call in calls if call.attributes["gen_ai.provider.name"] in ("llmtrace", "<b>evil</b>")
    ]
    assert totals.unpriced == len(unpriced)
    if len(unpriced) == len(calls):
        assert totals.cost is None, "unpriced is never nothing"
    else:
        assert totals.cost == pytest.approx(_cost(client, calls))
    if len(calls) > 100:
        seconds = sorted(call.duration / 1e9 for call in calls)
        expected = quantiles(seconds, n=20)
        assert totals.p50 == pytest.approx(expected[9], rel=0.05)
        assert totals.p95 == pytest.approx(expected[18], rel=0.1)


def test_over_time_has_every_bucket_and_adds_up(stack: Stack, client: Client, scope: Scope) -> None:
    buckets = usage.over_time(client, scope).buckets
    counted = Counter(
        int(call.start // 1_000_000_000 // scope.step * scope.step) for call in _calls(stack, scope)
    )
    by_bucket = dict(zip(buckets["bucket"], buckets["calls"], strict=True))
    assert {bucket: number for bucket, number in by_bucket.items() if number} == counted
    assert list(buckets["bucket"].diff().dropna().unique()) == [scope.step]
    assert buckets["errors"].sum() == sum(bool(call.error) for call in _calls(stack, scope))
    empty = Scope(scope.since - timedelta(days=2), scope.until - timedelta(days=2))
    nothing = usage.over_time(client, empty)
    assert nothing.buckets["calls"].sum() == 0
    assert nothing.models.empty
    assert nothing.totals == nothing.before == usage.totals(client, empty) == usage.NOTHING


def test_the_window_before_is_measured_alike(stack: Stack, client: Client, scope: Scope) -> None:
    middle = scope.since + (scope.until - scope.since) / 2
    usage_over_time = usage.over_time(client, Scope(middle, scope.until))
    later, earlier = Scope(middle, scope.until), Scope(scope.since, middle)
    for whole, alone in ((usage_over_time.totals, later), (usage_over_time.before, earlier)):
        expected = asdict(usage.totals(client, alone))
        # Sums of floating point and merged digests hang on the order in which the engine adds.
        cost, *times = (expected.pop(name) for name in ("cost", "p50", "p95", "p99", "ttft_p50", "ttft_p95"))
        assert expected.items() <= asdict(whole).items()
        assert whole.cost == pytest.approx(cost)
        measured = [whole.p50, whole.p95, whole.p99, whole.ttft_p50, whole.ttft_p95]
        assert measured == pytest.approx(times, rel=0.02)
    assert usage_over_time.totals.calls
    assert usage_over_time.before.calls
    assert (
        usage_over_time.buckets["calls"].sum()
        == usage_over_time.models["calls"].sum()
        == usage_over_time.totals.calls
    )


def test_top_models_and_users_are_ranked_by_calls(stack: Stack, client: Client, scope: Scope) -> None:
    calls = _calls(stack, scope)
    models = usage.over_time(client, scope).models
    assert dict(zip(models["model"], models["calls"], strict=True)) == Counter(
        call.attributes["gen_ai.request.model"] for call in calls
    )
    assert list(models["calls"]) == sorted(models["calls"], reverse=True)
    users = usage.top_users(client, scope, limit=3)
    expected = sorted(
        Counter(str(call.attributes["user.id"]) for call in calls).items(), key=lambda x: (-x[1], x[0])
    )
    assert list(zip(users["user"], users["calls"], strict=True)) == expected[:3]


def test_facets_offer_what_was_seen(stack: Stack, client: Client, scope: Scope) -> None:
    whole = Scope(scope.since - timedelta(hours=1), scope.until + timedelta(hours=1))
    facets = usage.facets(client, whole)
    assert facets.projects == ("default",)
    assert set(facets.services) == {"support-agent", "inference", "evaluation"}
    assert "gpt-4o-mini" in facets.models
    assert "ada" in facets.users


def test_cost_splits_add_up_to_the_total(stack: Stack, client: Client, scope: Scope) -> None:
    total = _cost(client, _calls(stack, scope))
    for by in ("model", "user", "service", "provider", "experiment", "prompt", "session", "tier"):
        assert report.report(client, scope, [by])["cost"].sum() == pytest.approx(total)
    users = report.report(client, scope, ["user"])
    expected: dict[str, list[SpanData]] = defaultdict(list)
    for call in _calls(stack, scope):
        expected[str(call.attributes["user.id"])].append(call)
    assert dict(zip(users["user"], users["cost"], strict=True)) == {
        user: pytest.approx(_cost(client, calls)) for user, calls in expected.items()
    }
    dearest = tuple(users["user"][:2])
    series = over_time.over_time(client, scope, "user", dearest, 600, 7200)
    assert series["cost"].sum() == pytest.approx(total)
    assert set(series[series["named"] == 1]["key"]) == set(dearest)
    tagged = over_time.over_time(client, scope, "tag", ("beta",), 600, 7200)
    beta = [call for user in ("grace",) for call in expected[user]]
    assert tagged[tagged["key"] == "beta"]["cost"].sum() == pytest.approx(_cost(client, beta))
    parts = over_time.parts_over_time(client, scope, 600, 0)
    assert parts[list(CHARTED)].sum().sum() == pytest.approx(total), "the parts neither overlap nor miss any"


def test_prices_name_their_source_and_unpriced_models_have_none(
    stack: Stack, client: Client, scope: Scope
) -> None:
    by_price = prices_in_use.by_price(client, scope)
    assert len(by_price) == len(by_price[["provider", "model"]].drop_duplicates()), "one row per price"
    priced = by_price.set_index("model")
    assert priced.loc["gpt-4o-mini", "input_price"] == pytest.approx(0.15)
    assert priced.loc["gpt-4o-mini", "output_price"] == pytest.approx(0.6)
    assert str(priced.loc["gpt-4o-mini", "source"]).startswith("genai-prices")
    assert by_price["cost"].sum() == pytest.approx(_cost(client, _calls(stack, scope)))
    assert list(prices_in_use.unpriced(client, scope)["model"]) == ["acme-7b-instruct"]


def test_a_trace_is_summed_over_all_its_services(stack: Stack, client: Client) -> None:
    trace_id = next(span.trace_id for span in stack.traffic.spans if span.name == "prefill")
    spans = [span for span in stack.traffic.spans if span.trace_id == trace_id]
    summary = traces.summaries(client, [trace_id, "0" * 32])[trace_id]
    assert summary.spans == len(spans) == 9
    assert summary.calls == 1, "the server's span repeats its client's usage"
    assert summary.services == ("inference", "support-agent")
    assert summary.start_ns == min(span.start for span in spans)
    assert summary.end_ns == max(span.start + span.duration for span in spans)
    call = next(span for span in spans if span.kind == 3)
    assert summary.input_tokens == _number(call, "input_tokens")
    assert summary.cost is None
    assert summary.unpriced == 1
    question = json.loads(str(call.attributes["gen_ai.input.messages"]))[0]["parts"][0]["content"]
    assert summary.preview == question
    detail = traces.span_detail(client, trace_id, call.span_id)
    assert detail is not None
    assert detail.values["input_messages"] == call.attributes["gen_ai.input.messages"]
    assert detail.values["attributes"]["server.address"] == "api.llmtrace.example"
    assert detail.priced is False
    server = next(span for span in spans if span.kind == 2)
    repeated = traces.span_detail(client, trace_id, server.span_id)
    assert repeated is not None
    assert repeated.priced is None, "not counted, so neither priced nor unpriced"
    assert traces.span_detail(client, trace_id, "f" * 16) is None
    priced = next(span for span in stack.traffic.calls() if span.name == "chat gpt-4o" and not span.error)
    priced_summary = traces.summaries(client, [priced.trace_id])[priced.trace_id]
    assert priced_summary.cost == pytest.approx(_cost(client, [priced]))


def test_a_long_trace_is_cut_with_the_whole_still_counted(stack: Stack, client: Client) -> None:
    spans = traces.trace_spans(client, stack.deep_trace, limit=100)
    assert len(spans) == 100
    assert traces.summaries(client, [stack.deep_trace])[stack.deep_trace].spans == 5000


def test_an_incident_has_its_history_deliveries_and_metric(stack: Stack, client: Client) -> None:
    stack.put_incident("queries-1", project="another project")
    stack.put_delivery("queries-1", ok=False)
    incident = incidents.incident(client, "queries-1")
    assert incident is not None
    assert incident.dimensions["model"] == "claude-sonnet-4-5"
    assert incident.state == "open"
    assert [item.action for item in incidents.history(client, "queries-1")] == ["open"]
    attempt = incidents.deliveries(client, "queries-1")[0]
    assert (attempt.status_code, attempt.ok) == (503, False)
    assert abs(attempt.at - stack.end) < 1
    assert incidents.incident_list(client, "another project", ("resolved",)) == []
    assert [item.incident_id for item in incidents.incident_list(client, "another project")] == ["queries-1"]
    assert incidents.incident_counts(client, "another project") == {"open": 1}
    assert incidents.incident(client, "unknown") is None
    assert incidents.around(client, incident)["calls"].sum() == 0, "it looks at its own project alone"


def test_what_receivers_have_not_got_is_listed_until_it_arrives(stack: Stack, client: Client) -> None:
    def attempt(message: str, number: int, **changes: object) -> None:
        body = {
            "project": "undelivered",
            "delivery_id": message,
            "incident_id": "i",
            "event": "incident.opened",
            "at": datetime.now(UTC).isoformat(),
            "url": "https://hooks.example.com/llm",
            "attempt": number,
            "ok": False,
            "error": "answered 503",
            **changes,
        }
        stack._write("POST", "/v1/deliveries", body)

    for number in (1, 2):
        attempt("waits", number)
    attempt("arrived", 1)
    attempt("arrived", 2, ok=True, error="")
    attempt("forgotten", 1, at=(datetime.now(UTC) - timedelta(hours=3)).isoformat())
    attempt("superseded", 0, error="not sent: the incident was over before; incident.resolved says both")
    attempt("dropped", 1)
    attempt("dropped", 0, error="given up after 1440 minutes")
    (receiver,) = webhooks.undelivered(client, "undelivered")
    assert (receiver.url, receiver.waiting, receiver.dropped) == ("https://hooks.example.com/llm", 1, 1)
    assert receiver.error == "answered 503"
    assert receiver.since is not None
    assert datetime.now(UTC) - receiver.since < timedelta(minutes=5)
    attempt("waits", 3, ok=True, error="")
    (receiver,) = webhooks.undelivered(client, "undelivered")
    assert (receiver.waiting, receiver.since, receiver.dropped) == (0, None, 1)
    assert webhooks.undelivered(client, "nobody's") == []


@pytest.mark.parametrize("purposes", [("product",), ()])
def test_the_metric_around_an_incident_is_that_of_its_dimensions(
    stack: Stack, client: Client, purposes: tuple[str, ...]
) -> None:
    incident = incidents.incident(client, "anomaly-1")
    assert incident is not None
    data = incidents.around(client, incident, purposes)
    since, until, step = incidents.chart_window(incident)
    expected = sum(
        since.timestamp() // step * step <= call.start / 1e9 < until.timestamp() // 10 * 10
        for call in stack.traffic.calls()
        if "claude" in call.name and (not purposes or call.purpose in (*purposes, "simulated"))
    )
    assert expected > 20
    assert abs(int(data["calls"].sum()) - expected) <= 1, "the last bucket may be a part of one"

"""Incidents, deliveries and prices: written through endpoints, once."""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import Any

import genai_prices
import pytest
from genai_prices import Usage

from llmtrace_collector.accounting.price_book import PriceBook
from llmtrace_collector.settings import ModelPrice

from .otlp import llm, traces
from .running import CLIENT, Served


def report(**fields: object) -> dict[str, Any]:
    """An incident as detection puts it."""
    return {
        "project": "default",
        "fingerprint": "anomaly/latency/gpt-4o",
        "kind": "anomaly",
        "rule": "latency_p95",
        "severity": "warning",
        "state": "open",
        "title": "Latency of gpt-4o is up",
        "summary": "p95 9 s, expected 1 to 3 s",
        "metric": "latency_p95",
        "dimensions": {"model": "gpt-4o"},
        "observed": 9.0,
        "expected_low": 1.0,
        "expected_high": 3.0,
        "unit": "s",
        "opened_at": "2026-11-20T08:00:00Z",
        "last_seen_at": "2026-11-20T08:00:10.250Z",
        "evidence": ["0af7651916cd43dd8448eb211c80319c"],
        "count": 1,
        **fields,
    }


def incident(served: Served, name: str) -> dict[str, Any]:
    (row,) = served.rows("SELECT * FROM incidents WHERE IncidentId = {i:String}", i=name)
    return row


def history(served: Served, name: str) -> list[str]:
    text = "SELECT Action FROM incident_history WHERE IncidentId = {i:String} ORDER BY At"
    return [row["Action"] for row in served.rows(text, i=name)]


@pytest.mark.parametrize(
    "body",
    [
        b"NaN",
        b"[-Infinity]",
        b"1e400",
        b'{"\\ud800": "\\ud800"}',
        b'{"title": "\\udfff", "count": NaN}',
        b'{"title": ["secret-of-the-body"]}',
    ],
)
def test_what_cannot_be_quoted_is_refused_by_name(served: Served, body: bytes) -> None:
    for method, path in (
        ("PUT", "/v1/incidents/a"),
        ("POST", "/v1/incidents/a/acknowledge"),
        ("POST", "/v1/audit"),
        ("PUT", "/v1/prices"),
        ("POST", "/v1/keys"),
    ):
        headers = {"authorization": f"Bearer {served.admin_key}", "content-type": "application/json"}
        answer = CLIENT.request(method, served.url + path, content=body, headers=headers)
        assert answer.status_code == 422, path
        assert answer.json()["detail"]
        assert "secret-of-the-body" not in answer.text


@pytest.mark.parametrize("time", ["9999-12-31T23:59:59Z", "1969-01-01", 0, -1, 1e18])
@pytest.mark.parametrize("field", ["opened_at", "last_seen_at", "resolved_at"])
def test_times_that_the_store_cannot_hold_are_refused(served: Served, field: str, time: object) -> None:
    answer = served.write("PUT", "/v1/incidents/a", report(**{field: time}))
    assert answer.status_code == 422
    assert field in answer.text


def test_a_report_is_stored_once_and_grows(served: Served) -> None:
    name = str(uuid.uuid4())
    path = f"/v1/incidents/{name}"
    assert served.write("PUT", path, report()).json() == {"incident_id": name, "state": "open", "version": 1}
    assert served.write("PUT", path, report()).json()["version"] == 1
    seen = report(last_seen_at="2026-11-20T08:00:20+00:00", count=2, observed=9.5)
    assert served.write("PUT", path, seen).json()["version"] == 2
    row = incident(served, name)
    assert (row["Count"], row["Observed"], row["State"]) == (2, 9.5, "open")
    assert row["Dimensions"] == {"model": "gpt-4o"}
    assert row["LastSeenAt"].startswith("2026-11-20 08:00:20")
    assert history(served, name) == ["open"]
    done = report(state="resolved", last_seen_at="2026-11-20T08:00:20Z", count=2, observed=9.5)
    assert served.write("PUT", path, done).json()["state"] == "resolved"
    assert served.write("PUT", path, done).json()["version"] == 3
    assert incident(served, name)["ResolvedAt"].startswith("2026-11-20 08:00:20")
    # A report that comes late does not open it again.
    assert served.write("PUT", path, seen).json()["state"] == "resolved"
    assert history(served, name) == ["open", "resolve"]


def test_what_people_decide_stays(served: Served) -> None:
    name = str(uuid.uuid4())
    path = f"/v1/incidents/{name}"
    decision = {"actor": "ann@example.org", "note": "looking"}
    assert served.write("POST", f"{path}/acknowledge", decision).status_code == 404
    served.write("PUT", path, report())
    for _ in range(2):
        answer = served.write("POST", f"{path}/acknowledge", decision)
        assert answer.json() == {"incident_id": name, "state": "acknowledged", "version": 2}
    assert served.write("PUT", path, report(count=5)).json()["state"] == "acknowledged"
    row = incident(served, name)
    by = "ann@example.org (admin_key)"  # a name that is stated with a key, beside that key
    assert (row["AcknowledgedBy"], row["Count"], row["State"]) == (by, 5, "acknowledged")
    assert row["AcknowledgedAt"]
    assert served.write("POST", f"{path}/resolve", decision).json()["state"] == "resolved"
    assert served.write("POST", f"{path}/acknowledge", decision).json()["state"] == "resolved"
    assert history(served, name) == ["open", "acknowledge", "resolve"]


def test_a_label_is_somebodys_stays_and_can_be_taken_back(served: Served) -> None:
    name = str(uuid.uuid4())
    path = f"/v1/incidents/{name}"
    labelling = {"label": "noise", "actor": "ann", "note": "the nightly batch"}
    assert served.write("POST", f"{path}/label", labelling).status_code == 404
    served.write("PUT", path, report())
    assert served.write("POST", f"{path}/label", {"label": "odd"}).status_code == 422
    answer = served.write("POST", f"{path}/label", labelling).json()
    assert answer == {"incident_id": name, "state": "open", "version": 2, "label": "noise"}
    assert served.write("POST", f"{path}/label", {"label": "noise"}).json()["version"] == 2
    # Neither a report nor the end takes it away, and what is over can be labelled.
    served.write("PUT", path, report(count=7))
    served.write("PUT", path, report(state="resolved"))
    row = incident(served, name)
    assert (row["Label"], row["LabelledBy"], row["State"]) == ("noise", "ann (admin_key)", "resolved")
    assert row["LabelledAt"]
    assert served.write("POST", f"{path}/label", {"label": "useful"}).json()["label"] == "useful"
    assert incident(served, name)["Count"] == 1
    assert "label" not in served.write("POST", f"{path}/label", {"label": ""}).json()
    row = incident(served, name)
    assert (row["Label"], row["LabelledBy"], row["LabelledAt"]) == ("", "", None)
    assert history(served, name) == ["open", "label:noise", "resolve", "label:useful", "label:none"]
    text = "SELECT Note FROM incident_history WHERE IncidentId = {i:String} AND Note != ''"
    notes = served.rows(text, i=name)
    assert [row["Note"] for row in notes] == ["the nightly batch"]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"state": "acknowledged"}, "state"),
        ({"kind": "odd"}, "kind"),
        ({"surprise": 1}, "surprise"),
        ({"opened_at": "yesterday"}, "opened_at"),
        ({"title": "x" * 600}, "title"),
        ({"count": -1}, "count"),
    ],
)
def test_bad_reports_are_refused_with_the_field(served: Served, change: dict[str, object], word: str) -> None:
    answer = served.write("PUT", "/v1/incidents/bad", report(**change))
    assert answer.status_code == 422
    assert word in answer.text
    assert served.value("SELECT count() FROM incidents WHERE IncidentId = 'bad'") == "0"


def test_writing_needs_the_admin_key(served: Served) -> None:
    for method, path in (
        ("PUT", "/v1/incidents/x"),
        ("POST", "/v1/incidents/x/acknowledge"),
        ("POST", "/v1/incidents/x/resolve"),
        ("POST", "/v1/incidents/x/label"),
        ("POST", "/v1/deliveries"),
    ):
        for headers in ({}, {"authorization": "Bearer wrong"}):
            answer = CLIENT.request(method, f"{served.url}{path}", json={}, headers=headers)
            assert answer.status_code == 401
            assert "admin.key" in answer.text
    assert served.write("PUT", "/v1/incidents/a%20b", report()).status_code == 422


def test_quotes_in_texts_stay_text(served: Served) -> None:
    odd = "'; DROP TABLE x -- \\ \n \" \x07 é"
    assert (
        served.write("PUT", "/v1/incidents/odd", report(title=odd, dimensions={odd: odd})).status_code == 200
    )
    row = incident(served, "odd")
    assert (row["Title"], row["Dimensions"]) == (odd, {odd: odd})


def test_a_delivery_is_stored_once(served: Served) -> None:
    delivery = {
        "delivery_id": "d1",
        "incident_id": "i1",
        "event": "incident.opened",
        "at": "2026-11-20T08:00:00Z",
        "url": "https://hooks.example.org/x",
        "attempt": 1,
        "status_code": 503,
        "ok": False,
        "error": "Service Unavailable",
        "duration_ms": 12.5,
    }
    for _ in range(2):
        assert served.write("POST", "/v1/deliveries", delivery).status_code == 200
    assert served.write("POST", "/v1/deliveries", {**delivery, "attempt": 2, "ok": True}).status_code == 200
    rows = served.rows("SELECT Attempt, Ok, DurationMs FROM webhook_deliveries ORDER BY Attempt")
    assert [(row["Attempt"], row["Ok"], row["DurationMs"]) for row in rows] == [
        (1, False, 12.5),
        (2, True, 12.5),
    ]
    assert served.write("POST", "/v1/deliveries", {**delivery, "attempt": -1}).status_code == 422
    # Two watches may count the same attempt: that it arrived is not forgotten.
    assert served.write("POST", "/v1/deliveries", {**delivery, "attempt": 2}).status_code == 200
    counted = "SELECT Attempt, Ok FROM webhook_deliveries WHERE DeliveryId = 'd1' ORDER BY Attempt"
    assert [(row["Attempt"], row["Ok"]) for row in served.rows(counted)] == [(1, False), (2, True)]


@pytest.fixture(scope="module", autouse=True)
def _no_other_prices(served: Served) -> None:
    """The collector's own price task stops: it would put its prices in place of a test's."""
    served.collector.tasks[0].close()


def spent(served: Served, model: str) -> tuple[bool, Any]:
    """Whether the model has a price, and the cost of its calls in both views."""
    by_usage = served.rows(
        "SELECT min(Priced) AS p, sum(Cost) AS c FROM usage_cost WHERE Model = {m:String}", m=model
    )[0]
    by_span = served.rows(
        "SELECT sum(c.Cost) AS c FROM span_cost AS c JOIN otel_traces AS t USING (TraceId, SpanId) "
        "WHERE t.Model = {m:String}",
        m=model,
    )[0]
    assert by_usage["c"] == (None if by_span["c"] is None else pytest.approx(by_span["c"]))
    return bool(by_usage["p"]), by_usage["c"]


@pytest.mark.parametrize(
    ("provider", "model", "usage"),
    [
        ("openai", "gpt-4o-mini", {"input": 1000, "output": 200}),
        ("openai", "gpt-4o", {"input": 5000, "output": 100, "read": 4000}),
        ("anthropic", "claude-sonnet-4-5", {"input": 9000, "output": 300, "read": 5000, "write": 3000}),
        ("anthropic", "claude-3-5-haiku-latest", {"input": 700, "output": 0, "write": 700}),
    ],
)
def test_cost_is_that_of_the_price_list(
    served: Served, provider: str, model: str, usage: dict[str, int]
) -> None:
    values: dict[str, object] = {
        "gen_ai.provider.name": provider,
        "gen_ai.request.model": model,
        "gen_ai.response.model": None,
        "gen_ai.usage.input_tokens": usage["input"],
        "gen_ai.usage.output_tokens": usage["output"],
        "gen_ai.usage.cache_read.input_tokens": usage.get("read"),
        "gen_ai.usage.cache_write.input_tokens": usage.get("write"),
    }
    assert served.post(traces([llm(values), llm(values)])).status_code == 200
    served.stored()
    PriceBook(served.collector.store, ()).sync()
    expected = genai_prices.calc_price(
        Usage(
            input_tokens=usage["input"],
            output_tokens=usage["output"],
            cache_read_tokens=usage.get("read"),
            cache_write_tokens=usage.get("write"),
        ),
        model,
        provider_id=provider,
    ).total_price
    assert isinstance(expected, Decimal)
    assert spent(served, model) == (True, pytest.approx(2 * float(expected), rel=1e-9))


def test_unknown_models_are_unpriced_until_a_price_is_given(served: Served) -> None:
    local = {"gen_ai.provider.name": "my-server", "gen_ai.request.model": "gpt-4o-mini-local"}
    unknown_usage = {"gen_ai.usage.input_tokens": None, "gen_ai.usage.output_tokens": None}
    calls = [
        llm({**local, "gen_ai.response.model": "gpt-4o-mini"}),
        llm({"gen_ai.request.model": "no-such-model", "gen_ai.response.model": None}),
        llm({"gen_ai.request.model": "gpt-4.1", "gen_ai.response.model": None, **unknown_usage}),
    ]
    assert served.post(traces(calls)).status_code == 200
    served.stored()
    store = served.collector.store
    PriceBook(store, ()).sync()
    assert spent(served, "gpt-4o-mini-local") == (False, None)
    assert spent(served, "no-such-model") == (False, None)
    own = (
        ModelPrice(model="gpt-4o-mini-local", input_per_million=1.0, output_per_million=2.0),
        ModelPrice(model="no-such-model", provider="other", input_per_million=9.0, output_per_million=9.0),
    )
    price_book = PriceBook(store, own)
    assert price_book.sync() > 0
    assert price_book.sync() == 0
    assert spent(served, "gpt-4o-mini-local") == (True, pytest.approx((120 * 1.0 + 40 * 2.0) / 1e6))
    assert spent(served, "no-such-model") == (False, None)
    dearer = (own[0].model_copy(update={"input_per_million": 10.0}),)
    PriceBook(store, dearer).sync()
    assert spent(served, "gpt-4o-mini-local") == (True, pytest.approx((120 * 10.0 + 40 * 2.0) / 1e6))
    PriceBook(store, ()).sync()
    assert spent(served, "gpt-4o-mini-local") == (False, None)


def test_own_prices_come_before_the_list(served: Served) -> None:
    served.post(traces([llm({"gen_ai.request.model": "gpt-4.1-mini", "gen_ai.response.model": None})]))
    served.stored()
    own = ModelPrice(model="gpt-4.1-mini", provider="openai", input_per_million=0.0, output_per_million=0.0)
    PriceBook(served.collector.store, (own,)).sync()
    assert spent(served, "gpt-4.1-mini") == (True, 0.0)


def test_the_rollup_is_rebuilt_on_demand_by_administrators_alone(served: Served) -> None:
    assert served.post(traces([llm()])).status_code == 200
    served.stored()
    counted = "SELECT sum(Calls) AS calls, sum(InputTokens) AS tokens FROM usage_10s"
    (before,) = served.rows(counted)
    (day,) = served.rows("SELECT DISTINCT toString(toDate(Timestamp)) AS day FROM otel_traces WHERE Counted")
    assert CLIENT.post(f"{served.url}/v1/usage/rebuild", json={}).status_code == 401
    assert served.write("POST", "/v1/usage/rebuild", {"day": "yesterday"}).status_code == 422
    assert served.write("POST", "/v1/usage/rebuild", {"day": day["day"]}).json() == {"days": [day["day"]]}
    assert served.rows(counted) == [before]

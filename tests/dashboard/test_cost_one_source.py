"""The Cost page against itself and the command line: whatever was called, every figure is of one source."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import click
import pandas as pd
import pytest
from click.testing import CliRunner
from clickhouse_connect.driver.client import Client
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st

from llmtrace import semconv
from llmtrace_analysis.cost import closed_months, prices_in_use, report
from llmtrace_analysis.cost.parts import CHARTED
from llmtrace_analysis.cost.priced_usage import CALL_DIMENSIONS, REPEATING
from llmtrace_analysis.queries.scope import Scope
from llmtrace_analysis.settings import ExchangeRate
from llmtrace_cli.cost import commands
from llmtrace_cli.main import cli
from llmtrace_collector.accounting.price_book import LIST_NAME, PriceBook
from llmtrace_collector.store.store import Store, open_store

from .prices_app import prices_app

MONTH = Scope(datetime(2026, 9, 1, tzinfo=UTC), datetime(2026, 10, 1, tzinfo=UTC))
#: The rate changes within the month.
RATES = (
    {"currency": "EUR", "per_usd": 0.9, "since": "2020-01-01"},
    {"currency": "EUR", "per_usd": 0.8, "since": "2026-09-11"},
)
ENVIRONMENT = {"LLMTRACE_DASHBOARD__EXCHANGE_RATES": json.dumps(RATES)}
#: A model that a fixed line pays, and one without a price.
_MODELS = ("gpt-4o", "gpt-4o-mini", "gpt-4o-audio-preview", "ptu", "nobody-knows")
_TOKENS = st.integers(0, 9_000)
#: Who states a cost, and in USD: a biller, one that computes, one that knows no price, nobody.
_STATED = (("", ""), ("", ""), ("openrouter", "0.0125"), ("x_ai", "0"), ("litellm", "0.03"), ("litellm", "0"))


@st.composite
def calls(draw: st.DrawFn) -> dict[str, Any]:
    """One call as the store takes it; the tokens of each part are told apart by `_spans`."""
    return {
        "second": draw(st.integers(0, 30 * 86_400 - 1)),
        "project": draw(st.sampled_from(("shop", "lab"))),
        "model": draw(st.sampled_from(_MODELS)),
        "user": f"user-{draw(st.integers(0, 9))}",
        "session": draw(st.sampled_from(("s1", "s2", ""))),
        "tags": draw(st.lists(st.sampled_from(("a", "b", "c")), max_size=2, unique=True)),
        "tier": draw(st.sampled_from(("", "batch"))),
        "known": draw(st.integers(0, 4)) > 0,
        "stated": draw(st.sampled_from(_STATED)),
        "tokens": [draw(_TOKENS) for _ in range(6)],
    }


def _usage(tokens: list[int], contradicting: bool) -> dict[str, int]:
    """Token counts. Contradicting ones say of parts that they are more than the whole."""
    fresh, read, written, audio, answer, reasoning = tokens
    return {
        semconv.USAGE_INPUT_TOKENS: 3 * fresh if contradicting else fresh + read + written + audio,
        semconv.USAGE_CACHE_READ_INPUT_TOKENS: read,
        semconv.USAGE_CACHE_WRITE_INPUT_TOKENS: written,
        semconv.USAGE_AUDIO_INPUT_TOKENS: audio,
        semconv.USAGE_OUTPUT_TOKENS: answer if contradicting else answer + reasoning,
        semconv.USAGE_REASONING_OUTPUT_TOKENS: reasoning,
    }


def _span(number: int, call: dict[str, Any], contradicting: bool) -> dict[str, Any]:
    usage = _usage(call["tokens"], contradicting) if call["known"] else {}
    stated_by, stated_cost = call.get("stated", ("", ""))
    return {
        "Timestamp": (MONTH.since + timedelta(seconds=call["second"])).strftime("%Y-%m-%d %H:%M:%S"),
        "TraceId": f"{number:032x}",
        "SpanId": f"{number:016x}",
        "SpanKind": "Client",
        "StatusCode": "Unset" if call["known"] else "Error",
        "ResourceAttributes": {semconv.PROJECT: call["project"]},
        "SpanAttributes": {
            semconv.OPERATION_NAME: "chat",
            semconv.PROVIDER_NAME: "openai",
            semconv.REQUEST_MODEL: call["model"],
            semconv.USER_ID: call["user"],
            semconv.SESSION_ID: call["session"],
            semconv.TAGS: json.dumps(call["tags"]),
            semconv.OPENAI_RESPONSE_SERVICE_TIER: call["tier"],
            semconv.USAGE_STATED_BY: stated_by,
            semconv.USAGE_STATED_COST: stated_cost,
            **{name: str(count) for name, count in usage.items()},
        },
    }


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    opened = open_store(f"chdb://{tmp_path_factory.mktemp('one-source')}", 3650)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def client(store: Store) -> Iterator[Client]:
    opened = store.client
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def price_book(store: Store) -> PriceBook:
    return PriceBook(store, ())


@pytest.fixture(scope="module")
def prices_api(store: Store, price_book: PriceBook) -> Iterator[TestClient]:
    """The endpoints of prices. The list's book came first; the one in effect has a discount of one project
    from the eleventh on, a price of one's own, and a fixed line that pays a model's calls."""
    _fill(store, price_book, [], contradicting=False)
    app = prices_app(store, price_book)
    bodies: dict[str, dict[str, Any]] = {
        "/v1/prices/discounts": {"percent": 25, "project": "shop", "valid_from": "2026-09-11"},
        "/v1/prices": {
            "model": "gpt-4o-mini",
            "provider": "openai",
            "input_per_million": 7,
            "output_per_million": 11,
            "per_request": 0.01,
            "valid_from": "2026-09-16",
        },
        "/v1/cost/fixed/units": {
            "kind": "reserved",
            "name": "units",
            "units": 1,
            "price": 2.0,
            "provider": "openai",
            "model": "ptu",
            "valid_from": "2026-09-01",
        },
    }
    with TestClient(app, headers={"authorization": "Bearer admin"}) as api:
        for path, body in bodies.items():
            answer = api.put(path, json=body)
            assert answer.status_code == 200, (path, answer.text)
        yield api


def _fill(store: Store, price_book: PriceBook, rows: list[dict[str, Any]], contradicting: bool) -> None:
    """Let the store hold these calls alone."""
    for table in ("otel_traces", "usage_hour_closed", "usage_10s"):
        store.engine.execute(f"TRUNCATE TABLE {table}")
    spans = [_span(number, call, contradicting) for number, call in enumerate(rows)]
    store.insert_rows("otel_traces", spans)
    price_book.sync()


def _printed(client: Client, *words: str) -> tuple[list[dict[str, Any]], str]:
    """What `llmtrace cost report` prints of the month: its rows, and what it says beside them."""

    @contextmanager
    def reader(context: click.Context, url: str | None) -> Iterator[Client]:
        yield client

    period = ["--from", MONTH.since.isoformat(), "--to", MONTH.until.isoformat(), "--format", "json"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(commands, "store_reader", reader)
        done = CliRunner().invoke(cli, ["cost", "report", *words, *period], env=ENVIRONMENT)
    assert done.exit_code == 0, done.output
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows, done.stderr


def _same(data: pd.DataFrame, rows: Sequence[Mapping[Any, Any]]) -> None:
    """The frame's rows are those that were printed, in their order."""
    assert len(data) == len(rows)
    for ours, printed in zip(data.to_dict(orient="records"), rows, strict=True):
        assert {name: None if value != value else value for name, value in ours.items()} == {
            name: pytest.approx(value) if isinstance(value, float) else value
            for name, value in printed.items()
        }


@settings(max_examples=10)
@given(
    rows=st.lists(calls(), min_size=12, max_size=40),
    by=st.sampled_from(("model", "user", "tier", "project", "session", "tag")),
    split=st.sampled_from(("key", "part")),
    grid=st.sampled_from(((0, 0), (3600, 7200), (86_400, 0), (900, 0), (86_400, -19_800))),
    currency=st.sampled_from(("USD", "EUR")),
    older=st.booleans(),
    contradicting=st.booleans(),
)
def test_every_figure_is_the_sum_of_the_others_and_the_commands(
    store: Store,
    client: Client,
    prices_api: TestClient,
    price_book: PriceBook,
    rows: list[dict[str, Any]],
    by: str,
    split: str,
    grid: tuple[int, int],
    currency: str,
    older: bool,
    contradicting: bool,
) -> None:
    step, offset = grid
    # Counts that contradict each other are mended in each row of usage; an hour's row is of several calls.
    of_calls = by in CALL_DIMENSIONS or step == 900 or offset % 3600 != 0
    _fill(store, price_book, rows, contradicting and not of_calls)
    book = LIST_NAME if older else price_book.book
    assert prices_api.post("/v1/prices/book", json={"book": book, "actor": "tests"}).status_code == 200
    page = report.page(
        client,
        MONTH,
        by,
        split="part" if split == "part" else "key",
        step=step,
        offset=offset,
        currency=currency,
        rates=[ExchangeRate.model_validate(rate) for rate in RATES],
    )
    options = ["--currency", currency]
    (total,), stderr = _printed(client, *options)
    assert {name: None if value != value else value for name, value in page.totals.items()} == pytest.approx(
        total
    )
    _same(page.table, _printed(client, *options, "--by", by)[0])
    assert total["calls"] == len(rows)
    cost = pytest.approx(total["cost"] or 0.0)
    assert page.parts["cost"].sum() == cost
    if by not in REPEATING:
        assert page.table["cost"].sum() == cost
        assert page.table["calls"].sum() == len(rows)
    assert page.series["cost"].sum() == (cost if split == "part" else pytest.approx(page.table["cost"].sum()))
    assert set(page.series["key"]) <= {"", *CHARTED, *page.table[by]}
    missing = prices_in_use.unpriced(client, MONTH)
    _same(page.unpriced, missing.to_dict(orient="records"))
    assert page.unpriced["calls"].sum() == total["unpriced_calls"]
    # 30 days of a unit at two dollars an hour: beside the sums, never in them.
    assert "fixed lines, apart: 1,440.00 USD" in stderr


@settings(max_examples=4)
@given(rows=st.lists(calls(), min_size=12, max_size=40), by=st.sampled_from(("model", "user")))
def test_a_page_at_the_prices_of_another_book_is_the_page_when_that_book_is_in_effect(
    store: Store,
    client: Client,
    prices_api: TestClient,
    price_book: PriceBook,
    rows: list[dict[str, Any]],
    by: str,
) -> None:
    assert prices_api.post("/v1/prices/book", json={"book": price_book.book}).status_code == 200
    _fill(store, price_book, rows, contradicting=True)
    # Books other than the one in effect learn of new pairs when they take effect.
    assert prices_api.post("/v1/prices/book", json={"book": LIST_NAME}).status_code == 200
    in_effect = report.page(client, MONTH, by)
    assert prices_api.post("/v1/prices/book", json={"book": price_book.book}).status_code == 200
    chosen = report.page(client, MONTH, by, LIST_NAME)
    for name in ("totals", "table", "series", "parts", "unpriced"):
        ours, theirs = getattr(chosen, name), getattr(in_effect, name)
        equal = pd.testing.assert_series_equal if name == "totals" else pd.testing.assert_frame_equal
        equal(ours, theirs)


@pytest.mark.parametrize("currency", ["USD", "EUR"])
def test_a_page_of_no_calls_has_no_cost(
    store: Store, client: Client, prices_api: TestClient, price_book: PriceBook, currency: str
) -> None:
    _fill(store, price_book, [], contradicting=False)
    rates = [ExchangeRate.model_validate(rate) for rate in RATES]
    page = report.page(client, MONTH, "model", currency=currency, rates=rates)
    assert page.totals["calls"] == 0
    assert pd.isna(page.totals["cost"])
    assert page.table.empty
    assert page.series.empty
    assert page.unpriced.empty


def test_a_closed_month_is_what_the_page_said_and_nothing_has_changed_since(
    store: Store, client: Client, prices_api: TestClient, price_book: PriceBook
) -> None:
    rows = [
        {
            "second": 3600 * number,
            "project": "shop",
            "model": _MODELS[number % 5],
            "user": f"user-{number % 2}",
            "session": "",
            "tags": [],
            "tier": "",
            "known": number % 7 > 0,
            # One user's calls say of parts that they are more than the whole.
            "tokens": [[6_000, 900, 0, 0, 800, 100], [10, 900, 50, 0, 100, 800]][number % 2],
        }
        for number in range(60)
    ]
    _fill(store, price_book, rows, contradicting=True)
    page = report.page(client, MONTH, "user")
    closed = prices_api.post("/v1/cost/close", json={"month": "2026-09", "actor": "fin"})
    assert closed.status_code == 200, closed.text
    assert closed.json()["cost"] == pytest.approx(page.totals["cost"])
    assert closed_months.adjustments(client).empty

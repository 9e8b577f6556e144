"""A report says of which calls the provider is inferred."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from clickhouse_connect.driver.client import Client

from llmtrace_analysis.cost import prices_in_use, report
from llmtrace_analysis.queries.scope import Scope
from llmtrace_collector.accounting.price_book import PriceBook
from llmtrace_collector.ingest.wal_frame import Frame, encode
from llmtrace_collector.store.store import open_store
from tests.collector.otlp import SECOND, llm, traces

MONTH = Scope(datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))

#: What the emitter wrote, the model that was asked for, the address.
CALLS = (
    ("langchain", "gpt-4o", ""),
    ("langchain", "openai/gpt-4o", ""),
    ("", "claude-sonnet-4-5", ""),
    ("openai", "gpt-4o", ""),
    ("openai", "deepseek-chat", "api.deepseek.com"),
    ("crewai", "our-model", ""),
)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    store = open_store(f"chdb://{tmp_path_factory.mktemp('inferred')}", 3650)
    noon = int(datetime(2026, 11, 10, 12, tzinfo=UTC).timestamp()) * SECOND
    spans = [
        llm(
            {
                "gen_ai.provider.name": reported,
                "gen_ai.request.model": model,
                "gen_ai.response.model": None,
                "server.address": address,
                "gen_ai.usage.input_tokens": 1000,
                "gen_ai.usage.output_tokens": 100,
            },
            start=noon,
        )
        for reported, model, address in CALLS
    ]
    path = tmp_path_factory.mktemp("segments") / "calls.seg"
    path.write_bytes(b"".join(encode(Frame("", noon, traces(spans).SerializeToString()))))
    store.insert_segment("traces", path, path.stem)
    PriceBook(store, ()).sync()
    yield store.client
    store.close()


def test_what_is_inferred_is_listed_with_what_was_written(client: Client) -> None:
    rows = prices_in_use.inferred(client, MONTH)
    assert rows.to_dict("records") == [
        {"provider": "openai", "reported": "langchain", "calls": 2.0},
        {"provider": "anthropic", "reported": "", "calls": 1.0},
    ]


def test_what_is_inferred_is_priced_and_what_is_unknown_is_not(client: Client) -> None:
    costs = report.report(client, MONTH, ["provider"]).set_index("provider")
    assert costs.loc["openai", "calls"] == 3
    assert costs.loc["openai", "cost"] == pytest.approx(3 * (1000 * 2.5 + 100 * 10) / 1e6)
    assert costs.loc["deepseek", "unpriced_calls"] == 0
    assert costs.loc["unknown", "unpriced_calls"] == 1

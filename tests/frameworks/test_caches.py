"""Caches of answers behind their adapters, each as its library is used: what the store then says of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from llmtrace.testing import ReplayServer
from llmtrace_analysis.cost import report
from llmtrace_analysis.cost.planning import answer_caches
from llmtrace_analysis.queries.scope import Scope
from llmtrace_collector.accounting.price_book import PriceBook
from llmtrace_collector.store.store import Store
from tests.sdk.chat import PLAIN

from .running import Collector, needs, run

#: Environment, library → look-ups, hits, calls of the model, calls that the hits stand for.
CASES = [
    pytest.param("caches", "fastapi-cache", 8, 4, 6, 2 * 2 + 2, marks=needs("caches")),
    pytest.param("caches", "gptcache", 6, 3, 3, 3, marks=needs("caches")),
    pytest.param("frameworks", "langchain", 8, 6, 2, 6, marks=needs("frameworks")),
]


@pytest.fixture
def provider() -> Iterator[ReplayServer]:
    with ReplayServer(PLAIN, provider="openai") as server:
        yield server


@pytest.mark.parametrize(("group", "library", "lookups", "hits", "calls", "saved_calls"), CASES)
def test_a_cache_is_seen_with_what_it_saved(
    collector: Collector,
    store: Store,
    provider: ReplayServer,
    tmp_path: Path,
    group: str,
    library: str,
    lookups: int,
    hits: int,
    calls: int,
    saved_calls: int,
) -> None:
    project = f"cache-{library}"
    run(group, "with_caches.py", provider.url, library, str(tmp_path), LLMTRACE_ENDPOINT=collector.url,
        LLMTRACE_PROJECT=project)  # fmt: skip
    assert len(provider.requests) == calls
    collector.rows()
    PriceBook(store, ()).sync()
    now = datetime.now(UTC)
    scope = Scope(now - timedelta(hours=1), now + timedelta(hours=1), project=project)
    client = store.client
    try:
        (cache,) = answer_caches.caches(client, scope).to_dict("records")
        (total,) = report.report(client, scope).to_dict("records")
    finally:
        client.close()
    assert (cache["cache"], cache["lookups"], cache["hits"]) == (library, lookups, hits)
    assert (cache["saved_calls"], cache["unpriced_hits"]) == (saved_calls, 0)
    assert total["calls"] == calls + hits
    assert cache["saved"] == pytest.approx(saved_calls * total["cost"] / calls)
    assert (total["unpriced_calls"], total["unknown_cost_calls"]) == (0, 0)

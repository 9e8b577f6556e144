"""Circuit breakers and Tenacity behind their adapters, as they are used: what the store then says of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from llmtrace.testing import Answer, ReplayServer
from llmtrace_analysis.queries.degraded_answers import degraded_answers
from llmtrace_analysis.queries.scope import Scope
from llmtrace_collector.store.store import Store
from tests.sdk.chat import PLAIN

from .running import Collector, needs, run

pytestmark = needs("breakers")

BUSY = Answer.json({"error": {"message": "busy"}}, 503)


@pytest.fixture
def provider() -> Iterator[ReplayServer]:
    """Down for two questions of three attempts, then up again."""
    with ReplayServer(*[BUSY] * 6, PLAIN, provider="openai") as server:
        yield server


@pytest.mark.parametrize("library", ["pybreaker", "purgatory", "purgatory-async"])
def test_what_breakers_and_loops_do_is_seen(
    collector: Collector, store: Store, provider: ReplayServer, library: str
) -> None:
    project = f"breaker-{library}"
    run("breakers", "with_breakers.py", provider.url, library, LLMTRACE_ENDPOINT=collector.url,
        LLMTRACE_PROJECT=project)  # fmt: skip
    collector.rows()
    states = [
        row["state"]
        for row in store.rows(
            "SELECT SpanAttributes['llmtrace.circuit_breaker.state'] AS state FROM otel_traces "
            "WHERE Project = {project:String} AND Operation = 'circuit_breaker' ORDER BY Timestamp",
            {"project": project},
        )
    ]
    assert states[0] == "opened"
    assert states[-1] == "closed"
    assert "half_open" in states
    (calls,) = store.rows(
        "SELECT countIf(Counted) AS calls, countIf(Counted AND StatusCode = 'Error') AS failed, "
        "countIf(Uncounted IN ('retry', 'sender')) AS attempts FROM otel_traces "
        "WHERE Project = {project:String} AND IsLlm",
        {"project": project},
    )
    assert {name: int(count) for name, count in calls.items()} == {"calls": 3, "failed": 2, "attempts": 4}
    now = datetime.now(UTC)
    client = store.client
    try:
        answers = degraded_answers(
            client, Scope(now - timedelta(hours=1), now + timedelta(hours=1), project=project)
        )
    finally:
        client.close()
    # Two questions were answered by what stood in for the model, one by it.
    assert (answers.degraded, answers.answers) == (2, 3)
    assert set(answers.series["kind"]) == {"preset"}

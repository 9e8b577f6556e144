"""Langfuse's own SDK, pointed at the collector by its environment variables alone."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from llmtrace.testing import ReplayServer
from tests.collector.running import Served, settings
from tests.sdk.test_recordings import answer_of

from .running import exchange, needs, run
from .test_emitters import expected_record

pytestmark = needs("emitters")


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A collector that asks for keys."""
    collector = Served(settings(tmp_path_factory.mktemp("langfuse"), ingest_key="in-key"))
    yield collector
    collector.close()


def call(collector: Served, secret: str, address: str) -> bool:
    """Run the program with a secret key; whether Langfuse takes it for signed in."""
    recorded = exchange("chat")
    with ReplayServer(answer_of(recorded)) as provider:
        keys = {"LANGFUSE_PUBLIC_KEY": "pk-lf-anything", "LANGFUSE_SECRET_KEY": secret}
        output = run("emitters", "with_langfuse.py", provider.url, **{address: collector.url}, **keys)
    collector.stored()
    return bool(json.loads(output))


@pytest.mark.parametrize("address", ["LANGFUSE_HOST", "LANGFUSE_BASE_URL"])
def test_langfuse_sends_to_the_collector_with_a_key_of_ours(keyed: Served, address: str) -> None:
    key = keyed.write("POST", "/v1/keys", {"project": address, "role": "ingest"}).json()["key"]
    assert call(keyed, key, address)
    rows = keyed.collector.store.rows(
        "SELECT SpanName, ParentSpanId, SpanId, InputTokens, OutputTokens, IsLlm AND Counted AS Counts "
        "FROM otel_traces WHERE Project = {project:String} ORDER BY Timestamp",
        {"project": address},
    )
    outer, inner = rows
    assert (outer["SpanName"], outer["Counts"], inner["Counts"]) == ("answer_question", False, True)
    assert inner["ParentSpanId"] == outer["SpanId"]
    expected = expected_record("openai", exchange("chat"))
    tokens = int(inner["InputTokens"]), int(inner["OutputTokens"])
    assert tokens == (expected["InputTokens"], expected["OutputTokens"])


def test_langfuse_with_another_key_is_refused(keyed: Served) -> None:
    before = keyed.value("SELECT count() FROM otel_traces")
    assert not call(keyed, "sk-lf-of-somewhere-else", "LANGFUSE_BASE_URL")
    assert keyed.value("SELECT count() FROM otel_traces") == before

"""Real headers of providers through the SDK and the collector into limits, and how to set what they lack."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

import llmtrace
from llmtrace.testing import Answer, ReplayServer, capture
from llmtrace_analysis.cost.headroom.limits import read_headroom
from llmtrace_analysis.queries.scope import Scope
from llmtrace_cli.main import cli
from llmtrace_collector.store.reader import open_reader
from tests.collector.running import Served, settings
from tests.sdk.naive import FOLDER, Recording, recordings
from tests.sdk.test_recordings import Loopback, answer_of

AZURE = "azure.ai.openai"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    collector = Served(settings(tmp_path_factory.mktemp("recorded")))
    yield collector
    collector.close()


def test_where_no_limit_is_known_the_command_says_how_to_set_it(running: Served) -> None:
    done = CliRunner().invoke(cli, ["cost", "limits", "--url", running.url])
    assert done.exit_code == 0, done.output
    assert "[[collector.quotas]]" in done.stdout


@pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no recorded traffic at {FOLDER}")
def test_recorded_headers_give_the_limits(
    running: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real headers through the SDK into the store: the limits that the recordings have, and no other."""
    monkeypatch.setenv("LLMTRACE_SPOOL_DIR", str(tmp_path / "spool"))
    sent: Counter[str] = Counter()
    expected: dict[tuple[str, str], float] = {}
    try:
        llmtrace.init(endpoint=running.url, http_spans="none")
        with ReplayServer(Answer()) as server, httpx.Client(transport=Loopback(server)) as client:
            for recording in recordings():
                sent[recording.source] += 1
                if recording.left_out or sent[recording.source] > 40:
                    continue
                server.answer_with(answer_of(recording))
                record = recording.record
                with client.stream(
                    record["method"], record["url"], content=recording.sent or None
                ) as response:
                    response.read()
                if limit := recording.headers.get("x-ratelimit-limit-tokens"):
                    organisation = recording.headers.get("openai-organization", "")
                    expected[_model(recording), organisation] = float(limit)
        llmtrace.flush(30)
        llmtrace.shutdown()
        running.stored()
        now = datetime.now(UTC) + timedelta(seconds=10)
        with open_reader(running.url) as reader:
            limits = read_headroom(reader, [], Scope(now - timedelta(hours=1), now)).limits
    finally:
        llmtrace.shutdown(timeout=1)
    assert expected
    tokens = [item for item in limits if item.measure == "tokens"]
    newest = sorted((model, limit) for (model, _), limit in expected.items())
    assert sorted((item.model, item.limit) for item in tokens) == newest
    assert {item.provider for item in tokens} <= {"openai", AZURE}
    assert all(item.share_peak is not None and 0 <= item.share_peak <= 1.5 for item in tokens)
    # Anthropic's recordings have what is left and no limit: that stays unknown.
    assert not [item for item in limits if item.provider == "anthropic"]


def _model(recording: Recording) -> str:
    """The model that is asked for, on Azure the deployment in the path."""
    _, named, rest = recording.path.partition("/deployments/")
    return rest.partition("/")[0] if named else str(json.loads(recording.sent)["model"])


def test_headers_of_azure_and_anthropic_become_attributes() -> None:
    headers = {
        "azure-openai-deployment-utilization": "87.5%",
        "x-ms-region": "East US 2",
        "anthropic-ratelimit-input-tokens-limit": "30000",
        "anthropic-ratelimit-unified-5h-utilization": "0.25",
        "content-type": "application/json",
    }
    body = json.dumps({"id": "1", "model": "gpt-4o", "choices": [], "usage": {"prompt_tokens": 3}}).encode()
    with capture() as spans, ReplayServer(Answer(body, 200, headers)) as server:
        httpx.post(f"{server.url}/v1/chat/completions", json={"model": "gpt-4o", "messages": []})
    (span,) = spans.spans()
    attributes = dict(span.attributes or {})
    assert attributes["llmtrace.ratelimit.deployment.utilization"] == 0.875
    assert attributes["llmtrace.ratelimit.unified_5h.utilization"] == 0.25
    assert attributes["llmtrace.ratelimit.input_tokens.limit"] == 30000
    assert attributes["llmtrace.response.region"] == "East US 2"

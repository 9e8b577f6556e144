"""What responses over a WebSocket cost, from there to the store: sound, words, what was cached; each once."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import llmtrace
from llmtrace_collector.accounting.call_dedup import CallDeduplicator
from tests.collector.running import Served, settings

from .realtime_endpoints import ENDPOINTS, resuming_server

#: Dollars a million: words, sound; both cached; words and sound of the answer.
_TEXT, _AUDIO, _CACHED, _TEXT_OUT, _AUDIO_OUT = 4.0, 32.0, 0.4, 16.0, 64.0
#: 1,200 of input: 200 words of which 100 cached, 1,000 of sound of which 300; 300 of output, 250 of sound.
_MICRO = 100 * _TEXT + 700 * _AUDIO + 400 * _CACHED + 50 * _TEXT_OUT + 250 * _AUDIO_OUT
_MINUTE_OF_WHISPER = 0.006


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    running = Served(settings(tmp_path / "store"))
    yield running
    running.close()


def _costs(served: Served) -> list[float]:
    served.stored()
    served.collector.price_book.sync()
    return [float(row["Cost"]) for row in served.collector.store.rows("SELECT Cost FROM call_cost")]


@pytest.mark.parametrize(
    ("name", "cost"),
    [
        ("realtime: a response · OpenAI", _MICRO / 1e6),
        ("realtime: what the user said, transcribed by the second · OpenAI", 9 / 60 * _MINUTE_OF_WHISPER),
    ],
)
def test_what_is_billed(served: Served, monkeypatch: pytest.MonkeyPatch, name: str, cost: float) -> None:
    monkeypatch.setenv("LLMTRACE_STRICT", "1")
    row = next(row for row in ENDPOINTS if row.name == name)
    assert row.send is not None
    try:
        llmtrace.init(endpoint=served.url, service_name="realtime", spool_dir="off")
        row.send(False)
        llmtrace.flush(60)
    finally:
        llmtrace.shutdown(timeout=10)
    assert _costs(served) == [pytest.approx(cost)]


_LISTENER = """
import os, llmtrace
import websockets.sync.client
llmtrace.init(service_name="realtime", spool_dir="off")
headers = {"x-llmtrace-provider": "openai"}
with websockets.sync.client.connect(os.environ["PROVIDER"], additional_headers=headers) as connection:
    while "response.done" not in connection.recv(5):
        pass
    connection.send("over")
llmtrace.shutdown(30)
"""


def test_a_response_that_two_processes_hear_counts_once(served: Served) -> None:
    """The second resumes the session of the first, and gets its last response again."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
    with resuming_server() as url:
        path = "/v1/realtime?model=gpt-realtime"
        environment = {**inherited, "LLMTRACE_ENDPOINT": served.url, "PROVIDER": url + path}
        for _ in range(2):
            subprocess.run([sys.executable, "-c", _LISTENER], env=environment, check=True, timeout=60)
    served.stored()
    CallDeduplicator(served.collector.store).sync()
    rows = served.collector.store.rows("SELECT Operation, Uncounted FROM otel_traces WHERE IsLlm")
    assert [row["Operation"] for row in rows] == ["chat", "chat"]
    assert sorted(row["Uncounted"] for row in rows) == ["", "duplicate"]
    assert len(_costs(served)) == 1

"""The results of a batch count once, whoever reads them and however often, at half the usual price."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from llmtrace.testing import Answer, ReplayServer
from llmtrace.testing.replay import Received
from llmtrace_collector.accounting.call_dedup import CallDeduplicator
from tests.collector.running import Served, settings
from tests.endpoints import batch_samples as samples

CHATS, EMBEDDINGS = 40, 10

_COUNTED = """SELECT Operation, sum(Calls) AS Calls, sum(InputTokens) AS Input, sum(OutputTokens) AS Output,
    toUnixTimestamp(min(Time)) AS Earliest, toUnixTimestamp(max(Time)) AS Latest
FROM usage_10s GROUP BY Operation ORDER BY Operation"""


def _respond(request: Received) -> Answer:
    is_chat = "chat" in request.path
    if "/files/" not in request.path:
        kind, path = ("chat", "/v1/chat/completions") if is_chat else ("embeddings", "/v1/embeddings")
        batch = samples.openai_batch(path, id=f"batch_{kind}", output_file_id=f"file_{kind}")
        return Answer.json(batch)
    bodies = [samples.chat_body(number) if is_chat else samples.embedding_body() for number in range(CHATS)]
    lines = [samples.openai_line(number, body) for number, body in enumerate(bodies)]
    file = samples.lines(lines if is_chat else lines[:EMBEDDINGS])
    chunks = [file.body[start : start + 2048] for start in range(0, len(file.body), 2048)]
    return Answer(headers=file.headers, chunks=chunks)


def test_processes_that_read_the_same_results_count_them_once(tmp_path: Path) -> None:
    served = Served(settings(tmp_path))
    try:
        deduplicator = CallDeduplicator(served.collector.store)
        with ReplayServer(provider="openai", respond=_respond) as provider:
            for way in ("left", "polled", "whole"):
                program = [sys.executable, "-m", "tests.e2e.programs.read_batch"]
                subprocess.run([*program, served.url, provider.url, way], check=True, timeout=120)
                served.stored()
                served.collector.store.roll_up()
                deduplicator.sync()
        chats, embeddings = served.collector.store.rows(_COUNTED)
        served.collector.price_book.sync()
        (cost,) = served.collector.store.rows(
            "SELECT sum(Cost) AS Cost FROM call_cost WHERE Operation = 'chat'"
        )
    finally:
        served.close()
    assert (chats["Operation"], int(chats["Calls"])) == ("chat", CHATS)
    assert (int(chats["Input"]), int(chats["Output"])) == (12 * CHATS, 5 * CHATS)
    # The moment at which they were answered, a day before they were read.
    assert abs(int(chats["Earliest"]) - samples.ENDED_AT) < 120
    assert abs(int(chats["Latest"]) - samples.ENDED_AT) < 120
    assert (embeddings["Operation"], int(embeddings["Calls"])) == ("embeddings", EMBEDDINGS)
    assert int(embeddings["Input"]) == 7 * EMBEDDINGS
    # gpt-4o-mini costs 0.15 and 0.60 per million.
    assert cost["Cost"] == pytest.approx(CHATS * (12 * 0.15 + 5 * 0.60) / 1e6 / 2)

"""Contexts in the threads of frameworks, beside another tracer's hooks, and through queues to workers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from llmtrace.testing import ReplayServer
from tests.sdk.chat import PLAIN
from tests.sdk.test_recipes import OK, recipe, spans

from .running import ROOT, needs, run

CALL = "chat gpt-4o-mini"


@pytest.mark.parametrize(
    ("group", "framework"),
    [
        pytest.param("frameworks", "langgraph", marks=needs("frameworks")),
        pytest.param("llamaindex", "llamaindex", marks=needs("llamaindex")),
    ],
)
def test_calls_of_parallel_steps_are_their_requests(group: str, framework: str) -> None:
    with ReplayServer(PLAIN) as provider:
        assert json.loads(run(group, "in_parallel.py", provider.url, framework)) == {"right": 12}


@needs("queues")
@pytest.mark.parametrize("order", ["before", "after"])
def test_beside_opentelemetrys_instrumentation_of_threads(order: str) -> None:
    """Tasks are whose they are with either. A thread keeps what the last one to hook it says it keeps."""
    seen: dict[str, Any] = json.loads(run("queues", "with_threading_instrumentation.py", order))
    assert seen["thread"] == seen["ann's task"] == ["ann", True]
    assert seen["bob's task"] == ["bob", True]
    assert seen["nobody's task"] == [None, False]
    assert seen["thread after its span"] == ([None, False] if order == "before" else ["ann", True])
    assert seen["hooks left"] == [False, False]


@needs("queues")
def test_dramatiq() -> None:
    assert json.loads(run("queues", "with_dramatiq.py")) == []


@needs("queues")
@pytest.mark.parametrize("instrumented", [False, True])
def test_celery_with_a_prefork_worker(tmp_path: Path, instrumented: bool) -> None:
    """The recipe of docs/sdk.md, alone and beside OpenTelemetry's instrumentation of Celery."""
    (tmp_path / "queue").mkdir()
    more = """
from opentelemetry.instrumentation.celery import CeleryInstrumentor
CeleryInstrumentor().instrument()
"""
    (tmp_path / "shop.py").write_text(
        f"""{recipe("A worker")}
queue = {str(tmp_path / "queue")!r}
app.conf.broker_url = "filesystem://"
app.conf.broker_transport_options = {{
    "data_folder_in": queue, "data_folder_out": queue, "control_folder": queue + "-control"
}}

@app.task
def follow(text):
    return summarise.run(text)
{more if instrumented else ""}"""
    )
    send = """
import llmtrace, shop
from celery import chain
for user in ("ann", "bob"):
    with llmtrace.context(user_id=user), llmtrace.span("request") as span:
        chain(shop.summarise.s(user), shop.follow.s()).apply_async()
        print(user, span.trace_id)
shop.summarise.delay("nobody")
"""
    python = str(ROOT / ".venvs" / "queues" / "bin" / "python")
    inherited = {
        key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "LLMTRACE_"))
    }
    with ReplayServer(OK) as collector, ReplayServer(PLAIN) as provider:
        environment = {
            **inherited,
            "PYTHONPATH": f"{ROOT / 'sdk'}:{tmp_path}",
            "LLMTRACE_STRICT": "1",
            "LLMTRACE_ENDPOINT": collector.url,
            "LLMTRACE_SPOOL_DIR": str(tmp_path / "spool"),
            "OPENAI_BASE_URL": provider.url + "/v1",
            "OPENAI_API_KEY": "k",
        }
        sent = subprocess.run(
            [python, "-c", send], env=environment, capture_output=True, text=True, timeout=60, check=True
        )
        with (tmp_path / "worker.log").open("w") as log:
            worker = subprocess.Popen(
                [python, "-m", "celery", "-A", "shop", "worker", "--pool", "prefork", "--concurrency", "2"],
                cwd=tmp_path,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            deadline = time.monotonic() + 120
            while _calls(collector) < 5 and worker.poll() is None and time.monotonic() < deadline:
                time.sleep(0.1)
            worker.send_signal(signal.SIGTERM)
            worker.wait(timeout=60)
        finally:
            worker.kill()
        calls = [span for span in spans(collector) if span["name"] == CALL]
    traces = dict(line.split() for line in sent.stdout.splitlines())
    wanted = [("ann", traces["ann"])] * 2 + [("bob", traces["bob"])] * 2
    seen = [(call["user.id"], call["trace"]) for call in calls if "user.id" in call]
    assert sorted(seen) == wanted, (tmp_path / "worker.log").read_text()
    assert len(calls) == 5


def _calls(collector: ReplayServer) -> int:
    return sum(span["name"] == CALL for span in spans(collector))

"""What is open when a process ends: streams with what was received, spans of suspended generators."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

import llmtrace
from llmtrace.testing import Captured, ReplayServer

from .chat import REQUEST, STREAM
from .test_process import OK, _spans

_BEGINNING = f"""
import asyncio, gc, httpx, json, os, signal, sys, llmtrace
URL = os.environ["PROVIDER"] + "/v1/chat/completions"
BODY = json.loads({json.dumps({**REQUEST, "stream": True})!r})
exec(os.environ.get("EARLY", ""))
llmtrace.init()
gc.disable()

def pieces():
    with httpx.Client().stream("POST", URL, json=BODY) as response:
        yield from response.iter_raw()

class Answer:
    def __init__(self):
        self.itself = self
        self.pieces = pieces()
        next(self.pieces)

@llmtrace.observe(name="suspended")
def suspended():
    with llmtrace.context(user_id="own"), llmtrace.span("inner"):
        yield from pieces()
"""
_FORK = """
inherited = pieces()
next(inherited)
process = os.fork()
if process == 0:
    own = pieces()
    next(own)
    sys.exit(0)
os.waitpid(process, 0)
"""
_READ = {
    "an error in the loop": "for piece in pieces(): raise LookupError('of the program')",
    "referenced": "left = pieces()\nnext(left)",
    "a cycle": "Answer()",
    "urllib3": "import urllib3\n"
    "left = urllib3.PoolManager().request('POST', URL, body=json.dumps(BODY), preload_content=False)\n"
    "left.read(400)",
    "terminated": "left = pieces()\nnext(left)\nos.kill(os.getpid(), signal.SIGTERM)",
    "shut down": "left = pieces()\nnext(left)\nllmtrace.shutdown()\nlist(left)",
}


def _attributes(span: Any) -> dict[str, Any]:
    return {item.key: getattr(item.value, item.value.WhichOneof("value")) for item in span.attributes}


def _run(code: str, **environment: str) -> tuple[list[dict[str, Any]], int, str]:
    """(spans' names and attributes, how many were counted, what was written to stderr)"""
    with ReplayServer(OK) as collector, ReplayServer(STREAM) as provider:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "LLMTRACE_"))}
        done = subprocess.run(
            [sys.executable, "-c", _BEGINNING + code],
            env={
                **inherited,
                "LLMTRACE_SPOOL_DIR": os.environ["LLMTRACE_SPOOL_DIR"],
                "LLMTRACE_ENDPOINT": collector.url,
                "PROVIDER": provider.url,
                **environment,
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        spans = [{"name": span.name, **_attributes(span)} for _, span in _spans(collector)]
        generated: dict[str, int] = {}
        for request in collector.requests:
            if request.path == "/v1/logs":
                logs = ExportLogsServiceRequest.FromString(gzip.decompress(request.body))
                for record in (r for of in logs.resource_logs for s in of.scope_logs for r in s.log_records):
                    counters = _attributes(record)
                    generated[counters["service.instance.id"]] = counters["llmtrace.stats.generated"]
    return spans, sum(generated.values()), done.stderr


@pytest.mark.parametrize("code", _READ.values(), ids=_READ)
def test_a_stream_ends_as_abandoned_with_what_was_received(code: str) -> None:
    spans, generated, errors = _run(code)
    (span,) = spans
    assert span["llmtrace.stream.abandoned"] is True
    assert span["gen_ai.request.stream"] is True
    assert span["gen_ai.response.id"] == "chatcmpl-7"
    assert generated == 1
    assert "llmtrace failed" not in errors
    assert ("Traceback" in errors) == ("LookupError" in code)


def test_suspended_generators_end() -> None:
    code = "left = suspended()\nnext(left)\nother = (lambda: (yield from pieces()))()\nnext(other)"
    spans, generated, errors = _run(code)
    assert sorted(span["name"] for span in spans) == ["chat gpt-4o-mini"] * 2 + ["inner", "suspended"]
    assert [span.get("user.id") for span in spans if span["name"] == "inner"] == ["own"]
    assert generated == 4
    assert not errors


_STEPS = """
import atexit, threading, time
say = lambda text: os.write(2, text.encode() + b"\\n")

@llmtrace.observe(name="numbers")
def numbers():
    number = 0
    try:
        while True:
            yield number
            number += 1
    finally:
        say("finally")

@llmtrace.observe(name="numbers")
async def async_numbers():
    try:
        yield 0
    finally:
        say("finally")

def consume():
    for number in numbers():
        time.sleep(0.001)
    say("complete")

def failed():
    sys.excepthook = lambda *_: None
    running = numbers()
    next(running)
    raise LookupError

async def first():
    global left
    left = async_numbers()
    await anext(left)

atexit.register(say, "atexit")
"""
_SUSPENDED = {
    "global": "left = numbers()\nnext(left)",
    "used at exit": "left = numbers()\nnext(left)\natexit.unregister(say)\n"
    "late.append(lambda: say(str(next(left))))",
    "left by an error": "failed()",
    "terminated": "left = numbers()\nnext(left)\nos.kill(os.getpid(), signal.SIGTERM)\ntime.sleep(30)",
    "asyncio.run": "asyncio.run(first())",
    "consumed by a daemon thread": "threading.Thread(target=consume, daemon=True).start()\ntime.sleep(0.1)",
}


@pytest.mark.parametrize("code", _SUSPENDED.values(), ids=_SUSPENDED)
def test_a_suspended_generator_is_closed_when_python_closes_it(code: str) -> None:
    """Its span has ended and is sent; what the program does, and when, is as without tracing."""
    before = "import atexit\nlate = []\natexit.register(lambda: [run() for run in late])\n"
    program = _STEPS + code
    spans, generated, errors = _run(program, EARLY=before)
    assert [span["name"] for span in spans] == ["numbers"]
    assert generated == 1
    assert "complete" not in errors
    assert errors == _run(program, LLMTRACE_DISABLED="true", EARLY=before)[2]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_an_inherited_stream_is_the_parents() -> None:
    spans, generated, errors = _run(_FORK)
    assert [span["llmtrace.stream.abandoned"] for span in spans] == [True, True]
    assert generated == 2
    assert "llmtrace" not in errors


def test_what_was_ended_is_not_ended_again(traces: Captured, caplog: pytest.LogCaptureFixture) -> None:
    @llmtrace.observe(name="numbers")
    def numbers() -> Any:
        yield 1
        yield 2

    running = numbers()
    next(running)
    llmtrace.shutdown()
    assert list(running) == [2]
    # What a test before has left to deliver may be told of meanwhile.
    assert not [record for record in caplog.records if record.name.startswith("opentelemetry")]

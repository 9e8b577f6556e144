"""Whole processes: short scripts, forks, other providers, what importing costs."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from llmtrace.testing import Answer, ReplayServer

from .chat import PLAIN, REQUEST

OK = Answer(headers={"content-type": "application/x-protobuf"})
_ASK = f"""
import httpx, json, os, sys, llmtrace
def ask():
    httpx.post(os.environ["PROVIDER"] + "/v1/chat/completions", json=json.loads({json.dumps(REQUEST)!r}))
"""


def _run(code: str, collector: str, provider: str, **environ: str) -> str:
    env = {
        **{key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "LLMTRACE_"))},
        "LLMTRACE_SPOOL_DIR": os.environ["LLMTRACE_SPOOL_DIR"],
        "LLMTRACE_ENDPOINT": collector,
        "PROVIDER": provider,
        **environ,
    }
    done = subprocess.run(
        [sys.executable, "-c", _ASK + code], env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout.strip()


def _spans(collector: ReplayServer) -> list[tuple[Any, Any]]:
    """(resource, span) of every span that arrived."""
    return [
        (resource_spans.resource, span)
        for request in collector.requests
        if request.path == "/v1/traces"
        for resource_spans in ExportTraceServiceRequest.FromString(
            gzip.decompress(request.body)
        ).resource_spans
        for scope_spans in resource_spans.scope_spans
        for span in scope_spans.spans
    ]


def test_a_short_script_sends_at_exit() -> None:
    with ReplayServer(OK) as collector, ReplayServer(PLAIN) as provider:
        environ = {"OTEL_SERVICE_NAME": "short", "OTEL_RESOURCE_ATTRIBUTES": "team=x,service.name=y"}
        code = "llmtrace.init()\nask()\nllmtrace.score('good', 1)"
        _run(code, collector.url, provider.url, **environ)
        ((resource, span),) = _spans(collector)
        assert span.name == "chat gpt-4o-mini"
        values = {attribute.key: attribute.value.string_value for attribute in resource.attributes}
        assert (values["service.name"], values["team"]) == ("short", "x")
        assert collector.requests[-1].path == "/v1/logs"


def test_a_script_that_fails_still_sends() -> None:
    code = "llmtrace.init()\nimport contextlib\nask()\nsys.exit(0)"
    with ReplayServer(OK) as collector, ReplayServer(PLAIN) as provider:
        _run(code, collector.url, provider.url)
        assert len(_spans(collector)) == 1


def test_fork() -> None:
    """Each process sends its own spans, once, whether it forked before or after the first call."""
    code = """
llmtrace.init(service_name="forking")
for round in range(2):
    child = os.fork()
    if child == 0:
        ask()
        ask()
        stats = llmtrace.stats()
        assert stats.generated == 2, stats
        os._exit(0 if llmtrace.flush(10) else 3)
    ask()
    assert os.waitpid(child, 0)[1] == 0
assert llmtrace.stats().generated == 2
"""
    with ReplayServer(OK) as collector, ReplayServer(PLAIN) as provider:
        _run(code, collector.url, provider.url)
        spans = [span for _, span in _spans(collector)]
    assert len(spans) == 6
    assert len({span.span_id for span in spans}) == 6
    assert len({span.trace_id for span in spans}) == 6


def test_multiprocessing_children_send_at_their_end() -> None:
    code = """
import multiprocessing
llmtrace.init()
ask()
process = multiprocessing.get_context("fork").Process(target=ask)
process.start()
process.join()
assert process.exitcode == 0
"""
    with ReplayServer(OK) as collector, ReplayServer(PLAIN) as provider:
        _run(code, collector.url, provider.url)
        assert len({span.span_id for _, span in _spans(collector)}) == 2


def test_beside_an_existing_provider() -> None:
    """Its exporter gets everything as before and our spans too; our collector gets ours alone."""
    code = """
from opentelemetry import propagate, trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
theirs = InMemorySpanExporter()
provider = TracerProvider(resource=Resource({"service.name": "theirs", "team": "x"}))
provider.add_span_processor(SimpleSpanProcessor(theirs))
trace.set_tracer_provider(provider)
before = propagate.get_global_textmap()
for _ in range(2):
    llmtrace.init(project="p")
    assert trace.get_tracer_provider() is provider
    assert propagate.get_global_textmap() is before
    with trace.get_tracer("app").start_as_current_span("private"), llmtrace.context(user_id="u"):
        ask()
    assert llmtrace.flush()
    assert llmtrace.stats().sent == 1, llmtrace.stats()
    llmtrace.shutdown()
names = [span.name for span in theirs.get_finished_spans()]
assert names.count("private") == 2 and names.count("chat gpt-4o-mini") == 2, names
ask()
assert len(theirs.get_finished_spans()) == 4
"""
    with ReplayServer(OK) as collector, ReplayServer(PLAIN) as provider:
        _run(code, collector.url, provider.url, OTEL_SERVICE_NAME="not theirs")
        arrived = _spans(collector)
    assert [span.name for _, span in arrived] == ["chat gpt-4o-mini"] * 2
    resource, span = arrived[0]
    attributes = {attribute.key: attribute.value.string_value for attribute in resource.attributes}
    assert attributes == {"service.name": "theirs", "team": "x", "llmtrace.project": "p"}
    values = {attribute.key: attribute.value for attribute in span.attributes}
    assert values["user.id"].string_value == "u"
    assert values["gen_ai.usage.input_tokens"].int_value == 30
    assert span.parent_span_id


def test_processors_added_to_our_provider_see_the_calls() -> None:
    code = """
from opentelemetry import trace
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
llmtrace.init()
also = InMemorySpanExporter()
trace.get_tracer_provider().add_span_processor(SimpleSpanProcessor(also))
ask()
assert llmtrace.flush()
assert [span.name for span in also.get_finished_spans()] == ["chat gpt-4o-mini"]
"""
    with ReplayServer(OK) as collector, ReplayServer(PLAIN) as provider:
        _run(code, collector.url, provider.url)
        assert len(_spans(collector)) == 1


def test_disabled() -> None:
    code = "llmtrace.init()\nask()\nassert llmtrace.flush()\nllmtrace.score('a', 1)"
    with ReplayServer(OK) as collector, ReplayServer(PLAIN) as provider:
        _run(code, collector.url, provider.url, OTEL_SDK_DISABLED="true")
        assert not collector.requests
        assert "traceparent" not in provider.requests[0].headers


def test_the_base_install_is_enough() -> None:
    """Without an HTTP client, web framework or pydantic, the package works and hooks nothing."""
    code = """
import sys
for name in ("httpx", "httpx2", "fastapi", "pydantic", "openai", "groq", "clickhouse_connect", "torch"):
    sys.modules[name] = None
import llmtrace, llmtrace.testing
llmtrace.init()
@llmtrace.observe
def f():
    return 1
assert f() == 1
assert llmtrace.stats().generated == 1
print("fine")
"""
    with ReplayServer(OK) as collector:
        env = {**os.environ, "LLMTRACE_ENDPOINT": collector.url, "LLMTRACE_STRICT": "1"}
        done = subprocess.run(
            [sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.stdout.strip() == "fine", done.stderr
        assert [span.name for _, span in _spans(collector)] == ["f"]


def test_importing_and_starting_stay_light() -> None:
    code = """
import sys, llmtrace
llmtrace.init()
heavy = {"httpx", "httpx2", "requests", "google.protobuf", "pydantic", "multiprocessing"}
print(sorted(heavy & set(sys.modules)))
"""
    # What measures coverage in processes loads more than we do.
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True, env=env
    )
    assert done.stdout.strip() == "[]"


def test_a_library_imported_after_init_is_hooked() -> None:
    code = """
for name in ("httpx", "httpx2"):
    for loaded in [each for each in sys.modules if each.partition(".")[0] == name]:
        del sys.modules[loaded]
llmtrace.init()
import httpx2
httpx2.post(os.environ["PROVIDER"] + "/v1/chat/completions", json={"messages": [], "model": "late"})
assert llmtrace.flush()
assert llmtrace.stats().sent == 1
"""
    with ReplayServer(OK) as collector, ReplayServer(PLAIN) as provider:
        _run(code, collector.url, provider.url)
        assert [span.name for _, span in _spans(collector)] == ["chat late"]


_FORK_AMID_IMPORT = """
import builtins, time
real, started = builtins.__import__, []

def slowly(name, *args, **kwargs):
    if name == "requests" and not started:
        started.append(True)
        time.sleep(1)
    return real(name, *args, **kwargs)

builtins.__import__ = slowly
llmtrace.init()
ask()
while not started:
    time.sleep(0.001)
child = os.fork()
if child == 0:
    ask()
    os._exit(0 if llmtrace.flush(10) else 3)
assert os.waitpid(child, 0)[1] == 0
assert llmtrace.flush(10)
"""


def test_a_fork_waits_for_an_import_under_way() -> None:
    with ReplayServer(OK) as collector, ReplayServer(PLAIN) as provider:
        _run(_FORK_AMID_IMPORT, collector.url, provider.url)
        assert len(_spans(collector)) == 2


_FORK_AMID_FIRST_USE = """
import threading, time, os, sys, builtins
import llmtrace
real, started = builtins.__import__, threading.Event()

def slowly(name, *args, **kwargs):
    if name == "opentelemetry.sdk.trace" and not started.is_set():
        started.set()
        time.sleep(1)
    return real(name, *args, **kwargs)

builtins.__import__ = slowly
user = threading.Thread(target=lambda: llmtrace.flush())
user.start()
started.wait(10)
child = os.fork()
if child == 0:
    os._exit(0 if llmtrace.flush() and llmtrace.stats() == llmtrace.Stats() else 3)
assert os.waitpid(child, 0)[1] == 0
user.join()
"""


def test_a_fork_waits_for_the_first_use_of_the_sdk() -> None:
    subprocess.run([sys.executable, "-c", _FORK_AMID_FIRST_USE], check=True, timeout=60)

"""A share of the traces, whole; errors and slow calls always; weights that make sums come out right."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import httpx
import pytest
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator

import llmtrace
from llmtrace.config import resolve
from llmtrace.setting_values import ConfigError
from llmtrace.testing import Answer, ReplayServer, capture

from .chat import PLAIN, REQUEST, STREAM
from .test_process import _ASK

FAILED = Answer.json({"error": {"message": "no", "code": "bad"}}, 400)


class Numbered(IdGenerator):
    """Trace n of `total` has the chance n/total."""

    def __init__(self, total: int) -> None:
        self._total, self._next = total, 0

    def generate_trace_id(self) -> int:
        self._next += 1
        return (1 << 100) + (self._next - 1) * 2**56 // self._total + 1

    def generate_span_id(self) -> int:
        return RandomIdGenerator().generate_span_id()


@llmtrace.observe(name="root")
def _root(url: str, model: str = "m") -> None:
    httpx.post(url + "/v1/chat/completions", json={**REQUEST, "model": model})


def test_a_share_is_kept_whole_and_weighed() -> None:
    with (
        ReplayServer(PLAIN) as server,
        capture(sample_rate=0.25, id_generator=Numbered(20)) as traces,
    ):
        for _ in range(20):
            _root(server.url)
        spans = traces.snapshot()
        stats = llmtrace.stats()
        by_trace: dict[int, list[str]] = {}
        for span in traces.spans():
            assert span.context is not None
            by_trace.setdefault(span.context.trace_id, []).append(span.name)
    assert len(by_trace) == 5
    assert all(sorted(names) == ["chat m", "root"] for names in by_trace.values())
    assert {span["attributes"]["llmtrace.sample.weight"] for span in spans} == {4.0}
    assert stats == llmtrace.Stats(generated=40, sent=10, sampled_out=30)
    assert all(request.headers["traceparent"].endswith("-01") for request in server.requests)


def test_errors_are_kept_with_all_of_their_trace() -> None:
    with (
        ReplayServer(PLAIN, FAILED, PLAIN) as server,
        capture(sample_rate=0.0, id_generator=Numbered(3)) as traces,
    ):
        for _ in range(3):
            _root(server.url)
        spans = traces.snapshot()
    assert [span["name"] for span in spans] == ["chat m", "root"]
    assert all("llmtrace.sample.weight" not in span["attributes"] for span in spans)


def test_slow_calls_are_kept() -> None:
    with (
        ReplayServer(Answer(PLAIN.body, delay=2.5), PLAIN) as server,
        capture(sample_rate=0.0, keep_slower_than=1.5) as traces,
    ):
        httpx.post(server.url + "/v1/chat/completions", json={**REQUEST, "model": "slow"})
        httpx.post(server.url + "/v1/chat/completions", json={**REQUEST, "model": "fast"})
        assert [span["name"] for span in traces.snapshot()] == ["chat slow"]


def test_rules() -> None:
    rules = [
        llmtrace.SampleRule(rate=1.0, attributes={"user.id": "vip-*"}),
        llmtrace.SampleRule(rate=0.5, name="chat big*"),
    ]
    with (
        ReplayServer(PLAIN) as server,
        capture(sample_rate=0.0, rules=rules, id_generator=Numbered(4)) as traces,
    ):
        for user in ("vip-1", "bob", "vip-2", "eve"):
            with llmtrace.context(user_id=user):
                _root(server.url)
        users = [span["attributes"]["user.id"] for span in traces.snapshot()]
        assert users == ["vip-1", "vip-1", "vip-2", "vip-2"]
    with (
        ReplayServer(PLAIN) as server,
        capture(sample_rate=0.0, rules=rules, id_generator=Numbered(4)) as traces,
    ):
        for model in ("big-1", "small", "big-2", "small"):
            _root(server.url, model)
        weights = {span["name"]: span["attributes"]["llmtrace.sample.weight"] for span in traces.snapshot()}
        assert weights == {"chat big-1": 2.0, "root": 2.0}


def test_a_trace_waits_for_its_root_and_late_spans_follow_it() -> None:
    with (
        ReplayServer(PLAIN, STREAM, FAILED) as server,
        capture(sample_rate=0.5, id_generator=Numbered(2)) as traces,
    ):

        @llmtrace.observe(name="first")
        def first() -> Any:
            httpx.post(server.url + "/v1/chat/completions", json=REQUEST)
            assert traces.spans() == []
            request = httpx.Request("POST", server.url + "/v1/chat/completions", json=REQUEST)
            return httpx.Client().send(request, stream=True)

        late = first()
        assert [span["name"] for span in traces.snapshot()] == ["chat gpt-4o-mini", "first"]
        late.read()
        assert len(traces.snapshot()) == 3
        assert {span["attributes"]["llmtrace.sample.weight"] for span in traces.snapshot()} == {2.0}


def test_leaving_decides_about_what_is_held() -> None:
    code = """
llmtrace.init(sample_rate=0.0)
from opentelemetry import trace
with trace.get_tracer("t").start_as_current_span("never ends"):
    ask()
    os.environ["PROVIDER"] += "/nowhere"
    sys.exit(0)
"""
    with ReplayServer(Answer()) as collector, ReplayServer(FAILED) as provider:
        env = {**os.environ, "LLMTRACE_ENDPOINT": collector.url, "PROVIDER": provider.url}
        subprocess.run([sys.executable, "-c", _ASK + code], env=env, timeout=30, check=True)
        assert [request.path for request in collector.requests].count("/v1/traces") == 1


def test_estimates_are_unbiased() -> None:
    """Sums of weights estimate all calls, whatever is kept for its own sake."""
    errors = 7
    with capture(sample_rate=0.2, id_generator=Numbered(100)) as traces:

        @llmtrace.observe(name="f")
        def function(fail: bool) -> None:
            if fail:
                raise LookupError

        for index in range(100):
            if index % 14 == 13:
                with pytest.raises(LookupError):
                    function(True)
            else:
                function(False)
        weights = [span["attributes"].get("llmtrace.sample.weight", 1.0) for span in traces.snapshot()]
    assert sum(1 for weight in weights if weight == 1.0) == errors
    assert sum(weights) == pytest.approx(100, abs=5)


def test_beside_another_provider_its_root_ends_the_wait() -> None:
    code = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
trace.set_tracer_provider(TracerProvider())
llmtrace.init(sample_rate=0.0, rules=[llmtrace.SampleRule(rate=1.0, name="chat*")])
with trace.get_tracer("app").start_as_current_span("private"):
    ask()
    llmtrace.flush()
    assert llmtrace.stats().sent == 0
assert llmtrace.flush()
assert llmtrace.stats().sent == 1, llmtrace.stats()
"""
    with ReplayServer(Answer()) as collector, ReplayServer(PLAIN) as provider:
        env = {**os.environ, "LLMTRACE_ENDPOINT": collector.url, "PROVIDER": provider.url}
        subprocess.run([sys.executable, "-c", _ASK + code], env=env, timeout=30, check=True)


def test_bad_rates_are_refused() -> None:
    with pytest.raises(ConfigError, match="LLMTRACE_SAMPLE_RATE"):
        resolve(environ={"LLMTRACE_SAMPLE_RATE": "half"})
    with pytest.raises(ConfigError, match="from 0 to 1"):
        resolve(environ={}, sample_rate=2)
    with pytest.raises(ValueError, match="from 0 to 1"):
        llmtrace.SampleRule(rate=-1)
    assert resolve(environ={"LLMTRACE_SAMPLE_RATE": "0"}).sample_rate == 0.0

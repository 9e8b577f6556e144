"""HTTP calls that are not LLM calls, and the header that ties processes together."""

from __future__ import annotations

from typing import Any

import httpx
import httpx2
import pytest
from opentelemetry import baggage, context, trace

import llmtrace
from llmtrace.testing import Answer, ReplayServer, capture

from .chat import PLAIN, REQUEST

TOOL = Answer.json({"result": 1})


@pytest.mark.parametrize("module", [httpx, httpx2], ids=["httpx", "httpx2"])
def test_a_whole_trace(module: Any) -> None:
    @llmtrace.observe(name="agent")
    def agent(url: str) -> None:
        module.post(url + "/v1/chat/completions", json=REQUEST)
        token = context.attach(baggage.set_baggage("secret", "1"))
        module.get(url + "/tool")
        context.detach(token)
        module.post(url + "/v1/chat/completions", json=REQUEST)

    with ReplayServer(PLAIN, TOOL, PLAIN) as server, capture() as traces:
        agent(server.url)
        spans = traces.spans()
    assert [span.name for span in spans] == ["chat gpt-4o-mini", "GET", "chat gpt-4o-mini", "agent"]
    root = spans[3].get_span_context()
    assert root is not None
    for span, request in zip(spans, server.requests, strict=False):
        own = span.get_span_context()
        assert own is not None
        assert span.parent == root
        assert (
            request.headers["traceparent"]
            == f"00-{root.trace_id:032x}-{own.span_id:016x}-{own.trace_flags:02x}"
        )
        assert "baggage" not in request.headers


def test_all_puts_the_http_span_below_the_call() -> None:
    with ReplayServer(PLAIN) as server, capture(http_spans="all") as traces:
        httpx.post(server.url + "/v1/chat/completions", json=REQUEST)
        spans = {span.name: span for span in traces.spans()}
        below = spans["POST"].get_span_context()
    assert spans["POST"].parent == spans["chat gpt-4o-mini"].get_span_context()
    assert below is not None
    assert f"{below.span_id:016x}" in server.requests[0].headers["traceparent"]


def test_none_makes_no_span_but_passes_the_trace_on() -> None:
    with ReplayServer(TOOL) as server, capture(http_spans="none") as traces:
        httpx.get(server.url + "/outside")
        with trace.get_tracer("t").start_as_current_span("root") as root:
            httpx.get(server.url + "/inside")
        assert [span.name for span in traces.spans()] == ["root"]
        outside, inside = server.requests
    assert "traceparent" not in outside.headers
    assert f"{root.get_span_context().span_id:016x}" in inside.headers["traceparent"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"model": "m"}),
        ("/v1/models", {"messages": []}),
        ("/chat/completions/abc", {"messages": []}),
    ],
)
def test_look_alikes_are_other_calls(path: str, body: dict[str, Any]) -> None:
    with ReplayServer(TOOL) as server, capture() as traces:
        httpx.post(server.url + path, json=body)
        httpx.post(server.url + path, content=iter([b'{"messages": []}']))
        assert [span.name for span in traces.spans()] == ["POST", "POST"]


def test_an_unsampled_parent_is_honoured() -> None:
    with ReplayServer(PLAIN) as server, capture() as traces:
        parent = trace.SpanContext(5, 6, is_remote=True, trace_flags=trace.TraceFlags(0))
        with trace.use_span(trace.NonRecordingSpan(parent)):
            httpx.post(server.url + "/v1/chat/completions", json=REQUEST)
        assert traces.spans() == []
        assert server.requests[0].headers["traceparent"].startswith(f"00-{5:032x}-")
        assert server.requests[0].headers["traceparent"].endswith("-00")
        assert llmtrace.stats().generated == 0

"""HTTP calls that are not LLM calls, and the header that ties processes together."""

from __future__ import annotations

from typing import Any

import httpx
import httpx2
import pytest
from opentelemetry import baggage, context, propagate, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

import llmtrace
from llmtrace.testing import Answer, Captured, ReplayServer, capture

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
        httpx.post(server.url + path, content=iter([b'{"model": "m"}']))
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


@pytest.mark.parametrize("module", [httpx, httpx2], ids=["httpx", "httpx2"])
@pytest.mark.parametrize("http_spans", ["other", "all", "none"])
def test_baggage_goes_to_listed_hosts_alone(
    module: Any, http_spans: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where the application's propagators would send it to anybody."""
    both = CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()])
    monkeypatch.setattr(propagate, "_HTTP_TEXT_FORMAT", both)

    def received(hosts: list[str]) -> list[str | None]:
        with ReplayServer(PLAIN, TOOL) as server, capture(http_spans=http_spans, baggage_hosts=hosts):
            token = context.attach(baggage.set_baggage("user", "ann"))
            with trace.get_tracer("t").start_as_current_span("root"):
                module.post(server.url + "/v1/chat/completions", json=REQUEST)
                module.get(server.url + "/tool")
                assert baggage.get_baggage("user") == "ann"
            context.detach(token)
            assert all("traceparent" in request.headers for request in server.requests)
            return [request.headers.get("baggage") for request in server.requests]

    assert received([]) == received(["example.org", "*.0.0.1x", "0.0.1"]) == [None, None]
    assert received(["127.0.0.1"]) == received(["*.0.1"]) == ["user=ann", "user=ann"]


def test_a_suppressed_context_is_left_alone(traces: Captured) -> None:
    token = context.attach(context.set_value("suppress_instrumentation", True))
    with ReplayServer(PLAIN) as server:
        httpx.post(server.url + "/v1/chat/completions", json=REQUEST)
        assert "traceparent" not in server.requests[0].headers
    context.detach(token)
    assert traces.spans() == []


def test_a_client_inside_a_transport_makes_no_second_span(traces: Captured) -> None:
    """A gateway of one's own, or httpx on top of another library."""

    class Gateway(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            answer = httpx2.post(str(request.url), content=request.read(), headers=dict(request.headers))
            return httpx.Response(answer.status_code, content=answer.content)

    with ReplayServer(PLAIN) as server, httpx.Client(transport=Gateway()) as client:
        client.post(server.url + "/v1/chat/completions", json=REQUEST)
    assert [span.name for span in traces.spans()] == ["chat gpt-4o-mini"]

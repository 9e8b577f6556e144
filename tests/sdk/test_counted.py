"""One call counts once: retries of a client, and spans of other libraries about the same call."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import json
from typing import Any

import anthropic
import boto3
import httpx
import openai
import pytest
from botocore.config import Config
from opentelemetry import context, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import llmtrace
from llmtrace.testing import Answer, Captured, ReplayServer, capture

from .chat import PLAIN, REQUEST, STREAM

BUSY = Answer.json({"error": {"message": "busy", "code": "rate_limit"}}, 429, **{"retry-after-ms": "1"})


def _openai(url: str) -> None:
    openai.OpenAI(base_url=url + "/v1", api_key="k", max_retries=2).chat.completions.create(**REQUEST)


def _openai_async(url: str) -> None:
    async def run() -> None:
        client = openai.AsyncOpenAI(base_url=url + "/v1", api_key="k", max_retries=2)
        await client.chat.completions.create(**REQUEST)

    asyncio.run(run())


@pytest.mark.parametrize("client", [_openai, _openai_async], ids=["sync", "async"])
def test_attempts_are_linked_and_the_last_counts(traces: Captured, client: Any) -> None:
    with ReplayServer(BUSY, BUSY, PLAIN) as server:
        client(server.url)
        first, second, third = traces.spans()
    for earlier, later in ((first, second), (second, third)):
        assert earlier.attributes is not None
        assert earlier.attributes["llmtrace.counted"] is False
        (link,) = later.links
        assert link.context == earlier.context
        assert dict(link.attributes or {}) == {"llmtrace.link": "repeats"}
    assert third.attributes is not None
    assert "llmtrace.counted" not in third.attributes
    assert third.attributes["http.request.resend_count"] == 2
    assert not first.links


def test_the_last_attempt_counts_even_when_it_fails(traces: Captured) -> None:
    with ReplayServer(BUSY) as server:
        client = openai.OpenAI(base_url=server.url + "/v1", api_key="k", max_retries=1)
        with pytest.raises(openai.RateLimitError):
            client.chat.completions.create(**REQUEST)
        with pytest.raises(openai.RateLimitError):
            client.with_options(max_retries=0).chat.completions.create(**{**REQUEST, "seed": 8})
        counted = [span["attributes"].get("llmtrace.counted", True) for span in traces.snapshot()]
    assert counted == [False, True, True]


def test_a_failed_attempt_waits_for_its_repetition_before_it_is_sent() -> None:
    """In the background: the second request comes after the next delivery."""
    slow = Answer.json({"error": {"message": "busy"}}, 503, **{"retry-after-ms": "400"})
    with ReplayServer(slow, PLAIN) as server, capture() as traces:
        running = llmtrace.api.lifecycle.current()
        assert running is not None
        running.delivery_worker._pause = 0.05
        _openai(server.url)
        first, last = traces.snapshot()
    assert first["attributes"]["llmtrace.counted"] is False
    assert "llmtrace.counted" not in last["attributes"]


def test_aws_attempts(traces: Captured) -> None:
    done = Answer.json(
        {
            "output": {"message": {"role": "assistant", "content": []}},
            "stopReason": "end_turn",
            "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2},
            "metrics": {"latencyMs": 1},
        }
    )
    with ReplayServer(Answer.json({"message": "down"}, 503), done) as server:
        client = boto3.client(
            "bedrock-runtime",
            endpoint_url=server.url,
            region_name="us-east-1",
            aws_access_key_id="a",
            aws_secret_access_key="b",
            config=Config(retries={"total_max_attempts": 2, "mode": "standard"}),
        )
        client.converse(modelId="m", messages=[{"role": "user", "content": [{"text": "hi"}]}])
        first, second = traces.snapshot()
    assert first["attributes"]["llmtrace.counted"] is False
    assert "llmtrace.counted" not in second["attributes"]
    assert second["attributes"]["http.request.resend_count"] == 1


def test_two_calls_are_no_attempts_of_each_other(traces: Captured) -> None:
    with ReplayServer(BUSY, PLAIN) as server:
        for seed in range(2):
            httpx.post(server.url + "/v1/chat/completions", json={**REQUEST, "seed": seed})
        assert all("llmtrace.counted" not in span["attributes"] for span in traces.snapshot())
        assert not any(span.links for span in traces.spans())


OTHERS: dict[str, dict[str, Any]] = {
    "conventions": {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 30},
    "openllmetry": {"llm.request.type": "chat", "gen_ai.system": "OpenAI"},
    "openinference": {"openinference.span.kind": "LLM", "llm.token_count.prompt": 30},
}


@pytest.mark.parametrize("convention", OTHERS)
def test_a_span_of_another_library_around_the_call(traces: Captured, convention: str) -> None:
    tracer = trace.get_tracer("another.instrumentation")
    with (
        ReplayServer(PLAIN) as server,
        tracer.start_as_current_span("app"),
        tracer.start_as_current_span("theirs", attributes=OTHERS[convention]),
    ):
        httpx.post(server.url + "/v1/chat/completions", json=REQUEST)
    spans = {span["name"]: span["attributes"] for span in traces.snapshot()}
    assert spans["theirs"]["llmtrace.counted"] is False
    assert "llmtrace.counted" not in spans["chat gpt-4o-mini"]
    assert "llmtrace.counted" not in spans["app"]


def test_a_span_of_another_library_beside_the_call(traces: Captured) -> None:
    """It was not the active one; the response id tells."""
    tracer = trace.get_tracer("another.instrumentation")
    with ReplayServer(PLAIN) as server:
        theirs = tracer.start_span("theirs", attributes=OTHERS["conventions"])
        answer = httpx.post(server.url + "/v1/chat/completions", json=REQUEST).json()
        theirs.set_attribute("gen_ai.response.id", answer["id"])
        theirs.end()
        local = tracer.start_span("a model in this process", attributes=OTHERS["conventions"])
        local.end()
    spans = {span["name"]: span["attributes"] for span in traces.snapshot()}
    assert spans["theirs"]["llmtrace.counted"] is False
    assert "llmtrace.counted" not in spans["chat gpt-4o-mini"]
    assert "llmtrace.counted" not in spans["a model in this process"]


@pytest.mark.parametrize("convention", OTHERS)
@pytest.mark.parametrize("active", [True, False], ids=["active", "not active"])
def test_their_own_exporter_sends_the_mark_too(traces: Captured, convention: str, active: bool) -> None:
    """Nothing can be added to a span that has ended: it is marked when our call begins."""
    theirs = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(theirs))
    running = llmtrace.api.lifecycle.current()
    assert running is not None
    provider.add_span_processor(running.processor)
    tracer = provider.get_tracer("another.instrumentation")
    with ReplayServer(PLAIN) as server, tracer.start_as_current_span("app"):
        span = tracer.start_span("theirs", attributes=OTHERS[convention])
        with trace.use_span(span) if active else contextlib.nullcontext():
            httpx.post(server.url + "/v1/chat/completions", json=REQUEST)
        span.end()
    marks = {
        span.name: (span.attributes or {}).get("llmtrace.counted") for span in theirs.get_finished_spans()
    }
    assert marks == {"theirs": False, "app": None}


LATER = ("openinference.instrumentation.langchain", "opentelemetry.instrumentation.langchain", "langfuse-sdk")


@pytest.mark.parametrize("scope", LATER)
def test_a_call_lies_below_an_open_span_that_says_later_what_it_is(traces: Captured, scope: str) -> None:
    """Callbacks of a framework begin a span, and never make it the active one: the tree is not torn."""
    tracer = trace.get_tracer(scope)
    with ReplayServer(PLAIN) as server:
        chain = tracer.start_span("chain")
        model = tracer.start_span("ChatOpenAI", trace.set_span_in_context(chain))
        httpx.post(server.url + "/v1/chat/completions", json=REQUEST)
        model.set_attributes(OTHERS["openinference"])
        model.end()
        chain.end()
        httpx.post(server.url + "/v1/chat/completions", json=REQUEST)
    within, after = (span for span in traces.spans() if span.name.startswith("chat "))
    assert within.parent == model.get_span_context()
    assert after.parent is None
    marks = {span["name"]: span["attributes"].get("llmtrace.counted") for span in traces.snapshot()}
    assert marks["ChatOpenAI"] is False
    assert marks["chat gpt-4o-mini"] is None


def test_a_span_that_was_made_active_since_is_the_calls_parent(traces: Captured) -> None:
    tracer = trace.get_tracer(LATER[0])
    with ReplayServer(PLAIN) as server:
        model = tracer.start_span("ChatOpenAI")
        with trace.get_tracer("app").start_as_current_span("app") as app:
            httpx.post(server.url + "/v1/chat/completions", json=REQUEST)
        model.end()
    (call,) = (span for span in traces.spans() if span.name.startswith("chat "))
    assert call.parent == app.get_span_context()


def test_what_quiets_http_below_its_own_span_of_the_call_does_not_quiet_ours(traces: Captured) -> None:
    """As Logfire does. Where nobody else traces the call, quiet is quiet."""
    tracer = trace.get_tracer("another.instrumentation")
    with ReplayServer(PLAIN) as server:
        with tracer.start_as_current_span("theirs", attributes=OTHERS["conventions"]):
            token = context.attach(context.set_value("suppress_instrumentation", True))
            httpx.post(server.url + "/v1/chat/completions", json=REQUEST)
            context.detach(token)
        with tracer.start_as_current_span("app"):
            token = context.attach(context.set_value("suppress_instrumentation", True))
            httpx.post(server.url + "/v1/chat/completions", json=REQUEST)
            context.detach(token)
    spans = {span["name"]: span["attributes"] for span in traces.snapshot()}
    assert set(spans) == {"theirs", "chat gpt-4o-mini", "app"}
    assert spans["theirs"]["llmtrace.counted"] is False
    assert "llmtrace.counted" not in spans["chat gpt-4o-mini"]


def test_a_record_at_a_streams_end_is_marked(traces: Captured) -> None:
    """Logfire reports a stream by a record of no length, which is nobody's parent."""
    record = {**OTHERS["conventions"], "logfire.span_type": "log"}
    tracer = trace.get_tracer("logfire.openai")

    def program() -> None:
        tracer.start_span("before any call", attributes=record).end()
        with ReplayServer(STREAM) as server:
            httpx.post(server.url + "/v1/chat/completions", json={**REQUEST, "stream": True})
            tracer.start_span("streaming response", attributes=record).end()
            tracer.start_span("of another call", attributes=record).end()

    contextvars.Context().run(program)
    marks = {span["name"]: span["attributes"].get("llmtrace.counted") for span in traces.snapshot()}
    assert marks == {
        "before any call": None,
        "chat gpt-4o-mini": None,
        "streaming response": False,
        "of another call": None,
    }


def test_our_own_steps_count_as_they_are(traces: Captured) -> None:
    @llmtrace.agent
    def helper(url: str) -> None:
        httpx.post(url + "/v1/chat/completions", json=REQUEST)

    with ReplayServer(PLAIN) as server:
        helper(server.url)
    assert all("llmtrace.counted" not in span["attributes"] for span in traces.snapshot())


def test_anthropics_client_with_whatever_it_traces_itself(traces: Captured) -> None:
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-x",
        "stop_reason": "end_turn",
        "content": [{"type": "text", "text": "hi"}],
        "usage": {"input_tokens": 3, "output_tokens": 1},
    }
    with ReplayServer(Answer.json(message)) as server:
        client = anthropic.Anthropic(base_url=server.url, api_key="k", max_retries=0)
        client.messages.create(model="claude-x", max_tokens=5, messages=[{"role": "user", "content": "hi"}])
    llm = [
        span
        for span in traces.snapshot()
        if span["attributes"].get("gen_ai.operation.name") == "chat"
        and span["attributes"].get("llmtrace.counted", True)
    ]
    assert [json.dumps(span["name"]) for span in llm] == ['"chat claude-x"']

"""Tools, agents, retrievals, prompts: the spans the conventions ask for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Any, assert_type

import aiohttp
import httpx
import httpx2
import pytest
import requests
import urllib3
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import llmtrace
from llmtrace.testing import Captured, ReplayServer, capture

from .chat import PLAIN, REQUEST


@dataclass
class Hit:
    id: str
    score: float
    text: str = "long"


@llmtrace.tool
def weather(city: str, *, unit: str = "C") -> dict[str, Any]:
    """Look up the weather.

    At length.
    """
    return {"city": city, "degrees": 7, "unit": unit}


@llmtrace.tool(name="clock", kind="extension", capture=False)
async def clock(zone: str) -> str:
    return zone


@llmtrace.retrieval(data_source="kb-1", provider="pinecone")
def search(query: str, top_k: int = 3) -> list[Hit]:
    return [Hit("a", 0.5), Hit("b", 0.25)]


@llmtrace.retrieval
def lookup(words: str) -> list[dict[str, Any]]:
    return [{"id": 7, "text": "t"}]


def test_a_whole_agent(traces: Captured) -> None:
    @llmtrace.agent(name="planner")
    async def plan(url: str) -> AsyncGenerator[str, None]:
        """Plans trips."""
        with llmtrace.prompt("plan", 3):
            httpx.post(url + "/v1/chat/completions", json=REQUEST)  # noqa: ASYNC210
        weather("Bonn", unit="K")
        yield await clock("CET")
        search("what is new?", top_k=2)
        lookup("old words")

    async def run(url: str) -> list[str]:
        return [item async for item in plan(url)]

    with ReplayServer(PLAIN) as server:
        assert asyncio.run(run(server.url)) == ["CET"]
    spans = {span["name"]: span for span in traces.snapshot()}
    attributes = {name: span["attributes"] for name, span in spans.items()}
    parents = {span.name: span.parent for span in traces.spans()}
    root = next(span for span in traces.spans() if span.name == "invoke_agent planner")
    assert parents.pop("invoke_agent planner") is None
    assert all(parent == root.get_span_context() for parent in parents.values())
    agent = attributes["invoke_agent planner"]
    assert agent["gen_ai.operation.name"] == "invoke_agent"
    assert agent["gen_ai.agent.description"] == "Plans trips."
    assert {span_attributes["gen_ai.agent.name"] for span_attributes in attributes.values()} == {"planner"}
    chat = attributes["chat gpt-4o-mini"]
    assert (chat["gen_ai.prompt.name"], chat["gen_ai.prompt.version"]) == ("plan", "3")
    tool = attributes["execute_tool weather"]
    assert tool["gen_ai.operation.name"] == "execute_tool"
    assert (tool["gen_ai.tool.name"], tool["gen_ai.tool.type"]) == ("weather", "function")
    assert tool["gen_ai.tool.description"] == "Look up the weather."
    assert json.loads(tool["gen_ai.tool.call.arguments"]) == {"city": "Bonn", "unit": "K"}
    assert json.loads(tool["gen_ai.tool.call.result"])["degrees"] == 7
    other = attributes["execute_tool clock"]
    assert other["gen_ai.tool.type"] == "extension"
    assert "gen_ai.tool.call.arguments" not in other
    retrieval = attributes["retrieval kb-1"]
    assert spans["retrieval kb-1"]["kind"] == "CLIENT"
    assert retrieval["gen_ai.operation.name"] == "retrieval"
    assert retrieval["gen_ai.data_source.id"] == "kb-1"
    assert retrieval["gen_ai.provider.name"] == "pinecone"
    assert retrieval["gen_ai.retrieval.top_k"] == 2
    assert retrieval["gen_ai.retrieval.query.text"] == "what is new?"
    assert json.loads(retrieval["gen_ai.retrieval.documents"]) == [
        {"id": "a", "score": 0.5},
        {"id": "b", "score": 0.25},
    ]
    assert json.loads(attributes["retrieval lookup"]["gen_ai.retrieval.documents"]) == [
        {"id": 7, "score": None}
    ]
    assert attributes["retrieval lookup"]["gen_ai.retrieval.query.text"] == "old words"


def test_steps_without_content() -> None:
    with capture(capture_content=False) as traces:
        weather("hidden")
        search("hidden")
        assert "hidden" not in str(traces.snapshot())
        assert [span["name"] for span in traces.snapshot()] == ["execute_tool weather", "retrieval kb-1"]


def test_types_are_kept() -> None:
    assert_type(weather("Bonn"), dict[str, Any])
    assert_type(search("x"), list[Hit])
    assert_type(llmtrace.trace_url(), str | None)
    with llmtrace.prompt("p") as entered:
        assert_type(entered, llmtrace.context)


def test_trace_url() -> None:
    assert llmtrace.trace_url("a" * 32) is None
    with capture(dashboard_url="https://llm.example.org/") as traces:
        assert llmtrace.trace_url("ab" * 16) == f"https://llm.example.org/traces?trace={'ab' * 16}"

        @llmtrace.observe
        def function() -> str | None:
            return llmtrace.trace_url()

        url = function()
        (span,) = traces.spans()
        assert span.context is not None
        assert url == f"https://llm.example.org/traces?trace={span.context.trace_id:032x}"


@pytest.mark.parametrize("module", [httpx, httpx2], ids=["httpx", "httpx2"])
def test_disable_takes_the_hooks_off(module: Any) -> None:
    with ReplayServer(PLAIN) as server:
        with capture() as traces:
            module.post(server.url + "/v1/chat/completions", json=REQUEST)
            assert hasattr(module.Client.send, "__wrapped__")
            assert len(traces.spans()) == 1
            llmtrace.disable()
            assert not hasattr(module.Client.send, "__wrapped__")
            assert not hasattr(module.AsyncClient.send, "__wrapped__")
            module.post(server.url + "/v1/chat/completions", json=REQUEST)
            assert "traceparent" not in server.requests[-1].headers
        for _ in range(2):
            with capture() as traces:
                module.post(server.url + "/v1/chat/completions", json=REQUEST)
                assert len(traces.spans()) == 1


def _by_requests(url: str) -> None:
    requests.post(url + "/v1/chat/completions", json=REQUEST, timeout=30)


def _by_urllib3(url: str) -> None:
    with urllib3.PoolManager() as pool:
        pool.request("POST", url + "/v1/chat/completions", body=json.dumps(REQUEST))


def _by_aiohttp(url: str) -> None:
    async def post() -> None:
        address = url + "/v1/chat/completions"
        async with aiohttp.ClientSession() as session, session.post(address, json=REQUEST) as answer:
            await answer.read()

    asyncio.run(post())


@pytest.mark.parametrize(
    "call", [_by_requests, _by_urllib3, _by_aiohttp], ids=["requests", "urllib3", "aiohttp"]
)
def test_disable_lets_go_of_every_transport(call: Callable[[str], None]) -> None:
    with ReplayServer(PLAIN) as server:
        for _ in range(2):
            with capture() as traces:
                call(server.url)
                assert len(traces.spans()) == 1
                llmtrace.disable()
                call(server.url)
                assert "traceparent" not in server.requests[-1].headers
                assert len(traces.spans()) == 1


def test_disable_leaves_another_provider_at_work() -> None:
    """Spans of the application go on; ours end, and what it recorded before is there."""
    theirs = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(theirs))
    with ReplayServer(PLAIN) as server, capture() as traces:
        running = llmtrace.api.lifecycle.current()
        assert running is not None
        provider.add_span_processor(running.processor)
        with provider.get_tracer("app").start_as_current_span("before"):
            httpx.post(server.url + "/v1/chat/completions", json=REQUEST)
        llmtrace.disable()
        with provider.get_tracer("app").start_as_current_span("after"):
            httpx.post(server.url + "/v1/chat/completions", json=REQUEST)
        assert [span.name for span in traces.spans()] == ["chat gpt-4o-mini", "before"]
    assert [span.name for span in theirs.get_finished_spans()] == ["before", "after"]

"""Frameworks as their users use them: a call of a model counts once, below the function it is part of."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from llmtrace.testing import Received, ReplayServer
from llmtrace_collector.store.store import Store
from tests.sdk.test_recordings import answer_of

from .running import Collector, events, exchange, message_text, needs, run

WHOLE = "chat"
WHOLE_2 = "chat-again"
STREAMED = "chat-streamed"
STREAMED_2 = "chat-streamed-again"
RESPONSE = "response"
RESPONSE_STREAMED = "response-streamed"
AGENT = [f"agent-{number}" for number in range(3)]


@dataclass(frozen=True)
class Case:
    """A program, and of each of its functions in turn what the provider answers."""

    group: str
    program: str
    functions: dict[str, list[str]]
    arguments: tuple[str, ...] = field(default=())


BOTH_WAYS = {
    "whole": [WHOLE],
    "streamed": [STREAMED],
    "whole_async": [WHOLE_2],
    "streamed_async": [STREAMED_2],
    "invoke_agent calculator": AGENT,
}
ONE_LOOP = {"whole": [WHOLE], "streamed": [STREAMED], "invoke_agent calculator": AGENT}
CASES = {
    "langchain": Case("frameworks", "with_langchain.py", BOTH_WAYS),
    "langgraph": Case(
        "frameworks",
        "with_langgraph.py",
        {"nodes": [WHOLE, WHOLE_2], "streamed": [STREAMED], "invoke_agent calculator": AGENT},
    ),
    "llamaindex": Case("llamaindex", "with_llamaindex.py", BOTH_WAYS),
    "openai agents": Case(
        "frameworks",
        "with_openai_agents.py",
        {"whole": [RESPONSE], "streamed": [RESPONSE_STREAMED], "invoke_agent calculator": AGENT},
    ),
    "pydantic-ai": Case("frameworks", "with_pydantic_ai.py", ONE_LOOP),
    "pydantic-ai with its own spans": Case(
        "frameworks", "with_pydantic_ai.py", ONE_LOOP, arguments=("instrumented",)
    ),
}


def expected_answer(name: str) -> dict[str, Any]:
    """What the store has to hold of an answer, read from its body."""
    parts = events(exchange(name))
    if name.startswith("response"):
        body = parts[-1].get("response", parts[-1])
        usage = body["usage"]
        texts = [part["text"] for item in body["output"] for part in item.get("content") or ()]
        tokens = usage["input_tokens"], usage["output_tokens"]
        return {"id": body["id"], "model": body["model"], "tokens": tokens, "said": "".join(texts)}
    usage = next(part["usage"] for part in reversed(parts) if part.get("usage"))
    key = "delta" if exchange(name).is_stream else "message"
    answer_text = "".join(part["choices"][0][key].get("content") or "" for part in parts if part["choices"])
    tokens = usage["prompt_tokens"], usage["completion_tokens"]
    return {"id": parts[0]["id"], "model": parts[0]["model"], "tokens": tokens, "said": answer_text}


def stored_answer(row: dict[str, Any]) -> dict[str, Any]:
    """The same of a stored span."""
    return {
        "id": row["ResponseId"],
        "model": row["ResponseModel"],
        "tokens": (int(row["InputTokens"]), int(row["OutputTokens"])),
        "said": message_text(row["OutputMessages"]),
    }


def above(row: dict[str, Any], spans: dict[str, dict[str, Any]]) -> list[str]:
    """The names of the spans that a span lies in, from the innermost out."""
    names = []
    while parent := spans.get(row["ParentSpanId"]):
        assert parent["TraceId"] == row["TraceId"]
        names.append(parent["SpanName"])
        row = parent
    assert row["ParentSpanId"] == "", "a parent that never arrived"
    return names


@dataclass(frozen=True)
class ProgramRun:
    """What the provider was asked and what the store holds afterwards."""

    case: Case
    names: list[tuple[str, str]]
    """The function and the exchange of each call, in order."""
    requests: list[Received]
    rows: list[dict[str, Any]]

    @property
    def calls(self) -> list[dict[str, Any]]:
        return [row for row in self.rows if row["Operation"] == "chat" and row["Counted"]]

    @property
    def spans(self) -> dict[str, dict[str, Any]]:
        return {row["SpanId"]: row for row in self.rows}


@pytest.fixture(
    scope="module",
    params=[pytest.param(case, id=name, marks=needs(case.group)) for name, case in CASES.items()],
)
def program_run(
    request: pytest.FixtureRequest, store: Store, tmp_path_factory: pytest.TempPathFactory
) -> ProgramRun:
    case: Case = request.param
    names = [(function, name) for function, calls in case.functions.items() for name in calls]
    with (
        ReplayServer(*(answer_of(exchange(name)) for _, name in names)) as provider,
        Collector(store, tmp_path_factory.mktemp("segments")) as collector,
    ):
        run(case.group, case.program, provider.url, *case.arguments, LLMTRACE_ENDPOINT=collector.url)
        return ProgramRun(case, names, provider.requests, collector.rows())


def test_each_call_is_counted_once_as_it_was_answered(program_run: ProgramRun) -> None:
    assert [stored_answer(row) for row in program_run.calls] == [
        expected_answer(name) for _, name in program_run.names
    ]


def test_each_call_lies_below_the_function_that_made_it(program_run: ProgramRun) -> None:
    chains = [above(row, program_run.spans) for row in program_run.calls]
    assert [chain[-1] for chain in chains] == [function for function, _ in program_run.names]
    if not program_run.case.arguments:
        assert all(len(chain) == 1 for chain in chains), "and nothing lies between"


def test_the_provider_is_told_the_calls_own_span(program_run: ProgramRun) -> None:
    sent = [request.headers["traceparent"].split("-")[1:3] for request in program_run.requests]
    assert sent == [[row["TraceId"], row["SpanId"]] for row in program_run.calls]


def test_streams_tell_of_their_first_token(program_run: ProgramRun) -> None:
    streams = [exchange(name).is_stream for _, name in program_run.names]
    assert any(streams)
    assert [row["TimeToFirstToken"] is not None for row in program_run.calls] == streams


def test_tools_are_steps_of_the_agent(program_run: ProgramRun) -> None:
    """And functions under `llmtrace.tool` still show a framework their arguments and description."""
    steps = [
        row
        for row in program_run.rows
        if row["ScopeName"] == "llmtrace" and row["Operation"] == "execute_tool"
    ]
    assert [row["SpanName"] for row in steps] == ["execute_tool multiply", "execute_tool add"]
    assert [above(row, program_run.spans)[-1] for row in steps] == ["invoke_agent calculator"] * 2
    arguments = [json.loads(row["SpanAttributes"]["gen_ai.tool.call.arguments"]) for row in steps]
    assert arguments == [{"a": 3.0, "b": 4.0}, {"a": 12.0, "b": 7.0}]
    offered = [
        (tool["name"], tool["description"]) for tool in json.loads(program_run.calls[-3]["ToolDefinitions"])
    ]
    # LlamaIndex puts the signature before the description.
    assert [(name, text.splitlines()[-1]) for name, text in offered] == [
        ("multiply", "Multiply two numbers together."),
        ("add", "Add two numbers together."),
    ]

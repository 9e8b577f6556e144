"""Blocks and decorated functions of a real program, as they lie in the store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import llmtrace

from .running import Served, settings

COLUMNS = (
    "SpanId, ParentSpanId, SpanName, SpanKind, StatusCode, StatusMessage, SpanAttributes, ResourceAttributes"
)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    running = Served(settings(tmp_path_factory.mktemp("store")))
    yield running
    running.close()


@llmtrace.tool(name="weather")
def _weather(city: str) -> dict[str, int]:
    return {"degrees": 7}


@llmtrace.agent(name="planner")
def _plan() -> None:
    _weather("Bonn")


def _plan_in_blocks() -> None:
    with llmtrace.context(user_id="u-1"), llmtrace.span("planner", kind="agent"):
        with llmtrace.span("weather", kind="tool") as span:
            span.set_input({"city": "Bonn"})
            span.set_output({"degrees": 7})
            span.set_attribute("weather.source", "buoy")
        raise LookupError("no train")


def test_blocks_are_stored_like_decorated_functions(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMTRACE_SPOOL_DIR", "off")
    llmtrace.init(endpoint=served.url, service_name="blocks", strict=True)
    with pytest.raises(LookupError, match="no train"):
        _plan_in_blocks()
    with llmtrace.context(user_id="u-1"):
        _plan()
    assert llmtrace.flush(30)
    llmtrace.shutdown()
    served.stored()
    rows: list[dict[str, Any]] = served.collector.store.rows(
        f"SELECT {COLUMNS} FROM otel_traces WHERE ServiceName = 'blocks' ORDER BY Timestamp"
    )
    agent, tool, other_agent, other_tool = rows
    for row in rows:
        row["SpanAttributes"].pop("code.function.name", None)
    assert tool["SpanAttributes"].pop("weather.source") == "buoy"
    assert tool["SpanAttributes"] == other_tool["SpanAttributes"]
    assert tool["SpanAttributes"]["user.id"] == "u-1"
    assert tool["SpanAttributes"]["gen_ai.agent.name"] == "planner"
    assert (tool["ParentSpanId"], other_tool["ParentSpanId"]) == (agent["SpanId"], other_agent["SpanId"])
    assert (agent["StatusCode"], agent["StatusMessage"]) == ("Error", "LookupError: no train")
    assert agent["SpanAttributes"].pop("error.type") == "LookupError"
    assert agent["SpanAttributes"] == other_agent["SpanAttributes"]
    assert [row["SpanName"] for row in rows] == ["invoke_agent planner", "execute_tool weather"] * 2

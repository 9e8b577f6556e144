"""Steps of any kind in buckets of ten seconds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from llmtrace_collector.sql_values import literal
from llmtrace_collector.store.rollups.settings import RollupSettings

from .otlp import SECOND, llm, span
from .rolled import Rolled

FAILED = {"code": 2}


@pytest.fixture(scope="module")
def rolled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rolled]:
    harness = Rolled(tmp_path_factory.mktemp("steps"), RollupSettings(step_names=10))
    yield harness
    harness.store.close()


def operation(kind: str, values: dict[str, object] | None = None, **fields: Any) -> Span:
    """A span of one of the convention's operations."""
    return span({"gen_ai.operation.name": kind, **(values or {})}, **fields)


def test_each_kind_of_step_has_its_name(rolled: Rolled) -> None:
    rolled.send(
        llm({"gen_ai.agent.name": "planner"}),
        llm(status=FAILED),
        llm({"llmtrace.counted": False}, status=FAILED),
        operation("execute_tool", {"gen_ai.tool.name": "lookup"}, name="execute_tool lookup"),
        operation("retrieval", {"gen_ai.data_source.id": "handbook"}, name="retrieval"),
        project="kinds",
        resource={"gen_ai.agent.name": "shop-agent", "gen_ai.agent.version": "3"},
    )
    rolled.send(
        operation("invoke_agent", {"gen_ai.agent.name": "planner", "gen_ai.agent.version": "2"}, name="run"),
        operation("something_else", name="POST /orders"),
        span(name="GET /orders/4711/items"),
        operation("execute_tool", name="execute_tool clock"),
        project="kinds",
    )
    rolled.store.roll_up()
    rows = [tuple(row.values()) for row in rolled.steps("kinds")]
    assert rows == [
        ("chat", "chat gpt-4o-mini", "planner", "3", "ok", 1),
        ("chat", "chat gpt-4o-mini", "shop-agent", "3", "error", 1),
        ("chat", "chat gpt-4o-mini", "shop-agent", "3", "retried", 1),
        ("execute_tool", "execute_tool clock", "", "", "ok", 1),
        ("execute_tool", "lookup", "shop-agent", "3", "ok", 1),
        ("invoke_agent", "planner", "planner", "2", "ok", 1),
        ("retrieval", "handbook", "shop-agent", "3", "ok", 1),
        ("span", "GET /orders/*/items", "", "", "ok", 1),
        ("span", "POST /orders", "", "", "ok", 1),
    ]


def test_durations_errors_and_samples(rolled: Rolled) -> None:
    start = time.time_ns() // (10 * SECOND) * 10 * SECOND - 100 * SECOND
    for seconds in (1, 2, 3):
        rolled.send(
            span(name="work", start=start + seconds * SECOND, duration=seconds * SECOND), project="times"
        )
    rolled.send(
        span({"llmtrace.sample.weight": 10}, name="work", start=start, duration=6 * SECOND, status=FAILED),
        project="times",
    )
    rolled.store.roll_up()
    rows = rolled.store.rows(
        "SELECT Status, toUnixTimestamp(Time) AS Time, Steps, Errors, Spans, "
        "DurationSum, DurationMin, DurationMax, "
        "finalizeAggregation(DurationDigest)[1] AS p50 FROM steps WHERE Project = 'times' ORDER BY Status"
    )
    at = start // SECOND
    assert rows == [
        {"Status": "error", "Time": at, "Steps": 10, "Errors": 10, "Spans": 1, "DurationSum": 60 * SECOND,
         "DurationMin": 6 * SECOND, "DurationMax": 6 * SECOND, "p50": 6},
        {"Status": "ok", "Time": at, "Steps": 3, "Errors": 0, "Spans": 3, "DurationSum": 6 * SECOND,
         "DurationMin": SECOND, "DurationMax": 3 * SECOND, "p50": 2},
    ]  # fmt: skip


def test_the_rarest_steps_of_ten_seconds_are_one(rolled: Rolled) -> None:
    start = time.time_ns() - 200 * SECOND
    often = [span(name=name, start=start) for name in "abcdefghi" for _ in range(2)]
    rare = [span(name=f"rare {name}", start=start) for name in "vwxyz"]
    rolled.send(*often, *rare, project="many")
    rolled.store.roll_up()
    frequent = [(name, 2) for name in "abcdefghi"]
    steps = [(row["StepName"], row["Steps"]) for row in rolled.steps("many")]
    assert steps == [("(other)", 4), *frequent, ("rare v", 1)]
    # A late span makes one of them frequent: the buckets are made anew, and nothing counts twice.
    rolled.send(*[span(name="rare z", start=start) for _ in range(3)], project="many")
    rolled.store.roll_up()
    steps = [(row["StepName"], row["Steps"]) for row in rolled.steps("many")]
    assert steps == [("(other)", 4), *frequent, ("rare z", 4)]


def test_other_services_and_late_spans_keep_their_own(rolled: Rolled) -> None:
    start = time.time_ns() - 300 * SECOND
    rolled.send(span(name="work", start=start), project="late")
    rolled.send(span(name="work", start=start), project="late", resource={"service.name": "bank"})
    rolled.store.roll_up()
    rolled.send(
        span(name="work", start=start), span(name="more", start=start - 86_400 * SECOND), project="late"
    )
    rolled.store.roll_up()
    rows = rolled.store.rows(
        "SELECT ServiceName, StepName, sum(Steps) AS Steps FROM steps WHERE Project = 'late' "
        "GROUP BY ALL ORDER BY ALL"
    )
    assert [tuple(row.values()) for row in rows] == [
        ("bank", "work", 1),
        ("shop", "more", 1),
        ("shop", "work", 2),
    ]


def test_steps_of_spans_that_are_gone_go_with_a_rebuild(rolled: Rolled) -> None:
    rolled.send(span(name="kept"), span(name="erased"), project="erased")
    rolled.store.roll_up()
    assert len(rolled.steps("erased")) == 2
    rolled.store.mutate("ALTER TABLE otel_traces DELETE WHERE SpanName = 'erased'")
    rolled.store.rebuild_usage()
    assert [row["StepName"] for row in rolled.steps("erased")] == ["kept"]


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [
        ("span", "GET /users/12/orders/3", "GET /users/*/orders/*"),
        ("span", "job 0f8fad5b-d9cb-469f-a165-70867728950e done", "job * done"),
        ("span", "task-9f86d081884c7d65", "task-*"),
        ("span", "batch 20261129", "batch *"),
        ("span", "step 3 of v2", "step 3 of v2"),
        ("span", "decade facade", "decade facade"),
        ("execute_tool", "ticket_1234567", "ticket_*"),
        ("chat", "chat claude-3-5-sonnet-20241022", "chat claude-3-5-sonnet-20241022"),
        ("span", "é" * 300, "é" * 200),
    ],
)
def test_ids_in_names_are_one_name(rolled: Rolled, kind: str, name: str, expected: str) -> None:
    (row,) = rolled.store.rows(f"SELECT llmtrace_step_name({literal(kind)}, {literal(name)}) AS name")
    assert row["name"] == expected


def test_kinds_and_raw_names_by_function(rolled: Rolled) -> None:
    (row,) = rolled.store.rows(
        "SELECT llmtrace_step_kind('rerank') AS known, llmtrace_step_kind('') AS none, "
        "llmtrace_raw_step_name('execute_tool', 'span', map('gen_ai.tool.name', 'clock')) AS tool, "
        "llmtrace_raw_step_name('chat', 'span', map('gen_ai.tool.name', 'clock')) AS chat, "
        "llmtrace_agent(map('k', ''), map('k', 'resource'), 'k') AS resource, "
        "llmtrace_agent(map('k', 'own'), map('k', 'resource'), 'k') AS own, "
        "llmtrace_short_name(repeat('x', 201)) = repeat('x', 200) AS short"
    )
    assert row == {
        "known": "rerank", "none": "span", "tool": "clock", "chat": "span", "resource": "resource",
        "own": "own", "short": 1,
    }  # fmt: skip

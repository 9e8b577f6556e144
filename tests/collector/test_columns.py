"""Columns computed from attributes, the rollup they feed, and how schema and rollup are kept."""

from __future__ import annotations

import time
from typing import Any

import pytest

from llmtrace_collector.store.engine import StoreError
from llmtrace_collector.store.schema.description import SchemaSettings
from llmtrace_collector.store.schema.reconcile import bring_up_to_date
from llmtrace_collector.store.store import open_store

from .otlp import CLIENT, DAY, SERVER, llm, span, traces
from .running import Served


def stored(served: Served, sent: Any, resource: dict[str, object] | None = None) -> dict[str, Any]:
    """The row of one span, once it is there."""
    assert served.post(traces([sent], resource)).status_code == 200
    served.stored()
    (row,) = served.rows("SELECT * FROM otel_traces WHERE SpanId = {id:String}", id=sent.span_id.hex())
    return row


CURRENT: dict[str, object] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "anthropic",
    "gen_ai.request.model": "claude-x",
    "gen_ai.response.model": "claude-x-1",
    "gen_ai.response.id": "msg_1",
    "gen_ai.response.finish_reasons": ["end_turn", "stop"],
    "gen_ai.usage.input_tokens": 100,
    "gen_ai.usage.output_tokens": 0,
    "gen_ai.usage.cache_read.input_tokens": 60,
    "gen_ai.usage.cache_write.input_tokens": 30,
    "gen_ai.usage.reasoning.output_tokens": 5,
    "gen_ai.response.time_to_first_chunk": 0.25,
    "gen_ai.input.messages": "[1]",
    "gen_ai.output.messages": "[2]",
    "gen_ai.system_instructions": "[3]",
    "gen_ai.tool.definitions": "[4]",
    "user.id": "u",
    "session.id": "s",
    "llmtrace.tags": ["x", "y"],
    "llmtrace.experiment": "e",
    "llmtrace.run": "r",
    "gen_ai.prompt.name": "p",
    "gen_ai.prompt.version": "3",
    "error.type": "timeout",
    "own.key": True,
}
EXPECTED = {
    "Operation": "chat", "Provider": "anthropic", "RequestModel": "claude-x", "ResponseModel": "claude-x-1",
    "Model": "claude-x", "ResponseId": "msg_1", "FinishReasons": ["stop", "stop"], "InputTokens": 100,
    "OutputTokens": 0, "CacheReadTokens": 60, "CacheWriteTokens": 30, "ReasoningTokens": 5,
    "TimeToFirstToken": 0.25, "InputMessages": "[1]", "OutputMessages": "[2]", "SystemInstructions": "[3]",
    "ToolDefinitions": "[4]", "UserId": "u", "SessionId": "s", "Tags": ["x", "y"], "Experiment": "e",
    "RunId": "r", "PromptName": "p", "PromptVersion": "3", "ErrorType": "timeout", "Project": "shop-a",
    "Purpose": "simulated", "IsLlm": True, "Counted": True, "ServiceName": "shop", "RetentionDays": 30,
}  # fmt: skip


def test_current_names(served: Served) -> None:
    resource: dict[str, object] = {
        "service.name": "shop",
        "llmtrace.project": "shop-a",
        "llmtrace.simulated": True,
    }
    row = stored(served, span(CURRENT, kind=CLIENT), resource)
    assert {key: row[key] for key in EXPECTED} == EXPECTED
    assert row["SpanAttributes"]["own.key"] == "true"
    assert not [key for key in row["SpanAttributes"] if "messages" in key or "definitions" in key]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (
            {
                "gen_ai.system": "vertex_ai",
                "gen_ai.usage.prompt_tokens": 7,
                "gen_ai.usage.completion_tokens": 8,
            },
            {"Provider": "gcp.vertex_ai", "InputTokens": 7, "OutputTokens": 8},
        ),
        ({"gen_ai.system": "xai", "gen_ai.provider.name": "openai"}, {"Provider": "openai"}),
        (
            {"gen_ai.usage.input_tokens": 9, "gen_ai.usage.prompt_tokens": 7},
            {"InputTokens": 9, "OutputTokens": None},
        ),
        (
            {"gen_ai.usage.cache_creation.input_tokens": 4, "gen_ai.usage.cache_read_input_tokens": 3},
            {"CacheWriteTokens": 4, "CacheReadTokens": 3},
        ),
        ({"enduser.id": "old", "gen_ai.conversation.id": "talk"}, {"UserId": "old", "SessionId": "talk"}),
        ({"gen_ai.response.finish_reasons": "stop"}, {"FinishReasons": ["stop"]}),
        ({"gen_ai.usage.input_tokens": 0}, {"InputTokens": 0, "OutputTokens": None}),
        ({}, {"InputTokens": None, "OutputTokens": None, "TimeToFirstToken": None, "IsLlm": False}),
        ({"gen_ai.usage.input_tokens": -1}, {"InputTokens": None}),
        ({"gen_ai.usage.input_tokens": "12"}, {"InputTokens": 12}),
        ({"gen_ai.response.model": "answered"}, {"Model": "answered", "RequestModel": ""}),
        ({"gen_ai.operation.name": "execute_tool"}, {"IsLlm": False, "Counted": False}),
        ({"gen_ai.operation.name": "embeddings"}, {"IsLlm": True, "Counted": True}),
    ],
)
def test_other_generations(served: Served, values: dict[str, object], expected: dict[str, object]) -> None:
    row = stored(served, span(values))
    assert {key: row[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("fields", "counted"),
    [
        ({"kind": CLIENT, "parent_span_id": b"12345678"}, True),
        ({"kind": SERVER}, True),
        ({"kind": SERVER, "parent_span_id": b"12345678"}, False),
    ],
)
def test_usage_is_counted_once(served: Served, fields: dict[str, Any], counted: bool) -> None:
    model = f"model-{fields}"
    row = stored(served, llm({"gen_ai.request.model": model}, **fields))
    assert row["Counted"] is counted
    calls = served.value("SELECT sum(Calls) FROM usage_10s WHERE Model = {m:String}", m=model)
    assert calls == ("1" if counted else "0")


ROLLUP = """SELECT Project, Time, Model, UserId, sum(Calls) AS Calls, sum(Errors) AS Errors,
    sum(UnknownUsage) AS UnknownUsage, sum(InputTokens) AS InputTokens, sum(OutputTokens) AS OutputTokens,
    sum(DurationSum) AS DurationSum, sum(TtftCount) AS TtftCount,
    arrayMap(x -> round(x, 4), quantilesTDigestMerge(0.5, 0.95, 0.99)(LatencyDigest)) AS Latency,
    arrayMap(x -> round(x, 4), quantilesTDigestMerge(0.5, 0.95, 0.99)(TtftDigest)) AS Ttft
FROM usage_10s GROUP BY Project, Time, Model, UserId ORDER BY ALL"""


def test_the_rebuilt_rollup_is_the_incremental_one(served: Served) -> None:
    now = time.time_ns()
    for day in (0, 1, 2):
        calls = [
            llm(
                {
                    "user.id": f"u{n % 2}",
                    "gen_ai.response.time_to_first_chunk": n / 100 if n % 3 else None,
                    "gen_ai.usage.input_tokens": n if n % 5 else None,
                    "gen_ai.usage.output_tokens": None if n % 5 == 0 else 1,
                },
                start=now - day * DAY - n * 10**9,
                duration=10**8 * (n + 1),
                status={"code": n % 3},
            )
            for n in range(30)
        ]
        assert served.post(traces(calls)).status_code == 200
    served.stored()
    before = served.rows(ROLLUP)
    assert sum(int(row["Calls"]) for row in before) >= 90
    store = served.collector.store
    assert len(store.rebuild_usage()) >= 3
    assert served.rows(ROLLUP) == before
    store.rebuild_usage()
    assert served.rows(ROLLUP) == before
    # A rollup that went wrong is put right, and the day alone is touched.
    store.engine.execute("TRUNCATE TABLE usage_10s")
    today = time.strftime("%Y-%m-%d", time.gmtime(now / 1e9))
    assert store.rebuild_usage(today) == [today]
    assert {row["Time"][:10] for row in served.rows(ROLLUP)} == {today}
    store.rebuild_usage()
    assert served.rows(ROLLUP) == before


def test_every_table_that_ingest_reaches_is_durable(served: Served) -> None:
    tables = served.collector.store.rows(
        "SELECT name, engine, create_table_query AS ddl FROM system.tables "
        "WHERE database = currentDatabase() AND engine LIKE '%MergeTree'"
    )
    assert {row["name"] for row in tables} >= {
        "otel_traces",
        "otel_logs",
        "usage_10s",
        "scores",
        "price_book",
    }
    for row in tables:
        for setting in ("fsync_after_insert = 1", "fsync_part_directory = 1"):
            assert setting in row["ddl"], row["name"]
        assert "non_replicated_deduplication_window = 10000" in row["ddl"], row["name"]


def test_a_changed_retention_is_for_new_spans(served: Served) -> None:
    engine = served.collector.store.engine
    bring_up_to_date(engine, SchemaSettings(14))
    try:
        assert stored(served, span())["RetentionDays"] == 14
    finally:
        bring_up_to_date(engine, SchemaSettings(30))
    assert stored(served, span())["RetentionDays"] == 30


@pytest.mark.parametrize("dsn", ["", "sqlite:///x", "chdb://", "/var/store"])
def test_other_addresses_are_no_store(dsn: str) -> None:
    with pytest.raises(ValueError, match="is not a store address"):
        open_store(dsn)


def test_a_server_that_is_away_is_unavailable() -> None:
    with pytest.raises(StoreError, match="did not answer"):
        open_store("clickhouse://u:p@127.0.0.1:1/db")

"""Calls that two tracers tell of: the commands that say so, and the one tree that a reader sees."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from clickhouse_connect.driver.client import Client

from llmtrace_analysis.queries.joined_spans import join_tellings, joined_spans
from llmtrace_cli.cost import duplicates
from llmtrace_cli.main import cli
from llmtrace_collector.accounting.call_dedup import CallDeduplicator
from llmtrace_collector.attributes.evidence import EVIDENCE
from llmtrace_collector.store.store import Store, open_store

DAY = datetime(2026, 11, 10, tzinfo=UTC)
FRAMEWORK, CLIENT = "openinference.instrumentation.langchain", "opentelemetry.instrumentation.openai.v1"
CHAIN, OWN, TWINS = "a" * 32, "b" * 32, "c" * 32


def _span(
    trace: str,
    span: str,
    scope: str,
    *,
    parent: str = "",
    second: float = 0,
    seconds: float = 1,
    **values: str,
) -> dict[str, Any]:
    figures = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.usage.input_tokens": "1000",
        "gen_ai.usage.output_tokens": "100",
    }
    return {
        "Timestamp": (DAY + timedelta(seconds=second)).strftime("%Y-%m-%d %H:%M:%S.%f"),
        "Duration": int(seconds * 1e9),
        "TraceId": trace,
        "SpanId": span * 16,
        "ParentSpanId": parent * 16,
        "SpanName": f"span {span}",
        "SpanKind": "Client",
        "ScopeName": scope,
        "ServiceName": "shop",
        "SpanAttributes": (figures if scope else {"gen_ai.operation.name": "invoke_workflow"}) | values,
    }


#: A chain with its framework's call and a step below, the client's telling in a trace of its own; and two
#: equal calls at once, of which nobody knows which is which.
SPANS = [
    _span(CHAIN, "1", "", seconds=3),
    _span(CHAIN, "2", FRAMEWORK, parent="1", second=0.5),
    _span(CHAIN, "3", "", parent="2", second=0.6, seconds=0.1),
    _span(OWN, "4", CLIENT, second=0.52, seconds=0.97, **{"gen_ai.usage.cache_read.input_tokens": "500"}),
    *(_span(TWINS, span, FRAMEWORK, second=60) for span in "56"),
    *(_span(TWINS, span, CLIENT, second=60) for span in "78"),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    opened = open_store(f"chdb://{tmp_path_factory.mktemp('duplicates')}", 3650)
    opened.insert_rows("otel_traces", SPANS)
    CallDeduplicator(opened).sync()
    opened.roll_up(at_once=True)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def client(store: Store) -> Iterator[Client]:
    opened = store.client
    yield opened
    opened.close()


def run(client: Client, *words: str) -> Result:
    """`llmtrace cost duplicates …` over the store."""

    @contextmanager
    def reader(context: click.Context, url: str | None) -> Iterator[Client]:
        yield client

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duplicates, "store_reader", reader)
        return CliRunner().invoke(cli, ["cost", "duplicates", *words])


def rows(result: Result) -> list[dict[str, Any]]:
    """The rows of an answer in JSON."""
    assert result.exit_code == 0, result.output
    answer: list[dict[str, Any]] = json.loads(result.stdout)
    return answer


def test_decisions_are_counted_by_scope_and_evidence(client: Client) -> None:
    result = run(client, "--from", "2026-11-10", "--to", "2026-11-11", "--format", "json")
    counts = {(row["decision"], row["scope"]): row for row in rows(result)}
    assert {key: row["spans"] for key, row in counts.items()} == {
        ("duplicate", FRAMEWORK): 1, ("ambiguous", FRAMEWORK): 2, ("ambiguous", CLIENT): 2,
    }  # fmt: skip
    merged = counts["duplicate", FRAMEWORK]
    assert merged["evidence"] == "instance, model, time, tokens"
    assert (merged["input_tokens"], merged["output_tokens"]) == (1000, 100)
    assert "4 spans may be calls that others tell of too" in result.stderr
    assert rows(run(client, "--from", "2026-11-11", "--to", "2026-11-12", "--format", "json")) == []


@pytest.mark.parametrize("trace", [CHAIN, OWN])
def test_a_trace_is_explained_from_either_side(client: Client, trace: str) -> None:
    explained = {row["span"]: row for row in rows(run(client, "--explain", trace, "--format", "json"))}
    assert set(explained) == {"2" * 16, "4" * 16}
    framework, record = explained["2" * 16], explained["4" * 16]
    assert (framework["decision"], record["decision"]) == ("duplicate", "counts")
    assert framework["record"] == ("4" * 16 if trace == OWN else f"{OWN}/{'4' * 16}")
    assert framework["because"].startswith("another span is the record of its call; ")
    assert all(EVIDENCE[word] in framework["because"] for word in framework["evidence"].split(", "))


def test_what_was_not_decided_names_the_others(client: Client) -> None:
    explained = rows(run(client, "--explain", TWINS, "--format", "json"))
    assert {row["decision"] for row in explained} == {"ambiguous"}
    assert {row["span"]: row["record"] for row in explained}["5" * 16] == f"{'7' * 16}, {'8' * 16}"
    assert rows(run(client, "--explain", "f" * 32, "--format", "json")) == []


def test_the_record_stands_in_the_frameworks_place(client: Client) -> None:
    spans = {span["span_id"][0]: span for span in joined_spans(client, CHAIN)}
    assert set(spans) == {"1", "3", "4"}
    record = spans["4"]
    assert (record["parent_id"], record["trace_id"]) == ("1" * 16, OWN)
    assert record["tellings"] == [(CHAIN, "2" * 16)]
    assert spans["3"]["parent_id"] == "4" * 16
    # In its own trace it stays what it is, and links to the telling.
    (alone,) = joined_spans(client, OWN)
    assert (alone["parent_id"], alone["tellings"]) == ("", [(CHAIN, "2" * 16)])
    # What was not decided stays.
    assert len(joined_spans(client, TWINS)) == 4


def _tree(*pairs: tuple[str, str]) -> list[dict[str, Any]]:
    return [
        {"trace_id": "t", "span_id": span, "parent_id": parent, "start_ns": number, "tellings": []}
        for number, (span, parent) in enumerate(pairs)
    ]


@pytest.mark.parametrize(
    ("tree", "record", "tellings", "expected"),
    [
        # Nested tellings: what was below any of them is below the record.
        (_tree(("root", ""), ("outer", "root"), ("inner", "outer"), ("http", "inner"), ("tool", "outer")),
         "inner", ["outer"], {"root": "", "inner": "root", "http": "inner", "tool": "inner"}),
        # Side by side: the framework's place lies deeper than the client's.
        (_tree(("root", ""), ("chain", "root"), ("model", "chain"), ("ours", "root")),
         "ours", ["model"], {"root": "", "chain": "root", "ours": "chain"}),
        # A record that is not there changes nothing.
        (_tree(("root", ""), ("model", "root")), "gone", ["model"], {"root": "", "model": "root"}),
    ],
)  # fmt: skip
def test_places_in_the_tree(
    tree: list[dict[str, Any]], record: str, tellings: list[str], expected: dict[str, str]
) -> None:
    merged = [
        {"trace_id": "t", "span_id": span, "record_trace": "t", "record_span": record} for span in tellings
    ]
    assert {span["span_id"]: span["parent_id"] for span in join_tellings(tree, merged)} == expected

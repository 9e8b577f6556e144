"""Texts are read through one view, so that they can move to a table of their own without touching readers."""

from __future__ import annotations

import importlib
import pkgutil
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

import llmtrace_analysis
import llmtrace_collector
from llmtrace_collector.store.search import parse

from .test_search import FINDS

ROOT = Path(__file__).parents[2]
TEXT_COLUMNS = {"InputMessages", "OutputMessages", "SystemInstructions", "ToolDefinitions"}

#: Who names a text column outside of the schema and the table of attributes: readers of the view, whose SQL
#: is looked at here, and benchmarks that fill the columns and measure their room.
NAMING = {
    "benchmarks/filled_store.py",
    "benchmarks/filled_store.sql",
    "benchmarks/ingest_apart.py",
    "collector/llmtrace_collector/accounting/call_queries.py",
    "collector/llmtrace_collector/mlflow/runs/run_data.py",
    "collector/llmtrace_collector/store/search/span_terms.py",
    "dashboard/llmtrace_analysis/cost/planning/advice.py",
    "dashboard/llmtrace_analysis/cost/planning/repeats.py",
    "dashboard/llmtrace_analysis/detect/store_queries.py",
    "dashboard/llmtrace_analysis/queries/recorded_trace.py",
    "dashboard/llmtrace_analysis/queries/traces.py",
}
_DESCRIBED = (
    "collector/llmtrace_collector/store/schema/",
    "collector/llmtrace_collector/attributes/",
)


def texts_of_spans_table(sql: str) -> set[str]:
    """The text columns that a statement asks of `otel_traces` itself; all that it names where the parser
    cannot tell.
    """
    columns = set()
    try:
        tree = sqlglot.parse_one(sql, read="clickhouse")
    except SqlglotError:
        return {column for column in TEXT_COLUMNS if column in sql}
    for select in tree.find_all(exp.Select):
        sources = [select.args.get("from_"), *(select.args.get("joins") or ())]
        tables = [
            source.this for source in sources if source is not None and isinstance(source.this, exp.Table)
        ]
        names = {table.alias_or_name for table in tables if table.name == "otel_traces"}
        if not names:
            continue
        for column in select.find_all(exp.Column):
            own = column.find_ancestor(exp.Select) is select
            if own and column.name in TEXT_COLUMNS and column.table in ("", *names):
                columns.add(column.name)
    return columns


def _modules(package: ModuleType) -> Iterator[ModuleType]:
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if ".schema" not in module.name and not module.name.endswith("otlp_grpc"):
            yield importlib.import_module(module.name)


def _statements() -> dict[str, str]:
    """The SELECTs that stand in readers' modules, by module and name; what is filled in later is `x1`."""
    statements = {}
    for module in [*_modules(llmtrace_analysis), *_modules(llmtrace_collector)]:
        for name, text in vars(module).items():
            if isinstance(text, str) and text.lstrip().startswith("SELECT") and "FROM" in text:
                filled = text.format_map(defaultdict(lambda: "x1")) if "{{" in text else text
                statements[f"{module.__name__}.{name}"] = filled
    return statements


def test_no_reader_asks_the_table_of_spans_for_texts() -> None:
    statements = _statements()
    assert len(statements) > 30, "the readers' statements are not where they were"
    assert any("span_texts" in sql for sql in statements.values())
    assert {name: columns for name, sql in statements.items() if (columns := texts_of_spans_table(sql))} == {}


@pytest.mark.parametrize("over", ["spans", "traces"])
def test_no_search_asks_the_table_of_spans_for_texts(over: str) -> None:
    for text in ("refund late", "refund user:ada", *(row[0] for row in FINDS)):
        condition = parse(text).condition("spans" if over == "spans" else "traces")
        sql = f"SELECT TraceId FROM {condition.source} WHERE {condition.sql}"
        assert texts_of_spans_table(sql) == set(), text


def test_whoever_names_a_text_column_is_looked_at() -> None:
    named = set()
    for folder in ("sdk", "collector", "dashboard", "cli", "inference", "benchmarks"):
        for file in (ROOT / folder).rglob("*.*"):
            if file.suffix in (".py", ".sql") and any(
                column in file.read_text(encoding="utf-8") for column in TEXT_COLUMNS
            ):
                named.add(file.relative_to(ROOT).as_posix())
    assert {name for name in named if not name.startswith(_DESCRIBED)} == NAMING


@pytest.mark.parametrize(
    ("sql", "columns"),
    [
        ("SELECT InputMessages FROM otel_traces", {"InputMessages"}),
        ("SELECT s.OutputMessages FROM otel_traces AS s", {"OutputMessages"}),
        ("SELECT 1 FROM x JOIN otel_traces AS s ON s.ToolDefinitions = x.y", {"ToolDefinitions"}),
        ("SELECT InputMessages FROM span_texts WHERE TraceId IN (SELECT TraceId FROM otel_traces)", set()),
        (
            "SELECT 1 FROM otel_traces WHERE SpanId IN (SELECT 1 FROM span_texts WHERE InputMessages = '')",
            set(),
        ),
    ],
)
def test_such_a_reader_would_be_seen(sql: str, columns: set[str]) -> None:
    assert texts_of_spans_table(sql) == columns

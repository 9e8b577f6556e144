"""How long it takes to find things in a store of millions of spans, and how much room they take.

    python -m benchmarks.query [--spans N] [--store DIRECTORY] [--rounds N] [--json]

A store of that size is made once (see benchmarks.filled_store) and kept under --store; the next run of the
same size and schema uses it again. Questions are asked as the dashboard asks them, with its own queries, over
HTTP, of a real collector in a process of its own. Each is asked --rounds times about another trace, user or
word, after one question that is not counted; `cpu_ms` is what the collector's process worked for one. Nothing
is cached by us; the operating system may keep files in memory. Progress goes to stderr; the last line of
stdout is one JSON object, in which `bars` says of each bar whether it is met.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from tests.collector.running import Launched, free_port

from benchmarks.filled_store import (
    RETENTION_DAYS,
    SPANS_PER_TRACE,
    USERS,
    FilledStore,
    Sizes,
    attribute_value,
    fill,
    sizes,
    user_name,
)
from llmtrace_analysis.cost import report
from llmtrace_analysis.queries import incidents, trace_search, traces, usage
from llmtrace_analysis.queries.scope import SPAN_SCOPE, Scope, aligned, rows
from llmtrace_analysis.queries.trace_search import TraceFilter
from llmtrace_collector.settings import CollectorSettings
from llmtrace_collector.store.store import open_store

#: Each bar: key, the bound, and whether the figure should be above it.
BARS: tuple[tuple[str, float, bool], ...] = (
    ("trace_by_id_ms_p50", 50, False),
    ("attribute_search_ms_p50", 300, False),
    ("overview_ms_p50", 300, False),
    ("compression_columns", 9, True),
    ("compression_text", 2.3, True),
)

_ATTRIBUTE_SEARCH = f"""SELECT TraceId, SpanId, SpanName, Timestamp, Duration, StatusCode
FROM otel_traces
WHERE {SPAN_SCOPE} AND SpanAttributes[{{key:String}}] = {{value:String}}
ORDER BY Timestamp DESC
LIMIT 100"""

#: One question: asked with a source of randomness, it answers how much it found.
Question = Callable[[random.Random], int]


class Questions:
    """What people ask of a filled store, through `client`."""

    def __init__(self, client: Client, filled: FilledStore) -> None:
        self._client = client
        self._filled = filled
        self._traces = filled.spans // SPANS_PER_TRACE
        self._month = Scope(*filled.window(30))
        self._day = Scope(*filled.window(1))
        self._trace_ids = self._known_traces()

    def all(self) -> dict[str, Question]:
        """Every question by its key."""
        return {
            "trace_by_id": self.trace_by_id,
            "user_traces": self.user_traces,
            "attribute_search": self.attribute_search,
            "attribute_search_common": self.attribute_search_common,
            "text_search": self.text_search,
            "text_search_30d": self.text_search_month,
            "overview": self.overview,
            "cost_30d": self.cost_month,
        }

    def trace_by_id(self, source: random.Random) -> int:
        """Every span of one trace, anywhere in the thirty days."""
        return len(traces.trace_spans(self._client, source.choice(self._trace_ids)))

    def user_traces(self, source: random.Random) -> int:
        """The newest 100 traces of a user, whole, as the page of traces lists them."""
        user = user_name(int(USERS ** source.random()) - 1)
        scope = self._scope_of_user(user=user)
        return len(trace_search.traces_page(self._client, scope, TraceFilter().search(scope), 100))

    def attribute_search(self, source: random.Random) -> int:
        """Spans whose attribute has one of very many values, in thirty days."""
        return self._search("shop.order.id", attribute_value(source.randrange(self._traces)))

    def attribute_search_common(self, source: random.Random) -> int:
        """The newest 100 spans whose attribute has one of three values."""
        return self._search("shop.tier", source.choice(("free", "plus", "gold")))

    def text_search(self, source: random.Random) -> int:
        """The newest 50 traces of the last 24 hours whose messages hold a number."""
        return self._text(self._day, source)

    def text_search_month(self, source: random.Random) -> int:
        """The same in thirty days."""
        return self._text(self._month, source)

    def overview(self, _: random.Random) -> int:
        """Everything that the overview page reads for 24 hours, one after the other."""
        client, day = self._client, self._day
        incidents.incident_list(client, "", ("open",), 5)
        usage_over_time = usage.over_time(client, day)
        usage.top_users(client, day)
        return usage_over_time.totals.calls

    def cost_month(self, _: random.Random) -> int:
        """Cost by model and by user for thirty days, in whole hours as the page of cost asks."""
        since, until = aligned(self._month.since, self._month.until, 3600)
        month = Scope(since, until)
        by_model = report.report(self._client, month, ["model"])
        return len(by_model) + len(report.report(self._client, month, ["user"]))

    def _search(self, key: str, value: str) -> int:
        values = {**self._month.params(), "key": key, "value": value}
        return len(rows(self._client, _ATTRIBUTE_SEARCH, values))

    def _text(self, scope: Scope, source: random.Random) -> int:
        search = TraceFilter(text=f'"{source.randrange(10_000, 100_000)} "').search(scope)
        return len(trace_search.traces_page(self._client, scope, search, 50))

    def _scope_of_user(self, user: str) -> Scope:
        since, until = self._filled.window(30)
        return Scope(since, until, user=user)

    def _known_traces(self) -> list[str]:
        """Ids of traces from all over."""
        text = "SELECT TraceId FROM trace_times ORDER BY cityHash64(TraceId, 'some') LIMIT 200"
        return [str(row["TraceId"]) for row in rows(self._client, text, {})]


def ask(question: Question, rounds: int, process: psutil.Process) -> dict[str, float | None]:
    """Milliseconds, the collector's CPU milliseconds, and how much was found on average. None where
    the collector gave up: a read may take 30 seconds."""
    source = random.Random(7)
    taken, count = [], 0
    try:
        question(source)
        before = process.cpu_times()
        for _ in range(rounds):
            started = time.perf_counter()
            count += question(source)
            taken.append((time.perf_counter() - started) * 1e3)
    except DatabaseError:
        return dict.fromkeys(("ms_p50", "ms_p95", "cpu_ms", "found"))
    after = process.cpu_times()
    used = after.user + after.system - before.user - before.system
    return {
        "ms_p50": round(statistics.median(taken), 1),
        "ms_p95": round(sorted(taken)[min(rounds - 1, int(rounds * 0.95))], 1),
        "cpu_ms": round(used / rounds * 1e3, 1),
        "found": round(count / rounds, 1),
    }


def measure(folder: Path, spans: int, rounds: int, console: Console) -> dict[str, Any]:
    """Every figure, by name; `bars` by the name of the figure."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        filling = progress.add_task(f"making a store of {spans:,} spans", total=spans)
        filled = fill(folder, spans, lambda done, of: progress.update(filling, completed=done, total=of))
        progress.update(filling, completed=spans)
        store = open_store(filled.dsn, RETENTION_DAYS)
        size = sizes(store)
        store.close()
        figures: dict[str, Any] = {"spans": size.spans, "days": 30, **_room(size)}
        figures["build_seconds"] = round(filled.build_seconds, 1)
        figures["build_cpu_seconds"] = round(filled.build_cpu_seconds, 1)
        data_dir = folder / "collector"
        shutil.rmtree(data_dir, ignore_errors=True)
        configured = CollectorSettings(
            data_dir=data_dir, port=free_port(), store=filled.dsn, retention_days=RETENTION_DAYS
        )
        with Launched(configured) as collector:
            assert collector.process is not None
            process = psutil.Process(collector.process.pid)
            client = collector.reader()
            questions = Questions(client, filled).all()
            asking = progress.add_task("asking", total=len(questions))
            for name, question in questions.items():
                progress.update(asking, description=name)
                answers = ask(question, rounds, process)
                figures |= {f"{name}_{key}": value for key, value in answers.items()}
                progress.advance(asking)
            client.close()
            collector.stop()
        shutil.rmtree(data_dir)
    figures["bars"] = {key: _meets_bar(figures[key], bound, above) for key, bound, above in BARS}
    return figures


def _room(size: Sizes) -> dict[str, float]:
    """Bytes a span, and how many times smaller everything, the columns and the text are than they were."""
    return {
        "bytes_per_span": round(size.bytes_on_disk / size.spans, 1),
        "compression": round(size.bytes_uncompressed / size.bytes_on_disk, 2),
        "compression_columns": round(size.columns, 2),
        "compression_text": round(size.text, 2),
    }


def _meets_bar(value: float, bound: float, above: bool) -> bool:
    return value >= bound if above else value <= bound


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.query")
    parser.add_argument("--spans", type=int, default=1_000_000)
    default = Path(tempfile.gettempdir()) / "llmtrace-benchmarks"
    parser.add_argument("--store", type=Path, default=default, help=f"where stores are kept: {default}")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", action="store_true", help="print the JSON line alone")
    options = parser.parse_args()
    folder = options.store.absolute() / f"query-{options.spans}"
    figures = measure(folder, options.spans, options.rounds, Console(stderr=True))
    if not options.json:
        for name, value in figures.items():
            print(f"{name:32} {value}")
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())

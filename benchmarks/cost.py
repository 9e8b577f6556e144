"""What reading the ledger takes: a month's cost and its page, a re-pricing, a budget check.

    python -m benchmarks.cost [--calls N] [--users N] [--rounds N]

Fills `usage_hour_closed` of an embedded store with thirty days of hours, written as the hours of N calls:
each row is one hour, model, tier, context class, user and prompt. Times are those of the functions that the
command line uses, on a client in the same process; the budget is asked over HTTP. Progress goes to stderr;
the last line of stdout is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median, quantiles

import httpx
import uvicorn
from fastapi import Depends, FastAPI, Request
from tests.collector.running import free_port, until

from llmtrace_analysis.cost import price_books, report
from llmtrace_analysis.queries.scope import Scope
from llmtrace_collector.access.identity import Identity
from llmtrace_collector.accounting.budgets import Budgets
from llmtrace_collector.accounting.price_book import PriceBook
from llmtrace_collector.api.budgets import router
from llmtrace_collector.settings import Budget, ModelPrice
from llmtrace_collector.store.rollups.edges import note_edge
from llmtrace_collector.store.rollups.hours import NAME
from llmtrace_collector.store.store import Store, open_store

_MODELS = (
    "gpt-4o", "gpt-4o-mini", "gpt-4.1", "gpt-4.1-mini", "o3", "o4-mini",
    "claude-sonnet-4-5", "claude-haiku-4-5", "gemini-2.5-pro", "gemini-2.5-flash",
)  # fmt: skip

# Ten calls to a row on average, so that rows are a tenth of the calls.
_FILL = """INSERT INTO usage_hour_closed (Project, Time, ServiceName, Provider, Model, ResponseModel,
    ServiceTier, ContextClass, Operation, UserId, Experiment, RunId, PromptName, PromptVersion, Purpose,
    Calls, Errors,
    UnknownUsage, InputTokens, OutputTokens, CacheReadTokens, CacheWriteTokens, ReasoningTokens)
SELECT
    'default' AS Project,
    toStartOfHour(toDateTime({end:UInt32}) - (rand(1) % 720) * 3600 - 1800) AS Time,
    concat('service-', toString(rand(2) % 4)) AS ServiceName,
    multiIf(model <= 6, 'openai', model <= 8, 'anthropic', 'gcp.gemini') AS Provider,
    arrayElement({models:Array(String)}, model) AS Model,
    Model AS ResponseModel,
    '' AS ServiceTier,
    if(rand(4) % 50 = 0, 200000, 0) AS ContextClass,
    'chat' AS Operation,
    concat('user-', toString(rand(5) % {users:UInt32})) AS UserId,
    '' AS Experiment,
    '' AS RunId,
    concat('prompt-', toString(rand(6) % 5)) AS PromptName,
    '' AS PromptVersion,
    'product' AS Purpose,
    1 + rand(7) % 19 AS Calls,
    0 AS Errors,
    0 AS UnknownUsage,
    Calls * (500 + rand(8) % 3000) AS InputTokens,
    Calls * (50 + rand(9) % 800) AS OutputTokens,
    intDiv(InputTokens, 4) AS CacheReadTokens,
    0 AS CacheWriteTokens,
    0 AS ReasoningTokens
FROM (SELECT 1 + rand(3) % length({models:Array(String)}) AS model FROM numbers({rows:UInt64}))"""


def say(text: str) -> None:
    """Progress, for people."""
    print(text, file=sys.stderr, flush=True)


def timed(work: Callable[[], object], rounds: int) -> list[float]:
    """Milliseconds of each of `rounds` runs, after one that is not counted."""
    work()
    durations = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        durations.append((time.perf_counter() - began) * 1e3)
    return durations


def fill(store: Store, calls: int, users: int, end: datetime) -> tuple[int, int]:
    """Write the hours; the number of rows and of calls."""
    store.engine.execute(
        _FILL,
        {
            "end": int(end.timestamp()),
            "rows": calls // 10,
            "users": users,
            "models": _MODELS,
        },
        {"max_partitions_per_insert_block": "0"},
    )
    store.engine.execute("OPTIMIZE TABLE usage_hour_closed FINAL")
    note_edge(store.engine, NAME, scanned_to=int(end.timestamp() * 1000), until=int(end.timestamp()))
    (totals,) = store.rows("SELECT count() AS n, sum(Calls) AS calls FROM usage_hour")
    return int(totals["n"]), int(totals["calls"])


def _as_anybody(request: Request) -> None:
    """What the middleware of a whole collector finds out."""
    request.state.identity = Identity("")


def ask_budget(store: Store, rounds: int) -> list[float]:
    """Milliseconds of budget checks over HTTP while the budgets are counted anew every two seconds."""
    rules = (
        Budget(name="user", limit=100, window="day", per="user"),
        Budget(name="all", limit=1e6, window="month"),
    )
    budgets = Budgets(store, rules)
    budgets.count()
    app = FastAPI(dependencies=[Depends(_as_anybody)])
    app.include_router(router(budgets))
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, "127.0.0.1", port, log_level="warning"))
    server_thread = threading.Thread(target=server.run, daemon=True)
    server_thread.start()
    until(lambda: server.started, what="the server's start")
    stopping = threading.Event()

    def count() -> None:
        while not stopping.wait(2.0):
            budgets.count()

    counter_thread = threading.Thread(target=count, daemon=True)
    counter_thread.start()
    durations = []
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        for number in range(rounds):
            began = time.perf_counter()
            client.get(f"/v1/budget?user=user-{number % 500}").raise_for_status()
            durations.append((time.perf_counter() - began) * 1e3)
            time.sleep(0.002)
    stopping.set()
    counter_thread.join()
    server.should_exit = True
    server_thread.join(10)
    return durations


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure the ledger.")
    parser.add_argument("--calls", type=int, default=10_000_000)
    parser.add_argument("--users", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args(arguments)
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    scope = Scope(end - timedelta(days=30), end)
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(f"chdb://{Path(folder) / 'store'}", 3650)
        rows, calls = fill(store, options.calls, options.users, end)
        say(f"{rows} rows of {calls} calls")
        first = PriceBook(store, ())
        first.sync()
        second = PriceBook(store, (ModelPrice(model="gpt-4o", input_per_million=2, output_per_million=8),))
        second.sync()
        client = store.client
        cost = timed(lambda: report.report(client, scope, ["model", "user"]), options.rounds)
        say(f"cost by model and user: {cost}")
        page = timed(lambda: report.page(client, scope, "model"), options.rounds)
        say(f"the Cost page: {page}")
        reprice = timed(
            lambda: price_books.reprice(client, scope, first.book, second.book),
            options.rounds,
        )
        say(f"re-pricing: {reprice}")
        budget = ask_budget(store, max(1000, options.rounds * 100))
        client.close()
        store.close()
    result = {
        "calls": calls,
        "rows": rows,
        "cost_30d_ms_p50": round(median(cost), 1),
        "cost_30d_ms_max": round(max(cost), 1),
        "page_30d_ms_p50": round(median(page), 1),
        "reprice_diff_ms": round(median(reprice), 1),
        "budget_ms_p50": round(median(budget), 2),
        "budget_ms_p99": round(quantiles(budget, n=100)[98], 2),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()

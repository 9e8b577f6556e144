"""Attempts, estimates and degraded answers as reports, pages and commands tell of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from clickhouse_connect.driver.client import Client

from llmtrace_analysis.cost import focus, report
from llmtrace_analysis.cost.planning import waste
from llmtrace_analysis.queries import usage
from llmtrace_analysis.queries.degraded_answers import degraded_answers
from llmtrace_analysis.queries.joined_spans import joined_spans
from llmtrace_analysis.queries.scope import Scope
from llmtrace_analysis.queries.traces import span_detail, summaries
from llmtrace_cli.cost import commands, savings
from llmtrace_cli.main import cli
from llmtrace_collector.accounting.budgets import BudgetQuery, Budgets
from llmtrace_collector.accounting.call_dedup import CallDeduplicator
from llmtrace_collector.accounting.price_book import PriceBook
from llmtrace_collector.settings import Budget
from llmtrace_collector.store.store import Store, open_store

DAY = datetime(2026, 11, 10, tzinfo=UTC)
WHOLE = Scope(DAY, DAY + timedelta(days=1))
#: USD of gpt-4o per token of input and output.
INPUT, OUTPUT = 2.5e-6, 10e-6

ASKED = {
    "input": '[{"role":"user","parts":[{"type":"text","content":"Weather in Bonn?"}]}]',
    "user.id": "ann",
}
NOTHING = {"gen_ai.usage.input_tokens": "", "gen_ai.usage.output_tokens": ""}


def _span(
    trace: int,
    span: int,
    second: float,
    values: Mapping[str, str] = MappingProxyType({}),
    *,
    failed: bool = False,
    parent: int = 0,
) -> dict[str, Any]:
    figures = {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o",
        "gen_ai.usage.input_tokens": "1000", "gen_ai.usage.output_tokens": "100",
    }  # fmt: skip
    attributes = {key: value for key, value in {**figures, **values}.items() if value}
    return {
        "Timestamp": (DAY + timedelta(seconds=second)).strftime("%Y-%m-%d %H:%M:%S.%f"),
        "Duration": 10**9,
        "TraceId": f"{trace:032x}",
        "SpanId": f"{span:016x}",
        "ParentSpanId": f"{parent:016x}" if parent else "",
        "SpanKind": "Client",
        "ScopeName": "llmtrace",
        "ServiceName": "shop",
        "StatusCode": "Error" if failed else "Unset",
        "InputMessages": attributes.pop("input", ""),
        "SpanAttributes": attributes,
    }


def _attempts(trace: int, waits: tuple[float, ...], status: str, **values: str) -> list[dict[str, Any]]:
    """Attempts of a second each under one parent, and the answer; each trace in an hour of its own."""
    second, spans = trace * 3600.0, []
    for number, wait in enumerate(waits):
        known = {**ASKED, **NOTHING, "http.response.status_code": status, **values}
        spans.append(_span(trace, trace * 100 + number, second, known, failed=True, parent=9))
        second += 1 + wait
    return [*spans, _span(trace, trace * 100 + 99, second, ASKED, parent=9)]


def _step(trace: int, second: float, kind: str) -> dict[str, Any]:
    attributes = {
        "gen_ai.operation.name": "degraded", "gen_ai.provider.name": "", "gen_ai.request.model": "",
        "llmtrace.degraded.kind": kind, **NOTHING,
    }  # fmt: skip
    return {**_span(trace, trace * 100, second, attributes), "SpanName": f"degraded {kind}"}


BROKEN = {
    "gen_ai.usage.input_tokens": "2000", "llmtrace.usage.estimated": "output",
    "llmtrace.usage.estimated.output_tokens": "50",
}  # fmt: skip
UNKNOWN = {
    **NOTHING, "llmtrace.usage.estimated": "input+output", "llmtrace.usage.estimated.input_tokens": "400",
    "llmtrace.usage.estimated.output_tokens": "30",
}  # fmt: skip

#: Traces 1 to 5: each kind of attempt, the first of which broke off a stream; 6: a stream without usage.
SPANS = [
    *_attempts(1, (1, 2), "503"),
    *_attempts(2, (1,), "401"),
    *_attempts(3, (2, 2, 2), "503"),
    *_attempts(4, (1, 2, 4, 8, 16), "503"),
    *_attempts(5, (1,), "200", **BROKEN),
    _span(6, 600, 6 * 3600, UNKNOWN),
    *(_step(10 + number, 10 * 3600, "preset") for number in range(2)),
    _step(12, 10 * 3600 + 60, "cached"),
    _step(13, 11 * 3600, "preset"),
    *(_span(14, 1400 + number, 10 * 3600 + number) for number in range(5)),
]
CALLS = 5 + 1 + 5


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    opened = open_store(f"chdb://{tmp_path_factory.mktemp('attempts')}", 3650)
    opened.insert_rows("otel_traces", SPANS)
    CallDeduplicator(opened).sync()
    opened.roll_up(at_once=True)
    PriceBook(opened, ()).sync()
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def client(store: Store) -> Iterator[Client]:
    opened = store.client
    yield opened
    opened.close()


def run(client: Client, *words: str) -> Result:
    """`llmtrace cost …` of the day, over the store."""

    @contextmanager
    def reader(context: click.Context, url: str | None) -> Iterator[Client]:
        yield client

    period = ["--from", WHOLE.since.isoformat(), "--to", WHOLE.until.isoformat()]
    with pytest.MonkeyPatch.context() as patch:
        for module in (commands, savings):
            patch.setattr(module, "store_reader", reader)
        done = CliRunner().invoke(cli, ["cost", *words, *period])
    assert done.exit_code == 0, done.output
    return done


@pytest.mark.parametrize("by", [(), ("day",), ("estimated",), ("trace",)])
def test_attempts_are_no_calls_and_their_money_is_in_the_report(client: Client, by: tuple[str, ...]) -> None:
    """Of hours as of single calls."""
    data = report.report(client, WHOLE, by)
    assert (data["calls"].sum(), data["errors"].sum(), data["calls_without_tokens"].sum()) == (CALLS, 0, 0)
    broken, unknown = 2000 * INPUT + 50 * OUTPUT, 400 * INPUT + 30 * OUTPUT
    whole = (CALLS - 1) * (1000 * INPUT + 100 * OUTPUT) + broken + unknown
    assert data["cost"].sum() == pytest.approx(whole, rel=1e-9)
    assert data["estimated_cost"].sum() == pytest.approx(broken + unknown, rel=1e-9)
    assert data["estimated_calls"].sum() == 1


def test_a_report_says_what_is_estimated(client: Client) -> None:
    assert (
        "estimated: 1 calls told no tokens; theirs are estimated from text, ≈ "
        in run(client, "report").stderr
    )
    rows = focus.export(client, WHOLE)
    sources = rows.groupby(rows["x_PriceSource"].str.endswith(", tokens estimated"))["BilledCost"].sum()
    assert sources[True] == pytest.approx(2400 * INPUT + 80 * OUTPUT)
    assert sources[False] == pytest.approx((CALLS - 1) * (1000 * INPUT + 100 * OUTPUT))


def test_a_budget_and_the_history_of_a_forecast_say_what_is_estimated(store: Store, client: Client) -> None:
    budgets = Budgets(store, [Budget(name="day", limit=5, window="day")])
    budgets.count(DAY + timedelta(hours=20))
    answer = budgets.answer(BudgetQuery())
    assert answer is not None
    (budget,) = answer.budgets
    estimated = 2400 * INPUT + 80 * OUTPUT
    assert budget.spent * budget.estimated_share == pytest.approx(estimated, rel=1e-9)
    assert budget.stated_share == 0
    costs = report.daily_costs(client, WHOLE)
    assert costs["estimated_cost"].to_list() == [pytest.approx(estimated, rel=1e-9)]


def test_totals_of_pages_say_what_is_estimated(client: Client) -> None:
    totals = usage.totals(client, WHOLE)
    assert (totals.calls, totals.errors, totals.estimated) == (CALLS, 0, 1)
    assert totals.estimated_cost == pytest.approx(2400 * INPUT + 80 * OUTPUT)
    known = summaries(client, [f"{trace:032x}" for trace in (1, 5, 6)])
    assert [(trace.calls, trace.retries, trace.estimated) for trace in known.values()] == [
        (1, 2, 0), (1, 1, 1), (1, 0, 1),
    ]  # fmt: skip
    spans = {span["span_id"]: span["estimated"] for span in joined_spans(client, f"{5:032x}")}
    assert spans == {f"{500:016x}": "output", f"{599:016x}": ""}


def test_an_attempt_leads_to_the_call(client: Client) -> None:
    attempt = span_detail(client, f"{1:032x}", f"{100:016x}")
    assert attempt is not None
    assert attempt.attempt_of == (f"{1:032x}", f"{199:016x}")
    answer = span_detail(client, f"{1:032x}", f"{199:016x}")
    assert answer is not None
    assert answer.attempt_of is None
    broken = span_detail(client, f"{5:032x}", f"{500:016x}")
    assert broken is not None
    assert broken.cost == pytest.approx(2000 * INPUT + 50 * OUTPUT)


def test_each_kind_of_attempt_is_waste_of_its_own(client: Client) -> None:
    kinds = waste.waste(client, WHOLE).set_index("kind")
    of_attempts = ["retry", "retry_cannot_help", "retry_no_backoff", "retry_excess"]
    assert kinds.loc[of_attempts, "calls"].to_dict() == {
        "retry": 2 + 1 + 3 + 1, "retry_cannot_help": 1, "retry_no_backoff": 2, "retry_excess": 2,
    }  # fmt: skip
    assert kinds.loc["retry", "cost"] == pytest.approx(2000 * INPUT + 50 * OUTPUT)
    assert kinds.loc["retry_cannot_help", "cost"] == 0
    assert kinds["estimated_calls"].to_dict() == {kind: int(kind == "retry") for kind in kinds.index}
    # Nothing of it is told again as another kind.
    assert kinds["calls"].sum() == 12


def test_the_way_down_to_attempts(client: Client) -> None:
    listed = waste.calls_of_kind(client, WHOLE, "retry_no_backoff")
    assert set(listed["trace"]) == {f"{3:032x}"}
    assert set(listed["user"]) == {"ann"}
    printed = json.loads(run(client, "waste", "--list", "retry_excess", "--format", "json").stdout)
    assert {row["trace"] for row in printed} == {f"{4:032x}"}


def test_the_share_of_degraded_answers(client: Client) -> None:
    answers = degraded_answers(client, WHOLE)
    assert (answers.degraded, answers.answers) == (4, 4 + CALLS)
    assert answers.share == pytest.approx(4 / 15)
    rows = answers.series.set_index(["time", "kind"])
    ten, eleven = DAY + timedelta(hours=10), DAY + timedelta(hours=11)
    assert rows.loc[(ten, "preset"), "share"] == pytest.approx(2 / 8)
    assert rows.loc[(ten, "cached"), "share"] == pytest.approx(1 / 8)
    assert (rows.loc[(eleven, "preset"), "answers"], rows.loc[(eleven, "preset"), "share"]) == (1, 1.0)
    nobody = degraded_answers(client, Scope(DAY + timedelta(days=2), DAY + timedelta(days=3)))
    assert (nobody.degraded, nobody.share, len(nobody.series)) == (0, None, 0)

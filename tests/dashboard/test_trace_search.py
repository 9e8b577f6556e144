"""Which traces a search finds, against a plain Python computation over the same traffic."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from clickhouse_connect.driver.client import Client

from llmtrace_analysis.queries import trace_search, traces
from llmtrace_analysis.queries.scope import Scope
from llmtrace_analysis.queries.trace_search import TraceFilter
from llmtrace_collector.store.search import SearchError, parse
from tests.dashboard.stack import Stack
from tests.dashboard.traffic import HOSTILE_USER, SpanData


@pytest.fixture(scope="module")
def client(stack: Stack) -> Client:
    return stack.reader()


@pytest.fixture(scope="module")
def scope(stack: Stack) -> Scope:
    end = datetime.fromtimestamp(stack.end // 10 * 10, UTC)
    return Scope(end - timedelta(minutes=40), end - timedelta(minutes=5))


@dataclass(frozen=True)
class _Trace:
    """The spans of one trace, and those of them that start in the period."""

    spans: list[SpanData]
    inside: list[SpanData]

    @property
    def start(self) -> int:
        return min(span.start for span in self.spans)

    @property
    def end(self) -> int:
        return max(span.start + span.duration for span in self.spans)

    @property
    def failed(self) -> bool:
        return any(span.error for span in self.spans if not span.parent_id)

    def any(self, holds: Callable[[SpanData], bool]) -> bool:
        return any(map(holds, self.inside))

    def says(self, text: str) -> bool:
        return self.any(lambda span: text in str(span.attributes.get("gen_ai.input.messages", "")))


def _traces(stack: Stack, scope: Scope) -> dict[str, _Trace]:
    """The product's traces of which a part lies in the scope."""
    since, until = scope.since.timestamp() * 1e9, scope.until.timestamp() * 1e9
    by_id: dict[str, list[SpanData]] = {}
    for span in stack.traffic.spans:
        if span.purpose == "product":
            by_id.setdefault(span.trace_id, []).append(span)
    in_scope = {}
    for trace_id, spans in by_id.items():
        trace = _Trace(spans, [span for span in spans if since <= span.start < until])
        if trace.start < until and trace.end >= since:
            in_scope[trace_id] = trace
    return in_scope


@pytest.mark.parametrize(
    ("chosen", "keeps"),
    [
        (TraceFilter(), lambda trace: True),
        (TraceFilter(status="failed"), lambda trace: trace.failed),
        (TraceFilter(status="ok"), lambda trace: not trace.failed),
        (TraceFilter("tuesday HERE"), lambda trace: trace.says("Tuesday")),
        (TraceFilter('"here on tuesday"'), lambda trace: trace.says("Tuesday")),
        (TraceFilter('"tuesday on here"'), lambda trace: False),
        (TraceFilter(min_duration=4.0), lambda trace: trace.end - trace.start >= 4e9),
        (
            TraceFilter("model:claude* latency>3s -status:failed"),
            lambda trace: (
                trace.any(lambda span: "claude" in span.name)
                and trace.end - trace.start > 3e9
                and not trace.failed
            ),
        ),
        (
            TraceFilter("service:inference OR user:grace tag:beta"),
            lambda trace: trace.any(
                lambda span: span.service == "inference" or span.attributes.get("user.id") == "grace"
            ),
        ),
        (
            TraceFilter("tool:search_orders", experiment="tone-of-voice", prompt="orders"),
            lambda trace: trace.any(
                lambda span: (
                    span.attributes.get("llmtrace.experiment") == "tone-of-voice"
                    and span.attributes["gen_ai.prompt.name"] == "orders"
                )
            ),
        ),
    ],
    ids=lambda value: repr(value) if isinstance(value, TraceFilter) else "",
)
def test_pages_have_each_match_once_newest_first(
    stack: Stack,
    client: Client,
    scope: Scope,
    chosen: TraceFilter,
    keeps: Callable[[_Trace], bool],
) -> None:
    in_scope = _traces(stack, scope)
    expected = {trace_id for trace_id, trace in in_scope.items() if keeps(trace)}
    search = chosen.search(scope)
    seen = []
    for offset in range(0, len(expected) + 40, 40):
        seen += trace_search.traces_page(client, scope, search, 40, offset)
    assert [trace.trace_id for trace in seen] == list(dict.fromkeys(trace.trace_id for trace in seen))
    assert {trace.trace_id for trace in seen} == expected
    assert [trace.start_ns for trace in seen] == sorted((trace.start_ns for trace in seen), reverse=True)
    over_time = trace_search.traces_over_time(client, scope, search)
    assert over_time["calls"].sum() == len(expected)
    assert over_time["errors"].sum() == sum(in_scope[trace_id].failed for trace_id in expected)
    assert over_time["recovered"].sum() == 0
    statuses = {trace.trace_id: trace.status for trace in seen}
    assert statuses == {id_: "failed" if in_scope[id_].failed else "ok" for id_ in expected}


def test_text_that_json_escapes_is_found(stack: Stack, client: Client) -> None:
    end = datetime.fromtimestamp(stack.end, UTC)
    around = Scope(end - timedelta(minutes=5), end)

    def matching(text: str) -> list[str]:
        search = TraceFilter(json.dumps(text)).search(around)
        return [trace.trace_id for trace in trace_search.traces_page(client, around, search, 10)]

    assert matching('<img src=x onerror="window') == [stack.hostile_trace]
    assert matching("%' OR 1=1 --") == []
    of_user = Scope(around.since, around.until, user=HOSTILE_USER)
    assert len(trace_search.traces_page(client, of_user, TraceFilter().search(of_user), 10)) == 1


def test_what_the_work_was_for_is_the_scopes_unless_it_is_asked_for(scope: Scope) -> None:
    assert str(TraceFilter("late").search(scope)) == "purpose:product late"
    assert str(TraceFilter("purpose:judge").search(scope)) == "purpose:judge"
    assert str(TraceFilter("4bf92f3577b34da6a3ce929d0e0e4736").search(scope)).startswith("4bf9")
    assert str(TraceFilter("late").search(replace(scope, purposes=()))) == "late"
    with pytest.raises(SearchError, match="modl"):
        TraceFilter("modl:x").search(scope)


def test_the_searchs_period_goes_before_the_pages(scope: Scope) -> None:
    now = scope.until
    assert trace_search.searched(scope, parse("late")) == scope
    week = trace_search.searched(scope, parse("late last:7d"), now=now)
    assert (week.since, week.until) == (now - timedelta(days=7), scope.until)
    before = trace_search.searched(scope, parse("until:2026-11-01"), now=now)
    assert before.until == datetime(2026, 11, 1, tzinfo=UTC)
    assert before.until - before.since == scope.until - scope.since
    by_id = parse("4bf92f3577b34da6a3ce929d0e0e4736 user:ada")
    assert trace_search.searched(scope, by_id).since < now - timedelta(days=3000)
    assert trace_search.searched(scope, by_id).until == scope.until
    assert trace_search.searched(scope, by_id, since_always=False) == scope
    own = trace_search.searched(scope, parse("4bf92f3577b34da6a3ce929d0e0e4736 last:2h"), now=now)
    assert own.since == now - timedelta(hours=2)
    assert trace_search.searched(scope, parse("late -4bf92f3577b34da6a3ce929d0e0e4736")) == scope
    nothing = trace_search.searched(scope, parse("since:1h until:2h"), now=now)
    assert nothing.since == nothing.until


def test_values_are_suggested_from_the_store(stack: Stack, client: Client) -> None:
    offered = [item.text for item in trace_search.suggestions(client, "user:")]
    assert offered[0] == "ada"
    assert [item.text for item in trace_search.suggestions(client, "model:gpt-4o-m")] == ["gpt-4o-mini"]
    assert [item.text for item in trace_search.suggestions(client, "tool:")] == ["search_orders"]


def test_a_summary_has_what_failed(stack: Stack, client: Client) -> None:
    failed = next(span for span in stack.traffic.spans if span.error and not span.parent_id)
    summary = traces.summaries(client, [failed.trace_id])[failed.trace_id]
    assert summary.status == "failed"
    spans = [span for span in stack.traffic.spans if span.trace_id == failed.trace_id]
    assert summary.failed_steps == sum(bool(span.error) for span in spans)
    assert summary.retries == 0

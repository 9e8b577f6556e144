"""Which requests are attempts of one call, what is wrong with them, and what becomes of their money."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from llmtrace.common.retry_rules import RETRY_WINDOW_SECONDS, is_lasting_error
from llmtrace_collector.accounting.call_decisions import decide
from llmtrace_collector.accounting.call_dedup import CallDeduplicator
from llmtrace_collector.accounting.price_book import PriceBook
from llmtrace_collector.accounting.stored_call import StoredCall
from llmtrace_collector.attributes.evidence import RETRY_FAULTS

from .otlp import SECOND, llm, span
from .rolled import Rolled

MS = 1_000_000
LANGCHAIN, CLIENT = "openinference.instrumentation.langchain", "opentelemetry.instrumentation.openai.v1"


def call(number: int, start: float, *, failed: bool = False, seconds: float = 1, **fields: Any) -> StoredCall:
    """A request under one parent, equal to the others; times in seconds."""
    values: dict[str, Any] = {
        "project": "p", "trace": "t", "span": f"s{number}", "parent": "above", "response": "",
        "uncounted": "", "service": "shop", "scope": CLIENT, "operation": "chat", "request": 7,
        "models": ("gpt-4o", ""), "failed": failed, "status": 503 if failed else 200,
        "input_tokens": None if failed else 120, "output_tokens": None if failed else 40,
    }  # fmt: skip
    return StoredCall(**{**values, **fields}, start=int(start * 1e9), end=int((start + seconds) * 1e9))


def retried(*calls: StoredCall) -> dict[str, tuple[str, set[str]]]:
    """Span → the span that is the call in the end, and the faults of trying again; the same in any order."""
    results = []
    for seed in range(4):
        shuffled = list(calls)
        random.Random(seed).shuffle(shuffled)
        decisions = decide(shuffled, {})
        results.append(
            {
                key[2]: (decision.record[2], set(decision.evidence) & set(RETRY_FAULTS))
                for key, decision in decisions.items()
                if decision.reason == "retry"
            }
        )
    assert all(result == results[0] for result in results)
    return results[0]


def chain(*waits: float, status: int = 503, **fields: Any) -> list[StoredCall]:
    """Attempts of a second each, with so many seconds between them; the last one succeeds."""
    starts = list(itertools.accumulate((wait + 1 for wait in waits), initial=0.0))
    attempts = [
        call(number, start, failed=True, **{"status": status, **fields})
        for number, start in enumerate(starts[:-1])
    ]
    return [*attempts, call(len(waits), starts[-1])]


def test_attempts_are_one_call_whose_last_one_counts() -> None:
    assert retried(*chain(1, 2, 4)) == {
        "s0": ("s3", set()), "s1": ("s3", set()), "s2": ("s3", set()),
    }  # fmt: skip
    all_failed = [call(number, start, failed=True) for number, start in enumerate((0, 2, 6))]
    assert retried(*all_failed) == {"s0": ("s2", set()), "s1": ("s2", set())}


#: What makes an equal request after a failed one a call of its own.
APART: dict[str, list[StoredCall]] = {
    "after a success": [call(0, 0), call(1, 2)],
    "another request": [call(0, 0, failed=True), call(1, 2, request=8)],
    "a request that nobody knows": [call(0, 0, failed=True, request=0), call(1, 2, request=0)],
    "another parent": [call(0, 0, failed=True), call(1, 2, parent="another")],
    "another trace": [call(0, 0, failed=True, parent=""), call(1, 2, parent="", trace="u")],
    "another project": [call(0, 0, failed=True), call(1, 2, project="q")],
    "another instrumentation": [call(0, 0, failed=True), call(1, 2, scope=LANGCHAIN)],
    "later than the window": [call(0, 0, failed=True), call(1, 1.1 + RETRY_WINDOW_SECONDS)],
    "side by side": [call(0, 0, failed=True), call(1, 0.5), call(2, 0.7)],
    "samples in turn, side by side by twos": [
        call(0, 0, failed=True, seconds=1), call(1, 0, seconds=3), call(2, 1.2), call(3, 3.1),
    ],
    "a call inside the failed one": [call(0, 0, failed=True), call(1, 2, is_inner=True)],
}  # fmt: skip


@pytest.mark.parametrize("calls", APART.values(), ids=APART)
def test_calls_that_merely_look_alike_stay_calls(calls: list[StoredCall]) -> None:
    assert retried(*calls) == {}


def test_a_link_decides_where_looks_do_not() -> None:
    """The program's own order: of another trace, without text, among equal ones side by side."""
    failed = call(0, 0, failed=True, request=0, parent="")
    later = call(1, 2, request=0, parent="", trace="u", repeated=(failed.key,))
    assert retried(failed, later) == {"s0": ("s1", set())}
    samples = [call(number, 0, failed=number == 1, seconds=2) for number in range(3)]
    again = call(3, 2.5, repeated=(samples[1].key,))
    assert retried(*samples, again) == {"s1": ("s3", set())}
    # Not what succeeded, whatever is said.
    assert retried(call(0, 0), call(1, 2, request=9, repeated=(("p", "t", "s0"),))) == {}


def test_a_clients_own_attempts_are_of_the_same_call_as_the_loops() -> None:
    """Three requests of a client, whose last one failed, and a loop that asks it again."""
    calls = chain(1, 2, 4, 8, 16)
    for number in (0, 1, 3, 4):
        calls[number].uncounted = "sender"
        calls[number + 1].repeated = (calls[number].key,)
    assert set(retried(*calls)) == {"s0", "s1", "s2", "s3", "s4"}
    assert {last for last, _ in retried(*calls).values()} == {"s5"}


def test_another_tracers_span_around_each_attempt_is_not_its_parent() -> None:
    """Marked by the SDK, as a client's own tracing is; below one span of the program."""
    around = [
        call(20 + number, 3 * number, seconds=2, failed=not number, scope="anthropic", uncounted="sender")
        for number in range(2)
    ]
    inner = [
        call(number, 3 * number + 0.1, failed=not number, parent=around[number].span) for number in range(2)
    ]
    assert retried(*around, *inner) == {"s0": ("s1", set())}
    for span_around, parent in zip(around, ("one", "another"), strict=True):
        span_around.parent = parent
    assert retried(*around, *inner) == {}


def test_attempts_that_two_tracers_tell_of() -> None:
    """Each attempt is one record, and the attempt's record is linked to the last one's."""
    client = chain(1)
    framework = [
        call(
            10 + number,
            inner.start / 1e9 - 0.01,
            seconds=1.02,
            failed=inner.failed,
            scope=LANGCHAIN,
            parent="chain",
        )
        for number, inner in enumerate(client)
    ]
    decisions = {key[2]: decision for key, decision in decide([*client, *framework], {}).items()}
    assert [decision.uncounted for decision in decisions.values()].count("") == 1
    assert [decision.uncounted for decision in decisions.values()].count("retry") == 1
    (attempt,) = [name for name, decision in decisions.items() if decision.uncounted == "retry"]
    assert decisions[decisions[attempt].record[2]].uncounted == ""


@pytest.mark.parametrize(
    ("waits", "attempts_without_backoff"),
    [
        ((1, 2, 4), set()), ((1, 1.2, 1.5), set()), ((2, 2), {"s1"}), ((5, 5, 5), {"s1", "s2"}),
        ((4, 2), {"s1"}), ((0, 0), {"s1"}), ((3,), set()), ((1, 0.2, 3), set()),
    ],
)  # fmt: skip
def test_waits_that_do_not_grow(waits: tuple[float, ...], attempts_without_backoff: set[str]) -> None:
    faults = retried(*chain(*waits))
    assert {name for name, (_, wrong) in faults.items() if "no_backoff" in wrong} == attempts_without_backoff


def test_waiting_as_long_as_the_answer_asked_for_is_no_fault() -> None:
    assert not any(wrong for _, wrong in retried(*chain(5, 5, requested_wait=5.0)).values())
    assert any(wrong for _, wrong in retried(*chain(5, 5, requested_wait=30.0)).values())


def test_more_than_three_retries_are_named() -> None:
    faults = retried(*chain(1, 2, 4, 8, 16))
    assert {name for name, (_, wrong) in faults.items() if "excess" in wrong} == {"s3", "s4"}


@pytest.mark.parametrize(
    ("status", "kind", "lasting"),
    [
        (400, "", True), (401, "", True), (403, "", True), (404, "", True), (413, "", True), (422, "", True),
        (408, "", False), (409, "", False), (425, "", False), (429, "rate_limit_exceeded", False),
        (429, "insufficient_quota", True), (500, "", False), (503, "invalid_request_error", False),
        (0, "BadRequestError", True), (0, "AuthenticationError", True), (0, "PermissionDeniedError", True),
        (0, "NotFoundError", True), (0, "401", True), (0, "RateLimitError", False), (0, "429", False),
        (0, "APITimeoutError", False), (0, "ThrottlingException", False), (0, "ValidationException", True),
        (0, "AccessDeniedException", True), (0, "", False), (200, "overloaded_error", False),
    ],
)  # fmt: skip
def test_errors_that_the_same_request_gets_again(status: int, kind: str, lasting: bool) -> None:
    assert is_lasting_error(status, kind) is lasting
    faults = retried(*chain(1, status=status, error=kind))
    assert ("cannot_help" in faults["s0"][1]) is lasting


@pytest.fixture(scope="module")
def rolled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rolled]:
    folder: Path = tmp_path_factory.mktemp("retries")
    opened = Rolled(folder)
    yield opened
    opened.store.close()


FAILED = Status(code=Status.STATUS_CODE_ERROR)
NO_TOKENS: dict[str, object] = {"gen_ai.usage.input_tokens": None, "gen_ai.usage.output_tokens": None}
ASKED: dict[str, object] = {
    "gen_ai.input.messages": '[{"role":"user","parts":[{"type":"text","content":"Weather in Bonn?"}]}]'
}


def attempt(trace: bytes, start: int, **values: object) -> Span:
    """A request that failed after half a second."""
    known: dict[str, object] = {**ASKED, **NO_TOKENS, "http.response.status_code": 503}
    return llm({**known, **values}, trace_id=trace, parent_span_id=b"parent..", start=start, status=FAILED)


def stored(rolled: Rolled, project: str) -> dict[str, dict[str, Any]]:
    """Span → what is stored of it, by when it began: 0, 1, …"""
    rows = rolled.store.rows(
        "SELECT SpanId, Counted, Uncounted FROM otel_traces WHERE Project = {project:String} AND IsLlm "
        "ORDER BY Timestamp",
        {"project": project},
    )
    return {str(number): row for number, row in enumerate(rows)}


def test_attempts_are_no_calls_and_what_was_billed_stays_in_the_sums(rolled: Rolled) -> None:
    """A loop of one's own: an attempt that was refused, one whose stream broke, and the answer."""
    trace, start = b"t" * 16, time.time_ns() - 600 * SECOND
    broken = attempt(trace, start + 2 * SECOND, **{
        "http.response.status_code": 200, "gen_ai.usage.input_tokens": 120,
        "llmtrace.usage.estimated": "output", "llmtrace.usage.estimated.output_tokens": 30,
    })  # fmt: skip
    answer = llm(ASKED, trace_id=trace, parent_span_id=b"parent..", start=start + 5 * SECOND)
    above = span(trace_id=trace, span_id=b"parent..", start=start, duration=6 * SECOND, name="loop")
    rolled.send(above, attempt(trace, start), broken, answer, project="loop")
    PriceBook(rolled.store, ()).sync()
    before = rolled.store.rows("SELECT sum(Cost) AS cost FROM call_cost WHERE Project = 'loop'")[0]["cost"]
    assert CallDeduplicator(rolled.store).sync() == 2
    assert CallDeduplicator(rolled.store).sync() == 0
    rows = stored(rolled, "loop")
    assert [(row["Counted"], row["Uncounted"]) for row in rows.values()] == [
        (False, "retry"), (True, "retry"), (True, ""),
    ]  # fmt: skip
    rolled.store.roll_up(at_once=True)
    assert rolled.usage() == rolled.counted()
    (usage,) = rolled.store.rows(
        "SELECT sum(Calls) AS calls, sum(Errors) AS errors, sum(UnknownUsage) AS unknown, "
        "sum(InputTokens) AS input, sumIf(OutputTokens, Estimated = 'output') AS estimated "
        "FROM usage_hour WHERE Project = 'loop'"
    )
    assert {name: int(value) for name, value in usage.items()} == {
        "calls": 1, "errors": 0, "unknown": 0, "input": 240, "estimated": 30,
    }  # fmt: skip
    # Not a cent is lost, and the attempts' part of it is told apart.
    (cost,) = rolled.store.rows(
        "SELECT sum(Cost) AS cost, sum(Calls) AS calls FROM call_cost WHERE Project = 'loop'"
    )
    assert (cost["cost"], int(cost["calls"])) == (pytest.approx(before), 1)
    (waste,) = rolled.store.rows(
        "SELECT sum(Cost) AS cost, count() AS attempts FROM attempt_cost WHERE Project = 'loop'"
    )
    assert int(waste["attempts"]) == 2
    assert waste["cost"] == pytest.approx(120 * 0.15e-6 + 30 * 0.6e-6)
    (row,) = rolled.traces("loop")
    assert (row["Calls"], row["Errors"], row["Retries"], row["FailedSteps"], row["Status"]) == (
        1,
        0,
        2,
        0,
        "ok",
    )
    decided = rolled.store.rows(
        "SELECT SpanId, RecordSpanId, Evidence FROM call_evidence FINAL WHERE Project = 'loop' "
        "AND Decision = 'retry' ORDER BY Timestamp"
    )
    assert [row["RecordSpanId"] for row in decided] == [rows["2"]["SpanId"]] * 2
    assert {"request", "parent", "time"} <= set(decided[0]["Evidence"])


@pytest.mark.parametrize("late", ["the attempt", "the answer"])
def test_a_link_to_another_trace_holds_whichever_came_first(rolled: Rolled, late: str) -> None:
    project, start = f"late {late}", time.time_ns() - 900 * SECOND
    failed = llm(NO_TOKENS, start=start, status=FAILED)
    link = Span.Link(trace_id=failed.trace_id, span_id=failed.span_id)
    link.attributes.add(key="llmtrace.link").value.string_value = "repeats"
    answer = llm(start=start + 3 * SECOND, links=[link])
    for sent in (answer, failed) if late == "the attempt" else (failed, answer):
        rolled.send(sent, project=project)
        CallDeduplicator(rolled.store).sync()
    assert [row["Uncounted"] for row in stored(rolled, project).values()] == ["retry", ""]


def test_a_chain_whose_attempts_arrive_one_after_the_other(rolled: Rolled) -> None:
    trace, start = b"c" * 16, time.time_ns() - 1200 * SECOND
    for number in range(4):
        rolled.send(attempt(trace, start + number * 5 * SECOND), project="chain")
        CallDeduplicator(rolled.store).sync()
    rows = stored(rolled, "chain")
    assert [row["Uncounted"] for row in rows.values()] == ["retry", "retry", "retry", ""]
    decided = rolled.store.rows(
        "SELECT DISTINCT RecordSpanId FROM call_evidence FINAL WHERE Project = 'chain' AND Decision = 'retry'"
    )
    assert [row["RecordSpanId"] for row in decided] == [rows["3"]["SpanId"]]


def test_what_a_clients_sender_marked_is_noted_and_not_written_again(rolled: Rolled) -> None:
    trace, start = b"m" * 16, time.time_ns() - 1500 * SECOND
    marked = attempt(trace, start, **{"llmtrace.counted": False, "http.response.status_code": 401})
    answer = attempt(trace, start + SECOND)
    link = answer.links.add(trace_id=trace, span_id=marked.span_id)
    link.attributes.add(key="llmtrace.link").value.string_value = "repeats"
    rolled.send(marked, answer, project="marked")
    assert CallDeduplicator(rolled.store).sync() == 0
    assert [row["Uncounted"] for row in stored(rolled, "marked").values()] == ["sender", ""]
    (decided,) = rolled.store.rows(
        "SELECT Decision, Evidence FROM call_evidence FINAL WHERE Project = 'marked'"
    )
    assert decided["Decision"] == "retry"
    assert set(decided["Evidence"]) == {"link", "cannot_help"}
    assert rolled.traces("marked")[0]["Retries"] == 1

"""`approval:waiting`: who was asked and has not answered, beside others in the same trace."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

import llmtrace
from llmtrace.delivery.otlp_encoder import encode_spans
from llmtrace.testing import Captured, capture
from llmtrace_collector.store.search import Over, Period, parse

from .running import Served, settings


class _Paused(Exception):
    """As LangGraph leaves a node that waits for a person."""


_Paused.__name__ = "GraphInterrupt"


def _ask(act: str, decision: str = "") -> str | None:
    with llmtrace.approval(act) as asked:
        if decision:
            asked.decide(decision)
        return asked.reference


def _interrupted() -> str | None:
    block = llmtrace.approval("interrupted")
    asked = block.__enter__()
    error = _Paused()
    block.__exit__(_Paused, error, error.__traceback__)
    return asked.reference


def _answered() -> None:
    with llmtrace.span("answered"):
        _ask("now", "yes")
        llmtrace.approval_decision(_ask("later"), "rejected", person="ann")
        reference = _interrupted()  # and gone on with, by a reference in the state of a graph
        with llmtrace.approval("resumed") as asked:
            asked.decide("approved", reference=reference)
        with pytest.raises(TimeoutError), llmtrace.approval("too late"):
            raise TimeoutError


def _one_open() -> None:
    with llmtrace.span("one waits"):
        _ask("now", "yes")
        llmtrace.approval_decision(_ask("later"), "yes")
        _ask("open")


def _killed(traces: Captured) -> list[bytes]:
    """What was sent of a process that ended while it waited: the question alone, and an answer before it."""
    with llmtrace.span("killed"):
        _ask("now", "yes")
        _ask("never")
    killed = {"killed", "approval never"}
    return [encode_spans([span], {}) for span in traces.spans() if span.name not in killed]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(settings(tmp_path_factory.mktemp("approvals")))
    for ask in (_answered, _one_open):
        with capture() as traces:
            ask()
            body = encode_spans(traces.spans(), {})
        assert served.post(body).status_code == 200
    with capture() as traces:
        for body in _killed(traces):
            assert served.post(body).status_code == 200
    served.stored()
    yield served
    served.close()


def _names(served: Served, text: str, over: Over, since: timedelta = timedelta(minutes=30)) -> set[str]:
    now = datetime.now(UTC)
    condition = parse(text).condition(over, Period(now - since, now + timedelta(minutes=5)))
    if over == "spans":
        sql = f"SELECT SpanName AS name FROM otel_traces WHERE {condition.sql}"
    else:
        # By the tools that were asked about, for one of the traces has no root.
        acts = "arraySort(groupUniqArray(SpanAttributes['gen_ai.tool.name']))"
        sql = (
            f"SELECT arrayStringConcat({acts}, ' ') AS name "
            "FROM otel_traces WHERE Operation = 'approval_request' AND TraceId IN "
            f"(SELECT TraceId FROM traces WHERE {condition.sql}) GROUP BY TraceId"
        )
    return {row["name"] for row in served.collector.store.rows(sql, condition.params)}


ANSWERED, ONE_WAITS, KILLED = "interrupted later now resumed too late", "later now open", "never now"


def test_what_waits_is_found_beside_what_was_answered(served: Served) -> None:
    assert _names(served, "approval:waiting", "spans") == {"approval_request open", "approval_request never"}
    assert _names(served, "approval:waiting", "traces") == {ONE_WAITS, KILLED}
    assert _names(served, "-approval:waiting", "traces") == {ANSWERED}


def test_it_stands_beside_decisions(served: Served) -> None:
    assert _names(served, "approval:waiting,timeout", "spans") == {
        "approval too late", "approval_request open", "approval_request never"
    }  # fmt: skip
    assert _names(served, "approval:waiting approval:approved", "traces") == {ONE_WAITS, KILLED}
    assert _names(served, "approval:pending", "traces") == {ANSWERED, ONE_WAITS}
    assert _names(served, "approval:waiting approval:rejected", "traces") == set()

"""A person's decision before an act: as a block, a decorator, and across processes."""

from __future__ import annotations

import asyncio
import enum
import gzip
import json
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any, assert_type

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.trace import SpanContext, TraceFlags

import llmtrace
from llmtrace import internal_errors
from llmtrace.api.approval_reference import ApprovalReference
from llmtrace.common import escaping
from llmtrace.testing import Answer, Captured, ReplayServer, SteppingClock, capture


def _steps(traces: Captured) -> dict[str, dict[str, Any]]:
    return {span["name"]: span["attributes"] for span in traces.snapshot()}


def test_a_block_records_waiting_decision_and_person() -> None:
    with capture(clock=SteppingClock()) as traces:
        arguments = '{"table": "orders"}'  # as agents' frameworks have them
        with llmtrace.approval("delete_rows", arguments=arguments, call_id="call_1") as asked:
            assert_type(asked, llmtrace.Approval)
            with llmtrace.span("ask on chat"):
                pass
            asked.decide("approved", person="ann@example.org", reason="ticket 7")
        spans = {span.name: span for span in traces.spans()}
        step = spans["approval delete_rows"]
        attributes = dict(step.attributes or {})
        waited = attributes.pop("llmtrace.approval.wait")
        assert isinstance(waited, float)
        assert waited > 0
        assert attributes == {
            "gen_ai.operation.name": "approval",
            "gen_ai.tool.name": "delete_rows",
            "gen_ai.tool.call.id": "call_1",
            "gen_ai.tool.call.arguments": '{"table": "orders"}',
            "llmtrace.approval.decision": "approved",
            "llmtrace.approval.person": "ann@example.org",
            "llmtrace.approval.reason": "ticket 7",
        }
        for below in ("ask on chat", "approval_request delete_rows"):
            assert spans[below].parent == step.get_span_context()
        assert spans["approval_request delete_rows"].attributes == {
            "gen_ai.operation.name": "approval_request",
            "gen_ai.tool.name": "delete_rows",
        }


def test_that_somebody_is_asked_is_sent_before_any_answer(traces: Captured) -> None:
    with llmtrace.approval("wait"):
        assert [span.name for span in traces.spans()] == ["approval_request wait"]


class Word(enum.Enum):
    YES = "approve"


@dataclass
class Answered:
    approved: bool
    person: str = "bob"
    reason: str = "because"


@pytest.mark.parametrize(
    ("result", "decision", "person"),
    [
        (True, "approved", None),
        (False, "rejected", None),
        ("Approve", "approved", None),
        ("edit", "edited", None),
        ("denied", "rejected", None),
        (Word.YES, "approved", None),
        ({"type": "reject"}, "rejected", None),
        ({"decision": "edited", "person": "ann"}, "edited", "ann"),
        (Answered(approved=False), "rejected", "bob"),
        (None, "pending", None),
        ("perhaps", "pending", None),
        ({"words": 1}, "pending", None),
    ],
)
def test_a_function_decides_by_what_it_returns(
    traces: Captured, result: Any, decision: str, person: str | None
) -> None:
    @llmtrace.approval
    def confirm(tool: str) -> Any:
        """Ask."""
        return result

    @llmtrace.approval("later")
    async def confirm_later(tool: str) -> Any:
        return result

    assert confirm("delete") is result
    assert asyncio.run(confirm_later("delete")) is result
    for name in ("approval confirm", "approval later"):
        attributes = _steps(traces)[name]
        assert attributes["llmtrace.approval.decision"] == decision
        assert attributes.get("llmtrace.approval.person") == person
        assert json.loads(attributes["gen_ai.tool.call.arguments"]) == {"tool": "delete"}
        assert attributes["code.function.name"].endswith(("confirm", "confirm_later"))


def test_types_are_kept() -> None:
    @llmtrace.approval
    def ask(tool: str) -> bool:
        return True

    @llmtrace.approval("act")
    def ask_again(tool: str) -> bool:
        return True

    assert_type(ask("x"), bool)
    assert_type(ask_again("x"), bool)


class GraphInterrupt(Exception):
    """As LangGraph leaves a node that waits."""


@pytest.mark.parametrize(
    ("error", "decision", "status"),
    [
        (TimeoutError("nobody"), "timeout", "ERROR"),
        (ValueError("broken"), "undecided", "ERROR"),
        (KeyboardInterrupt(), "undecided", "ERROR"),
        (asyncio.CancelledError(), "undecided", "ERROR"),
        (GraphInterrupt(), "pending", "UNSET"),
        (None, "pending", "UNSET"),
    ],
)
def test_a_decision_that_does_not_come(error: BaseException | None, decision: str, status: str) -> None:
    with capture() as traces:
        if error is None:
            with llmtrace.approval("act"):
                pass
        else:
            with pytest.raises(type(error)), llmtrace.approval("act"):
                raise error
        step = next(span for span in traces.snapshot() if span["name"] == "approval act")
        assert step["attributes"]["llmtrace.approval.decision"] == decision
        assert step["attributes"]["llmtrace.approval.wait"] >= 0
        assert step["status"][0] == status


def test_an_async_timeout_is_seen(traces: Captured) -> None:
    async def ask() -> None:
        async with llmtrace.approval("act"):
            async with asyncio.timeout(0.01):
                await asyncio.sleep(60)

    with pytest.raises(TimeoutError):
        asyncio.run(ask())
    assert _steps(traces)["approval act"]["llmtrace.approval.decision"] == "timeout"


def test_what_fails_after_the_decision_leaves_it(traces: Captured) -> None:
    def program() -> None:
        with llmtrace.approval("act") as asked:
            asked.decide(False)
            raise LookupError

    with pytest.raises(LookupError):
        program()
    assert _steps(traces)["approval act"]["llmtrace.approval.decision"] == "rejected"


def test_content_follows_the_switch() -> None:
    with capture(capture="none") as traces:
        with llmtrace.approval("act", arguments="hidden") as asked:
            asked.decide("edited", person="ann", reason="hidden", arguments="hidden")
            reference = asked.reference
        assert reference is not None
        llmtrace.approval_decision(reference, True, person="ann", reason="hidden", arguments="hidden")
        with llmtrace.context(capture="messages"), llmtrace.approval("act", arguments="seen", capture="none"):
            pass
        text = str(traces.snapshot())
        assert "hidden" not in text
        assert "seen" not in text
        assert text.count("'llmtrace.approval.person': 'ann'") == 2


def test_a_decision_comes_later_elsewhere(traces: Captured) -> None:
    with llmtrace.span("agent run"), llmtrace.approval("send mail/now", arguments={"to": "x"}) as asked:
        reference = asked.reference
    assert reference is not None
    assert reference.isascii()
    assert escaping.visible(reference) == reference
    time.sleep(0.02)
    thread = threading.Thread(  # with a context of its own, as another process has
        target=llmtrace.approval_decision,
        args=(reference, "edited"),
        kwargs={"person": "ann", "reason": "shorter", "arguments": {"to": "y"}},
    )
    thread.start()
    thread.join()
    asking, decided = (span for span in traces.spans() if span.name == "approval send mail/now")
    assert (asking.attributes or {})["llmtrace.approval.decision"] == "pending"
    assert decided.parent is not None
    assert asking.context is not None
    assert (decided.parent.trace_id, decided.parent.span_id) == (
        asking.context.trace_id,
        asking.context.span_id,
    )
    attributes = dict(decided.attributes or {})
    waited = attributes.pop("llmtrace.approval.wait")
    assert isinstance(waited, float)
    assert waited >= 0.02
    assert (decided.end_time or 0) - (decided.start_time or 0) >= 20_000_000
    assert attributes == {
        "gen_ai.operation.name": "approval",
        "gen_ai.tool.name": "send mail/now",
        "llmtrace.approval.decision": "edited",
        "llmtrace.approval.person": "ann",
        "llmtrace.approval.reason": "shorter",
        "llmtrace.approval.arguments": '{"to": "y"}',
    }


def test_an_approval_goes_on_with_an_earlier_one(traces: Captured) -> None:
    with llmtrace.approval("act") as first:
        reference = first.reference
    time.sleep(0.02)
    with llmtrace.approval("act") as second:
        second.decide(True, reference=reference)
    asking, decided = (span for span in traces.spans() if span.name == "approval act")
    assert [link.context.span_id for link in decided.links] == [asking.context and asking.context.span_id]
    waited = (decided.attributes or {})["llmtrace.approval.wait"]
    assert isinstance(waited, float)
    assert waited >= 0.02


def test_nothing_breaks_the_program(caplog: pytest.LogCaptureFixture) -> None:
    """Tracing off, unusable words and references: the program goes on."""
    wrong: Any = "perhaps"
    with llmtrace.approval("act", arguments=1) as asked:
        asked.decide("approved")
        assert asked.reference is None
    llmtrace.approval_decision("", True)
    with capture() as traces:
        internal_errors.configure(strict=False)
        with llmtrace.approval("act") as asked:
            asked.decide(wrong, person=1)
            asked.decide(True, reference="no reference")
        llmtrace.approval_decision("no reference", True)
        assert _steps(traces)["approval act"]["llmtrace.approval.decision"] == "approved"


@given(
    st.integers(1, 2**128 - 1),
    st.integers(1, 2**64 - 1),
    st.integers(0, 255),
    st.integers(0, 2**63 - 1),
    st.text(max_size=30),
)
def test_references_come_back(trace_id: int, span_id: int, flags: int, asked_at: int, act: str) -> None:
    act = act.encode("utf-8", "replace").decode()
    reference = ApprovalReference(SpanContext(trace_id, span_id, True, TraceFlags(flags)), asked_at, act)
    text = str(reference)
    assert ApprovalReference.read(text) == reference
    assert text.isascii()
    assert text.isprintable()


@given(st.text() | st.from_regex(r"[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}-\d{1,25}-.*", fullmatch=True))
def test_other_texts_are_no_references(text: str) -> None:
    read = ApprovalReference.read(text)
    assert read is None or ApprovalReference.read(str(read)) == read


WAITS = """
import sys, time, llmtrace
llmtrace.init(endpoint=sys.argv[1], spool_dir="off", schedule_delay=0.02)
with llmtrace.approval("wire_money"):
    llmtrace.flush()
    print("asked", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_process_that_ends_while_it_waits_has_asked(number: signal.Signals) -> None:
    with ReplayServer(*[Answer(body=b"", headers={"content-type": "application/x-protobuf"})] * 9) as server:
        with subprocess.Popen(
            [sys.executable, "-P", "-c", WAITS, server.url], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "asked\n"
            process.send_signal(number)
            process.wait(30)
        names = [
            span.name
            for request in server.requests
            if request.path == "/v1/traces"
            for resource in ExportTraceServiceRequest.FromString(gzip.decompress(request.body)).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]
    assert names == ["approval_request wire_money"]

"""Messages that arrive as log records belong to their span, whichever comes first."""

from __future__ import annotations

import json
import secrets
import time
from typing import Any

import pytest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from llmtrace_analysis.queries import traces as queries

from .otlp import any_value, attributes, llm, logs, traces
from .running import Served
from .test_dialects import text

ASKED = [text("system", "Be brief."), text("user", "Why?")]
ANSWERED = [text("assistant", "Because.", finish_reason="stop")]


class Call:
    """One call: its span without messages, and records about it."""

    def __init__(self) -> None:
        self.trace, self.span = secrets.token_bytes(16), secrets.token_bytes(8)
        self._now = time.time_ns()

    def sent(self, **values: object) -> Any:
        """The span."""
        return traces([llm(values, trace_id=self.trace, span_id=self.span)])

    def record(self, name: str, body: object = None, values: dict[str, object] | None = None) -> LogRecord:
        """A record, later than those before it."""
        self._now += 1000
        return LogRecord(
            time_unix_nano=self._now,
            trace_id=self.trace,
            span_id=self.span,
            event_name=name,
            body=any_value(body),
            attributes=attributes(values or {}),
        )


def details(call: Call) -> list[LogRecord]:
    """The current convention: one event with all of the call."""
    values: dict[str, object] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.input.messages": ASKED,
        "gen_ai.output.messages": ANSWERED,
        "gen_ai.system_instructions": [{"type": "text", "content": "Be kind."}],
    }
    return [call.record("gen_ai.client.inference.operation.details", values=values)]


def one_by_one(call: Call) -> list[LogRecord]:
    """The convention before: an event for each message, its text in the body."""
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Because."}}
    return [
        call.record("gen_ai.system.message", {"content": "Be brief."}),
        call.record("gen_ai.user.message", {"content": "Why?", "role": "user"}),
        call.record("gen_ai.choice", choice),
    ]


def by_attribute(call: Call) -> list[LogRecord]:
    """As sent by SDKs whose log records have no event name."""
    records = one_by_one(call)
    for record in records:
        record.attributes.extend(attributes({"event.name": record.event_name, "gen_ai.system": "openai"}))
        record.event_name = ""
    return records


def oldest(call: Call) -> list[LogRecord]:
    """Semantic Kernel's and Spring's."""
    asked = json.dumps([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}])
    answered = json.dumps(
        [{"message": {"role": "assistant", "content": "Because."}, "finish_reason": "stop"}]
    )
    return [
        call.record("gen_ai.content.prompt", values={"gen_ai.prompt": asked}),
        call.record("gen_ai.content.completion", values={"gen_ai.completion": answered}),
    ]


@pytest.mark.parametrize("span_first", [True, False], ids=["span first", "logs first"])
@pytest.mark.parametrize("dialect", [details, one_by_one, by_attribute, oldest])
def test_trap_11_messages_in_log_records(served: Served, dialect: Any, *, span_first: bool) -> None:
    call = Call()
    records = dialect(call)
    # The order on the wire is not that of the conversation.
    sent = [(call.sent(), "traces"), (logs(reversed(records)), "logs")]
    for body, signal in sent if span_first else reversed(sent):
        assert served.post(body, signal).status_code == 200
        served.stored()
    with served.reader() as client:
        detail = queries.span_detail(client, call.trace.hex(), call.span.hex())
    assert detail is not None
    assert json.loads(detail.values["input_messages"]) == ASKED
    assert json.loads(detail.values["output_messages"]) == ANSWERED
    if dialect is details:
        assert json.loads(detail.values["system_instructions"])[0]["content"] == "Be kind."


def test_a_tool_and_its_answer_in_log_records(served: Served) -> None:
    call = Call()
    asked = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Bonn"}'}}
    records = [
        call.record("gen_ai.user.message", {"content": "Rain?"}),
        call.record("gen_ai.assistant.message", {"tool_calls": [asked]}),
        call.record("gen_ai.tool.message", {"content": "sunny", "id": "c1"}),
    ]
    served.post(logs(records), "logs")
    served.stored()
    (row,) = served.rows("SELECT * FROM span_messages WHERE SpanId = {s:String}", s=call.span.hex())
    messages = json.loads(row["InputMessages"])
    assert [message["role"] for message in messages] == ["user", "assistant", "tool"]
    assert messages[1]["parts"] == [
        {"type": "tool_call", "id": "c1", "name": "weather", "arguments": {"city": "Bonn"}}
    ]
    assert "sunny" in json.dumps(messages[2])


def test_what_the_span_says_itself_comes_first(served: Served) -> None:
    call = Call()
    own = json.dumps([text("user", "Own")])
    served.post(call.sent(**{"gen_ai.input.messages": own}))
    served.post(logs(details(call)), "logs")
    without = Call()
    served.post(without.sent())
    # Emitters that may not record content send the events without it.
    choice = {"index": 0, "message": {"role": "assistant"}}
    empty = [without.record("gen_ai.user.message", {}), without.record("gen_ai.choice", choice)]
    served.post(logs(empty), "logs")
    served.stored()
    with served.reader() as client:
        detail = queries.span_detail(client, call.trace.hex(), call.span.hex())
        nothing = queries.span_detail(client, without.trace.hex(), without.span.hex())
    assert detail is not None
    assert nothing is not None
    assert detail.values["input_messages"] == own
    assert json.loads(detail.values["output_messages"]) == ANSWERED
    assert (nothing.values["input_messages"], nothing.values["output_messages"]) == ("", "")


def test_records_are_found_by_their_trace(served: Served) -> None:
    """The view reads only what belongs to the trace: its condition reaches the index of the log records."""
    plan = served.collector.store.engine.execute(
        "EXPLAIN indexes = 1 SELECT InputMessages FROM span_messages WHERE TraceId = 'a' AND SpanId = 'b'"
    ).decode()
    assert "idx_trace_id" in plan

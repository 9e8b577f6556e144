"""Traces as a whole: what is told of each, when it is told, and how late spans correct it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from llmtrace_collector.accounting.call_dedup import CallDeduplicator
from llmtrace_collector.store.erasure import Eraser

from .otlp import SECOND, SERVER, llm, span
from .rolled import Rolled
from .running import until

FAILED = {"code": 2}


@pytest.fixture(scope="module")
def rolled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rolled]:
    harness = Rolled(tmp_path_factory.mktemp("traces"))
    harness.store.roll_up()
    yield harness
    harness.store.close()


def below(parent: Span, make: Any = span, values: dict[str, object] | None = None, **fields: Any) -> Span:
    """A span in `parent`'s trace, started a tenth of a second after it."""
    named = {
        "trace_id": parent.trace_id,
        "parent_span_id": parent.span_id,
        "start": parent.start_time_unix_nano + SECOND // 10,
        "duration": SECOND // 10,
        **fields,
    }
    child: Span = make(values or {}, **named)
    return child


def status(rolled: Rolled, project: str) -> tuple[str, int, int]:
    """Status, failed steps and retries of a project's only trace."""
    (row,) = rolled.traces(project)
    return row["Status"], row["FailedSteps"], row["Retries"]


def test_a_trace_says_what_is_in_it(rolled: Rolled) -> None:
    root = span({"user.id": "ada", "session.id": "s1"}, name="answer", kind=SERVER, duration=2 * SECOND)
    image = [{"role": "user", "parts": [{"type": "uri", "modality": "image", "uri": "http://x/y.png"}]}]
    call = below(
        root, llm, {
            "gen_ai.input.messages": json.dumps(image), "gen_ai.response.finish_reasons": ["length"],
            "llmtrace.tags": ["b", "a"], "gen_ai.response.time_to_first_chunk": 0.25,
            "gen_ai.prompt.name": "greet", "gen_ai.prompt.version": "3",
        },
    )  # fmt: skip
    other = below(
        root, llm, {"gen_ai.request.model": "o3", "llmtrace.stream.abandoned": True}, duration=3 * SECOND
    )
    retrieval = below(root, values={"gen_ai.operation.name": "retrieval"})
    rolled.send(root, call, project="whole", resource={"llmtrace.purpose": "evaluation"})
    rolled.send(other, retrieval, project="whole", resource={"service.name": "bank"})
    (live,) = rolled.traces("whole")
    assert rolled.count("trace_rows") == 0
    rolled.store.roll_up()
    assert rolled.traces("whole") == [live]
    assert rolled.count("trace_rows") == 0
    rolled.store.roll_up(at_once=True)
    (row,) = rolled.traces("whole")
    assert rolled.count("trace_rows") == 1
    assert live.pop("Version") == 0
    assert row.pop("Version") > 0
    assert row == live
    start, end = row.pop("Start"), row.pop("End")
    assert end > start
    wanted = {
        "Project": "whole", "TraceId": root.trace_id.hex(), "Duration": 3 * SECOND + SECOND // 10,
        "RootName": "answer", "RootService": "shop", "RootKind": "Server", "Operation": "", "Status": "ok",
        "HasRoot": True, "Spans": 4, "Steps": 4, "FailedSteps": 0, "Retries": 0, "Calls": 2, "Errors": 0,
        "UnknownUsage": 0, "InputTokens": 240, "OutputTokens": 80, "Models": ["gpt-4o-mini", "o3"],
        "Services": ["bank", "shop"], "UserId": "ada", "SessionId": "s1", "Tags": ["a", "b"],
        "Experiment": "", "RunId": "", "PromptName": "greet", "PromptVersion": "3", "Purpose": "evaluation",
        "FinishReasons": ["length"], "ErrorTypes": [], "TimeToFirstToken": 0.25, "HasImage": True,
        "HasRetrieval": True, "Abandoned": True, "Weight": 1, "RetentionDays": 30,
    }  # fmt: skip
    assert {name: row[name] for name in wanted} == wanted
    assert not any(value for name, value in row.items() if name not in wanted)


def test_failed_recovered_and_ok(rolled: Rolled) -> None:
    root = span(name="root", duration=SECOND)
    rolled.send(root, below(root, llm), project="ok")
    root = span(name="root", duration=SECOND, status=FAILED)
    rolled.send(root, below(root, llm), project="failed")
    root = span(name="root", duration=SECOND)
    rolled.send(root, below(root, llm, status=FAILED), project="recovered")
    root = span(name="root", duration=SECOND)
    attempt = below(root, llm, {"llmtrace.counted": False, "error.type": "429"}, status=FAILED)
    rolled.send(root, attempt, below(root, llm), project="retried")
    rolled.store.roll_up(at_once=True)
    assert [status(rolled, name) for name in ("ok", "failed", "recovered", "retried")] == [
        ("ok", 0, 0), ("failed", 1, 0), ("recovered", 1, 0), ("ok", 0, 1),
    ]  # fmt: skip
    (row,) = rolled.traces("retried")
    assert (row["Spans"], row["Steps"], row["Calls"], row["ErrorTypes"]) == (3, 2, 1, ["429"])


def test_without_a_root_the_topmost_span_decides(rolled: Rolled) -> None:
    top = span(name="top", parent_span_id=b"elsewher", duration=SECOND, status=FAILED)
    rolled.send(below(top, llm), top, project="top failed")
    top = span(name="top", parent_span_id=b"elsewher", duration=SECOND)
    rolled.send(below(top, llm, status=FAILED), top, project="top recovered")
    rolled.store.roll_up(at_once=True)
    assert [status(rolled, name)[0] for name in ("top failed", "top recovered")] == ["failed", "recovered"]
    (row,) = rolled.traces("top recovered")
    assert (row["HasRoot"], row["RootName"]) == (False, "top")


def test_a_late_span_corrects_the_row(rolled: Rolled) -> None:
    root = span(name="root", start=time.time_ns() - 7200 * SECOND, duration=SECOND)
    child = below(root, llm)
    rolled.send(child, project="corrected")
    rolled.store.roll_up(at_once=True)
    (first,) = rolled.traces("corrected")
    assert (first["HasRoot"], first["RootName"]) == (False, "chat gpt-4o-mini")
    # The root starts earlier than what was the start, so the row has another place: the old one goes.
    rolled.send(root, project="corrected")
    assert rolled.traces("corrected") == [first]
    rolled.store.roll_up(at_once=True)
    (row,) = rolled.traces("corrected")
    assert (row["HasRoot"], row["RootName"], row["Spans"]) == (True, "root", 2)
    assert row["Start"] < first["Start"]
    rolled.send(below(root, status=FAILED), project="corrected")
    rolled.store.roll_up(at_once=True)
    (row,) = rolled.traces("corrected")
    assert (row["Spans"], row["Status"]) == (3, "recovered")


def test_calls_that_call_dedup_excludes_leave_the_row(rolled: Rolled) -> None:
    response = {"gen_ai.response.id": "resp-traces"}
    start = time.time_ns() - 600 * SECOND
    first = llm(response, name="first", start=start, duration=SECOND)
    again = llm(response, name="again", start=start + 1000, duration=SECOND // 2)
    rolled.send(first, project="counted once")
    rolled.send(again, project="counted once", scope_name="another tracer")
    rolled.store.roll_up(at_once=True)
    assert [row["Calls"] for row in rolled.traces("counted once")] == [1, 1]
    CallDeduplicator(rolled.store).sync()
    # Of two that know as much the shorter one is the record.
    assert [row["Calls"] for row in rolled.traces("counted once")] == [0, 1]


def test_erased_traces_are_gone(rolled: Rolled) -> None:
    root = span(name="root", duration=SECOND)
    rolled.send(root, below(root, llm, {"user.id": "eve"}), span(name="other"), project="erased")
    rolled.store.roll_up(at_once=True)
    assert len(rolled.traces("erased")) == 2
    erasure = Eraser(rolled.store).start("eve", "erased")
    until(lambda: erasure.state == "done", what="the erasure")
    assert erasure.counts["trace_rows"] == 1
    assert [row["RootName"] for row in rolled.traces("erased")] == ["other"]
    assert rolled.store.rows("SELECT 1 FROM trace_rows WHERE UserId = 'eve'") == []


def test_a_rebuild_leaves_every_trace_as_it_is(rolled: Rolled) -> None:
    def rows() -> list[dict[str, Any]]:
        return rolled.store.rows("SELECT * EXCEPT Version FROM traces ORDER BY TraceId, Project")

    rolled.store.roll_up(at_once=True)
    before = rows()
    assert len(before) > 10
    rolled.store.rebuild_usage()
    assert rows() == before
    # A project without spans may have lost them by their age; where it is known to be otherwise, none stays.
    rolled.store.mutate("ALTER TABLE otel_traces DELETE WHERE Project = 'ok'")
    days = rolled.store.rebuild_usage()
    assert rows() == before
    for day in days:
        rolled.store.rebuild_usage(day, ["ok"])
    assert rows() == [row for row in before if row["Project"] != "ok"]


def test_a_trace_whose_root_came_long_after_its_first_span_is_one_row(rolled: Rolled) -> None:
    """Stored minutes before the root: a span that started before it, by a slow clock or without a parent."""
    minute, now = 60 * SECOND, time.time_ns()
    slow = span(start=now - 5 * minute, duration=4 * minute)
    early = below(slow, llm, start=now - 7 * minute)
    first = llm(start=now - 5 * minute)
    rolled.send(early, project="slow clock")
    rolled.send(first, project="two roots")
    rolled.store.roll_up(at_once=True)
    rolled.store.mutate(
        "ALTER TABLE otel_traces UPDATE StoredAt = StoredAt - INTERVAL 4 MINUTE "
        "WHERE Project IN ('slow clock', 'two roots')"
    )
    rolled.send(slow, project="slow clock")
    rolled.send(llm(trace_id=first.trace_id, start=now - 5 * SECOND), project="two roots")
    rolled.store.roll_up(at_once=True)
    for project, start in (("slow clock", early), ("two roots", first)):
        rows = rolled.store.rows(
            "SELECT toInt32(Spans) AS spans, toUnixTimestamp64Nano(Start) = {start:Int64} AS first "
            "FROM traces WHERE Project = {project:String}",
            {"project": project, "start": start.start_time_unix_nano},
        )
        assert rows == [{"spans": 2, "first": 1}]

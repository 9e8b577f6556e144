"""What is exported as OTLP becomes, in another collector, the rows that it was."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Status

import llmtrace_cli.admin.export_otlp

from .conftest import Run
from .otlp import SECOND, llm, logs, score, span, traces
from .running import Launched, Served, settings

_SPANS = "SELECT * EXCEPT(ReceivedAt, StoredAt) FROM otel_traces ORDER BY TraceId, SpanId"
_LOGS = "SELECT * EXCEPT(ReceivedAt) FROM otel_logs ORDER BY TraceId, SpanId, EventName"
_MESSAGES = json.dumps([{"role": "user", "parts": [{"type": "text", "content": 'how "long"?\n\t é'}]}])


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    collector = Served(settings(tmp_path_factory.mktemp("exported")))
    fill(collector)
    yield collector
    collector.close()


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    with Launched(settings(tmp_path_factory.mktemp("other"), grpc_port=None)) as launched:
        yield launched


def fill(served: Served) -> None:
    """Spans of every shape, in two projects, one of them by its key alone."""
    parent = span(
        {"http.request.method": "GET", "n": 7, "list": ["a", 1], "deep": {"a": {"b": 1}}, "empty": ""}
    )
    call = llm(
        {
            "gen_ai.input.messages": _MESSAGES,
            "gen_ai.output.messages": _MESSAGES,
            "gen_ai.response.finish_reasons": ["stop", "length"],
            "gen_ai.usage.cache_read.input_tokens": 20,
            "user.id": "ann",
            "temperature": 0.7,
            "flag": True,
        },
        trace_id=parent.trace_id,
        parent_span_id=parent.span_id,
        status=Status(code=Status.STATUS_CODE_ERROR, message="it broke"),
        trace_state="a=b",
    )
    call.events.add(name="retry", time_unix_nano=call.start_time_unix_nano + 3).attributes.extend(
        span({"why": "busy"}).attributes
    )
    call.links.add(trace_id=secrets.token_bytes(16), span_id=secrets.token_bytes(8), trace_state="x=y")
    foreign = span(
        {
            "openinference.span.kind": "LLM",
            "llm.model_name": "gpt-4o",
            "llm.token_count.prompt": 7,
            "llm.input_messages.0.message.role": "user",
            "llm.input_messages.0.message.content": "hello",
        }
    )
    assert served.post(traces([parent, call, foreign], {"service.name": "a", "pid": 7})).status_code == 200
    many = [
        llm({"user.id": f"user-{number}"}, start=time.time_ns() - number * SECOND) for number in range(40)
    ]
    assert served.post(traces(many, {"service.name": "b", "llmtrace.project": "bee"})).status_code == 200
    record = score({"gen_ai.evaluation.name": "good", "gen_ai.evaluation.score.value": 1.5})
    record.body.string_value = "it is"
    assert served.post(logs([record, score({}, event_name="")]), "logs").status_code == 200
    served.stored()


def test_files_that_are_posted_become_the_same_rows(
    served: Served, other: Launched, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llmtrace_cli.admin.export_otlp, "_REQUEST_BYTES", 20_000)
    for table in ("otel_traces", "otel_logs"):
        out = run("store", "export", str(tmp_path / table), "--format", "otlp", "--table", table)
        assert out.stdout == ("43 rows\n" if table == "otel_traces" else "2 rows\n")
    files = sorted((tmp_path / "otel_traces").glob("*.binpb"))
    assert len(files) > 1
    for file in files:
        assert other.post(file.read_bytes()).status_code == 200
    for file in (tmp_path / "otel_logs").glob("*.binpb"):
        assert other.post(file.read_bytes(), "logs").status_code == 200
    other.stored()
    assert other.rows(_SPANS) == served.rows(_SPANS)
    assert other.rows(_LOGS) == served.rows(_LOGS)
    assert other.value("SELECT count() FROM scores") == served.value("SELECT count() FROM scores") == "1"
    for file in files:
        assert other.post(file.read_bytes()).status_code == 200
    other.stored()
    assert other.value("SELECT count() FROM otel_traces") == "43"

    sent = [ExportTraceServiceRequest.FromString(file.read_bytes()) for file in files]
    spans = [
        sent_span
        for part in sent
        for owner in part.resource_spans
        for s in owner.scope_spans
        for sent_span in s.spans
    ]
    values = {
        attribute.key: attribute.value for item in spans if item.trace_state for attribute in item.attributes
    }
    assert values["gen_ai.usage.input_tokens"].int_value == 120
    assert [
        reason.string_value for reason in values["gen_ai.response.finish_reasons"].array_value.values
    ] == [
        "stop",
        "length",
    ]


def test_what_is_sent_on_arrives_once_and_filters_hold(
    served: Served, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Launched(settings(tmp_path / "third", require_keys=True)) as third:
        words = ("store", "export", "--to", third.url, "--project", "bee")
        times = ("--since", "2026-01-01", "--until", "2100-01-01")
        assert "401" in run(*words, *times, fails=True).output
        monkeypatch.setenv("LLMTRACE_EXPORT_KEY", third.admin_key)
        for _ in range(2):
            assert run(*words, *times).stdout == "40 rows\n"
        third.stored()
        client = third.reader(third.admin_key)
        assert client.query("SELECT count(), uniqExact(Project) FROM otel_traces").result_rows == [(40, 1)]
        client.close()
        third.stop()
    out = run("store", "export", str(tmp_path / "user"), "--format", "otlp", "--user", "user-3").stdout
    assert out == "1 rows\n"


def test_a_projects_key_is_not_lost_on_the_way(
    served: Served, other: Launched, run: Run, tmp_path: Path
) -> None:
    key = served.write("POST", "/v1/keys", {"role": "ingest", "project": "keyed"}).json()
    sent = llm()
    headers = {"authorization": f"Bearer {key['key']}"}
    assert served.post(traces([sent]), headers=headers).status_code == 200
    served.stored()
    run("store", "export", str(tmp_path / "keyed"), "--format", "otlp", "--project", "keyed")
    for file in (tmp_path / "keyed").iterdir():
        assert other.post(file.read_bytes()).status_code == 200
    other.stored()
    rows = other.rows("SELECT Project FROM otel_traces WHERE SpanId = {i:String}", i=sent.span_id.hex())
    assert rows == [{"Project": "keyed"}]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--to", "http://127.0.0.1:1", "here"], "name a folder, or another"),
        ([], "name a folder, or another"),
        (["--to", "http://127.0.0.1:1", "--format", "parquet"], "leave --format out"),
        (["here", "--format", "otlp", "--table", "scores"], "OTLP goes with"),
    ],
)
def test_what_does_not_go_together_is_said(served: Served, run: Run, words: list[str], why: str) -> None:
    assert why in run("store", "export", *words, fails=True).output

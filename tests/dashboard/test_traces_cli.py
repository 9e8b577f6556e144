"""`llmtrace traces` against a running collector: what is listed is what the search finds."""

from __future__ import annotations

import base64
import csv
import io
import json
import secrets
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner, Result
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from llmtrace.testing import Answer, ReplayServer
from llmtrace_cli.main import cli
from llmtrace_cli.query import output
from tests.collector import otlp
from tests.collector.running import Served, settings
from tests.dashboard.stack import Stack, free_port


def run(stack: Stack, *arguments: str) -> Result:
    """The command on the running collector."""
    return CliRunner().invoke(cli, ["traces", "--url", stack.url, *arguments])


def _failed(stack: Stack) -> set[str]:
    roots = [span for span in stack.traffic.spans if span.error and not span.parent_id]
    return {span.trace_id for span in roots if span.purpose == "product"}


def test_a_search_lists_its_traces_newest_first(stack: Stack) -> None:
    done = run(stack, "status:failed", "--format", "json", "--limit", "500")
    assert done.exit_code == 0, done.output
    listed = json.loads(done.stdout)
    assert {row["trace_id"] for row in listed} == _failed(stack)
    assert [row["time"] for row in listed] == sorted((row["time"] for row in listed), reverse=True)
    first = listed[0]
    calls = [call for call in stack.traffic.calls() if call.trace_id == first["trace_id"]]
    assert (first["root"], first["status"], first["calls"]) == ("answer customer", "failed", len(calls))
    assert first["failed_steps"] == 2
    assert first["cost"] is None, "nobody knows the tokens of a failed call"
    assert first["unpriced"] == 0


def test_the_table_is_for_people_and_says_when_there_is_more(stack: Stack) -> None:
    done = run(stack, "model:gpt-4o", "latency>1s", "--limit", "3")
    lines = done.stdout.splitlines()
    columns = "trace_id time root service status seconds calls tokens cost unpriced estimated"
    assert lines[0].split() == columns.split()
    assert len(lines) == 5
    assert "the newest 3 are shown" in done.stderr
    nothing = run(stack, '"no one ever wrote this"')
    assert nothing.stdout == "no traces: try a longer --since, or fewer terms\n"
    assert run(stack, '"no one ever wrote this"', "--format", "csv").stdout.startswith("trace_id,time,root,")
    as_csv = run(stack, "user:ada", "--format", "csv", "--limit", "5").stdout
    table = list(csv.DictReader(io.StringIO(as_csv)))
    assert {row["user"] for row in table} == {"ada"}


def test_periods_and_ids(stack: Stack) -> None:
    call = stack.slow_calls()[0]
    by_id = run(stack, call.trace_id, "--format", "json")
    assert [row["trace_id"] for row in json.loads(by_id.stdout)] == [call.trace_id]
    before = run(stack, "status:failed", "--since", "30d", "--until", "2d")
    assert before.stdout.startswith("no traces")
    own = run(stack, "status:failed since:30d until:2d")
    assert own.stdout.startswith("no traces")


def test_a_terminal_is_not_sent_what_it_would_obey(tmp_path: Path) -> None:
    data = pd.DataFrame([{"root": "evil\x1b[2J\u202e\n\u00fc", "calls": 1}])
    for fmt in ("table", "json"):
        output.write(data, fmt, tmp_path / fmt)
    lines = (tmp_path / "table").read_text(encoding="utf-8").splitlines()
    assert lines[2].split() == ["evil\\x1b[2J\\u202e\\n\u00fc", "1"]
    assert json.loads((tmp_path / "json").read_text(encoding="utf-8"))[0]["root"] == data["root"][0]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["modl:gpt"], "there is no field 'modl'"),
        (["late", "modl:gpt"], "late modl:gpt\n     ^^^^^\nDid you mean model: ?"),
        (["--since", "soon"], "'soon' is no time; write 2h"),
        (["--since", "1h", "--until", "2h"], "the period ends"),
        (["--since", ""], "'' is no time"),
        (["-refund"], "goes after --:\n  llmtrace traces -- -refund"),
        (["--sinc", "1h"], "No such option"),
    ],
)
def test_mistakes_are_said_in_words(stack: Stack, arguments: list[str], sentence: str) -> None:
    done = run(stack, *arguments)
    assert done.exit_code == 2
    assert sentence in done.stderr


def test_a_collector_that_is_not_there_is_named() -> None:
    done = CliRunner().invoke(cli, ["traces", "late", "--url", f"http://127.0.0.1:{free_port()}"])
    assert done.exit_code == 1
    assert "llmtrace collector" in done.stderr


def test_the_key_is_the_readers(stack: Stack) -> None:
    with ReplayServer(Answer.json({}, status=401)) as server:
        done = CliRunner().invoke(cli, ["traces", "late", "--url", server.url, "--key", "reader-1"])
        assert done.exit_code == 1
        sent = " ".join(server.requests[0].headers.values())
    basic = base64.b64encode(b"llmtrace:reader-1").decode()
    assert basic in sent or "reader-1" in sent, "as a password, however the client sends one"


def test_a_trace_of_two_projects_shows_the_half_that_was_found(tmp_path: Path) -> None:
    trace_id, root_id = secrets.token_bytes(16), secrets.token_bytes(8)
    start = time.time_ns() - 60 * otlp.SECOND
    root = otlp.span(trace_id=trace_id, span_id=root_id, name="front", start=start)
    below: dict[str, Any] = {"trace_id": trace_id, "parent_span_id": root_id, "start": start}
    failed = Status(code=Status.STATUS_CODE_ERROR, message="bad")
    unpriced = {"gen_ai.request.model": "unheard-of", "gen_ai.response.model": "unheard-of"}
    call = otlp.llm({"error.type": "timeout", **unpriced}, status=failed, **below)
    served = Served(settings(tmp_path / "collector"))
    try:
        for project, item in (("shop", root), ("bank", call)):
            sent = otlp.traces([item], {"service.name": project, "llmtrace.project": project})
            assert served.post(sent).status_code == 200
        served.stored()

        def listed(text: str) -> list[tuple[str, int]]:
            done = CliRunner().invoke(cli, ["traces", "--url", served.url, text, "--format", "json"])
            assert done.exit_code == 0, done.output
            return [(row["status"], row["unpriced"]) for row in json.loads(done.stdout)]

        assert listed("status:failed") == [("failed", 1)]
        assert listed("status:ok") == [("ok", 1)]
        assert listed("status:recovered") == []
    finally:
        served.close()

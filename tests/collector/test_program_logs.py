"""Programs' own log records: in the store, found by their trace, whole, counted and without secrets."""

from __future__ import annotations

import logging
import os
import subprocess
from pathlib import Path

import pytest

import llmtrace
from llmtrace_analysis.queries.traces import trace_logs
from tests.frameworks.running import ROOT, needs

from .running import Served

PROGRAM = ROOT / "tests/frameworks/programs/with_logs.py"
SECRET = "sk-proj-0123456789abcdefghijABCDEFGHIJ0123456789abcdefghij"


def _program(served: Served, group: str, way: str, spool: Path) -> str:
    """Runs it; the name of its service."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "LLMTRACE_"))
    }
    environment |= {
        "PYTHONPATH": str(ROOT / "sdk"),
        "LLMTRACE_STRICT": "1",
        "LLMTRACE_ENDPOINT": served.url,
        "LLMTRACE_SPOOL_DIR": str(spool),
    }
    ended = subprocess.run(
        [str(ROOT / ".venvs" / group / "bin/python"), str(PROGRAM), way],
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    served.stored()
    return f"logs by {way}"


STRUCTLOG = ("structlog-stdlib", "structlog-json", "structlog-print")


@pytest.mark.parametrize(
    ("group", "way"),
    [
        *(pytest.param("lowest", way, marks=needs("lowest")) for way in ("logging", *STRUCTLOG, "uvicorn")),
        *(pytest.param("logs", way, marks=needs("logs")) for way in (*STRUCTLOG, "loguru", "uvicorn")),
    ],
)
def test_a_log_line_is_found_by_its_trace(served: Served, group: str, way: str, tmp_path: Path) -> None:
    service = _program(served, group, way, tmp_path)
    (step,) = served.rows(
        f"SELECT TraceId, SpanId FROM otel_traces WHERE ServiceName = '{service}' AND SpanName = 'step' "
        "ORDER BY Timestamp DESC LIMIT 1"
    )
    (row,) = served.rows(
        "SELECT SpanId, Body, SeverityText, SeverityNumber, LogAttributes['amount'] AS amount "
        f"FROM otel_logs WHERE TraceId = '{step['TraceId']}'"
    )
    expected = {"SpanId": step["SpanId"], "Body": "paid 7", "SeverityText": "WARNING", "SeverityNumber": 13}
    assert row == {**expected, "amount": "" if way == "loguru" else "7"}
    if way == "uvicorn":
        access = f"ServiceName = '{service}' AND ScopeName = 'uvicorn.access' AND Body LIKE '%GET /orders%'"
        assert served.value(f"SELECT count() > 0 FROM otel_logs WHERE {access}") == "1"


def test_what_is_stored_is_what_was_sent(served: Served, tmp_path: Path) -> None:
    """The counts of the SDK, of what came and of what is stored are one; no secret is in the store."""
    log = logging.getLogger("shop")
    llmtrace.shutdown()
    llmtrace.init(
        endpoint=served.url, service_name="counted", logs=True, logs_per_second=0, spool_dir=tmp_path
    )
    with llmtrace.span("step"):
        trace_id = llmtrace.current_trace_id()
        for number in range(1200):
            log.error("line %d", number)
        log.error("<b>the key</b> is %s", SECRET, extra={"key": SECRET})
        llmtrace.score("good", 1)
    assert llmtrace.flush(20)
    stats = llmtrace.stats()
    assert llmtrace.shutdown(20)
    assert (stats.logs, stats.logs_dropped, stats.logs_limited) == (1202, 0, 0)
    served.stored()
    served.collector.arrival_counts.flush()
    counts = (
        "SELECT sum(Received), sum(Stored), sum(SdkGenerated), sum(SdkDropped), sum(SdkLost) "
        "FROM completeness WHERE ServiceName = 'counted' AND Signal = "
    )
    received, stored, generated, *missing = map(int, served.value(f"{counts}'logs'").split("\t"))
    assert received == stored == generated >= 1203, "the SDK's own reports are log records too"
    assert missing == [0, 0]
    assert served.value(f"{counts}'traces'") == "1\t1\t1\t0\t0"
    assert served.value(f"SELECT count() FROM otel_logs WHERE Body LIKE '%{SECRET}%'") == "0"
    assert served.value(f"SELECT count() FROM otel_logs WHERE LogAttributes['key'] LIKE '%{SECRET}%'") == "0"
    with served.reader() as client:
        logs = trace_logs(client, str(trace_id))
    assert len(logs) == 500, "the first of them"
    assert logs[0]["body"] == "line 0"

"""What a process had that was killed: what it had sent is stored, and the rest is seen to be missing."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from llmtrace.delivery import process_file, shared_counters
from llmtrace_analysis.queries.process_ends import ended_without_goodbye
from llmtrace_analysis.queries.scope import Scope
from llmtrace_dashboard.pages.overview import process_end_line

from .otlp import SECOND, logs, score
from .running import Served, until

_SENDER = """
import os, signal, sys, time
import llmtrace
from opentelemetry import trace

llmtrace.init(service_name=sys.argv[1])
tracer = trace.get_tracer("t")
for batch in range(6):
    for _ in range(80):
        tracer.start_span("step").end()
    if batch == 4:
        llmtrace.flush(10)
if sys.argv[2] == "os._exit":
    os._exit(3)
os.kill(os.getpid(), signal.SIGKILL)
"""
_ORDERLY = """
import llmtrace
from opentelemetry import trace
llmtrace.init(service_name="in order")
for _ in range(3):
    trace.get_tracer("t").start_span("step").end()
"""
_NEXT = """
import sys, time
import llmtrace
llmtrace.init(service_name="next")
time.sleep(1)
llmtrace.flush(10)
"""


@pytest.mark.parametrize("end", ["os._exit", "SIGKILL"])
def test_what_a_killed_process_had_is_counted(served: Served, tmp_path: Path, end: str) -> None:
    service = f"killed by {end}"
    environment = {
        **os.environ,
        "LLMTRACE_ENDPOINT": served.url,
        "LLMTRACE_SPOOL_DIR": str(tmp_path / "spool"),
        "LLMTRACE_SCHEDULE_DELAY": "30",
    }
    sender = subprocess.Popen([sys.executable, "-c", _SENDER, service, end], env=environment)
    assert sender.wait(60) == (3 if end == "os._exit" else -signal.SIGKILL)
    subprocess.run([sys.executable, "-c", _NEXT], env=environment, check=True)
    until(lambda: _counts(served, service)[2] == "480", what="the last report")
    # Sent and stored, none dropped, 480 made, 80 in the memory of one that was killed.
    assert _counts(served, service) == ["400", "0", "480", "80"]
    served.collector.arrival_counts.update_sdk_gauges()
    assert served.metric("llmtrace_sdk_spans", service=service, what="lost") == 80
    assert not [path for path in (tmp_path / "spool").rglob("*") if path.suffix == process_file.SUFFIX]
    assert not list(shared_counters.FOLDER.glob(f"llmtrace-{sender.pid}-*"))
    (process,) = _processes(served, service)
    assert (process["State"], process["ProcessId"], process["Host"]) == (
        "killed",
        str(sender.pid),
        socket.gethostname(),
    )
    assert (int(process["Generated"]), int(process["Lost"])) == (480, 80)
    reader = served.reader()
    scope = Scope(datetime.now(UTC) - timedelta(hours=1), datetime.now(UTC), service=service)
    (process_end,) = ended_without_goodbye(reader, scope)
    line = process_end_line(process_end, datetime.now(UTC))
    assert line.startswith(
        f"{service}, process {sender.pid} on {socket.gethostname()}: ended without goodbye"
    )
    assert re.search(r"last report at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC, \d+ s ago; 80 of 480 spans", line)


def test_a_process_that_ends_in_order_says_goodbye(served: Served, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "LLMTRACE_ENDPOINT": served.url,
        "LLMTRACE_SPOOL_DIR": str(tmp_path / "spool"),
    }
    subprocess.run([sys.executable, "-c", _ORDERLY], env=environment, check=True)
    (process,) = _processes(served, "in order")
    assert (process["State"], int(process["Generated"]), int(process["Lost"])) == ("ended", 3, 0)
    assert process["LastReport"] == process["LastHeard"]


def test_a_process_that_falls_silent_is_seen(served: Served) -> None:
    """Nobody finds it dead where its disk is gone with it: no report for minutes is the sign."""
    now = time.time_ns()
    for service, minutes, ended in (("silent", 12, False), ("quiet", 4, False), ("over", 12, True)):
        values: dict[str, object] = {"llmtrace.stats.generated": 5, "llmtrace.stats.ended": ended}
        values |= {"service.instance.id": "i", "process.pid": 7, "host.name": "web-3"}
        record = score(values, event_name="llmtrace.sdk.stats", time_unix_nano=now - minutes * 60 * SECOND)
        assert served.post(logs([record], {"service.name": service}), "logs").status_code == 200
    states = {name: _processes(served, name)[0]["State"] for name in ("silent", "quiet", "over")}
    assert states == {"silent": "silent", "quiet": "running", "over": "ended"}
    scope = Scope(datetime.now(UTC) - timedelta(hours=1), datetime.now(UTC), service="silent")
    (end,) = ended_without_goodbye(served.reader(), scope)
    line = process_end_line(end, datetime.now(UTC))
    assert re.fullmatch(
        "silent, process 7 on web-3: ended without goodbye, last report at .* UTC, 12 min ago; "
        "what it made after that is not known",
        line,
    )


def _processes(served: Served, service: str) -> list[dict[str, Any]]:
    served.stored()
    return served.rows("SELECT * FROM sdk_processes WHERE ServiceName = {s:String}", s=service)


def _counts(served: Served, service: str) -> list[str]:
    served.stored()
    served.collector.arrival_counts.flush()
    return served.value(
        "SELECT sum(Received), sum(SdkDropped), sum(SdkGenerated), sum(SdkLost) FROM completeness "
        f"WHERE ServiceName = '{service}' AND Signal = 'traces'"
    ).split("\t")

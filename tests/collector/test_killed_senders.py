"""What a process had that was killed: what it had sent is stored, and the rest is seen to be missing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from llmtrace.delivery import process_file

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
    before = set(process_file.SHARED_FOLDER.glob("llmtrace-*"))
    ended = subprocess.run([sys.executable, "-c", _SENDER, service, end], env=environment, check=False)
    assert ended.returncode == (3 if end == "os._exit" else -signal.SIGKILL)
    subprocess.run([sys.executable, "-c", _NEXT], env=environment, check=True)
    until(lambda: _counts(served, service)[2] == "480", what="the last report")
    # Sent and stored, none dropped, 480 made, 80 in the memory of one that was killed.
    assert _counts(served, service) == ["400", "0", "480", "80"]
    served.collector.arrival_counts.update_sdk_gauges()
    assert served.metric("llmtrace_sdk_spans", service=service, what="lost") == 80
    assert not [path for path in (tmp_path / "spool").rglob("*") if path.suffix == process_file.SUFFIX]
    assert set(process_file.SHARED_FOLDER.glob("llmtrace-*")) <= before


def _counts(served: Served, service: str) -> list[str]:
    served.stored()
    served.collector.arrival_counts.flush()
    return served.value(
        "SELECT sum(Received), sum(SdkDropped), sum(SdkGenerated), sum(SdkLost) FROM completeness "
        f"WHERE ServiceName = '{service}' AND Signal = 'traces'"
    ).split("\t")

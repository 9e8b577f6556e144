"""Show what a collector syncs for one acknowledged request and for its insert: an excerpt of strace.

    python -m tests.synced

A collector runs under strace and gets one request with one span. Printed are, in order: the write of the record
into the log, its sync, the answer, then the files and folders of the store that are synced, table by table, and
last the removal of the segment. strace comes with the system: `apt-get install strace`.
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.collector.otlp import llm, traces
from tests.collector.running import Launched, settings, until

_CALLS = "writev,write,sendto,sendmsg,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat"
_LINE = re.compile(r"^\d+ +(?P<call>\w+)\((?P<rest>.*)$")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Step:
    """One system call: `what` is the file or folder, with tables by name, or the answer's first line."""

    call: str
    what: str


def available() -> bool:
    """Whether strace is installed and may look at other processes."""
    if shutil.which("strace") is None:
        return False
    tried = subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, check=False)
    return tried.returncode == 0


def record(directory: Path) -> list[Step]:
    """Send one span to a collector under strace; the system calls from its log record to the segment's end."""
    trace = directory / "strace.txt"
    configured = settings(directory / "data")
    with Launched(configured) as collector:
        assert collector.process is not None
        watcher = subprocess.Popen(
            ["strace", "-f", "-y", "-s", "64", "-e", f"trace={_CALLS}", "-o", str(trace),
             "-p", str(collector.process.pid)],
            stderr=subprocess.PIPE,
        )  # fmt: skip
        try:
            assert watcher.stderr is not None
            watcher.stderr.readline()  # "Process … attached"
            assert collector.post(traces([llm()])).status_code == 200
            collector.stored()
            until(lambda: ".seg" in _removals(trace), 30, "the segment's removal")
        finally:
            watcher.send_signal(signal.SIGINT)
            watcher.wait(30)
        rows = collector.rows("SELECT name, toString(uuid) AS id FROM system.tables") if False else []
        collector.stop()
    names = {row["id"]: row["name"] for row in rows} or _tables(directory / "data" / "store")
    return _steps(trace.read_text(errors="replace").splitlines(), names)


def _removals(trace: Path) -> str:
    text = trace.read_text(errors="replace") if trace.exists() else ""
    return "\n".join(line for line in text.splitlines() if " unlink" in line)


def _tables(store: Path) -> Mapping[str, str]:
    """Name of each table by its id, as the engine's own metadata has them."""
    found = {}
    for file in (store / "metadata").glob("*/*.sql"):
        match = _UUID.search(file.read_text(errors="replace"))
        if match:
            found[match[0]] = file.stem
    for file in store.glob("store/*/*/*.sql"):
        match = _UUID.search(file.read_text(errors="replace"))
        if match:
            found[match[0]] = file.stem
    return found


def _steps(lines: Sequence[str], names: Mapping[str, str]) -> list[Step]:
    steps: list[Step] = []
    for line in lines:
        match = _LINE.match(line)
        if match is None or "resumed" in line:
            continue
        call, rest = match["call"], match["rest"]
        if "HTTP/1.1" in rest:
            steps.append(Step("answer", rest.split('"', 2)[1].split("\\r", 1)[0]))
        elif call == "writev" and ".seg>" in rest:
            steps.append(Step(call, "wal/segment"))
        elif call in ("fsync", "fdatasync"):
            steps.append(Step(call, _short(rest, names)))
        elif call.startswith("unlink") and ".seg" in rest:
            steps.append(Step(call, "wal/segment"))
    first = next(index for index, step in enumerate(steps) if step.what.startswith("wal"))
    last = max(index for index, step in enumerate(steps) if step.call.startswith("unlink"))
    return steps[first : last + 1]


def _short(rest: str, names: Mapping[str, str]) -> str:
    """The path of a file descriptor, from the data directory on, with tables by name."""
    path = rest.partition("<")[2].partition(">")[0]
    path = re.sub(r"^.*?/data/", "", path)
    table = _UUID.search(path)
    if table is not None:
        return f"{names.get(table[0], 'table')}/{path.split(table[0] + '/', 1)[-1]}"
    return re.sub(r"[^/]+\.seg$", "segment", path)


def main() -> int:
    """Run from the command line."""
    if not available():
        print("strace is missing or may not trace: apt-get install strace", file=sys.stderr)
        return 2
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        for step in record(Path(directory)):
            print(f"{step.call:10} {step.what}")
    print(f"{time.monotonic() - started:.0f} s", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Show what a collector syncs for one acknowledged request and for its insert: an excerpt of strace.

    python -m tests.synced

A collector runs under strace and gets one request with one span. Printed are, in order: the write of the
frame into the log, its sync, the answer, then what of the store is synced, table by table, and last the
removal of the segment. strace comes with the system: `apt-get install strace`.
"""

from __future__ import annotations

import itertools
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
    """One system call. `where` is `wal`, a table, or `client`; `what` the file, the folder, or the answer."""

    call: str
    where: str
    what: str


def available() -> bool:
    """Whether strace is installed and may look at other processes."""
    if shutil.which("strace") is None:
        return False
    tried = subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, check=False)
    return tried.returncode == 0


def record(directory: Path) -> list[Step]:
    """Send one span to a collector under strace; its system calls up to the end of the segment."""
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
            watcher.communicate(timeout=30)
        collector.stop()
    names = _tables(directory / "data" / "store")
    return _steps(trace.read_text(errors="replace").splitlines(), names)


def _removals(trace: Path) -> str:
    text = trace.read_text(errors="replace") if trace.exists() else ""
    return "\n".join(line for line in text.splitlines() if " unlink" in line)


def _tables(store: Path) -> Mapping[str, str]:
    """Name of each table by its id, as the engine's own metadata has them."""
    names = {}
    for file in (store / "metadata").glob("*/*.sql"):
        match = _UUID.search(file.read_text(errors="replace"))
        if match:
            names[match[0]] = file.stem
    for file in store.glob("store/*/*/*.sql"):
        match = _UUID.search(file.read_text(errors="replace"))
        if match:
            names[match[0]] = file.stem
    return names


def _steps(lines: Sequence[str], names: Mapping[str, str]) -> list[Step]:
    steps: list[Step] = []
    for line in lines:
        match = _LINE.match(line)
        if match is None or "resumed" in line:
            continue
        call, rest = match["call"], match["rest"]
        if "HTTP/1.1" in rest:
            steps.append(Step("answer", "client", rest.split('"', 2)[1].split("\\r", 1)[0]))
        elif ".seg" in rest and (call == "writev" or call.startswith("unlink")):
            steps.append(Step(call, "wal", "segment"))
        elif call in ("fsync", "fdatasync"):
            steps.append(_sync(call, rest.partition("<")[2].partition(">")[0], names))
    first = next(index for index, step in enumerate(steps) if step.where == "wal")
    last = max(index for index, step in enumerate(steps) if step.call.startswith("unlink"))
    return steps[first : last + 1]


def _sync(call: str, path: str, names: Mapping[str, str]) -> Step:
    """A sync of the file or folder at `path`."""
    table = _UUID.search(path)
    if table is None:
        name = Path(path).name
        known = {"wal": "folder"}
        return Step(call, "wal", "segment" if name.endswith(".seg") else known.get(name, name))
    inside = path.split(table[0], 1)[1].strip("/").split("/")
    what = "folder of the part" if len(inside) == 1 else inside[-1]
    if inside == [""]:
        what = "folder of the table"
    return Step(call, names.get(table[0], "a table"), what)


def printed(steps: Sequence[Step]) -> list[str]:
    """Lines to read: consecutive syncs of one table are one line."""
    lines = []
    for (call, where), group in itertools.groupby(steps, key=lambda step: (step.call, step.where)):
        what = [step.what for step in group]
        text = (
            ", ".join(dict.fromkeys(what))
            if len(what) < 5
            else (f"{len(what)} times: {', '.join(what[:3])}, …, {', '.join(what[-2:])}")
        )
        lines.append(f"{call:10} {where:24} {text}")
    return lines


def main() -> int:
    """Run from the command line."""
    if not available():
        print("strace is missing or may not trace: apt-get install strace", file=sys.stderr)
        return 2
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        print("\n".join(printed(record(Path(directory)))))
    print(f"{time.monotonic() - started:.0f} s", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())

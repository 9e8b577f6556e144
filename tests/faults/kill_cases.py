"""SIGKILL at file operations of the write path: which and when is counted first, then chosen by the seed."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Final

from .case import Case, Scene, wait_until
from .injectors import under_strace
from .oracles import settle
from .processes import Collector

#: Every call by which the collector changes files.
OPERATIONS: Final = (
    "openat write pwrite64 writev pwritev pwritev2 fsync fdatasync ftruncate truncate rename renameat "
    "renameat2 unlink unlinkat link linkat mkdir mkdirat rmdir fallocate copy_file_range"
).split()

#: Of calls that are mostly something else (reads, sockets) only those on files of the data directory count.
_LINE: Final = re.compile(r"^(\d+)\s+(\w+)\((.*)")


def count_operations(scene: Scene) -> list[tuple[str, int]]:
    """Each operation on files of the data directory from a start to the storing of some requests, as (call,
    its number among its thread's calls of that name).
    """
    collector = scene.collector(scene.folder / "counted" / "data")
    trace = scene.folder / "operations.txt"
    prefix = ["strace", "-f", "-qq", "-y", "-s", "0", "-o", str(trace), "-e", f"trace={','.join(OPERATIONS)}"]
    assert collector.start(prefix), collector.output[-1000:]
    senders = scene.senders(collector, 1)
    time.sleep(3)
    for sender in senders:
        sender.stop()
    wait_until(lambda: not list((collector.data_dir / "wal").glob("*.seg")), 20)
    collector.stop()
    numbers: Counter[tuple[str, str]] = Counter()  # strace counts each thread's calls by themselves
    operations = []
    for line in trace.read_text(errors="replace").splitlines():
        if match := _LINE.match(line):
            thread, call, rest = match.groups()
            numbers[thread, call] += 1
            is_ours = str(collector.data_dir) in rest and ("O_RDONLY" not in rest or "O_CREAT" in rest)
            if is_ours:
                operations.append((call, numbers[thread, call]))
    return operations


def _kills(rounds: int, scene: Scene) -> None:
    """Kill at so many operations, one after the other, then look for what was acknowledged."""
    operations = count_operations(scene)
    by_call = Counter(call for call, _ in operations)
    scene.note(f"{len(operations)} operations: {json.dumps(dict(by_call))}")
    collector = scene.collector()
    senders = scene.senders(collector, 2)
    hits: Counter[str] = Counter()
    for _ in range(rounds):
        # Each call is as likely as any other: of renames there are few, of writes many.
        call = scene.random.choice(sorted(by_call))
        number = scene.random.choice([at for name, at in operations if name == call])
        collector.spawn(under_strace(f"{call}:signal=KILL:when={number}"))
        assert collector.popen is not None
        try:
            collector.popen.wait(12)
            hits[call] += 1
        except subprocess.TimeoutExpired:
            collector.kill()
            hits["by the clock"] += 1
    scene.note(f"killed at {dict(hits)}")
    scene.figures["kills"] += rounds
    assert _restarts(scene, collector), collector.output[-1000:]
    time.sleep(1)
    settle(scene, collector, senders, seconds=90)


def _restarts(scene: Scene, collector: Collector) -> bool:
    is_up = collector.start()
    scene.expect("recovered", is_up, f"no start after kills: {collector.output.strip()[-300:]}")
    return is_up


def _random_kills(rounds: int, scene: Scene) -> None:
    """Kill at random moments."""
    collector = scene.collector()
    assert collector.start(), collector.output[-1000:]
    senders = scene.senders(collector, 2)
    for _ in range(rounds):
        time.sleep(scene.random.uniform(0.3, 2.5))
        collector.stop(signal.SIGKILL)
        if not _restarts(scene, collector):
            return
    scene.figures["kills"] += rounds
    time.sleep(1)
    settle(scene, collector, senders, seconds=60)


def _cut_at_first_start(scene: Scene) -> None:
    """Kill during the very first start, at each file that it makes; the next start is a good one."""
    data_dir = scene.folder / "fresh"
    for _ in range(3):
        call = scene.random.choice(["rename", "fsync", "link", "mkdir", "unlink"])
        number = scene.random.randrange(1, 12)
        collector = Collector(scene.tree, data_dir, scene.folder / "collector.log", {})
        scene.stack.callback(collector.kill)
        collector.spawn(under_strace(f"{call}:signal=KILL:when={number}"))
        assert collector.popen is not None
        try:
            collector.popen.wait(15)
        except subprocess.TimeoutExpired:
            collector.kill()
        _empty_files(scene, data_dir)
    collector = Collector(scene.tree, data_dir, scene.folder / "collector.log", {})
    scene.stack.callback(collector.kill)
    if _restarts(scene, collector):
        settle(scene, collector, scene.senders(collector, 1), seconds=30)


def _empty_files(scene: Scene, data_dir: Path) -> None:
    for name in ("admin.key", "dashboard.key"):
        file = data_dir / name
        scene.expect(
            "stored", not file.exists() or file.stat().st_size > 20, f"{name} is left empty by a kill"
        )


CASES: Final = [
    Case("killed at four operations", "kill", partial(_kills, 4), ("strace",), 70),
    Case("killed at twenty operations", "kill", partial(_kills, 20), ("strace",), 240),
    Case("killed at random moments", "kill", partial(_random_kills, 3), (), 30, is_in_gate=True),
    Case("killed during the first start", "kill", _cut_at_first_start, ("strace",), 60),
]

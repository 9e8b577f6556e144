"""CPU until a process and its store are quiet."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from benchmarks.quiet import Patience, cpu_seconds, until_quiet

#: Works for as many CPU seconds as it is asked to, then does nothing.
_WORKER = """
import sys, time
while time.process_time() < float(sys.argv[1]):
    pass
sys.stdin.read()
"""

_BRIEF = Patience(window=0.5, idle=0.5, limit=30)


@pytest.fixture
def worker(request: pytest.FixtureRequest) -> Iterator[psutil.Process]:
    command = [sys.executable, "-c", _WORKER, str(request.param)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as child:
        yield psutil.Process(child.pid)
        child.kill()


@pytest.mark.parametrize("worker", [1.0], indirect=True)
def test_what_is_used_until_quiet_counts(worker: psutil.Process, tmp_path: Path) -> None:
    quiet = until_quiet([lambda: cpu_seconds(worker), lambda: 7.0], tmp_path, _BRIEF)
    assert quiet.cpu[0] == pytest.approx(1.0, abs=0.15)
    assert quiet.cpu[1] == 7.0
    assert quiet.idle[0] < 0.1
    assert quiet.idle[1] == 0


@pytest.mark.parametrize("worker", [0.1], indirect=True)
def test_a_merge_is_waited_for(worker: psutil.Process, tmp_path: Path) -> None:
    merge = tmp_path / "store" / "abc" / "table" / "tmp_merge_all_1_8_1"
    merge.mkdir(parents=True)
    began = time.monotonic()
    timer = threading.Timer(1.5, merge.rmdir)
    timer.start()
    until_quiet([lambda: cpu_seconds(worker)], tmp_path, _BRIEF)
    assert time.monotonic() - began > 1.5 + _BRIEF.window + _BRIEF.idle
    timer.join()


@pytest.mark.parametrize("worker", [0.1], indirect=True)
def test_what_has_not_caught_up_is_waited_for(worker: psutil.Process, tmp_path: Path) -> None:
    answers = iter([False, False, True])
    until_quiet([lambda: cpu_seconds(worker)], tmp_path, _BRIEF, lambda: next(answers))
    assert next(answers, None) is None


def test_work_that_begins_while_it_should_be_idle_counts(tmp_path: Path) -> None:
    began = time.monotonic()

    def later() -> float:
        """Nothing for a second, then half a second of work."""
        return min(0.5, max(0.0, time.monotonic() - began - 1.0))

    quiet = until_quiet([later], tmp_path, Patience(window=0.5, idle=0.75, limit=30))
    assert quiet.cpu[0] == pytest.approx(0.5, abs=0.05)
    assert quiet.idle[0] == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("worker", [600.0], indirect=True)
def test_a_process_that_never_rests_is_named(worker: psutil.Process, tmp_path: Path) -> None:
    with pytest.raises(TimeoutError, match=r"was not quiet after 1 s: it uses \d\.\d\d of a core"):
        until_quiet([lambda: cpu_seconds(worker)], tmp_path, Patience(window=0.5, limit=1))

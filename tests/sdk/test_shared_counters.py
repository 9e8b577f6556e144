"""Counters in memory that outlives a kill: of processes that are really killed, and of those that live."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import llmtrace
from llmtrace.delivery import killed_processes, shared_counters
from llmtrace.delivery.process_file import ProcessFile
from llmtrace.doctor import here

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the memory is Linux's")


@pytest.fixture(autouse=True)
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in its place, for the machine's has files of others."""
    folder = tmp_path / "shm"
    folder.mkdir()
    monkeypatch.setattr(shared_counters, "FOLDER", folder)
    return folder


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    folder = tmp_path / "spool"
    folder.mkdir()
    return folder


@pytest.fixture
def living(spool: Path) -> Iterator[Callable[[], ProcessFile]]:
    """Makes processes that live, as others see them."""
    files: list[ProcessFile] = []

    def start() -> ProcessFile:
        files.append(ProcessFile.create(spool))
        files[-1].describe(b"{}")
        return files[-1]

    yield start
    for file in files:
        file.remove()
        file.close()


def kill_process(spool: Path, generated: int) -> str:
    """The name of a process that shared its counters and was killed."""
    read_end, write_end = os.pipe()
    if not (pid := os.fork()):
        file = ProcessFile.create(spool)
        file.describe(b"{}")
        if file.shared is not None:
            file.shared[0] = generated
        os.write(write_end, file.name.encode())
        os.kill(os.getpid(), signal.SIGKILL)
    os.close(write_end)
    with open(read_end, "rb") as answer:
        name = answer.read().decode()
    assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL
    return name


def generated_of(spool: Path, name: str) -> int:
    """What is reported of a dead process."""
    file = ProcessFile.taken_over(spool / f"{name}.process")
    assert file is not None
    try:
        left = file.read()
    finally:
        file.close()
    assert left is not None
    assert left[1] == b"{}"
    return left[0][0]


def test_three_hundred_killed_ones_leave_room(spool: Path, memory: Path) -> None:
    """Each that starts while the memory is full frees it, as the delivery's thread does."""
    killed: dict[str, int] = {}
    for number in range(300):
        if number == shared_counters.MOST_FILES:
            without = kill_process(spool, 7777)
            assert not shared_counters.path_of(spool / f"{without}.process").exists(), "it had no room"
            killed_processes.free_shared_memory()
            assert not list(memory.iterdir())
        killed[kill_process(spool, 1000 + number)] = 1000 + number
    assert len(list(memory.iterdir())) == 300 - shared_counters.MOST_FILES
    assert {name: generated_of(spool, name) for name in killed} == killed
    killed_processes.free_shared_memory()
    file = ProcessFile.create(spool)
    file.describe(b"{}")
    assert file.shared is not None
    file.remove()
    file.close()


def test_a_program_shares_its_counters_after_many_were_killed(spool: Path, memory: Path) -> None:
    program = f"""
import time
from pathlib import Path
from llmtrace.delivery import shared_counters
shared_counters.FOLDER = Path({str(memory)!r})
import llmtrace
assert not llmtrace.stats().survives_kill
llmtrace.init(endpoint="http://127.0.0.1:9", spool_dir={str(spool / "own")!r})
with llmtrace.span("a"):
    pass
until = time.monotonic() + 20
while not llmtrace.stats().survives_kill and time.monotonic() < until:
    time.sleep(0.01)
assert llmtrace.stats().survives_kill
assert len(list(shared_counters.FOLDER.iterdir())) == 1
import os
os.kill(os.getpid(), 9)
"""
    for number in range(shared_counters.MOST_FILES):
        kill_process(spool, number)
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    (path,) = (spool / "own").rglob("*.process")
    assert generated_in(path) == 1


def generated_in(path: Path) -> int:
    file = ProcessFile.taken_over(path)
    assert file is not None
    left = file.read()
    file.close()
    assert left is not None
    return left[0][0]


def test_where_all_live_none_gives_way(
    living: Callable[[], ProcessFile], memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_counters, "MOST_FILES", 40)
    assert here.shared_memory().status == "ok"
    for _ in range(40):
        assert living().shared is not None
    before = set(memory.iterdir())
    killed_processes.free_shared_memory()
    assert set(memory.iterdir()) == before
    assert living().shared is None
    result = here.shared_memory()
    assert (result.status, "40 of at most 40" in result.detail) == ("warn", True)


def test_several_free_at_once_while_others_report(spool: Path, memory: Path) -> None:
    killed = {kill_process(spool, 500 + number): 500 + number for number in range(60)}
    reported: dict[str, int] = {}
    cleaners = []
    for _ in range(4):
        if not (pid := os.fork()):
            killed_processes.free_shared_memory()
            os._exit(0)
        cleaners.append(pid)
    thread = threading.Thread(target=killed_processes.free_shared_memory)
    thread.start()
    for name in reversed(killed):
        reported[name] = generated_of(spool, name)
    thread.join()
    assert [os.waitpid(pid, 0)[1] for pid in cleaners] == [0] * 4
    assert reported == killed
    assert {name: generated_of(spool, name) for name in killed} == killed
    assert not list(memory.iterdir())


def test_what_nobody_reports_goes_and_what_another_container_may_stays(
    spool: Path, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(killed_processes, "_FEW", 1)
    other = b"another container's view "[:24]
    with monkeypatch.context() as patch:
        patch.setattr(shared_counters, "file_system", lambda: other)
        foreign = kill_process(spool, 3)
    gone = kill_process(spool, 4)
    for name in (foreign, gone):
        (spool / f"{name}.process").unlink()
    killed_processes.free_shared_memory()
    (path,) = memory.iterdir()
    assert path == shared_counters.path_of(spool / f"{foreign}.process")
    now = time.time()
    for hours, stays in ((23, True), (25, False)):
        monkeypatch.setattr(time, "time", lambda hours=hours: now + hours * 3600)
        killed_processes.free_shared_memory()
        assert path.exists() is stays, hours


def test_files_without_a_lock_go_by_age(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(killed_processes, "_FEW", 1)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    unfinished = f"{dead.pid}-dd.counters"
    ages = {f"{dead.pid}-aa": 25, f"{dead.pid}-bb": 23, f"{os.getpid()}-cc": 25, unfinished: 25}
    for name, hours in ages.items():
        path = memory / (shared_counters.PREFIX + name)
        path.write_bytes(b"" if name == unfinished else bytes(4096))
        os.utime(path, (time.time() - hours * 3600,) * 2)
    killed_processes.free_shared_memory()
    left = {path.name.removeprefix(shared_counters.PREFIX) for path in memory.iterdir()}
    assert left == {f"{dead.pid}-bb", f"{os.getpid()}-cc"}


def test_the_files_of_a_former_version_take_no_room(
    spool: Path, memory: Path, living: Callable[[], ProcessFile]
) -> None:
    """They have no lock, and what is in them is still reported."""
    for number in range(shared_counters.MOST_FILES):
        (memory / f"{shared_counters.PREFIX}99-{number:x}").write_bytes(bytes(4096))
    assert living().shared is not None
    name = kill_process(spool, 6)
    path = shared_counters.path_of(spool / f"{name}.process")
    path.rename(path.with_suffix(""))
    assert generated_of(spool, name) == 6


def test_a_forked_child_does_not_hold_the_lock_of_its_parent(
    spool: Path, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parent is killed while the child lives: its memory is freed."""
    program = f"""
import os, sys, time
from pathlib import Path
from llmtrace.delivery import shared_counters
shared_counters.FOLDER = Path({str(memory)!r})
import llmtrace
llmtrace.init(endpoint="http://127.0.0.1:9", spool_dir={str(spool)!r})
with llmtrace.span("a"):
    pass
until = time.monotonic() + 20
while not llmtrace.stats().survives_kill and time.monotonic() < until:
    time.sleep(0.01)
if not os.fork():
    print("ready", flush=True)
    sys.stdin.read()
    os._exit(0)
os.kill(os.getpid(), 9)
"""
    monkeypatch.setattr(killed_processes, "_FEW", 1)
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", program], stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        assert process.wait(20) == -signal.SIGKILL
        (path,) = memory.iterdir()
        killed_processes.free_shared_memory()
        assert not path.exists()
        assert process.stdin is not None
        process.stdin.close()
    (file,) = spool.rglob("*.process")
    assert generated_in(file) == 1


def test_a_process_that_ends_in_order_leaves_nothing(memory: Path, tmp_path: Path) -> None:
    llmtrace.init(endpoint="http://127.0.0.1:9", spool_dir=str(tmp_path / "spool"))
    with llmtrace.span("a"):
        pass
    until = time.monotonic() + 20
    while not llmtrace.stats().survives_kill and time.monotonic() < until:
        time.sleep(0.01)
    assert llmtrace.stats().survives_kill
    assert len(list(memory.iterdir())) == 1
    llmtrace.shutdown()
    assert not list(memory.iterdir())

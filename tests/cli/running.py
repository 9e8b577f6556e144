"""Start `llmtrace` as its users do, on free ports, and always end it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

LLMTRACE = (sys.executable, "-m", "llmtrace_cli")


def clean_environment(**extra: str) -> dict[str, str]:
    """This environment without what a developer may have set for llmtrace."""
    environment = {n: v for n, v in os.environ.items() if not n.startswith(("LLMTRACE_", "OTEL_"))}
    return environment | extra


def run(*arguments: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    return subprocess.run(
        [*LLMTRACE, *arguments],
        cwd=cwd,
        env=clean_environment(**env),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


class Running:
    """A `llmtrace` that stays up; its output goes to a file."""

    def __init__(self, popen: subprocess.Popen[bytes], log: Path) -> None:
        self.popen = popen
        self.log = log
        self.descendants: dict[int, psutil.Process] = {}

    def output(self) -> str:
        """Everything written so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def wait_for(self, text: str, timeout: float = 90) -> str:
        """Wait until `text` was written, and note which processes there are."""
        wait_until(
            lambda: text in self.output() or self.popen.poll() is not None, timeout, lambda: self.output()
        )
        assert text in self.output(), self.output()
        self.processes()
        return self.output()

    def processes(self) -> list[psutil.Process]:
        """All descendants alive now."""
        try:
            children = psutil.Process(self.popen.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            children = []
        self.descendants.update({child.pid: child for child in children})
        return children

    def part(self, name: str) -> psutil.Process:
        """The process of one part."""
        processes = [
            p
            for p in self.processes()
            if p.cmdline()[1:3] == ["-m", "llmtrace_cli"] and p.cmdline()[-1] == name
        ]
        assert len(processes) == 1, [p.cmdline() for p in self.processes()]
        return processes[0]

    def left_over(self, timeout: float = 30) -> list[str]:
        """What still runs of all descendants ever seen, after waiting for them to end."""
        deadline = time.monotonic() + timeout
        while (
            alive := [p for p in self.descendants.values() if is_alive(p)]
        ) and time.monotonic() < deadline:
            time.sleep(0.1)
        return [f"{p.pid} {p.name()}" for p in alive]


def is_alive(process: psutil.Process) -> bool:
    """Whether it runs; one that ended and waits to be reaped by an idle init does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@contextmanager
def running(*arguments: str, cwd: Path, **env: str) -> Iterator[Running]:
    """Start `llmtrace` with `arguments`; whatever is left of it is killed at the end."""
    log = cwd / "output.log"
    with log.open("wb") as output:
        popen = subprocess.Popen(
            [*LLMTRACE, *arguments],
            cwd=cwd,
            env=clean_environment(**env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    it = Running(popen, log)
    try:
        yield it
    finally:
        it.processes()
        if popen.poll() is None:
            os.kill(popen.pid, signal.SIGKILL)
        for process in it.descendants.values():
            if process.is_running():
                process.kill()
        popen.wait()


def wait_until(done: Callable[[], bool], timeout: float, why: Callable[[], str] = lambda: "") -> None:
    """Poll until `done`, or fail with `why` after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not done():
        assert time.monotonic() < deadline, f"not after {timeout} s\n{why()}"
        time.sleep(0.1)

"""How a program's users and its operating system treat it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final

from .running import RunningProgram

_REQUESTS: Final = 24
_TASKS: Final = 16


def signalled(number: signal.Signals, *, after: float = 0.0) -> Callable[[RunningProgram], None]:
    """The signal comes as soon as it says that it is ready, or so many seconds later."""

    def drive(program: RunningProgram) -> None:
        program.until_says("ready")
        time.sleep(after)
        program.send(number)

    return drive


def frozen(program: RunningProgram) -> None:
    """Frozen for a while, in the middle of its work, then thawed; it ends by itself."""
    program.until_says("ready")
    program.send(signal.SIGSTOP)
    time.sleep(2)
    program.send(signal.SIGCONT)


def frozen_for_good(program: RunningProgram) -> None:
    """Frozen between two invocations, and never thawed."""
    program.until_says("ready")
    program.send(signal.SIGSTOP)
    time.sleep(0.5)
    program.send(signal.SIGKILL)


def asked(program: RunningProgram, *paths: str) -> list[str]:
    """Requests of many users at once; what each was answered."""
    program.until_listens()
    with ThreadPoolExecutor(8) as pool:
        wanted = [f"{paths[number % len(paths)]}?user=user-{number}" for number in range(_REQUESTS)]
        return list(pool.map(program.get, wanted))


def served(number: signal.Signals = signal.SIGTERM, *paths: str) -> Callable[[RunningProgram], None]:
    """A server is asked by many, then told to end."""

    def drive(program: RunningProgram) -> None:
        asked(program, *(paths or ("/answer",)))
        program.send(number)

    return drive


def hung(program: RunningProgram) -> None:
    """One worker hangs until its master ends it; then the server is told to end."""
    asked(program, "/")
    program.get("/hang?user=user-0", timeout=8)
    time.sleep(1)
    program.send(signal.SIGTERM)


def worker_killed(program: RunningProgram) -> None:
    """One worker is killed, as the kernel does where memory ends."""
    pids = {int(text) for text in asked(program, "/answer") if text.isdigit()}
    os.kill(min(pids), signal.SIGKILL)
    time.sleep(2)
    asked(program, "/answer")
    program.send(signal.SIGTERM)


def reloaded(program: RunningProgram) -> None:
    """The code changes between requests."""
    asked(program, "/answer")
    (program.folder / "changed.py").write_text("", encoding="utf-8")
    program.until(lambda: program.output.count("Started server process") > 1)
    asked(program, "/answer")
    program.send(signal.SIGTERM)


def queued(number: signal.Signals, *, every: int) -> Callable[[RunningProgram], None]:
    """Tasks are queued; when `every` calls are done, the worker is told to end."""

    def drive(program: RunningProgram) -> None:
        python = str(program.process.args[0])  # type: ignore[index]  # a list, as it was started
        command = [python, "-m", "tests.programs.programs.celery_app", str(_TASKS)]
        subprocess.run(command, env=program.environment, check=True)
        with suppress(TimeoutError):
            program.until(lambda: len(program.calls) >= every)
        program.send(number)

    return drive

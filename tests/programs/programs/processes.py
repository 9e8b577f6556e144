"""Calls in children: `processes.py KIND METHOD`."""

from __future__ import annotations

import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor

import llmtrace
from tests.programs.programs.calls import ask, label

_CALLS = 48


def work(number: int) -> int:
    """A task: a call for a user of its own."""
    user, name = f"user-{number}", label()
    with llmtrace.context(user_id=user), llmtrace.span(name):
        ask(user, name)
    return number


def work_and_leave(number: int) -> None:
    """A child's whole work."""
    work(number)
    ask()


def _main(kind: str, method: str) -> None:
    if kind == "fork":
        _fork(method)
        return
    context = multiprocessing.get_context(method)
    if kind == "pool":  # its workers are terminated as it is left
        with context.Pool(4) as pool:
            pool.map(work, range(_CALLS), chunksize=1)
    elif kind == "closed":
        pool = context.Pool(4)
        pool.map(work, range(_CALLS), chunksize=1)
        pool.close()
        pool.join()
    elif kind == "executor":
        with ProcessPoolExecutor(4, mp_context=context) as executor:
            list(executor.map(work, range(_CALLS)))
    elif kind == "process":
        start = context.Process  # type: ignore[attr-defined]  # every method has it
        children = [start(target=work_and_leave, args=(number,)) for number in range(6)]
        for child in children:
            child.start()
        for child in children:
            child.join()


def _fork(end: str) -> None:
    """Without exec, and without multiprocessing; the child leaves as `end` says."""
    for number in range(4):
        pid = os.fork()
        if pid == 0:
            work(number)
            if end == "exit":
                sys.exit(0)
            if end == "flush":
                llmtrace.flush()
            os._exit(0)
        work(number + 100)
        os.waitpid(pid, 0)


llmtrace.init()
if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2])

"""The ways a program ends: `exits.py KIND`."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time

import llmtrace
from tests.programs.programs.calls import ask, label, note_ended, say, wait_for_signal

_CALLS = 10


def _work(calls: int = _CALLS) -> None:
    for number in range(calls):
        user, name = f"user-{number}", label()
        with llmtrace.context(user_id=user), llmtrace.span(name):
            ask(user, name)
        note_ended(name)


def _busy() -> None:
    """Calls all the time, on two threads, until a signal ends it."""
    say("ready")
    deadline = time.monotonic() + 60

    def work() -> None:
        while time.monotonic() < deadline:
            _work(1)

    threading.Thread(target=work, daemon=True).start()
    work()


def _two_seconds() -> None:
    began = time.monotonic()
    while time.monotonic() - began < 2:
        _work(1)


def _handler() -> None:
    """As a function of a cloud does: what is there is sent before the handler returns; then it is frozen."""
    for _ in range(3):
        _work(3)
        llmtrace.flush(timeout=5)
    wait_for_signal()


def _frozen() -> None:
    _work()
    say("ready")
    time.sleep(1)
    _work()


def main(kind: str) -> None:
    """Work, then end as asked."""
    if kind == "failing atexit":
        # Registered before, so it runs after ours.
        atexit.register(lambda: 1 / 0)
    llmtrace.init()
    if kind == "two seconds":
        _two_seconds()
    elif kind == "busy":
        _busy()
    elif kind == "handler":
        _handler()
    elif kind == "frozen":
        _frozen()
    elif kind == "wait":
        _work()
        wait_for_signal()
    else:
        _work()
    if kind == "signal amid atexit":
        say("ready")
    if kind == "exception":
        raise RuntimeError("the program's own failure")
    if kind == "sys.exit":
        sys.exit(3)
    if kind == "os._exit":
        os._exit(3)
    if kind == "thread fails":
        threading.Thread(target=lambda: 1 / 0).start()
    if kind == "daemon thread":
        threading.Thread(target=_work, args=(1000,), daemon=True).start()
        time.sleep(0.3)


if __name__ == "__main__":
    main(sys.argv[1])

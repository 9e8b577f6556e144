"""Run a stack under honcho: logs side by side, one end for all, and a plain word about who failed."""

import io
import os
import shlex
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import honcho.manager
from honcho.manager import Manager
from honcho.printer import Message, Printer
from honcho.process import Process

from llmtrace.common.escaping import visible

from .lifeline import when_ended
from .processes import Part, Stack, wait_ready

# After this many seconds the parts that have not stopped are killed. Nothing acknowledged is lost by
# that: the collector replays its WAL. honcho's own 5 s would cut short a drain of a busy collector.
honcho.manager.KILL_WAIT = 15

_WRAPPER_GRACE_SECONDS = 20.0


class _Wrapper(Process):  # type: ignore[misc]  # honcho is untyped
    """honcho's process around a part; like the part it must not outlive `llmtrace up`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._supervisor = os.getpid()

    def run(self, *args: Any, **kwargs: Any) -> None:
        when_ended(self._supervisor, lambda: _leave_after(_WRAPPER_GRACE_SECONDS))
        super().run(*args, **kwargs)


def _leave_after(seconds: float) -> None:
    """By then the part has drained; its output has no reader left."""
    threading.Event().wait(seconds)
    os._exit(1)


class _Printer(Printer):  # type: ignore[misc]  # honcho is untyped
    """Prints lines of all parts one at a time and remembers each part's last ones."""

    def __init__(self, output: io.TextIOBase | Any) -> None:
        super().__init__(output)
        self.lock = threading.Lock()
        self.last: dict[str, deque[str]] = {}

    def write(self, message: Message) -> None:
        text = message.data.decode("utf-8", "replace") if isinstance(message.data, bytes) else message.data
        # Not all parts are ours, and MLflow logs what it is asked.
        line = visible(text.rstrip("\r\n"))
        self.last.setdefault(message.name, deque(maxlen=15)).append(line)
        with self.lock:
            super().write(message._replace(data=line))


class Supervisor(Manager):  # type: ignore[misc]  # honcho is untyped
    """Runs the parts of a stack until Ctrl-C, SIGTERM or the end of one of them."""

    def __init__(
        self, stack: Stack, *, timeout: float, when_ready: Callable[[float], None], output: Any = None
    ) -> None:
        printer = _Printer(output if output is not None else sys.stdout)
        super().__init__(printer)
        self.printer = printer
        self.failure: str | None = None
        """What went wrong, in a sentence and the failed part's last lines; None when asked to stop."""
        self._stack = stack
        self._timeout = timeout
        self._when_ready = when_ready
        self._stop_when_started = False
        self._process_ctor = _Wrapper
        for part in stack.parts:
            # honcho runs commands in a shell; exec makes the part the process that gets the signals.
            self.add_process(part.name, f"exec {shlex.join(part.argv)}", env=dict(part.env))

    def _start(self) -> None:
        super()._start()
        # Not before: honcho forks, and a fork while another thread runs can inherit a held lock.
        threading.Thread(target=self._announce, name="wait-ready", daemon=True).start()

    def _announce(self) -> None:
        began = time.monotonic()
        missing = wait_ready(self._stack.parts, self._timeout, alive=lambda part: not self._has_ended(part))
        if self._terminating or any(self._has_ended(part) for part in missing):
            return  # the loop is about to say who stopped
        if missing:
            names = ", ".join(f"{part.name} ({part.health_url})" for part in missing)
            self.failure = f"not ready after {self._timeout:.0f} s: {names}"
            self.terminate()
            return
        with self.printer.lock:
            self._when_ready(time.monotonic() - began)

    def _has_ended(self, part: Part) -> bool:
        return self._processes[part.name].get("returncode") is not None

    def terminate(self) -> None:
        """Stop all parts. honcho calls this on a signal and when a part has ended by itself."""
        if not self._terminating and self.failure is None:
            for part in self._stack.parts:
                if self._has_ended(part):
                    code = self._processes[part.name]["returncode"]
                    lines = "\n".join(f"  {line}" for line in self.printer.last.get(part.name, ()))
                    self.failure = (
                        f"{part.name} stopped ({_exit_words(code)}); its last lines:\n{lines or '  (none)'}"
                    )
                    break
        # honcho knows a part's pid only once the part has said that it runs; see _all_started.
        self._stop_when_started = not super()._all_started()
        if not self._stop_when_started:
            super().terminate()

    def _all_started(self) -> bool:
        """honcho's loop asks at every turn: here a stop that came before every part ran is made up for."""
        started: bool = super()._all_started()
        if started and self._stop_when_started:
            self._stop_when_started = False
            super().terminate()
        return started


def _exit_words(code: int) -> str:
    return f"killed by signal {-code}" if code < 0 else f"exit code {code}"

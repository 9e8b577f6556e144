"""One program, played between a provider and a collector on loopback."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import httpx
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from llmtrace.delivery import DeliverySettings, OtlpHttpExporter, Sender, Spool
from llmtrace.delivery.stats import DeliveryCounters
from llmtrace.testing import Answer, ReplayServer, sse

from .judge import LabelledCall, judged
from .receiver import Receiver
from .shape import ROOT, Collector, Figures, ProgramShape

ENVIRONMENTS: Final = ROOT / ".venvs"
_SECONDS: Final = 90.0
_REPLAY_SECONDS: Final = 20.0
#: What the SDK or OpenTelemetry says where something of theirs failed.
_COMPLAINTS: Final = ("Failed to detach", "llmtrace failed", "was created in a different Context")

_MESSAGE: Final = {"role": "assistant", "content": "Hello."}
_ANSWER: Final[dict[str, Any]] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "answering",
    "choices": [{"index": 0, "finish_reason": "stop", "message": _MESSAGE}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
}
_EVENTS: Final[list[dict[str, Any]]] = [
    {
        **_ANSWER,
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": {"content": word}, "finish_reason": None}],
        "usage": None,
    }
    for word in ("He", "l", "lo", ".")
]


class RunningProgram:
    """What a driver does with a program that runs."""

    def __init__(
        self, process: subprocess.Popen[bytes], folder: Path, port: int, environment: dict[str, str]
    ) -> None:
        self.process = process
        self.folder = folder
        self.port = port
        self.environment = environment

    @property
    def output(self) -> str:
        """What it printed so far."""
        return (self.folder / "output").read_text(encoding="utf-8", errors="replace")

    @property
    def calls(self) -> list[LabelledCall]:
        """The calls that returned so far."""
        return [LabelledCall(**fields) for fields in self._ledger() if "call" in fields]

    @property
    def ended(self) -> set[str] | None:
        """The spans whose blocks were left; None where the program does not say."""
        return {fields["ended"] for fields in self._ledger() if "ended" in fields} or None

    def _ledger(self) -> list[dict[str, str]]:
        ledger = self.folder / "ledger"
        lines = ledger.read_text(encoding="utf-8").splitlines() if ledger.exists() else []
        return [json.loads(line) for line in lines]

    def until(self, check: Callable[[], bool], seconds: float = 60.0) -> None:
        """Wait until it holds. Raises TimeoutError, also where the program ends first."""
        deadline = time.monotonic() + seconds
        while not check():
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise TimeoutError(f"it did not come to it (status {self.process.poll()})")
            time.sleep(0.02)

    def until_says(self, text: str) -> None:
        """Wait until it printed the text."""
        self.until(lambda: text in self.output)

    def until_listens(self) -> None:
        """Wait until somebody listens at its port."""

        def listens() -> bool:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return True
            return False

        self.until(listens)

    def get(self, path: str, timeout: float = 20.0) -> str:
        """The answer to a request; empty where there is none."""
        with suppress(httpx.HTTPError):
            return httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=timeout, trust_env=False).text
        return ""

    def send(self, number: signal.Signals) -> None:
        """A signal to the program itself, not to its children."""
        with suppress(ProcessLookupError):
            self.process.send_signal(number)


def python_of(shape: ProgramShape, environments: Path = ENVIRONMENTS) -> str:
    """The interpreter that a shape needs; empty where its environment is missing."""
    if not shape.environment:
        return sys.executable
    path = environments / shape.environment / "bin" / "python"
    return str(path) if path.exists() else ""


def played(shape: ProgramShape, collector: Collector, python: str) -> Figures:
    """Run a program with a collector that is up, slow or down; what became of its calls."""
    with (
        tempfile.TemporaryDirectory(prefix="llmtrace-programs-") as name,
        Receiver(is_away=collector == "down", is_slow=collector == "slow") as receiver,
        ReplayServer(Answer.json(_ANSWER)) as provider,
        ReplayServer(sse(_EVENTS)) as streams,
    ):
        folder = Path(name)
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "LLMTRACE_"))},
            "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "sdk"))),
            "LLMTRACE_ENDPOINT": receiver.url,
            "LLMTRACE_SPOOL_DIR": str(folder / "spool"),
            "PROGRAMS_PROVIDER": provider.url,
            "PROGRAMS_STREAMS": streams.url,
            "PROGRAMS_LEDGER": str(folder / "ledger"),
            "PROGRAMS_FOLDER": name,
        }
        failures, program = _run(shape, folder, python, environment)
        sent = {span.model for span in receiver.spans()}
        receiver.delay = 0.0
        receiver.open()
        if not _send_left(receiver.url, folder / "spool"):
            failures.append("what is on disk is not sent")
        figures = judged(
            program.calls, receiver.spans(), receiver.reports().values(), sent=sent, ended=program.ended
        )
        figures.failures = tuple(failures)
        return figures


def _run(
    shape: ProgramShape, folder: Path, python: str, environment: dict[str, str]
) -> tuple[list[str], RunningProgram]:
    failures: list[str] = []
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [part.format(port=port, folder=folder) for part in shape.command]
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(
            [python, *command],
            env=environment,
            cwd=folder,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    running = RunningProgram(process, folder, port, environment)
    try:
        if shape.drive is not None:
            shape.drive(running)
        process.wait(_SECONDS)
    except (TimeoutError, subprocess.TimeoutExpired) as error:
        failures.append(f"{error}; it printed: {running.output[-1500:]}")
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if not failures and process.returncode != shape.returncode:
        failures.append(f"exit status {process.returncode}; it printed: {running.output[-1500:]}")
    failures += [
        next(line for line in running.output.splitlines() if text in line)[:200]
        for text in _COMPLAINTS
        if text in running.output
    ]
    return failures, running


def _send_left(url: str, spool_dir: Path) -> bool:
    """As the next process of the same destination does: send what is on disk, tell of the dead."""
    settings = DeliverySettings.for_collector(url, spool_dir=str(spool_dir))
    resource, scope = Resource.get_empty(), InstrumentationScope("tests.programs", "0")
    sender = Sender(
        settings, lambda: OtlpHttpExporter(settings, resource, scope), DeliveryCounters(), Spool(settings)
    )
    deadline = time.monotonic() + _REPLAY_SECONDS
    try:
        with sender.replaying_now():
            while time.monotonic() < deadline:
                if sender.replay() and not sender.has_leftovers:
                    return True
                time.sleep(0.05)
    finally:
        sender.close()
    return False

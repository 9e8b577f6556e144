"""An inference service of its own under attack; its spans go to the collector of the run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from tests.collector.running import Launched, free_port, until

from .attack import Attack, AttackFailed
from .case import Case, Target
from .inference_cases import MODEL
from .observers import HEALTH_SECONDS, MEMORY_MB, HealthProbe, Memory

if TYPE_CHECKING:
    from .run import Outcome

_ANSWERED_WITHIN = 20.0
_SPANS = (
    "SELECT count() FROM otel_traces WHERE ServiceName = 'llmtrace-inference' AND SpanKind = 'Server' "
    "AND SpanAttributes['url.path'] LIKE '/v1/%'"
)


class HonestCaller:
    """Asks for four tokens twice a second, again where it was told to come back."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/v1/chat/completions"
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.asked = self.answered = self.repeats = 0

    def start(self) -> HonestCaller:
        self._thread.start()
        return self

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        with httpx.Client(trust_env=False, timeout=_ANSWERED_WITHIN) as client:
            while True:
                self.asked += 1
                self.answered += self._is_answered(client)
                if self._stopping.wait(0.5):
                    return

    def _is_answered(self, client: httpx.Client) -> bool:
        body = {"model": MODEL, "max_tokens": 4, "messages": [{"role": "user", "content": "Hello!"}]}
        deadline = time.monotonic() + _ANSWERED_WITHIN
        while time.monotonic() < deadline:
            with suppress(httpx.TransportError):
                answer = client.post(self._url, json=body)
                if answer.status_code == 200:
                    return bool(answer.json()["choices"])
            self.repeats += 1
            time.sleep(0.3)
        return False


@contextmanager
def _served(folder: Path, collector: Launched) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    port = free_port()
    environment = {key: value for key, value in os.environ.items() if not key.startswith("LLMTRACE_")}
    environment |= {
        "LLMTRACE_INFERENCE__PORT": str(port),
        "LLMTRACE_INFERENCE__DATA_DIR": str(folder / "inference"),
        "LLMTRACE_INFERENCE__MODELS": f'{{"{MODEL}": "builtin:{MODEL}"}}',
        "LLMTRACE_INFERENCE__OTLP_ENDPOINT": f"http://127.0.0.1:{collector.settings.port}",
        "LLMTRACE_INFERENCE__METRICS_INTERVAL_SECONDS": "0",
    }
    with (folder / "inference.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "llmtrace_cli", "inference"],
            env=environment, cwd=folder, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        until(lambda: _is_ready(port), 120, "the start of the inference service")
        yield port, process
    finally:
        process.kill()
        process.wait()


def _is_ready(port: int) -> bool:
    with suppress(httpx.TransportError):
        return httpx.get(f"http://127.0.0.1:{port}/health/ready", timeout=5).status_code == 200
    return False


def attack_inference(
    cases: Sequence[Case],
    collector: Launched,
    folder: Path,
    seconds: float,
    new_outcome: Callable[[str], Outcome],
) -> Iterator[Outcome]:
    """Run the cases; of an outcome `sent` are the requests that got an answer, `stored` their spans."""
    if not cases:
        return
    with _served(folder, collector) as (port, process):
        for case in cases:
            yield _attack(case, Target(port, {}), process, collector, seconds, new_outcome(case.name))


def _attack(
    case: Case,
    target: Target,
    process: subprocess.Popen[bytes],
    collector: Launched,
    seconds: float,
    outcome: Outcome,
) -> Outcome:
    before = int(collector.value(_SPANS))
    memory = Memory(process.pid)
    memory.reset()
    attack = Attack(case, target, seconds)
    probe, caller = HealthProbe(target.url).start(), HonestCaller(target.url).start()
    try:
        outcome.seen = attack.result(seconds)
    except AttackFailed as error:
        outcome.problems.append(f"the attack: {error}")
    finally:
        caller.stop()
        probe.stop()
    outcome.health, outcome.repeats = probe.slowest, caller.repeats
    if probe.failures or probe.slowest > HEALTH_SECONDS:
        outcome.problems.append(f"health: {probe.failures} of {probe.asked} failed, {probe.slowest:.2f} s")
    if caller.answered < caller.asked:
        outcome.problems.append(f"{caller.asked - caller.answered} honest requests got no answer")
    if process.poll() is not None:
        outcome.problems.append(f"the service ended: {process.returncode}")
        return outcome
    outcome.peak = memory.peak()
    if outcome.peak > MEMORY_MB:
        outcome.problems.append(f"{outcome.peak} MB of memory")
    _count_spans(case, outcome, caller, collector, before)
    return outcome


def _count_spans(
    case: Case, outcome: Outcome, caller: HonestCaller, collector: Launched, before: int
) -> None:
    """Every answered request left a span; those of files leave none."""
    statuses = re.findall(r"\b(\d{3}): (\d+)", outcome.seen) if case.name != "inference-forms" else []
    outcome.sent = caller.answered + sum(int(count) for _, count in statuses)

    def are_stored() -> bool:
        outcome.stored = int(collector.value(_SPANS)) - before
        return outcome.stored >= outcome.sent

    try:
        until(are_stored, 60, "storing")
    except (TimeoutError, AssertionError):
        outcome.problems.append(f"{outcome.sent - outcome.stored} requests left no span")

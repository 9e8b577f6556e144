"""Runs cases one after the other against servers of their own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.collector.running import Launched, free_port, settings, until

from .attack import Attack, AttackFailed
from .case import Case, Target
from .collector_cases import CASES as COLLECTOR_CASES
from .inference_cases import CASES as INFERENCE_CASES
from .observers import HEALTH_SECONDS, MEMORY_MB, HealthProbe, HonestSender, Memory
from .run_inference import attack_inference


@dataclass
class Outcome:
    """What came of a case. `health` is the slowest answer in seconds, `peak` in MB, `sent` and `stored` are
    the honest sender's spans, `repeats` the requests that it had to send again.
    """

    name: str
    health: float = 0.0
    peak: int = 0
    sent: int = 0
    stored: int = 0
    repeats: int = 0
    seen: str = ""
    problems: list[str] = field(default_factory=list)

    def line(self) -> str:
        """For the table."""
        state = "no" if self.problems else "yes"
        text = (
            f"{self.name:<22}{state:<5}{self.health:>7.2f}s{self.peak:>9}{self.sent:>7}{self.stored:>7}"
            f"{self.repeats:>7}  {self.seen}"
        )
        return "\n".join([text, *(f"    {problem}" for problem in self.problems)])


def run(folder: Path, only: Sequence[str], seconds: float, *, is_quick: bool) -> Iterator[Outcome]:
    """Run the chosen cases (by name or kind; all when none is chosen)."""
    chosen = [
        case
        for case in [*COLLECTOR_CASES, *INFERENCE_CASES]
        if (not only or case.name in only or case.kind in only) and (case.is_quick or not is_quick)
    ]
    if not chosen:
        return
    configured = settings(folder / "collector", grpc_port=free_port())
    with Launched(configured, "tests.hostile.limited_collector") as collector:
        for case in chosen:
            if case.part == "collector":
                yield _attack(case, collector, configured.grpc_port or 0, seconds)
        on_inference = [case for case in chosen if case.part == "inference"]
        yield from attack_inference(on_inference, collector, folder, seconds, Outcome)


def _attack(case: Case, collector: Launched, grpc_port: int, seconds: float) -> Outcome:
    process = collector.process
    assert process is not None
    outcome = Outcome(case.name)
    target = Target(collector.settings.port, {"admin": collector.admin_key}, grpc_port)
    memory = Memory(process.pid)
    memory.reset()
    attack = Attack(case, target, seconds)  # before there are threads, since it forks
    probe = HealthProbe(target.url).start()
    sender = HonestSender(target.url, f"honest {case.name}").start()
    try:
        outcome.seen = attack.result(seconds)
    except AttackFailed as error:
        outcome.problems.append(f"the attack: {error}")
    finally:
        sender.stop()
        probe.stop()
    outcome.health, outcome.sent, outcome.repeats = probe.slowest, sender.sent, sender.repeats
    if probe.failures or probe.slowest > HEALTH_SECONDS:
        outcome.problems.append(f"health: {probe.failures} of {probe.asked} failed, {probe.slowest:.2f} s")
    if process.poll() is not None:
        outcome.problems.append(f"the collector ended: {collector.errors.read_text()[-500:]}")
        collector.start()
        return outcome
    _read_back(outcome, collector, sender)
    outcome.peak = memory.peak()
    if outcome.peak > MEMORY_MB:
        outcome.problems.append(f"{outcome.peak} MB of memory")
    return outcome


def _read_back(outcome: Outcome, collector: Launched, sender: HonestSender) -> None:
    if sender.acknowledged < sender.sent:
        outcome.problems.append(f"{sender.sent - sender.acknowledged} spans were never acknowledged")
    count = "SELECT count() FROM otel_traces WHERE SpanName = {name:String}"

    def is_stored() -> bool:
        outcome.stored = int(collector.value(count, name=f"honest {outcome.name}"))
        return outcome.stored >= sender.acknowledged

    try:
        until(is_stored, 60, "storing")
    except TimeoutError:
        outcome.problems.append(f"{sender.acknowledged - outcome.stored} acknowledged spans are not stored")

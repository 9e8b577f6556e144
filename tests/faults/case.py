"""What a case is, what it is given to work with, and what comes of it."""

from __future__ import annotations

import contextlib
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from .processes import Collector, Process, Tree, Watch
from .senders import HttpSender

Oracle = Literal["stored", "counted", "announced", "recovered"]

#: Within how many seconds health has to say that something is wrong.
ANNOUNCE_SECONDS: Final = 10.0


@dataclass(frozen=True)
class Case:
    """One fault. `needs` names what the machine has to permit: strace, mount, faketime. `seconds` is about
    what it takes, `is_in_gate` says whether the short run has it: one of each kind that no other test shows.
    """

    name: str
    kind: str
    play: Callable[[Scene], None]
    needs: tuple[str, ...] = ()
    seconds: int = 20
    is_in_gate: bool = False


@dataclass
class Scene:
    """A case under way: a folder of its own, its random choices, its processes, and what was seen."""

    folder: Path
    tree: Tree
    random: random.Random
    stack: contextlib.ExitStack
    findings: list[str] = field(default_factory=list)
    figures: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    def expect(self, oracle: Oracle, is_good: bool, text: str) -> None:
        """Note a finding unless `is_good`."""
        if not is_good:
            self.findings.append(f"{oracle}: {text}")

    def note(self, text: str) -> None:
        """Note what happened, for the reader of the table."""
        self.notes.append(text)

    def collector(self, data_dir: Path | None = None, **settings: Any) -> Collector:
        """A collector that is not started yet, on an empty store; it ends with the case."""
        data_dir = data_dir or self.folder / "data"
        if not (data_dir / "store").exists():
            self.tree.prefill(data_dir / "store")
        collector = Collector(self.tree, data_dir, self.folder / "collector.log", settings)
        self.stack.callback(collector.kill)
        return collector

    def watch(self, collector: Collector, **settings: Any) -> Watch:
        """A running watch of this collector; it ends with the case."""
        watch = Watch(self.tree, collector, self.folder / "watch.log", settings)
        self.stack.callback(watch.kill)
        watch.spawn()
        return watch

    def program(self, name: str, *arguments: str) -> Process:
        """A program of `tests.faults.programs`, started with the code under test."""
        number = len(list(self.folder.glob(f"{name}-*.log")))
        log = self.folder / f"{name}-{number}.log"
        log.touch()
        process = Process(self.tree, log)
        self.stack.callback(process.kill)
        file = Path(__file__).parent / "programs" / f"{name}.py"
        process.launch(["-P", str(file), *arguments], cwd=self.folder)
        return process

    def senders(self, collector: Collector, count: int = 2, **options: Any) -> list[HttpSender]:
        """So many running senders; they end with the case."""
        senders = [
            HttpSender(collector.port, self.random.randrange(1 << 30), **options) for _ in range(count)
        ]
        for sender in senders:
            self.stack.callback(sender.stop)
            sender.start()
        return senders


def wait_until(check: Callable[[], bool], seconds: float, pause: float = 0.1) -> bool:
    """Whether `check` came true within so many seconds."""
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
    return True

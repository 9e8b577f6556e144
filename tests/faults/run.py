"""Chooses cases, plays them one after the other, and sums up."""

from __future__ import annotations

import contextlib
import random
import shutil
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from . import clock_cases, disk_cases, file_cases, kill_cases, sdk_cases, watch_cases
from .case import Case, Scene
from .injectors import missing
from .processes import Tree

CASES: Final[list[Case]] = [
    *disk_cases.CASES,
    *file_cases.CASES,
    *kill_cases.CASES,
    *clock_cases.CASES,
    *sdk_cases.CASES,
    *watch_cases.CASES,
]

#: Figures of the last line, in its order.
FIGURES: Final = ("acknowledged", "stored", "lost", "listed", "doubled", "unseen")


@dataclass
class Outcome:
    """What came of a case. `skipped` is why it was not played; `findings` should be empty."""

    case: Case
    seed: int
    seconds: float = 0.0
    skipped: str = ""
    findings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    figures: Counter[str] = field(default_factory=Counter)

    def lines(self) -> Iterator[str]:
        """For the reader."""
        state = "skip" if self.skipped else ("FAIL" if self.findings else "ok")
        figures = " ".join(f"{name}={self.figures[name]}" for name in FIGURES if self.figures[name])
        name = f"{self.case.kind:<11}{self.case.name:<42}"
        yield f"{state:<5}{name}{self.seconds:>6.1f}s  seed {self.seed}  {figures}"
        if self.skipped:
            yield f"       skipped: {self.skipped}"
        yield from (f"       {finding}" for finding in self.findings)


def chosen(only: Sequence[str], *, is_gate: bool = False) -> list[Case]:
    """Cases by name or kind; all where none is named. Raises ValueError for one that is not there."""
    names = {case.name for case in CASES} | {case.kind for case in CASES}
    if unknown := [name for name in only if name not in names]:
        raise ValueError(
            f"there is no case and no kind {unknown[0]!r}; there are: {', '.join(sorted(names))}"
        )
    return [
        case
        for case in CASES
        if (not only or case.name in only or case.kind in only) and (case.is_in_gate or not is_gate)
    ]


def play(case: Case, tree: Tree, folder: Path, seed: int) -> Outcome:
    """Play one case in a new folder below `folder`, which is removed."""
    outcome = Outcome(case, seed)
    outcome.skipped = next((reason for need in case.needs if (reason := missing(need))), "")
    if outcome.skipped:
        return outcome
    home = folder / "".join(letter if letter.isalnum() else "-" for letter in case.name)
    home.mkdir()
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        # What is mounted or running there ends before the folder is removed.
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        scene = Scene(home, tree, random.Random(seed), stack)
        try:
            case.play(scene)
        except Exception as error:
            # The harness plays on: a case that broke is a finding, with where it broke.
            where = traceback.format_exc().strip().splitlines()[-3].strip()
            scene.findings.append(
                f"recovered: the case broke off: {type(error).__name__}: {error} ({where})"[:600]
            )
        outcome.findings, outcome.notes, outcome.figures = scene.findings, scene.notes, scene.figures
    outcome.seconds = time.monotonic() - began
    return outcome


def rounds(cases: Sequence[Case], seed: int, minutes: float | None) -> Iterator[tuple[Case, int]]:
    """Each case once with a seed of its own; with `minutes`, again and again until they are over."""
    choose = random.Random(seed)
    began = time.monotonic()
    while True:
        order = list(cases) if minutes is None else choose.sample(list(cases), len(cases))
        for case in order:
            if minutes is not None and time.monotonic() - began > minutes * 60 - case.seconds:
                continue
            yield case, choose.randrange(1 << 30)
        left = minutes is not None and time.monotonic() - began < minutes * 60 - min(c.seconds for c in cases)
        if not left:
            return


def summary(outcomes: Sequence[Outcome], seed: int) -> dict[str, Any]:
    """The last line."""
    played = [outcome for outcome in outcomes if not outcome.skipped]
    figures: Counter[str] = sum((outcome.figures for outcome in played), Counter())
    return {
        "seed": seed,
        "injected": dict(sorted(Counter(outcome.case.kind for outcome in played).items())),
        "skipped": sorted({outcome.case.name for outcome in outcomes if outcome.skipped}),
        **{name: figures[name] for name in FIGURES},
        "failed": sorted({outcome.case.name for outcome in played if outcome.findings}),
        "findings": [f"{o.case.name} (seed {o.seed}): {finding}" for o in played for finding in o.findings],
    }

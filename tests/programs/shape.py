"""What a program shape is, and what is found out about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from .running import RunningProgram

ROOT: Final = Path(__file__).parents[2]
PROGRAMS: Final = Path(__file__).parent / "programs"

Collector = Literal["up", "slow", "down"]
COLLECTORS: Final[tuple[Collector, ...]] = ("up", "slow", "down")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramShape:
    """One kind of program that people run."""

    family: str
    name: str
    command: tuple[str, ...]
    """Arguments of the interpreter; `{port}` and `{folder}` stand for the run's own."""
    drive: Callable[[RunningProgram], None] | None = None
    """Plays the program's users and ends it; None: it ends by itself."""
    returncode: int = 0
    environment: str = ""
    """That of `.venvs` which it needs; empty: this interpreter's."""
    is_cut: bool = False
    """Whether it ends without a chance to send: what it lost has to be counted."""
    in_docs: bool = False
    """Whether it is a row of the table in the documentation."""
    in_gate: bool = False
    """Whether it runs with the tests."""


@dataclass(slots=True)
class Figures:
    """What became of the calls of one run."""

    calls: int = 0
    """Those that returned to the program."""
    sent: int = 0
    """Of them, those that the collector had when the program was over."""
    spooled: int = 0
    """Those that came from disk afterwards."""
    lost: int = 0
    counted: int = 0
    """Spans that are missing by the SDK's own counters: dropped, or pending in a process that was killed."""
    wrong_user: int = 0
    no_user: int = 0
    leaked: int = 0
    """Calls outside of any context that have a user or a parent."""
    orphaned: int = 0
    """Calls that are not below their span, or not in its trace."""
    doubled: int = 0
    killed: int = 0
    """Processes that ended without goodbye, as told by another."""
    failures: tuple[str, ...] = ()
    """What else went wrong: the exit status, a message of the SDK."""

    @property
    def uncounted(self) -> int:
        """Lost calls that are in no ledger."""
        return max(self.lost - self.counted, 0)

    def faults(self, shape: ProgramShape) -> list[str]:
        """What must not be."""
        # The span above a call may be among those that a kill cost, and that are counted.
        lost_parents = max(self.counted - self.lost, 0) if shape.is_cut else 0
        figures = {
            "lost": 0 if shape.is_cut else self.lost,
            "uncounted": self.uncounted,
            "wrong user": self.wrong_user,
            "no user": self.no_user,
            "leaked": self.leaked,
            "orphaned": max(self.orphaned - lost_parents, 0),
            "doubled": self.doubled,
            "without calls": int(not self.calls),
        }
        return [f"{name} {count}" for name, count in figures.items() if count] + list(self.failures)

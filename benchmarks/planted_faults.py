"""Faults that are planted in simulated traffic: what goes wrong, for how long, and what counts as noticing
it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class FaultKind(NamedTuple):
    """What goes wrong for how many minutes, and the rows and measures an incident of it may be about."""

    minutes: int
    rows: tuple[int, ...]
    measures: tuple[str, ...]
    effect: str
    size: float


#: Every kind of fault, by name. Tokens that grow make calls dearer, so that cost counts as found there.
FAULTS: dict[str, FaultKind] = {
    "errors 30%, 5 min": FaultKind(5, (0,), ("errors",), "failing", 0.30),
    "errors 5%, 1 h": FaultKind(60, (0,), ("errors",), "failing", 0.05),
    "latency x6, 5 min": FaultKind(5, (0,), ("latency",), "latency", 6.0),
    "latency x2, 1 h": FaultKind(60, (0,), ("latency",), "latency", 2.0),
    "latency x1.3, 2 h": FaultKind(120, (0,), ("latency",), "latency", 1.3),
    "latency drift to x3 in 6 h": FaultKind(360, (0,), ("latency",), "drift", 3.0),
    "silence, 10 min": FaultKind(10, (0,), ("calls",), "traffic", 0.0),
    "traffic x0.3, 1 h": FaultKind(60, (0,), ("calls",), "traffic", 0.3),
    "traffic x3, 1 h": FaultKind(60, (0,), ("calls",), "traffic", 3.0),
    "runaway slow, 1 h": FaultKind(60, (0,), ("tokens", "cost"), "runaway", 6.0),
    "runaway fast, 1 h": FaultKind(60, (0,), ("tokens", "cost", "calls"), "runaway", 30.0),
    "input tokens x1.5, 2 h": FaultKind(120, (0,), ("tokens", "cost"), "input", 1.5),
    "input tokens x3, 1 h": FaultKind(60, (0,), ("tokens", "cost"), "input", 3.0),
    "model switch, 3 h": FaultKind(180, (0, 1, 2, 3), ("calls",), "switch", 0.0),
    "tool fails every 4th time, 1 h": FaultKind(60, (4,), ("errors",), "tool", 0.25),
    "retrieval 3 s slower, 6 h": FaultKind(360, (5,), ("latency",), "retrieval", 3.0),
}


class Fault(NamedTuple):
    """A planted fault: minutes since `START`."""

    name: str
    start: int
    end: int


def plan(rng: np.random.Generator, names: Sequence[str], first_minute: int, slot: int = 720) -> list[Fault]:
    """The faults at random times, in random order, in a slot of 12 hours each."""
    faults = []
    for index, name in enumerate(rng.permutation(list(names))):
        minutes = FAULTS[name].minutes
        start = first_minute + index * slot + int(rng.integers(0, slot - minutes - 120))
        faults.append(Fault(str(name), start, start + minutes))
    return faults

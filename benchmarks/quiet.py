"""CPU of a process until what a load set going is done: merges, and passes of the collector's tasks.

The collector has periodic tasks (the longest period is ten seconds) and a load's last work is theirs, so a
process counts as quiet when for ten seconds no merge ran and its CPU stayed small. Whatever it used in these
seconds beyond what it uses idle, which is measured over the next ten, still counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

_TICK = 0.25


@dataclass(frozen=True)
class Patience:
    """How long to watch (seconds): `window` for quiet and then for idle, `limit` altogether.

    `share` is the CPU, of one core, above which a process is not quiet.
    """

    window: float = 10.0
    limit: float = 1800.0
    share: float = 0.2


@dataclass(frozen=True)
class Quiet:
    """By each meter: CPU when the process was quiet (seconds), and what is used idle (share of a core)."""

    cpu: tuple[float, ...]
    idle: tuple[float, ...]


def cpu_seconds(process: psutil.Process) -> float:
    """User and system time of a process so far."""
    times = process.cpu_times()
    return times.user + times.system


def merges(store: Path) -> int:
    """How many merges and mutations are being written in an embedded store's directory."""
    return sum(1 for _ in store.glob("store/*/*/tmp_m[eu]*"))


def until_quiet(
    meters: Sequence[Callable[[], float]],
    store: Path,
    patience: Patience,
    caught_up: Callable[[], bool] = lambda: True,
) -> Quiet:
    """Wait until the process is quiet and `caught_up` holds; that is asked once a window, as it costs CPU
    itself.

    The first of `meters` is the process's CPU so far, others may be of parts of it. Raises TimeoutError, with
    the CPU that is still used.
    """
    deadline = time.monotonic() + patience.limit
    while True:
        while (running := merges(store)) and time.monotonic() < deadline:
            time.sleep(_TICK)
        began, used = time.monotonic(), _read(meters)
        while not running and time.monotonic() - began < patience.window:
            time.sleep(min(_TICK, patience.window))
            running = merges(store)
        seconds, now = max(time.monotonic() - began, _TICK), _read(meters)
        share = (now[0] - used[0]) / seconds
        if not running and share <= patience.share and caught_up():
            break
        if time.monotonic() > deadline:
            raise TimeoutError(
                f"the process was not quiet after {patience.limit:.0f} s: it uses {share:.2f} of a core, "
                f"{running} merges run"
            )
    idle_began, idle_used = time.monotonic(), _read(meters)
    time.sleep(patience.window)
    idle_seconds = time.monotonic() - idle_began
    idle = [(end - begin) / idle_seconds for begin, end in zip(idle_used, _read(meters), strict=True)]
    beyond = (
        max(0.0, end - begin - share * seconds) for begin, end, share in zip(used, now, idle, strict=True)
    )
    return Quiet(tuple(begin + more for begin, more in zip(used, beyond, strict=True)), tuple(idle))


def _read(meters: Sequence[Callable[[], float]]) -> list[float]:
    return [meter() for meter in meters]

"""CPU of a process until what a load set going is done: merges, and passes of the collector's tasks.

The collector has periodic tasks (the longest period is ten seconds) and a load's last work is theirs, so a
process counts as quiet when for ten seconds no merge ran and its CPU stayed small. Whatever it used in these
seconds beyond what it uses idle, which is measured over the next thirty, still counts.
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
    """How long to watch (seconds): `window` for quiet, `idle` for what is used idle, `limit` altogether.

    `share` is the CPU, of one core, above which a process is not quiet; `more` how much more than when it was
    quiet may be idle: beyond that, something began again.
    """

    window: float = 10.0
    idle: float = 30.0
    limit: float = 1800.0
    share: float = 0.2
    more: float = 0.03


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
        while merges(store) and time.monotonic() < deadline:
            time.sleep(_TICK)
        quiet = _watch(meters, store, patience.window)
        if not quiet.merges and quiet.share(0) <= patience.share and caught_up():
            idle = _watch(meters, store, patience.idle)
            if not idle.merges and idle.share(0) <= quiet.share(0) + patience.more:
                break
        if time.monotonic() > deadline:
            raise TimeoutError(
                f"the process was not quiet after {patience.limit:.0f} s: it uses {quiet.share(0):.2f} of a "
                f"core, {quiet.merges} merges run"
            )
    shares = [idle.share(number) for number in range(len(meters))]
    beyond = [max(0.0, quiet.used(number) - share * quiet.seconds) for number, share in enumerate(shares)]
    return Quiet(tuple(begin + more for begin, more in zip(quiet.begin, beyond, strict=True)), tuple(shares))


@dataclass(frozen=True)
class _Watched:
    """What meters showed at the begin and the end of some seconds, and the merges that ended them early."""

    seconds: float
    begin: Sequence[float]
    end: Sequence[float]
    merges: int

    def used(self, meter: int) -> float:
        return self.end[meter] - self.begin[meter]

    def share(self, meter: int) -> float:
        return self.used(meter) / self.seconds


def _watch(meters: Sequence[Callable[[], float]], store: Path, seconds: float) -> _Watched:
    """Watch a process for so long, or until a merge begins."""
    began, begin = time.monotonic(), [meter() for meter in meters]
    running = 0
    while not running and time.monotonic() - began < seconds:
        time.sleep(min(_TICK, seconds))
        running = merges(store)
    return _Watched(time.monotonic() - began, begin, [meter() for meter in meters], running)

"""What all floods of one run of the ingest benchmark have in common, and its progress."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .checkout import HERE, Checkout
from .collector_process import CollectorProcess
from .flood import Cost, Plan, send, send_in_turn
from .quiet import Patience
from .span_load import Load, SpanLoad

#: A checkout, and the program that is its collector.
Side = tuple[Checkout, str]

_HERE: Side = (Checkout.of(HERE), "collector.py")

#: Names of this checkout's side.
_OWN = ("", "here")

#: Its endpoint over the bare store. The bare collector's code is always this checkout's.
BARE: Side = (Checkout.of(HERE), "bare_collector.py")

#: What a store takes of a span's bytes while merges rewrite it, the log in front of it included.
_DISK_SHARE = 1.5


@dataclass(frozen=True)
class Run:
    """`fields` are settings of every collector that are not its defaults, `own_fields` those of this
    checkout's alone; data goes below `directory`.
    """

    load: SpanLoad
    fields: Mapping[str, Any]
    senders: int
    patience: Patience
    directory: Path
    own_fields: Mapping[str, Any] = field(default_factory=dict)

    def folder(self) -> Path:
        """A new folder for one flood's data."""
        return Path(tempfile.mkdtemp(dir=self.directory))

    def flood(self, *, load: Load | None = None, plan: Plan | None = None) -> Cost:
        """Send the load to a new collector of this checkout; by default as fast as it can, until quiet."""
        with self._collectors({"": _HERE}) as collectors:
            return send(collectors[""], load or self.load, plan or self._plan)

    def floods(self, sides: Mapping[str, Side]) -> dict[str, Cost]:
        """Send the load to new collectors in turn, by name, until all are quiet."""
        with self._collectors(sides) as collectors:
            return send_in_turn(collectors, self.load, self._plan)

    @property
    def _plan(self) -> Plan:
        return Plan(self.senders, patience=self.patience)

    @contextmanager
    def _collectors(self, sides: Mapping[str, Side]) -> Iterator[dict[str, CollectorProcess]]:
        """Running collectors, whose data is removed at the end."""
        with ExitStack() as stack:
            collectors = {}
            for name, (checkout, program) in sides.items():
                folder = self.folder()
                stack.callback(shutil.rmtree, folder, ignore_errors=True)
                fields = {**self.fields, **(self.own_fields if name in _OWN else {})}
                collector = CollectorProcess(checkout, folder, fields, program)
                collectors[name] = stack.enter_context(collector)
            yield collectors


def demand_space(directory: Path, spans: int, span_bytes: int) -> None:
    """Raise ValueError, saying what to do, where a flood's data would not fit."""
    needed = int(spans * span_bytes * _DISK_SHARE) + (1 << 30)
    free = shutil.disk_usage(directory).free
    if free < needed:
        raise ValueError(
            f"{directory} has {free >> 20:,} MB free, and {spans:,} spans of {span_bytes} bytes need "
            f"{needed >> 20:,}: choose another place by --directory, or fewer spans by --spans"
        )


def say(text: str) -> None:
    """Progress, for people."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def per_second(spans: int, seconds: float) -> int:
    """Spans per second of CPU."""
    return round(spans / seconds)

"""What all floods of one run of the ingest benchmark have in common, and its progress."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .checkout import HERE, Checkout
from .flood import Cost, Plan, flood
from .quiet import Patience
from .span_load import Load, SpanLoad

#: What a store takes of a span's bytes while merges rewrite it, the log in front of it included.
_DISK_SHARE = 1.5


@dataclass(frozen=True)
class Run:
    """`fields` are settings of the collector that are not its defaults; data goes below `directory`."""

    load: SpanLoad
    fields: Mapping[str, Any]
    senders: int
    patience: Patience
    directory: Path

    def folder(self) -> Path:
        """A new folder for one flood's data."""
        return Path(tempfile.mkdtemp(dir=self.directory))

    def flood(
        self,
        checkout: Checkout,
        program: str = "collector.py",
        *,
        load: Load | None = None,
        plan: Plan | None = None,
    ) -> Cost:
        """Send the load to a new collector of the checkout, whose data is removed afterwards; by default as
        fast as it is taken, until the process is quiet.
        """
        folder = self.folder()
        try:
            plan = plan or Plan(self.senders, patience=self.patience)
            return flood(checkout, folder, self.fields, load or self.load, plan, program)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def bare(self) -> Cost:
        """The same through the bare collector, whose code is always this checkout's."""
        return self.flood(Checkout.of(HERE), "bare_collector.py")


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

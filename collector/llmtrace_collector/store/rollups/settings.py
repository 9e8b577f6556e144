"""How the rollups are made."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RollupSettings:
    """When a trace is whole, and how many steps are told apart."""

    trace_quiet_seconds: float = 10.0
    """A trace with a root is whole when no span of it was stored for so long."""
    trace_rootless_seconds: float = 300.0
    """The same for one whose root did not come."""
    step_names: int = 1000
    """Steps of one service that are told apart in ten seconds; the rest are one, `(other)`."""
    fill_seconds: float = 2.0
    """How long one pass makes what was there before the rollups."""


#: As a collector has them that was told nothing else.
DEFAULTS = RollupSettings()

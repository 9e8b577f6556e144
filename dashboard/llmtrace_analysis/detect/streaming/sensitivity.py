"""What `sensitivity` means: so many false incidents a week, whatever the number of series."""

from __future__ import annotations

import math
from dataclasses import dataclass

MINUTES_A_WEEK = 7 * 1440

#: Questions that are asked of a series each minute: four measures in two directions, failures, silence.
_TESTS = 10


@dataclass(frozen=True)
class Sensitivity:
    """How sure the detectors must be.

    Each is scored in nats: what normal traffic reaches about once in exp(nats) minutes. So the threshold is
    the logarithm of how many minutes and questions there are for one false incident.
    """

    false_incidents_a_week: float = 2.0
    series: int = 1
    """How many series share that number."""

    @property
    def threshold(self) -> float:
        """Nats from which on an incident opens."""
        return math.log(MINUTES_A_WEEK * _TESTS * self.series / self.false_incidents_a_week)

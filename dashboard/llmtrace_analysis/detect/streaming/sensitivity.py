"""What `sensitivity` means: so many false incidents a week, whatever the number of series."""

from __future__ import annotations

import math
from dataclasses import dataclass

MINUTES_A_WEEK = 7 * 1440

#: Answers about a series that are independent of each other, per minute. All measures, directions and rules
#: ask each minute, but neighbouring minutes and measures say much the same, and what is believed of a series
#: is cautious: in simulated weeks so many gave the number of false incidents that was asked for.
_ANSWERS_A_MINUTE = 0.27


@dataclass(frozen=True)
class Sensitivity:
    """How sure the detectors must be.

    Each is scored in nats: what normal traffic reaches about once in exp(nats) minutes. So the threshold is
    the logarithm of how many minutes and questions there are for one false incident.
    """

    false_incidents_a_week: float = 1.0
    series: int = 1
    """How many series share that number."""

    @property
    def threshold(self) -> float:
        """Nats from which on an incident opens."""
        return math.log(MINUTES_A_WEEK * _ANSWERS_A_MINUTE * self.series / self.false_incidents_a_week)


def evidence_of(false_incidents_a_week: float, margin: float = 0.0) -> float:
    """How many times the nats that one false incident a week of one series takes.

    By this the ten-second rules follow, which are not scored in nats. `margin`: nats on top of the threshold.
    """
    return (Sensitivity(false_incidents_a_week).threshold + margin) / Sensitivity().threshold

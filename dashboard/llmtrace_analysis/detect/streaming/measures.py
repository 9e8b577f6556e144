"""What is judged of every series, and the constants of each measure with their reasons, in one table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from .minute_buckets import Level

Measure = Literal["calls"] | Level


@dataclass(frozen=True)
class MeasureConstants:
    """All in natural logarithms, as measures vary by factors."""

    shifts: tuple[float, float]
    """Sizes of level shift that are watched for: the least that somebody would want to hear of, and a large
    one, which is recognised sooner."""
    spike: float
    """Less than this is no spike, however steady a series is."""
    minute_sigma: float
    """How much single minutes vary beyond sampling, until a series has shown it; half of it is the floor."""
    call_variance: float
    """Variance among single calls, until a series has shown it."""
    lasting_minutes: float
    """How long deviations last, until a series has shown it."""

    @property
    def long_run(self) -> float:
        """What a minute adds to the variance of a sum of deviations, until a series has shown it."""
        return self.minute_sigma**2 * 2 * self.lasting_minutes


MEASURES: Mapping[Measure, MeasureConstants] = MappingProxyType(
    {
        # Traffic comes in bursts of minutes. Less than a factor of 1.6 for a while is everyday.
        "calls": MeasureConstants((0.5, 1.0), 1.4, 0.25, 1.0, 6.0),
        # A provider's own ups and downs are about a tenth and last hours.
        "latency": MeasureConstants((0.35, 0.8), 0.7, 0.10, 0.3, 15.0),
        "ttft": MeasureConstants((0.35, 0.8), 0.7, 0.10, 0.3, 15.0),
        "tpot": MeasureConstants((0.35, 0.8), 0.7, 0.10, 0.3, 15.0),
        # Prompts change when somebody changes them: what varies is mostly sampling.
        "tokens": MeasureConstants((0.3, 0.8), 0.9, 0.08, 1.0, 8.0),
        "input_tokens": MeasureConstants((0.3, 0.8), 0.9, 0.08, 1.0, 8.0),
        "output_tokens": MeasureConstants((0.3, 0.8), 0.9, 0.08, 1.0, 8.0),
        "cached_tokens": MeasureConstants((0.5, 1.0), 1.4, 0.15, 1.0, 8.0),
        "reasoning_tokens": MeasureConstants((0.5, 1.0), 1.4, 0.15, 1.0, 8.0),
        "score": MeasureConstants((0.3, 0.8), 0.9, 0.08, 1.0, 8.0),
        "cost": MeasureConstants((0.3, 0.8), 0.9, 0.08, 1.0, 8.0),
    }
)

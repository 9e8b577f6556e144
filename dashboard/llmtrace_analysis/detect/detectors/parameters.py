"""How sure the detectors of anomalies must be."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class AnomalyParameters:
    """How sure the bands must be; each field is the setting of that name under [watch]."""

    bucket_seconds: int
    lookback_minutes: int
    late_seconds: float
    late_buckets: int
    min_calls: int
    min_history_buckets: int
    min_live_buckets: int
    window_buckets: int
    window_outside: int
    tail_buckets: int
    tail_outside: int
    band_width: float
    latency_ratio: float
    latency_floor_seconds: float
    error_floor: float
    error_ratio: float
    error_z: float
    error_chance: float
    min_errors: int
    tokens_ratio: float
    tokens_floor: float
    cost_ratio: float
    cost_floor_usd: float
    calm_buckets: int
    adapt_seconds: float

    @property
    def quiet_seconds(self) -> float:
        """How long nothing must have been outside before an anomaly is over."""
        return float(self.calm_buckets * self.bucket_seconds)

"""How sure the ten-second rules must be: every constant in one table, and why it is what it is."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class AnomalyParameters:
    """The constants of the ten-second rules. How far outside a value must be moves with the sensitivity and
    with labels, all of it together: see `demanding`.
    """

    lookback_minutes: int = 60
    """[watch] lookback_minutes: an hour holds 360 buckets, and of a longer one the time of day is a part."""
    bucket_seconds: int = 10
    """The store's own width. Sparse traffic, which wider buckets suit better, is watched by the minute."""
    late_seconds: float = 4.0
    """A bucket counts as complete so long after its end: senders deliver every few seconds."""
    late_buckets: int = 3
    """So many windows before the newest are evaluated again: slow calls report when they end."""
    min_calls: int = 3
    """Of fewer calls a p95 is the slowest, and one failure is a rate of a third."""
    min_history_buckets: int = 12
    """The MAD of fewer values is a matter of luck; two minutes of traffic have them."""
    min_live_buckets: int = 1
    """Simulated calls alone say nothing about the level of real ones."""
    window_buckets: int = 3
    window_outside: int = 2
    """Two of three: a single slow bucket is ordinary, and a spell of 20 seconds lies in two or three."""
    tail_buckets: int = 6
    tail_outside: int = 5
    """A slow tail alone is the slowest call of a handful, so that it must last for a minute."""
    band_width: float = 3.5
    """Robust deviations; by a normal distribution one bucket in 4,000 is beyond them."""
    latency_ratio: float = 4.5
    """A busy machine slows all calls down up to three times for seconds; with the spread of single calls that
    reaches four."""
    latency_floor_seconds: float = 0.25
    """People do not notice less."""
    error_floor: float = 0.05
    """Below five points more, an hour's failures say it better than half a minute's."""
    error_ratio: float = 2.0
    """Where a tenth fails anyway, five points are a matter of luck."""
    error_z: float = 1.64
    """z of the Wilson lower bound that must be outside: one-sided 95 %."""
    error_chance: float = 5e-5
    """Largest chance of so many failures at the usual rate: a day has 8,640 windows."""
    min_errors: int = 3
    """Two failures of a handful of calls happen every day."""
    tokens_ratio: float = 4.0
    """Prompts of one program differ by factors of two and three."""
    tokens_floor: float = 200.0
    """Fewer tokens cost next to nothing, whatever multiple of the usual they are."""
    cost_ratio: float = 5.0
    """Spend of a bucket varies with the number of calls besides their tokens."""
    cost_floor_usd: float = 0.002
    """A bucket that costs less than this more is worth nobody's time: 17 USD a day."""
    calm_buckets: int = 3
    """Quiet buckets after which it is over: as many as a window has."""
    adapt_minutes: float = 30.0
    """What lasts longer is a level, which the rules by the minute judge; half of the lookback at most, since
    the history must not run out under it."""

    @property
    def quiet_seconds(self) -> float:
        """How long nothing must have been outside before an anomaly is over."""
        return float(self.calm_buckets * self.bucket_seconds)

    @property
    def adapt_seconds(self) -> float:
        """How long an anomaly may last before its level counts as the usual one."""
        return min(self.adapt_minutes, self.lookback_minutes / 2) * 60

    def demanding(self, evidence: float) -> AnomalyParameters:
        """The same, with `evidence` times the nats for an incident (1: as they stand).

        What varies by factors is taken for exponential in its logarithm, so that nats and the width of a band
        grow alike: widths are multiplied, ratios and chances raised to that power. Floors stay.
        """
        if evidence == 1.0:
            return self
        return replace(
            self,
            band_width=self.band_width * evidence,
            latency_ratio=self.latency_ratio**evidence,
            tokens_ratio=self.tokens_ratio**evidence,
            cost_ratio=self.cost_ratio**evidence,
            error_ratio=self.error_ratio**evidence,
            error_z=self.error_z * evidence,
            error_chance=self.error_chance**evidence,
        )

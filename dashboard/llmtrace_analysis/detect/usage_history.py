"""The buckets that bands are made of, kept from one evaluation to the next."""

from __future__ import annotations

from collections.abc import Sequence

from clickhouse_connect.driver.client import Client

from . import store_queries
from .detectors.series import BucketRow, Series, to_series

#: Buckets as young as this may still gain calls and are asked for each time, seconds; the others again after
#: this long, in which a sender that was offline may have added to them.
_YOUNG, _WHOLE_AGAIN = 300, 600


class UsageHistory:
    """Every model's series of the lookback. Only the youngest buckets are read each time: an hour of many
    users costs the store seconds, and what lies in the past hardly changes.
    """

    def __init__(self, bucket_seconds: int, lookback_seconds: int, purposes: Sequence[str]) -> None:
        self._bucket = bucket_seconds
        self._lookback = lookback_seconds
        self._purposes = purposes
        self._young = max(_YOUNG, 20 * bucket_seconds)
        self._rows: list[BucketRow] = []
        self._now = 0.0
        self._whole_at = 0.0

    def series(self, client: Client, now: float) -> list[Series]:
        """The series at `now` (Unix seconds)."""
        since = self._start(now - self._lookback)
        is_whole = not 0 <= now - self._now <= self._young / 2 or not 0 <= now - self._whole_at < _WHOLE_AGAIN
        young_since = since if is_whole else max(since, self._start(now - self._young))
        young = store_queries.usage(client, young_since, self._bucket, self._purposes)
        self._rows = [row for row in self._rows if since <= row.time < young_since] + young
        self._now = now
        if is_whole:
            self._whole_at = now
        return to_series(self._rows)

    def _start(self, time: float) -> int:
        return int(time) // self._bucket * self._bucket

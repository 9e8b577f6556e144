"""Series that are kept between evaluations are those that the store has."""

from __future__ import annotations

from typing import cast

import pytest
from clickhouse_connect.driver.client import Client

from llmtrace_analysis.detect import store_queries
from llmtrace_analysis.detect.detectors.series import BucketRow
from llmtrace_analysis.detect.usage_history import UsageHistory

NOW = 1_800_000_000.0
CLIENT = cast("Client", None)


class Buckets:
    """A store of one model's calls by bucket."""

    def __init__(self) -> None:
        self.calls: dict[int, int] = {}
        self.asked: list[int] = []

    def usage(self, client: Client, since: int, bucket: int, purposes: object) -> list[BucketRow]:
        self.asked.append(since)
        return [
            BucketRow("p", "openai", "m", time, calls, calls, 0, calls, 10 * calls, None, 1.0, 1.0)
            for time, calls in sorted(self.calls.items())
            if time >= since
        ]


def test_only_the_youngest_are_asked_for_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Buckets()
    monkeypatch.setattr(store_queries, "usage", store.usage)
    history = UsageHistory(10, 3600, ("product",))
    store.calls = {int(NOW) - 10 * step: step for step in range(400)}

    def calls(now: float) -> dict[int, int]:
        (series,) = history.series(CLIENT, now)
        return dict(zip(series.times.tolist(), series.calls.tolist(), strict=True))

    assert calls(NOW) == {time: n for time, n in store.calls.items() if time >= NOW - 3600}
    for step in range(1, 100):
        now = NOW + 3 * step
        store.calls[int(now) // 10 * 10] = 1000 + step
        # A slow call reports a minute late.
        store.calls[int(now) // 10 * 10 - 60] = 2000 + step
        since = int(now - 3600) // 10 * 10
        assert calls(now) == {time: n for time, n in store.calls.items() if time >= since}
        assert store.asked[-1] == int(now - 300) // 10 * 10
    # What comes hours late is seen at the next whole reading; so is everything when the clock was set.
    store.calls[int(NOW) - 1800] = 7
    assert calls(NOW + 620)[int(NOW) - 1800] == 7
    store.calls[int(NOW) - 1700] = 8
    assert calls(NOW + 300)[int(NOW) - 1700] == 8
    assert store.asked[-1] == int(NOW) + 300 - 3600

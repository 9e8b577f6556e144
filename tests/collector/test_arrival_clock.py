"""Requests that come at once get times of their own, near the clock's."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from llmtrace_collector.ingest.arrival_clock import ArrivalClock

MILLISECOND = 1_000_000


def test_no_two_requests_share_a_millisecond() -> None:
    clock = ArrivalClock()
    with ThreadPoolExecutor(4) as threads:
        times = list(threads.map(lambda _: clock.now(), range(40)))
    assert len({at // MILLISECOND for at in times}) == len(times)
    assert max(times) <= time.time_ns() + 50 * MILLISECOND


def test_times_stay_near_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = ArrivalClock()
    now = 1_800_000_000 * 10**9
    monkeypatch.setattr(time, "time_ns", lambda: now)
    times = [clock.now() for _ in range(1000)]  # at once
    assert max(times) == now + 50 * MILLISECOND
    monkeypatch.setattr(time, "time_ns", lambda: now - 3600 * 10**9)  # set back
    assert clock.now() == now - 3600 * 10**9

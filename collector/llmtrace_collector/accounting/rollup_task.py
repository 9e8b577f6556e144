"""The passes that make hours, steps and traces from the spans, as a task of the collector."""

from __future__ import annotations

import time

from llmtrace_collector.metrics import CollectorMetrics
from llmtrace_collector.store.store import Store

#: From how many seconds on it is worth a warning that the rollups are behind.
_BEHIND_SECONDS = 300.0


class RollupTask:
    """Keeps the rollups of a store and says how far behind the spans they are. `sync` is one pass."""

    def __init__(self, store: Store, metrics: CollectorMetrics) -> None:
        self._store = store
        self._metrics = metrics
        self._came_to = time.monotonic()
        metrics.rollup_lag_seconds.set_function(self.lag)

    def sync(self) -> None:
        """One pass; left out while a segment may be stored in part."""
        began = time.monotonic()
        behind = self._store.roll_up()
        if behind is None:
            return
        self._metrics.rollup_pass_seconds.set(time.monotonic() - began)
        self._came_to = began - behind / 1000

    def lag(self) -> float:
        """Seconds since the moment up to which all spans are in the rollups."""
        return time.monotonic() - self._came_to

    def warning(self) -> str:
        """What is to be said where they are far behind; empty where they are not."""
        lag = self.lag()
        if lag < _BEHIND_SECONDS:
            return ""
        behind = f"hours, steps and traces are {lag / 60:.0f} minutes behind the spans"
        return f"{behind}: the collector's log says why"

"""Metrics of deliveries, for the health port of watch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge


class _State(Protocol):
    @property
    def waiting(self) -> int: ...

    @property
    def oldest_seconds(self) -> float: ...


class DeliveryMetrics:
    """Counters and gauges of every receiver, by its name."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._attempts = Counter(
            "llmtrace_watch_webhook_attempts",
            "Attempts to deliver a message.",
            ["receiver", "result"],
            registry=registry,
        )
        self._dropped = Counter(
            "llmtrace_watch_webhook_dropped",
            "Messages given up: by age, by count, or superseded by the incident's resolution.",
            ["receiver", "reason"],
            registry=registry,
        )
        self._waiting = Gauge(
            "llmtrace_watch_webhook_waiting", "Messages that wait.", ["receiver"], registry=registry
        )
        self._oldest = Gauge(
            "llmtrace_watch_webhook_oldest_waiting_seconds",
            "How long the oldest message has waited.",
            ["receiver"],
            registry=registry,
        )

    def watch(self, receiver: str, state: Callable[[], _State]) -> None:
        """Show a receiver from the start, as it is when asked."""
        for result in ("ok", "failed"):
            self._attempts.labels(receiver, result)
        for reason in ("age", "count", "superseded"):
            self._dropped.labels(receiver, reason)
        self._waiting.labels(receiver).set_function(lambda: state().waiting)
        self._oldest.labels(receiver).set_function(lambda: state().oldest_seconds)

    def attempted(self, receiver: str, ok: bool) -> None:
        """Count an attempt."""
        self._attempts.labels(receiver, "ok" if ok else "failed").inc()

    def dropped(self, receiver: str, reason: str) -> None:
        """Count a message that was given up."""
        self._dropped.labels(receiver, reason).inc()

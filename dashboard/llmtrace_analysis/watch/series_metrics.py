"""What the health port says of the series that are judged by the minute."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Gauge

from llmtrace_analysis.detect.watched.level_rule import LevelRule


def add_series_metrics(rule: LevelRule, registry: CollectorRegistry) -> None:
    """Register the rule's figures."""
    for name, text, value in (
        ("llmtrace_watch_series", "Series that are judged by the minute.", lambda: rule.series_count),
        (
            "llmtrace_watch_series_judged_timestamp_seconds",
            "Up to when all minutes are judged; 0 until the past is replayed.",
            lambda: rule.judged_until,
        ),
        (
            "llmtrace_watch_series_replayed_share",
            "Share of the past that is replayed, 0 to 1.",
            lambda: rule.replayed_share,
        ),
    ):
        Gauge(name, text, registry=registry).set_function(value)

"""Metrics by OTLP: the conventions' names and buckets, and the way to the real collector."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from opentelemetry.sdk.resources import Resource
from prometheus_client import CollectorRegistry, Counter, Histogram

from llmtrace_inference.engine.interface import EngineStats, Progress
from llmtrace_inference.settings import InferenceSettings
from llmtrace_inference.telemetry.gpu import GpuSampler
from llmtrace_inference.telemetry.metrics import (
    DURATION_BUCKETS,
    FIRST_TOKEN_BUCKETS,
    OUTPUT_TOKEN_BUCKETS,
    UNKNOWN_MODEL,
    Metrics,
)
from llmtrace_inference.telemetry.otlp_metrics import ATTRIBUTES, NAMES, to_otlp
from llmtrace_inference.telemetry.request_record import CacheLookup, ChoiceRecord, RequestRecord
from tests.collector.running import Launched
from tests.collector.running import settings as collector_settings
from tests.inference.fakes import FakeEngine
from tests.inference.running import serving
from tests.inference.test_gpu import _Nvml

SERVER = {
    "gen_ai.server.request.duration": DURATION_BUCKETS,
    "gen_ai.server.time_to_first_token": FIRST_TOKEN_BUCKETS,
    "gen_ai.server.time_per_output_token": OUTPUT_TOKEN_BUCKETS,
}


def _by_name(registry: CollectorRegistry) -> dict[str, Any]:
    request = to_otlp(registry.collect(), Resource({"service.name": "s"}), 1, 2)
    return {metric.name: metric for metric in request.resource_metrics[0].scope_metrics[0].metrics}


def test_everything_that_prometheus_shows_has_a_name_in_otlp() -> None:
    metrics = Metrics(lambda: {"m": EngineStats(0, 0, 3, 9, 1, True)})
    sampler = GpuSampler(_Nvml())
    sampler._gpus[0].readings.append(sampler._read(0))
    metrics.registry.register(sampler)
    metrics.batch_lines.labels("completed").inc()
    progress = Progress(first_token_ns=2_000_000, last_token_ns=602_000_000)
    record = RequestRecord(
        {},
        model="m",
        arrived_ns=1_000_000,
        cache=CacheLookup(1_000_000, 1_500_000, "miss"),
        input_tokens=5,
        choices=(ChoiceRecord(progress, 3),),
        ended_ns=16_000_000,
    )
    metrics.observe(record, is_served=True)
    hit = CacheLookup(1_000_000, 1_500_000, "exact", 1.0, 8)
    metrics.observe(replace(record, operation="text_completion", cache=hit, choices=()), is_served=True)
    families = list(metrics.registry.collect())
    assert {family.name for family in families} == set(NAMES)
    labels = {label for family in families for sample in family.samples for label in sample.labels}
    assert labels - {"le"} <= set(ATTRIBUTES)

    exported = _by_name(metrics.registry)
    assert set(exported) == {name for name, _ in NAMES.values()}
    for name, buckets in SERVER.items():
        point = exported[name].histogram.data_points[0]
        assert exported[name].unit == "s"
        assert tuple(point.explicit_bounds) == buckets
        assert (point.count, sum(point.bucket_counts)) == (1, 1)
        assert len(point.bucket_counts) == len(buckets) + 1
        attributes = {a.key: a.value.string_value for a in point.attributes}
        assert attributes == {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "llmtrace",
            "gen_ai.request.model": "m",
        }
    duration, _ = exported["gen_ai.server.request.duration"].histogram.data_points
    assert duration.sum == 0.015
    assert duration.bucket_counts[1] == 1, "above 0.01, at most 0.02"
    (first,) = exported["gen_ai.server.time_to_first_token"].histogram.data_points
    assert first.bucket_counts[0] == 1, "a value at a bound belongs below it"
    assert exported["llmtrace.inference.tokens"].sum.is_monotonic
    tokens = exported["llmtrace.inference.tokens"].sum.data_points
    assert [point.as_double for point in tokens] == [5, 3, 0], (
        "of what came from the cache nothing was computed"
    )
    assert [p.as_double for p in exported["llmtrace.inference.cache.requests"].sum.data_points] == [1, 1]
    assert exported["llmtrace.inference.cache.saved_tokens"].sum.data_points[0].as_double == 8
    assert exported["llmtrace.inference.kv.blocks_used"].gauge.data_points[0].as_double == 3
    assert exported["hw.power"].gauge.data_points[0].as_double == 250.0


def test_histogram_series_are_told_apart() -> None:
    registry = CollectorRegistry()
    name = "gen_ai_server_request_duration_seconds"
    histogram = Histogram(
        name, "x", ["gen_ai_request_model", "error_type"], buckets=(1, 2), registry=registry
    )
    for model, error, values in (("a", "", (0.5, 1.5, 1.6, 9.0)), ("a", "full", (2.0,)), ("b", "", ())):
        for value in values:
            histogram.labels(model, error).observe(value)
    Counter("not_ours", "x", registry=registry).inc()
    exported = _by_name(registry)
    assert set(exported) == {"gen_ai.server.request.duration"}
    points = exported["gen_ai.server.request.duration"].histogram.data_points
    counted = {tuple(a.value.string_value for a in p.attributes): list(p.bucket_counts) for p in points}
    assert counted == {("a",): [1, 2, 1], ("a", "full"): [0, 1, 0]}


def test_they_arrive_in_the_real_collector(tmp_path: Path) -> None:
    with Launched(collector_settings(tmp_path / "collector")) as collector:
        _arrive(collector, tmp_path)


def _arrive(collector: Launched, tmp_path: Path) -> None:
    settings = InferenceSettings(
        models={"fake": "x"},
        data_dir=tmp_path / "data",
        otlp_endpoint=collector.url,
        metrics_interval_seconds=0.1,
    )
    with serving(settings, load=lambda *_: FakeEngine(), export=True) as running:
        for _ in range(3):
            running.client.chat.completions.create(model="fake", messages=[{"role": "user", "content": "hi"}])
    collector.stored()
    rows = collector.rows(
        "SELECT MetricName AS name, any(ExplicitBounds) AS bounds FROM otel_metrics_histogram "
        "WHERE ServiceName = 'llmtrace-inference' GROUP BY name HAVING max(Count) = 3"
    )
    assert {row["name"]: tuple(row["bounds"]) for row in rows} == SERVER
    tokens = collector.rows(
        "SELECT Attributes['gen_ai.token.type'] AS kind, max(Value) AS value FROM otel_metrics_sum "
        "WHERE MetricName = 'llmtrace.inference.tokens' GROUP BY kind ORDER BY kind"
    )
    assert [(row["kind"], row["value"]) for row in tokens] == [("cached", 0), ("input", 6), ("output", 15)]
    ready = collector.value(
        "SELECT max(Value) FROM otel_metrics_gauge WHERE MetricName = 'llmtrace.inference.ready'"
    )
    assert float(ready) == 1
    assert UNKNOWN_MODEL not in str(tokens)

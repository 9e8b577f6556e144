"""The metrics by OTLP: what /metrics shows, under the conventions' names, to the collector's /v1/metrics.

Everything is counted once, in the Prometheus registry; every few seconds the delivery thread turns that into
one OTLP request. Values are cumulative, so a request that fails costs resolution and nothing else.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1 import metrics_pb2
from opentelemetry.sdk.resources import Resource
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric

from llmtrace import semconv
from llmtrace.delivery import Batch, ExportResult, fill_attributes, fill_resource, packed

from .spans import SCOPE

logger = logging.getLogger(__name__)

_CUMULATIVE = metrics_pb2.AGGREGATION_TEMPORALITY_CUMULATIVE

NAMES: Mapping[str, tuple[str, str]] = {
    "gen_ai_server_request_duration_seconds": ("gen_ai.server.request.duration", "s"),
    "gen_ai_server_time_to_first_token_seconds": (semconv.SERVER_TIME_TO_FIRST_TOKEN, "s"),
    "gen_ai_server_time_per_output_token_seconds": ("gen_ai.server.time_per_output_token", "s"),
    "llmtrace_inference_tokens": ("llmtrace.inference.tokens", "{token}"),
    "llmtrace_inference_requests_running": ("llmtrace.inference.requests.running", "{request}"),
    "llmtrace_inference_requests_waiting": ("llmtrace.inference.requests.waiting", "{request}"),
    "llmtrace_inference_tokens_waiting": ("llmtrace.inference.tokens.waiting", "{token}"),
    "llmtrace_inference_kv_blocks_used": (semconv.INFERENCE_KV_BLOCKS_USED, "{block}"),
    "llmtrace_inference_kv_blocks_total": (semconv.INFERENCE_KV_BLOCKS_TOTAL, "{block}"),
    "llmtrace_inference_circuit_open": ("llmtrace.inference.circuit_open", "1"),
    "llmtrace_inference_ready": ("llmtrace.inference.ready", "1"),
    "llmtrace_inference_engine_restarts": ("llmtrace.inference.engine.restarts", "{restart}"),
    "llmtrace_inference_cache_requests": ("llmtrace.inference.cache.requests", "{request}"),
    "llmtrace_inference_cache_saved_tokens": (semconv.INFERENCE_CACHE_SAVED_TOKENS, "{token}"),
    "llmtrace_inference_batch_lines": (semconv.INFERENCE_BATCH_LINES, "{line}"),
    "llmtrace_inference_spans_lost": ("llmtrace.inference.spans.lost", "{span}"),
    "hw_gpu_utilization": ("hw.gpu.utilization", "1"),
    "hw_gpu_memory_usage_bytes": ("hw.gpu.memory.usage", "By"),
    "hw_gpu_memory_limit_bytes": ("hw.gpu.memory.limit", "By"),
    "hw_gpu_memory_utilization": ("hw.gpu.memory.utilization", "1"),
    "hw_power_watts": ("hw.power", "W"),
    "hw_energy_joules": ("hw.energy", "J"),
    "hw_temperature_celsius": ("hw.temperature", "Cel"),
}
"""Family in the registry → name and unit in OTLP."""

ATTRIBUTES: Mapping[str, str] = {
    "gen_ai_operation_name": semconv.OPERATION_NAME,
    "gen_ai_provider_name": semconv.PROVIDER_NAME,
    "gen_ai_request_model": semconv.REQUEST_MODEL,
    "error_type": semconv.ERROR_TYPE,
    "model": semconv.REQUEST_MODEL,
    "kind": "gen_ai.token.type",
    "result": "llmtrace.inference.result",
    "hw_id": "hw.id",
    "hw_type": "hw.type",
    "hw_name": "hw.name",
    "hw_vendor": "hw.vendor",
    "hw_driver_version": "hw.driver_version",
}
"""Label in the registry → attribute in OTLP. Empty labels (no error) are left out."""


def to_otlp(
    families: Iterable[Metric], resource: Resource, start_ns: int, now_ns: int
) -> ExportMetricsServiceRequest:
    """One request with everything that has a name in NAMES. Times in Unix nanoseconds."""
    request = ExportMetricsServiceRequest()
    part = request.resource_metrics.add()
    fill_resource(part.resource, resource)
    scope = part.scope_metrics.add()
    scope.scope.name = SCOPE
    for family in families:
        if family.name not in NAMES or not family.samples:
            continue
        name, unit = NAMES[family.name]
        metric = scope.metrics.add(name=name, unit=unit, description=family.documentation)
        if family.type == "histogram":
            metric.histogram.aggregation_temporality = _CUMULATIVE
            metric.histogram.data_points.extend(_histogram_points(family, start_ns, now_ns))
        elif family.type == "counter":
            metric.sum.aggregation_temporality = _CUMULATIVE
            metric.sum.is_monotonic = True
            metric.sum.data_points.extend(_number_points(family, start_ns, now_ns))
        else:
            metric.gauge.data_points.extend(_number_points(family, 0, now_ns))
    return request


def _attributes(labels: Mapping[str, str]) -> dict[str, str]:
    return {ATTRIBUTES[label]: value for label, value in labels.items() if value}


def _number_points(family: Metric, start_ns: int, now_ns: int) -> list[metrics_pb2.NumberDataPoint]:
    points = []
    for sample in family.samples:
        if not sample.name.endswith("_created"):
            point = metrics_pb2.NumberDataPoint(
                start_time_unix_nano=start_ns, time_unix_nano=now_ns, as_double=sample.value
            )
            fill_attributes(point.attributes, _attributes(sample.labels))
            points.append(point)
    return points


def _histogram_points(family: Metric, start_ns: int, now_ns: int) -> list[metrics_pb2.HistogramDataPoint]:
    points: dict[tuple[tuple[str, str], ...], metrics_pb2.HistogramDataPoint] = {}
    before: dict[tuple[tuple[str, str], ...], float] = {}
    for sample in family.samples:
        labels = {label: value for label, value in sample.labels.items() if label != "le"}
        key = tuple(labels.items())
        point = points.get(key)
        if point is None:
            point = points[key] = metrics_pb2.HistogramDataPoint(
                start_time_unix_nano=start_ns, time_unix_nano=now_ns
            )
            fill_attributes(point.attributes, _attributes(labels))
        if sample.name.endswith("_bucket"):
            # Prometheus counts what is at or below a bound; OTLP what is between two.
            point.bucket_counts.append(int(sample.value - before.get(key, 0)))
            before[key] = sample.value
            if sample.labels["le"] != "+Inf":
                point.explicit_bounds.append(float(sample.labels["le"]))
        elif sample.name.endswith("_count"):
            point.count = int(sample.value)
        elif sample.name.endswith("_sum"):
            point.sum = sample.value
    return list(points.values())


class MetricsReport:
    """A registry's metrics as what the delivery thread sends again and again."""

    def __init__(self, registry: CollectorRegistry, resource: Resource) -> None:
        self._registry = registry
        self._resource = resource
        self._started_ns = time.time_ns()
        self._is_refused = False

    def pack(self) -> Batch:
        """The metrics of now."""
        request = to_otlp(self._registry.collect(), self._resource, self._started_ns, time.time_ns())
        metrics = request.resource_metrics[0].scope_metrics[0].metrics
        return packed("metrics", len(metrics), request.SerializeToString())

    def note_result(self, result: ExportResult) -> None:
        """Log when delivery begins to fail, and when it works again."""
        is_refused = result.kind != "acknowledged"
        if is_refused and not self._is_refused:
            logger.warning("metrics are not delivered: %s", result.detail)
        elif self._is_refused and not is_refused:
            logger.info("metrics are being delivered again")
        self._is_refused = is_refused

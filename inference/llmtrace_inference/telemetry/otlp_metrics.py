"""The metrics by OTLP: what /metrics shows, under the conventions' names, to the collector's /v1/metrics.

Everything is counted once, in the Prometheus registry; every few seconds a thread turns that into one OTLP
request. Values are cumulative, so a request that fails costs resolution and nothing else.
"""

from __future__ import annotations

import gzip
import logging
import threading
import time
from collections.abc import Iterable, Mapping

import requests
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1 import metrics_pb2
from opentelemetry.sdk.resources import Resource
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric

from llmtrace_inference.settings import InferenceSettings

from .export import authorization, service_resource

logger = logging.getLogger(__name__)

_ATTEMPT_SECONDS = 5.0
_CUMULATIVE = metrics_pb2.AGGREGATION_TEMPORALITY_CUMULATIVE

NAMES: Mapping[str, tuple[str, str]] = {
    "gen_ai_server_request_duration_seconds": ("gen_ai.server.request.duration", "s"),
    "gen_ai_server_time_to_first_token_seconds": ("gen_ai.server.time_to_first_token", "s"),
    "gen_ai_server_time_per_output_token_seconds": ("gen_ai.server.time_per_output_token", "s"),
    "llmtrace_inference_tokens": ("llmtrace.inference.tokens", "{token}"),
    "llmtrace_inference_requests_running": ("llmtrace.inference.requests.running", "{request}"),
    "llmtrace_inference_requests_waiting": ("llmtrace.inference.requests.waiting", "{request}"),
    "llmtrace_inference_tokens_waiting": ("llmtrace.inference.tokens.waiting", "{token}"),
    "llmtrace_inference_kv_blocks_used": ("llmtrace.inference.kv.blocks_used", "{block}"),
    "llmtrace_inference_kv_blocks_total": ("llmtrace.inference.kv.blocks_total", "{block}"),
    "llmtrace_inference_circuit_open": ("llmtrace.inference.circuit_open", "1"),
    "llmtrace_inference_ready": ("llmtrace.inference.ready", "1"),
    "llmtrace_inference_engine_restarts": ("llmtrace.inference.engine.restarts", "{restart}"),
    "llmtrace_inference_cache_requests": ("llmtrace.inference.cache.requests", "{request}"),
    "llmtrace_inference_cache_saved_tokens": ("llmtrace.inference.cache.saved_tokens", "{token}"),
    "llmtrace_inference_batch_lines": ("llmtrace.inference.batch.lines", "{line}"),
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
    "gen_ai_operation_name": "gen_ai.operation.name",
    "gen_ai_provider_name": "gen_ai.provider.name",
    "gen_ai_request_model": "gen_ai.request.model",
    "error_type": "error.type",
    "model": "gen_ai.request.model",
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
    part.resource.attributes.extend(_attributes(resource.attributes))
    scope = part.scope_metrics.add()
    scope.scope.name = "llmtrace_inference"
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


def _attributes(values: Mapping[str, object]) -> list[KeyValue]:
    return [
        KeyValue(key=key, value=AnyValue(string_value=str(value))) for key, value in values.items() if value
    ]


def _labels(labels: Mapping[str, str]) -> list[KeyValue]:
    return _attributes({ATTRIBUTES[label]: value for label, value in labels.items()})


def _number_points(family: Metric, start_ns: int, now_ns: int) -> list[metrics_pb2.NumberDataPoint]:
    return [
        metrics_pb2.NumberDataPoint(
            attributes=_labels(sample.labels),
            start_time_unix_nano=start_ns,
            time_unix_nano=now_ns,
            as_double=sample.value,
        )
        for sample in family.samples
        if not sample.name.endswith("_created")
    ]


def _histogram_points(family: Metric, start_ns: int, now_ns: int) -> list[metrics_pb2.HistogramDataPoint]:
    points: dict[tuple[tuple[str, str], ...], metrics_pb2.HistogramDataPoint] = {}
    before: dict[tuple[tuple[str, str], ...], float] = {}
    for sample in family.samples:
        labels = {label: value for label, value in sample.labels.items() if label != "le"}
        key = tuple(labels.items())
        point = points.get(key)
        if point is None:
            point = points[key] = metrics_pb2.HistogramDataPoint(
                attributes=_labels(labels), start_time_unix_nano=start_ns, time_unix_nano=now_ns
            )
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


class MetricsPipeline:
    """Sends a registry's metrics every `metrics_interval_seconds` from a thread of its own."""

    def __init__(self, settings: InferenceSettings, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._resource = service_resource(settings)
        self._url = settings.otlp_endpoint.rstrip("/") + "/v1/metrics"
        self._session = requests.Session()
        self._session.trust_env = False  # the collector is addressed directly, never through a proxy
        self._session.headers.update(
            {"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip", **authorization(settings)}
        )
        self._interval = settings.metrics_interval_seconds
        self._started_ns = time.time_ns()
        self._closing = threading.Event()
        self._refused = False
        self._thread = threading.Thread(target=self._run, name="metrics-export", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self, timeout_seconds: float) -> None:
        """Send once more, for at most about `timeout_seconds`. Blocks."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)
        if not self._thread.is_alive():
            self._send(timeout_seconds)
        self._session.close()

    def _run(self) -> None:
        while not self._closing.wait(self._interval):
            self._send(_ATTEMPT_SECONDS)

    def _send(self, timeout_seconds: float) -> None:
        request = to_otlp(self._registry.collect(), self._resource, self._started_ns, time.time_ns())
        try:
            answer = self._session.post(
                self._url, data=gzip.compress(request.SerializeToString()), timeout=timeout_seconds
            )
            reason = "" if answer.ok else f"answered {answer.status_code}"
        except requests.RequestException:
            reason = "cannot be reached"
        if reason and not self._refused:
            logger.warning("metrics are not delivered: the collector at %s %s", self._url, reason)
        elif self._refused and not reason:
            logger.info("metrics are being delivered again")
        self._refused = bool(reason)

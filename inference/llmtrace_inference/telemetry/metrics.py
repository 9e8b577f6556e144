"""Prometheus metrics: the GenAI conventions' server metrics under their names, and the engines' load."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from llmtrace.semconv import PROVIDER_LLMTRACE
from llmtrace_inference.engine.interface import EngineStats

from .request_record import RequestRecord

DURATION_BUCKETS = (
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
)  # fmt: skip
FIRST_TOKEN_BUCKETS = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
)  # fmt: skip
OUTPUT_TOKEN_BUCKETS = (
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5,
)  # fmt: skip

_COMMON = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model")
UNKNOWN_MODEL = "_OTHER"
"""Label of requests for models that are not served, so that callers cannot make label values."""


class Metrics:
    """The service's metrics in a registry of their own.

    `stats` gives each served model's load at scrape time; None while the model is not loaded.
    """

    def __init__(self, stats: Callable[[], Mapping[str, EngineStats | None]]) -> None:
        self.registry = CollectorRegistry()
        self._duration = Histogram(
            "gen_ai_server_request_duration_seconds",
            "Time from the request's arrival to its last byte.",
            (*_COMMON, "error_type"),
            buckets=DURATION_BUCKETS,
            registry=self.registry,
        )
        self._first_token = Histogram(
            "gen_ai_server_time_to_first_token_seconds",
            "Time from the request's arrival to its first token.",
            _COMMON,
            buckets=FIRST_TOKEN_BUCKETS,
            registry=self.registry,
        )
        self._output_token = Histogram(
            "gen_ai_server_time_per_output_token_seconds",
            "Mean time per token after the first one.",
            _COMMON,
            buckets=OUTPUT_TOKEN_BUCKETS,
            registry=self.registry,
        )
        self._tokens = Counter(
            "llmtrace_inference_tokens",
            "Tokens of finished requests; cached ones are part of the input.",
            ("model", "kind"),
            registry=self.registry,
        )
        self._cache_requests = Counter(
            "llmtrace_inference_cache_requests",
            "Requests looked up in the response cache: exact or semantic hits, and misses.",
            ("model", "result"),
            registry=self.registry,
        )
        self._cache_saved_tokens = Counter(
            "llmtrace_inference_cache_saved_tokens",
            "Tokens of answers that came from the response cache.",
            ("model",),
            registry=self.registry,
        )
        self.batch_lines = Counter(
            "llmtrace_inference_batch_lines",
            "Lines of batches that were answered, with or without an error.",
            ("result",),
            registry=self.registry,
        )
        self.spans_lost = Counter(
            "llmtrace_inference_spans_lost",
            "Spans given up because the collector could not be reached or refused them.",
            registry=self.registry,
        )
        self.registry.register(_EngineCollector(stats))

    def observe(self, record: RequestRecord, *, is_served: bool) -> None:
        """Count one finished request; `is_served`: its model is one of those that are served here."""
        model = record.model if is_served else UNKNOWN_MODEL
        common = (record.operation, PROVIDER_LLMTRACE, model)
        seconds = (record.ended_ns - record.arrived_ns) / 1e9
        self._duration.labels(*common, record.error_type or "").observe(seconds)
        if record.first_token_seconds is not None:
            self._first_token.labels(*common).observe(record.first_token_seconds)
        if record.output_token_seconds is not None:
            self._output_token.labels(*common).observe(record.output_token_seconds)
        if record.cache is not None and record.cache.result is not None:
            self._cache_requests.labels(record.model, record.cache.result).inc()
        if record.cache is not None and record.cache.is_hit:
            self._cache_saved_tokens.labels(record.model).inc(record.cache.saved_tokens)
        if is_served:
            # Refused before the engine had it, or answered from the cache: nothing was computed.
            computed = bool(record.choices or record.further_phases) and not record.is_cached
            self._tokens.labels(model, "input").inc(record.input_tokens or 0 if computed else 0)
            self._tokens.labels(model, "output").inc(record.output_tokens if computed else 0)
            self._tokens.labels(model, "cached").inc(record.cached_tokens)


class _EngineCollector(Collector):
    def __init__(self, stats: Callable[[], Mapping[str, EngineStats | None]]) -> None:
        self._stats = stats

    def collect(self) -> Iterable[Metric]:
        gauges = {
            name: GaugeMetricFamily(f"llmtrace_inference_{name}", text, labels=["model"])
            for name, text in (
                ("requests_running", "Requests that are generating."),
                ("requests_waiting", "Requests that wait for a place."),
                ("tokens_waiting", "Tokens that the waiting requests may come to."),
                ("circuit_open", "1 while the engine is left alone after faults, or being probed."),
                ("kv_blocks_used", "KV cache blocks in use, shareable prefixes included."),
                ("kv_blocks_total", "KV cache blocks there are."),
                ("ready", "1 when the model takes requests."),
            )
        }
        restarts = CounterMetricFamily(
            "llmtrace_inference_engine_restarts", "Times a dead engine was rebuilt.", labels=["model"]
        )
        for model, stats in self._stats().items():
            gauges["ready"].add_metric([model], float(stats is not None and stats.healthy))
            if stats is None:
                continue
            gauges["requests_running"].add_metric([model], stats.running)
            gauges["requests_waiting"].add_metric([model], stats.waiting)
            gauges["tokens_waiting"].add_metric([model], stats.waiting_tokens)
            gauges["circuit_open"].add_metric([model], float(stats.circuit != "closed"))
            gauges["kv_blocks_used"].add_metric([model], stats.kv_blocks_used)
            gauges["kv_blocks_total"].add_metric([model], stats.kv_blocks_total)
            restarts.add_metric([model], stats.restarts)
        yield from gauges.values()
        yield restarts

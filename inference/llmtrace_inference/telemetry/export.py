"""Getting spans and metrics to the collector, by the SDK's delivery: nothing of it is in a request's way."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from llmtrace import semconv
from llmtrace.common.sealed_files import load_keys
from llmtrace.delivery import (
    DeliverySettings,
    DeliveryWorker,
    OtlpHttpExporter,
    PeriodicReport,
    Spool,
    TlsFiles,
)
from llmtrace_inference.protocol.requests import ChatRequest
from llmtrace_inference.settings import InferenceSettings

from .metrics import Metrics
from .otlp_metrics import MetricsReport
from .request_record import RequestRecord
from .spans import SCOPE, request_spans

logger = logging.getLogger(__name__)

SERVICE = "llmtrace-inference"
_RECORD_BYTES = 4096
"""About what a record weighs without its texts."""


class SpanPipeline(Protocol):
    """Where finished requests go, and the rare spans that are not a request's."""

    @property
    def provider(self) -> TracerProvider:
        """Makes spans that are delivered when they end."""

    def start(self) -> None:
        """Begin to deliver."""

    def put(self, record: RequestRecord) -> None:
        """Take a finished request, on its own path."""

    def flush(self, timeout_seconds: float) -> bool:
        """Send what is queued now, and wait for it. False where it is not all acknowledged. Blocks."""

    def close(self, timeout_seconds: float) -> None:
        """Send what is queued, for at most about `timeout_seconds`. Blocks."""


class CollectorPipeline:
    """Delivers to the collector: spans are made on the delivery thread, and kept on disk while it is away.

    It touches no global of OpenTelemetry. `on_lost` gets the number of spans that had to be given up.
    """

    def __init__(
        self,
        settings: InferenceSettings,
        on_lost: Callable[[int], None],
        reports: Sequence[PeriodicReport] = (),
    ) -> None:
        delivery = delivery_settings(settings)
        self._capture_content = settings.records_content
        self._resource = service_resource(settings)
        scope = InstrumentationScope(SCOPE)
        # The folder is ours, and the address's alone: what waits there outlives a change of the key.
        spool = Spool(replace(delivery, headers={})) if delivery.spool_bytes else None
        self._worker = DeliveryWorker(
            delivery,
            lambda: OtlpHttpExporter(delivery, self._resource, scope),
            spool=spool,
            periodic_reports=reports,
            on_dropped=on_lost,
        )
        self.provider = TracerProvider(resource=self._resource, shutdown_on_exit=False)
        self.provider.add_span_processor(_Submitting(self._worker))

    def start(self) -> None:
        self._worker.resume()

    def put(self, record: RequestRecord) -> None:
        self._worker.submit_call(_FinishedRequest(record, self._resource, self._capture_content))

    def flush(self, timeout_seconds: float) -> bool:
        return self._worker.flush(timeout_seconds)

    def close(self, timeout_seconds: float) -> None:
        if not self._worker.shutdown(timeout_seconds):
            logger.warning("the collector has not acknowledged all spans: %s", self._worker.stats())


@dataclass(frozen=True, slots=True)
class _FinishedRequest:
    """A request whose spans are made when the worker comes to it."""

    record: RequestRecord
    resource: Resource
    capture_content: bool

    def complete(self) -> Sequence[ReadableSpan]:
        return request_spans(self.record, self.resource, capture_content=self.capture_content)

    def weight(self) -> int:
        request = self.record.request
        texts = [choice.text for choice in self.record.choices]
        if isinstance(request, ChatRequest):
            texts += [message.text for message in request.messages]
        elif request is not None:
            texts += [prompt for prompt in request.prompt_parts if isinstance(prompt, str)]
        return _RECORD_BYTES + sum(map(len, texts))

    def span_count(self) -> int:
        return self.record.span_count

    def may_be_retried(self) -> bool:
        return False


class _Submitting(SpanProcessor):
    """From the OTel SDK's spans to the worker."""

    def __init__(self, worker: DeliveryWorker) -> None:
        self._worker = worker

    def on_end(self, span: ReadableSpan) -> None:
        self._worker.submit_span(span, redacted=True)  # no text of anybody is on them


def collector_pipeline(settings: InferenceSettings, metrics: Metrics) -> CollectorPipeline:
    """What delivers spans, and metrics where the settings ask for it; lost spans are counted in `metrics`."""
    reports = []
    if settings.metrics_interval_seconds:
        report = MetricsReport(metrics.registry, service_resource(settings))
        reports.append(PeriodicReport(settings.metrics_interval_seconds, report.pack, report.note_result))
    return CollectorPipeline(settings, metrics.spans_lost.inc, reports)


def delivery_settings(settings: InferenceSettings) -> DeliverySettings:
    """How this service delivers. Raises EncryptionUnavailable where there are keys that cannot be used."""
    key = settings.otlp_api_key
    return DeliverySettings.for_collector(
        settings.otlp_endpoint,
        tls=TlsFiles(settings.certificate, settings.client_certificate, settings.client_key),
        environ=os.environ,
        headers={"authorization": f"Bearer {key.get_secret_value()}"} if key is not None else {},
        use_proxies=False,  # the collector is addressed directly
        max_queue_items=settings.span_queue_size,
        spool_dir=str(settings.data_dir / "spool"),
        spool_bytes=settings.spool_bytes,
        encryption_keys=load_keys(settings.encryption_key_file),
    )


def service_resource(settings: InferenceSettings) -> Resource:
    """The service's resource: service.name, and llmtrace.project where it is set."""
    attributes = {semconv.SERVICE_NAME: SERVICE}
    if settings.project is not None:
        attributes[semconv.PROJECT] = settings.project
    return Resource.create(attributes)

"""Getting spans to the collector: patient while it is away, never in the way of a request."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

import requests
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from llmtrace_inference.settings import InferenceSettings

logger = logging.getLogger(__name__)

_ATTEMPT_SECONDS = 5.0
_PAUSE_SECONDS = 2.0
_RETRYABLE = frozenset({429, 502, 503, 504})


class PatientExporter(SpanExporter):
    """Retries one batch for `patience_seconds`, while the processor's queue holds what comes after.

    The stock exporter gives up after half a minute, which is shorter than a collector's restart may take.
    A refusal that retrying cannot mend (a 4xx) is given up at once. `on_lost` gets the number of lost spans.
    """

    def __init__(
        self,
        endpoint: str,
        headers: dict[str, str],
        patience_seconds: float,
        on_lost: Callable[[int], None],
    ) -> None:
        self._status: int | None = None
        session = requests.Session()
        session.trust_env = False  # the collector is addressed directly, never through a proxy
        session.hooks["response"].append(self._note_status)
        self._inner = OTLPSpanExporter(
            endpoint=endpoint,
            headers=headers,
            timeout=_ATTEMPT_SECONDS,
            compression=Compression.Gzip,
            session=session,
        )
        self._patience = patience_seconds
        self._on_lost = on_lost
        self._closing = threading.Event()
        self._away = False
        # It logs every attempt; the state changes logged here say the same once.
        logging.getLogger("opentelemetry.exporter.otlp.proto.http.trace_exporter").setLevel(logging.CRITICAL)

    def _note_status(self, response: requests.Response, *args: object, **kwargs: object) -> None:
        self._status = response.status_code

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        deadline = time.monotonic() + self._patience
        while True:
            self._status = None
            if self._inner.export(spans) is SpanExportResult.SUCCESS:
                if self._away:
                    logger.info("the collector answers again: spans are being delivered")
                    self._away = False
                return SpanExportResult.SUCCESS
            hopeless = self._status is not None and self._status not in _RETRYABLE
            if hopeless or self._closing.is_set() or time.monotonic() >= deadline:
                self._on_lost(len(spans))
                logger.error(
                    "gave up %d spans: the collector %s",
                    len(spans),
                    f"answered {self._status}" if self._status else "cannot be reached",
                )
                return SpanExportResult.FAILURE
            if not self._away:
                logger.warning("the collector cannot be reached; spans wait in memory until it can")
                self._away = True
            self._closing.wait(_PAUSE_SECONDS)

    def close_soon(self) -> None:
        """From now on each batch gets one attempt."""
        self._closing.set()

    def abort(self) -> None:
        """End a running attempt as soon as it can be."""
        self._closing.set()
        self._inner.shutdown()  # type: ignore[no-untyped-call]

    def shutdown(self) -> None:
        self.abort()


class SpanPipeline:
    """A tracer provider with its own exporter; touches no global of OpenTelemetry."""

    def __init__(self, settings: InferenceSettings, on_lost: Callable[[int], None]) -> None:
        self._exporter = PatientExporter(
            settings.otlp_endpoint.rstrip("/") + "/v1/traces",
            authorization(settings),
            settings.export_patience_seconds,
            on_lost,
        )
        self.provider = TracerProvider(resource=service_resource(settings), shutdown_on_exit=False)
        self.provider.add_span_processor(
            BatchSpanProcessor(
                self._exporter,
                max_queue_size=settings.span_queue_size,
                schedule_delay_millis=1000,
                max_export_batch_size=512,
            )
        )

    def close(self, timeout_seconds: float) -> None:
        """Send what is queued, for at most about `timeout_seconds`. Blocks."""
        self._exporter.close_soon()
        timer = threading.Timer(timeout_seconds, self._exporter.abort)
        timer.daemon = True
        timer.start()
        self.provider.shutdown()
        timer.cancel()


def authorization(settings: InferenceSettings) -> dict[str, str]:
    """The header that the collector asks for; none where no key is set."""
    key = settings.otlp_api_key
    return {"Authorization": f"Bearer {key.get_secret_value()}"} if key is not None else {}


def service_resource(settings: InferenceSettings) -> Resource:
    """The service's resource: service.name, and llmtrace.project where it is set."""
    attributes = {"service.name": "llmtrace-inference"}
    if settings.project is not None:
        attributes["llmtrace.project"] = settings.project
    return Resource.create(attributes)

"""Getting spans to the collector: patient while it cannot be reached, never in the way of a request."""

from __future__ import annotations

import logging
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable

import requests
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider

from llmtrace_inference.settings import InferenceSettings

from .otlp_spans import request_of, spans_of
from .request_record import RequestRecord

logger = logging.getLogger(__name__)

_ATTEMPT_SECONDS = 5.0
_PAUSE_SECONDS = 2.0
_INTERVAL_SECONDS = 1.0
_BATCH = 512
"""Spans of one request to the collector, or few more."""
_GZIP_LEVEL = 1
"""A third of the CPU time of the usual 9, for a tenth more bytes."""
_GZIP_BITS = 31
_RETRYABLE = frozenset({429, 502, 503, 504})


class PatientSender:
    """Posts bytes to one URL; retries one batch for `patience_seconds`, while a queue holds what comes after.

    A refusal that retrying cannot mend (a 4xx) is given up at once. The thread of one caller at a time.
    """

    def __init__(self, url: str, headers: dict[str, str], patience_seconds: float) -> None:
        self._url = url
        self._session = requests.Session()
        self._session.trust_env = False  # the collector is addressed directly, never through a proxy
        self._session.headers.update(
            {"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip", **headers}
        )
        self._patience = patience_seconds
        self._closing = threading.Event()
        self._is_unreachable = False

    def send(self, body: bytes) -> str:
        """Deliver a body, or the reason why it is given up; "" when it was delivered."""
        packed = _gzip(body)
        deadline = time.monotonic() + self._patience
        while True:
            status = self._attempt(packed)
            if status is not None and status < 300:
                if self._is_unreachable:
                    logger.info("the collector answers again: spans are being delivered")
                    self._is_unreachable = False
                return ""
            hopeless = status is not None and status not in _RETRYABLE
            if hopeless or self._closing.is_set() or time.monotonic() >= deadline:
                return f"answered {status}" if status else "cannot be reached"
            if not self._is_unreachable:
                logger.warning("the collector cannot be reached; spans wait in memory until it can")
                self._is_unreachable = True
            self._closing.wait(_PAUSE_SECONDS)

    def _attempt(self, packed: bytes) -> int | None:
        """The status of one attempt; None where there was no answer."""
        try:
            return self._session.post(self._url, data=packed, timeout=_ATTEMPT_SECONDS).status_code
        except requests.RequestException:
            return None

    def close_soon(self) -> None:
        """From now on each batch gets one attempt."""
        self._closing.set()

    def close(self) -> None:
        """Let go of the connection."""
        self._session.close()


class SpanPipeline:
    """Takes finished requests, makes their spans in a thread of its own once a second, and delivers them.

    `provider` is for the rare spans that are not a request's: engine steps and batches. It touches no global
    of OpenTelemetry. `on_lost` gets the number of spans that had to be given up.
    """

    def __init__(self, settings: InferenceSettings, on_lost: Callable[[int], None]) -> None:
        self._sender = PatientSender(
            settings.otlp_endpoint.rstrip("/") + "/v1/traces",
            authorization(settings),
            settings.export_patience_seconds,
        )
        self._capture_content = settings.capture_content
        self._limit = settings.span_queue_size
        self._on_lost = on_lost
        self._resource = service_resource(settings)
        self.provider = TracerProvider(resource=self._resource, shutdown_on_exit=False)
        self.provider.add_span_processor(_PipelineProcessor(self))
        self._queue: deque[RequestRecord | ReadableSpan] = deque()
        self._spans = 0
        self._under_way = False
        self._lock = threading.Condition()
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="span-export", daemon=True)
        self._thread.start()

    def put(self, item: RequestRecord | ReadableSpan) -> None:
        """Take a finished request or span, at the price of an append; a full queue loses its oldest."""
        lost = 0
        with self._lock:
            self._queue.append(item)
            self._spans += _weight(item)
            while self._spans > self._limit and len(self._queue) > 1:
                weight = _weight(self._queue.popleft())
                self._spans -= weight
                lost += weight
            if self._spans >= _BATCH:
                self._wake.set()
        if lost:
            self._on_lost(lost)

    def flush(self, timeout_seconds: float) -> bool:
        """Send what is queued now, and wait for it. False where that took too long. Blocks."""
        self._wake.set()
        with self._lock:
            return self._lock.wait_for(lambda: not self._queue and not self._under_way, timeout_seconds)

    def close(self, timeout_seconds: float) -> None:
        """Send what is queued, for at most about `timeout_seconds`. Blocks. Safe to call twice."""
        self._closing = True
        self._sender.close_soon()
        self._wake.set()
        self._thread.join(timeout_seconds)
        with self._lock:
            remaining, self._spans = self._spans, 0
            self._queue.clear()
        if remaining:
            self._give_up(remaining, "did not take them in time")

    def _run(self) -> None:
        while True:
            self._wake.wait(_INTERVAL_SECONDS)
            self._wake.clear()
            closing = self._closing
            while items := self._taken():
                self._deliver(items)
            with self._lock:
                self._under_way = bool(self._queue)
                self._lock.notify_all()
            if closing:
                self._sender.close()
                return

    def _taken(self) -> list[RequestRecord | ReadableSpan]:
        with self._lock:
            items, spans = [], 0
            while self._queue and spans < _BATCH:
                item = self._queue.popleft()
                items.append(item)
                spans += _weight(item)
            self._spans -= spans
            self._under_way = bool(items)
        return items

    def _deliver(self, items: list[RequestRecord | ReadableSpan]) -> None:
        request_spans: list[Span] = []
        for item in items:
            if isinstance(item, RequestRecord):
                try:
                    request_spans += spans_of(item, capture_content=self._capture_content)
                except Exception:
                    # One request with something unheard-of in it must not cost all others their spans.
                    logger.exception("the spans of a request could not be made")
                    self._on_lost(_weight(item))
        sdk_spans = [item for item in items if isinstance(item, ReadableSpan)]
        if request_spans or sdk_spans:
            reason = self._sender.send(
                request_of(request_spans, sdk_spans, self._resource).SerializeToString()
            )
            if reason:
                self._give_up(len(request_spans) + len(sdk_spans), reason)

    def _give_up(self, spans: int, reason: str) -> None:
        self._on_lost(spans)
        logger.error("gave up %d spans: the collector %s", spans, reason)


class _PipelineProcessor(SpanProcessor):
    """From the SDK's spans to the pipeline."""

    def __init__(self, pipeline: SpanPipeline) -> None:
        self._pipeline = pipeline

    def on_end(self, span: ReadableSpan) -> None:
        self._pipeline.put(span)


def _weight(item: RequestRecord | ReadableSpan) -> int:
    """How many spans an item comes to."""
    return item.span_count if isinstance(item, RequestRecord) else 1


def _gzip(body: bytes) -> bytes:
    packer = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_BITS)
    return packer.compress(body) + packer.flush()


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

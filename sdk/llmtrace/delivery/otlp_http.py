"""OTLP over HTTP: one POST, and what its answer means."""

from __future__ import annotations

import gzip
import math
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlsplit

import requests
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from requests.adapters import HTTPAdapter

from llmtrace.common.loopback import is_loopback
from llmtrace.common.tls import certificate_problem

from .exporter import Batch, ExportResult, LogRecord
from .otlp_encoder import encode_logs, encode_spans
from .settings import DeliverySettings, Endpoint, Signal

# What OTLP/HTTP names retryable, and 408.
_RETRYABLE: Final = frozenset({408, 429, 502, 503, 504})
_RESPONSES: Final[Mapping[Signal, tuple[Any, str]]] = {
    "traces": (ExportTraceServiceResponse, "rejected_spans"),
    "logs": (ExportLogsServiceResponse, "rejected_log_records"),
    "metrics": (ExportMetricsServiceResponse, "rejected_data_points"),
}
# Level 1 with a fixed mtime: most of the saving for a tenth of the CPU, and equal bytes on each attempt.
_GZIP_LEVEL: Final = 1


class OtlpHttpExporter:
    """Packs OTLP protobuf with gzip and POSTs it to the collector."""

    def __init__(self, settings: DeliverySettings, resource: Resource, scope: InstrumentationScope) -> None:
        self._settings = settings
        self._resource = resource
        self._scope = scope
        self._overrides = settings.resource_attributes
        self._headers = {
            **settings.headers,
            "content-type": "application/x-protobuf",
            "content-encoding": "gzip",
            "user-agent": f"llmtrace-python/{scope.version}",
        }
        self._sessions: dict[Endpoint, requests.Session] = {}

    def pack_spans(self, spans: Sequence[ReadableSpan]) -> Batch:
        return packed("traces", len(spans), encode_spans(spans, self._overrides))

    def pack_logs(self, records: Sequence[LogRecord]) -> Batch:
        body = encode_logs(records, self._resource, self._scope, self._overrides)
        return packed("logs", len(records), body)

    def send(self, batch: Batch, timeout: float) -> ExportResult:
        endpoint = self._settings.endpoints[batch.signal]
        try:
            session = self._session(endpoint)
        except ValueError as error:
            return ExportResult("retry", str(error), certificate_refused=True)
        try:
            response = session.post(
                endpoint.url,
                data=batch.payload,
                headers=self._headers,
                timeout=timeout,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            problem = certificate_problem(error, endpoint.url, endpoint.tls)
            if problem is None:
                return ExportResult("retry", _reason(error))
            self.close()  # the next attempt reads the files again
            return ExportResult("retry", problem, certificate_refused=True)
        status = response.status_code
        if 200 <= status < 300:
            return _acknowledged(response.content, batch.signal)
        detail = f"HTTP {status}: {response.text[:200]}"
        if status in _RETRYABLE:
            return ExportResult("retry", detail, retry_after=_retry_after(response.headers))
        return ExportResult("refused", detail)

    def close(self) -> None:
        while self._sessions:
            self._sessions.popitem()[1].close()

    def _session(self, endpoint: Endpoint) -> requests.Session:
        """Connections to an endpoint's server. Raises ValueError where a certificate's file is unusable."""
        parts = urlsplit(endpoint.url)
        server = replace(endpoint, url=f"{parts.scheme}://{parts.netloc}")
        session = self._sessions.get(server)
        if session is None:
            session = requests.Session()
            if parts.scheme == "https":
                session.mount("https://", _TlsAdapter(endpoint.tls.context()))
            # A proxy named in the environment is not for this machine, and ~/.netrc must not replace our key.
            session.trust_env = self._settings.use_proxies and not is_loopback(parts.hostname or "")
            session.auth = lambda request: request
            self._sessions[server] = session
        return session


class _TlsAdapter(HTTPAdapter):
    """Connects with a context of ours: requests itself takes file names, and trusts them alone."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **keywords: Any) -> None:
        super().init_poolmanager(*arguments, **keywords, ssl_context=self._context)

    def proxy_manager_for(self, proxy: str, **keywords: Any) -> Any:
        return super().proxy_manager_for(proxy, **keywords, ssl_context=self._context)


def packed(signal: Signal, items: int, body: bytes) -> Batch:
    """A batch of a serialized request; equal bytes for equal requests."""
    return Batch(signal, items, gzip.compress(body, compresslevel=_GZIP_LEVEL, mtime=0))


def _acknowledged(body: bytes, signal: Signal) -> ExportResult:
    response, rejected = _RESPONSES[signal]
    try:
        partial = response.FromString(body).partial_success
    except DecodeError:  # a 2xx is an acknowledgement whatever its body is
        return ExportResult("acknowledged")
    return ExportResult("acknowledged", partial.error_message, rejected=getattr(partial, rejected))


def _reason(error: BaseException) -> str:
    """The innermost cause: requests and urllib3 wrap "Connection refused" three times over."""
    while (inner := getattr(error, "reason", None) or (error.args[0] if error.args else None)) is not None:
        if not isinstance(inner, BaseException):
            break
        error = inner
    return f"{type(error).__name__}: {error}"


def _retry_after(headers: Mapping[str, str]) -> float | None:
    try:
        seconds = float(headers.get("retry-after", ""))
    except ValueError:
        return None
    return min(max(seconds, 0.0), 30.0) if math.isfinite(seconds) else None

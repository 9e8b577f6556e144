"""OTLP over HTTP: one POST, and what its answer means."""

from __future__ import annotations

import gzip
import math
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

import requests
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from llmtrace import semconv
from llmtrace.config import Config

from .exporter import Batch, ExportResult, ScoreRecord
from .otlp_encoder import encode_scores, encode_spans

# What OTLP/HTTP names retryable, and 408.
_RETRYABLE: Final = frozenset({408, 429, 502, 503, 504})
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
# Level 1 with a fixed mtime: most of the saving for a tenth of the CPU, and equal bytes on each attempt.
_GZIP_LEVEL: Final = 1


class OtlpHttpExporter:
    """Packs OTLP protobuf with gzip and POSTs it to the collector."""

    def __init__(self, config: Config, resource: Resource, scope: InstrumentationScope) -> None:
        self._config = config
        self._resource = resource
        self._scope = scope
        self._overrides = _resource_overrides(config)
        self._headers = {
            **config.headers,
            "content-type": "application/x-protobuf",
            "content-encoding": "gzip",
            "user-agent": f"llmtrace-python/{scope.version}",
        }
        self._session: requests.Session | None = None

    def pack_spans(self, spans: Sequence[ReadableSpan]) -> Batch:
        return Batch("traces", len(spans), _compressed(encode_spans(spans, self._overrides)))

    def pack_scores(self, records: Sequence[ScoreRecord]) -> Batch:
        body = encode_scores(records, self._resource, self._scope, self._overrides)
        return Batch("logs", len(records), _compressed(body))

    def send(self, batch: Batch, timeout: float) -> ExportResult:
        traces = batch.signal == "traces"
        url = self._config.traces_endpoint if traces else self._config.logs_endpoint
        if self._session is None:
            self._session = _session(url)
        try:
            response = self._session.post(
                url,
                data=batch.payload,
                headers=self._headers,
                timeout=timeout,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            return ExportResult("retry", _reason(error))
        status = response.status_code
        if 200 <= status < 300:
            return _acknowledged(response.content, traces=traces)
        detail = f"HTTP {status}: {response.text[:200]}"
        if status in _RETRYABLE:
            return ExportResult("retry", detail, retry_after=_retry_after(response.headers))
        return ExportResult("refused", detail)

    def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()


def _session(url: str) -> requests.Session:
    session = requests.Session()
    # A proxy named in the environment is not for this machine, and ~/.netrc must not replace our key.
    session.trust_env = urlsplit(url).hostname not in _LOOPBACK
    session.auth = lambda request: request
    return session


def _resource_overrides(config: Config) -> dict[str, str]:
    overrides = dict(config.resource_attributes)
    if config.service_name:
        overrides[semconv.SERVICE_NAME] = config.service_name
    if config.project:
        overrides[semconv.PROJECT] = config.project
    return overrides


def _compressed(body: bytes) -> bytes:
    return gzip.compress(body, compresslevel=_GZIP_LEVEL, mtime=0)


def _acknowledged(body: bytes, *, traces: bool) -> ExportResult:
    try:
        if traces:
            partial = ExportTraceServiceResponse.FromString(body).partial_success
            return ExportResult("acknowledged", partial.error_message, rejected=partial.rejected_spans)
        logs = ExportLogsServiceResponse.FromString(body).partial_success
        return ExportResult("acknowledged", logs.error_message, rejected=logs.rejected_log_records)
    except Exception:  # noqa: BLE001  # a 2xx is an acknowledgement whatever its body is
        return ExportResult("acknowledged")


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

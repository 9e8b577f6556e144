"""The OTLP/gRPC endpoint, with the same way into the log as the HTTP one.

Needs the package grpcio (`pip install 'llmtrace[grpc]'`).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from starlette.datastructures import Headers

from llmtrace.common.http_limits.refusal import Refusal
from llmtrace.common.supervised import SupervisedThread
from llmtrace_collector.access.auth import Authenticator
from llmtrace_collector.access.client_address import grpc_peer
from llmtrace_collector.settings import CollectorSettings

from .intake import IncomingRequest, Intake, acknowledgement

logger = logging.getLogger(__name__)

#: Requests that wait for the disk at the same time; the log commits them together.
_WORKERS = 16

#: Requests that may wait besides, and those that one connection may have.
_MOST_REQUESTS, _MOST_STREAMS = 256, 128

#: Bytes of a message, of which every worker may hold one.
_MOST_BYTES = 16 << 20

_MOST_METADATA = 16 << 10

#: Seconds that a request may take to send its message: while few wait, while half of the workers do, and
#: while all do.
_PATIENCE = {0: 10.0, _WORKERS // 2: 1.0, _WORKERS: 0.25}

_SWEEP_SECONDS = 0.1

_OPTIONS = (
    ("grpc.so_reuseport", 0),
    ("grpc.max_concurrent_streams", _MOST_STREAMS),
    ("grpc.max_metadata_size", _MOST_METADATA),
    ("grpc.absolute_max_metadata_size", _MOST_METADATA),
    ("grpc.max_allowed_incoming_connections", 512),
    ("grpc.server_handshake_timeout_ms", 10_000),
    # Pings of a peer that asks for nothing are counted, and too many end its connection.
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.max_ping_strikes", 2),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.max_connection_idle_ms", 120_000),
)

#: Method → signal.
METHODS: Mapping[str, str] = MappingProxyType(
    {
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export": "traces",
        "/opentelemetry.proto.collector.logs.v1.LogsService/Export": "logs",
        "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export": "metrics",
    }
)

#: What an HTTP status is called in gRPC. A full log is UNAVAILABLE, which exporters retry.
_CODES: Mapping[int, grpc.StatusCode] = MappingProxyType(
    {
        400: grpc.StatusCode.INVALID_ARGUMENT,
        401: grpc.StatusCode.UNAUTHENTICATED,
        403: grpc.StatusCode.PERMISSION_DENIED,
        413: grpc.StatusCode.RESOURCE_EXHAUSTED,
        429: grpc.StatusCode.RESOURCE_EXHAUSTED,
        503: grpc.StatusCode.UNAVAILABLE,
    }
)


class OtlpGrpcServer(grpc.GenericRpcHandler):  # type: ignore[misc]
    """A gRPC server for OTLP. An OK means what a 200 means over HTTP. Larger messages than
    `max_body_bytes` or 16 MiB, before or after decompression, end in RESOURCE_EXHAUSTED.

    A message is asked for, and received, after its key was found good.
    """

    def __init__(self, settings: CollectorSettings, authenticator: Authenticator, intake: Intake) -> None:
        self._authenticator = authenticator
        self._intake = intake
        self._awaited = _AwaitedMessages()
        self.thread = self._awaited.thread
        self._server = grpc.server(
            ThreadPoolExecutor(_WORKERS, thread_name_prefix="llmtrace-grpc"),
            handlers=[self],
            maximum_concurrent_rpcs=_MOST_REQUESTS,
            options=[
                ("grpc.max_receive_message_length", min(settings.max_body_bytes, _MOST_BYTES)),
                *_OPTIONS,
            ],
        )
        address = f"[{settings.host}]" if ":" in settings.host else settings.host
        try:
            self.port = self._bind(f"{address}:{settings.grpc_port}", settings)
        except RuntimeError as error:
            raise ValueError(
                f"collector.grpc_port = {settings.grpc_port} cannot be listened on: {error}. Free it, choose "
                "another, or leave grpc_port unset for no gRPC."
            ) from error

    def _bind(self, address: str, settings: CollectorSettings) -> int:
        if settings.tls_certificate is None or settings.tls_key is None:
            port: int = self._server.add_insecure_port(address)
        else:
            pair = (settings.tls_key.read_bytes(), settings.tls_certificate.read_bytes())
            clients = None if settings.tls_client_ca is None else settings.tls_client_ca.read_bytes()
            credentials = grpc.ssl_server_credentials([pair], clients, clients is not None)
            port = self._server.add_secure_port(address, credentials)
        return port

    def start(self) -> None:
        """Begin to accept."""
        self._awaited.start()
        self._server.start()
        logger.info("OTLP/gRPC on port %d", self.port)

    def close(self) -> None:
        """Stop accepting and wait for the requests under way."""
        self._server.stop(5).wait()
        self._awaited.close()

    def service(self, handler_call_details: Any) -> Any:
        """gRPC's hook: the handler of a method, None for those that are not OTLP's."""
        signal = METHODS.get(handler_call_details.method)
        if signal is None:
            return None
        # As a stream: the message of a unary call would be received before anything could be asked.
        return grpc.stream_unary_rpc_method_handler(self._export(signal))

    def _export(self, signal: str) -> Callable[[Iterator[bytes], Any], bytes]:
        def export(messages: Iterator[bytes], context: Any) -> bytes:
            try:
                project = self._project(context)
                with self._awaited.waiting(context):
                    body = next(messages, b"")
                request = IncomingRequest(signal, body, project=project)
                return acknowledgement(signal, self._intake.accept(request)).SerializeToString()
            except Refusal as refusal:
                self._intake.count_refused(signal, refusal)
                _end(context, refusal)
                return b""

        return export

    def _project(self, context: Any) -> str:
        raw = [
            (key.encode(), value.encode(errors="surrogateescape"))
            for key, value in context.invocation_metadata()
            if isinstance(value, str)
        ]
        return self._authenticator.admit(Headers(raw=raw), "ingest", grpc_peer(context.peer())).project


class _AwaitedMessages:
    """Requests whose message has not come: a worker waits for each, so that none may wait for long."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._since: dict[Any, float] = {}
        self.thread = SupervisedThread("grpc", self._sweep)

    @contextmanager
    def waiting(self, context: Any) -> Iterator[None]:
        """Around the wait of one request."""
        with self._lock:
            self._since[context] = time.monotonic()
        try:
            yield
        finally:
            with self._lock:
                del self._since[context]

    def start(self) -> None:
        """Begin to end those that wait too long."""
        self.thread.start()

    def close(self) -> None:
        """Stop."""
        self.thread.stop()
        self.thread.join()

    def _sweep(self) -> float:
        self.thread.begin()
        with self._lock:
            waiting = list(self._since.items())
        patience = min(seconds for number, seconds in _PATIENCE.items() if len(waiting) >= number)
        now = time.monotonic()
        for context, since in waiting:
            if now - since > patience:
                context.cancel()
        return _SWEEP_SECONDS


def _end(context: Any, refused: Refusal) -> None:
    code = _CODES.get(refused.status, grpc.StatusCode.UNKNOWN)
    status = Status(code=code.value[0], message=str(refused))
    if refused.retry_after is not None:
        detail = AnyMessage()
        detail.Pack(RetryInfo(retry_delay=Duration(seconds=refused.retry_after)))
        status.details.append(detail)
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.set_code(code)
    context.set_details(str(refused))

"""The OTLP/gRPC endpoint, with the same way into the log as the HTTP one.

Needs the package grpcio (`pip install 'llmtrace[grpc]'`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from starlette.datastructures import Headers

from llmtrace_collector.access.auth import Authenticator, Denied
from llmtrace_collector.access.client_address import grpc_peer
from llmtrace_collector.settings import CollectorSettings

from .decompress import Refused
from .intake import IncomingRequest, Intake, acknowledgement

logger = logging.getLogger(__name__)

#: Requests that wait for the disk at the same time; the log commits them together.
_WORKERS = 16

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
    `max_body_bytes`, before or after decompression, end in RESOURCE_EXHAUSTED.
    """

    def __init__(self, settings: CollectorSettings, authenticator: Authenticator, intake: Intake) -> None:
        self._authenticator = authenticator
        self._intake = intake
        self._server = grpc.server(
            ThreadPoolExecutor(_WORKERS, thread_name_prefix="llmtrace-grpc"),
            handlers=[self],
            options=[
                ("grpc.max_receive_message_length", settings.max_body_bytes),
                ("grpc.so_reuseport", 0),
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
        self._server.start()
        logger.info("OTLP/gRPC on port %d", self.port)

    def close(self) -> None:
        """Stop accepting and wait for the requests under way."""
        self._server.stop(5).wait()

    def service(self, handler_call_details: Any) -> Any:
        """gRPC's hook: the handler of a method, None for those that are not OTLP's."""
        signal = METHODS.get(handler_call_details.method)
        if signal is None:
            return None
        return grpc.unary_unary_rpc_method_handler(self._export(signal))

    def _export(self, signal: str) -> Callable[[bytes, Any], bytes]:
        def export(body: bytes, context: Any) -> bytes:
            request = IncomingRequest(signal, body)
            try:
                request = IncomingRequest(signal, body, project=self._project(context))
                return acknowledgement(signal, self._intake.accept(request)).SerializeToString()
            except Refused as refused:
                self._intake.count_refused(request, refused)
                _end(context, refused)
                return b""

        return export

    def _project(self, context: Any) -> str:
        raw = [
            (key.encode(), value.encode(errors="surrogateescape"))
            for key, value in context.invocation_metadata()
            if isinstance(value, str)
        ]
        try:
            peer = grpc_peer(context.peer())
            return self._authenticator.admit(Headers(raw=raw), "ingest", peer).project
        except Denied as denied:
            raise Refused(denied.status, str(denied), denied.retry_after) from denied


def _end(context: Any, refused: Refused) -> None:
    code = _CODES.get(refused.status, grpc.StatusCode.UNKNOWN)
    status = Status(code=code.value[0], message=str(refused))
    if refused.retry_after is not None:
        detail = AnyMessage()
        detail.Pack(RetryInfo(retry_delay=Duration(seconds=refused.retry_after)))
        status.details.append(detail)
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.set_code(code)
    context.set_details(str(refused))

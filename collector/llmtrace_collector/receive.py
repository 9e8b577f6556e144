"""The OTLP/HTTP door: bytes in, one durable record in the log, then 200."""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Request, Response
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from starlette.requests import ClientDisconnect

from .auth import Keys
from .envelope import Record
from .log import Log, LogFull
from .metrics import Metrics
from .settings import CollectorSettings
from .validate import Checked, Malformed, check

PROTOBUF = "application/x-protobuf"

#: Bodies beyond this are decompressed and parsed in a thread, so that they do not hold up other requests.
_INLINE_BYTES = 256 << 10

#: google.rpc.Code by HTTP status.
_CODES = {400: 3, 401: 16, 413: 8, 415: 3, 503: 14}


class Refused(Exception):
    """A request answered with an error: HTTP status, what is wrong, and when to try again (seconds)."""

    def __init__(self, status: int, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


def router(settings: CollectorSettings, keys: Keys, log: Log, metrics: Metrics) -> APIRouter:
    """The routes /v1/traces and /v1/logs.

    A 200 means that the request is on disk and will be in the store exactly once, whatever happens to this
    process; a resend of the same bytes is acknowledged and not stored again.
    """
    routes = APIRouter()

    async def receive(signal: str, request: Request) -> Response:
        try:
            checked = await _accept(signal, request)
        except Refused as refused:
            metrics.refused.labels(signal, str(refused.status)).inc()
            return _refusal(refused)
        metrics.rejected.labels(signal).inc(checked.rejected)
        return Response(_acknowledgement(signal, checked), media_type=PROTOBUF)

    async def _accept(signal: str, request: Request) -> Checked:
        if not keys.may_ingest(request.headers):
            raise Refused(401, "a valid ingest key is needed: send it as 'Authorization: Bearer KEY'")
        content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if content_type != PROTOBUF:
            raise Refused(415, f"content type {content_type or 'missing'}: send OTLP as {PROTOBUF}")
        body = await _body(request, settings.max_body_bytes)
        started = time.perf_counter()
        encoding = request.headers.get("content-encoding", "identity").strip().lower()
        now = time.time_ns()

        def prepare() -> Checked:
            plain = decompress(body, encoding, settings.max_body_bytes)
            try:
                return check(signal, plain, now=now, retention_days=settings.retention_days)
            except Malformed as error:
                raise Refused(400, str(error)) from error

        inline = len(body) <= _INLINE_BYTES
        checked = prepare() if inline else await asyncio.to_thread(prepare)
        if checked.accepted:
            try:
                new = await asyncio.wrap_future(
                    log.append(signal, Record("", now, checked.body), checked.days)
                )
            except LogFull as error:
                raise Refused(503, str(error), retry_after=2) from error
            metrics.log_bytes.set(log.size)
            if new:
                metrics.received.labels(signal).inc(checked.accepted)
            else:
                metrics.repeated.labels(signal).inc()
        metrics.ack_seconds.observe(time.perf_counter() - started)
        return checked

    def handler(signal: str) -> Callable[[Request], Awaitable[Response]]:
        async def handle(request: Request) -> Response:
            return await receive(signal, request)

        return handle

    for signal in ("traces", "logs"):
        routes.add_api_route(f"/v1/{signal}", handler(signal), methods=["POST"], name=signal)
    return routes


async def _body(request: Request, limit: int) -> bytes:
    """The request's body as sent. Raises Refused beyond `limit` bytes, without reading the rest."""
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > limit:
                raise Refused(413, f"the body is larger than {limit} bytes: send smaller batches")
            chunks.append(chunk)
    except ClientDisconnect as error:
        raise Refused(400, "the connection was closed before the body was complete") from error
    return b"".join(chunks)


def decompress(body: bytes, encoding: str, limit: int) -> bytes:
    """The plain body. Raises Refused for unknown encodings, broken streams and results beyond `limit` bytes;
    a compression bomb stops at the limit.
    """
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "deflate"):
        raise Refused(415, f"content encoding {encoding}: send gzip, deflate or none")
    # 32 added to the window size accepts both gzip's and zlib's header.
    decoder = zlib.decompressobj(zlib.MAX_WBITS | 32)
    try:
        plain = decoder.decompress(body, limit + 1)
    except zlib.error as error:
        raise Refused(400, f"the body is not valid {encoding}") from error
    if len(plain) > limit:
        raise Refused(413, f"the body is larger than {limit} bytes when decompressed: send smaller batches")
    if not decoder.eof:
        raise Refused(400, f"the {encoding} body ends early")
    return plain


def _acknowledgement(signal: str, checked: Checked) -> bytes:
    if not checked.rejected:
        return b""  # the response message without partial success
    if signal == "traces":
        traces = ExportTraceServiceResponse()
        traces.partial_success.rejected_spans = checked.rejected
        traces.partial_success.error_message = checked.message
        return traces.SerializeToString()
    logs = ExportLogsServiceResponse()
    logs.partial_success.rejected_log_records = checked.rejected
    logs.partial_success.error_message = checked.message
    return logs.SerializeToString()


def _refusal(refused: Refused) -> Response:
    status = Status(code=_CODES.get(refused.status, 2), message=str(refused))
    headers = {} if refused.retry_after is None else {"Retry-After": str(refused.retry_after)}
    return Response(status.SerializeToString(), refused.status, headers, PROTOBUF)

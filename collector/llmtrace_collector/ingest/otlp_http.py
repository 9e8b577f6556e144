"""The OTLP/HTTP endpoint: bytes in, one durable frame in the log, then 200."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Request, Response
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status
from starlette.requests import ClientDisconnect

from llmtrace_collector.access.auth import Authenticator, Denied
from llmtrace_collector.metrics import CollectorMetrics
from llmtrace_collector.settings import CollectorSettings

from .decompress import Refused
from .intake import IncomingRequest, Intake, acknowledgement, refusal_when_full
from .otlp_json import to_json
from .validate import SIGNALS, Checked
from .wal import WalFull

PROTOBUF = "application/x-protobuf"
JSON = "application/json"

#: Bodies beyond this are decompressed and parsed in a thread, so that they do not hold up other requests.
_INLINE_BYTES = 256 << 10
#: JSON takes twenty times as long to read.
_INLINE_JSON_BYTES = 16 << 10

#: Seconds within which a body must be there; exporters in use give up after ten.
_BODY_SECONDS = 60.0

#: google.rpc.Code by HTTP status.
_CODES = {400: 3, 401: 16, 403: 7, 408: 4, 413: 8, 415: 3, 429: 8, 503: 14}


def router(
    settings: CollectorSettings, authenticator: Authenticator, intake: Intake, metrics: CollectorMetrics
) -> APIRouter:
    """The routes /v1/traces, /v1/logs and /v1/metrics.

    A 200 means that the request is on disk and will be in the store exactly once, whatever happens to this
    process; a resend of the same bytes is acknowledged and not stored again. Answers and errors are in the
    request's encoding.
    """
    routes = APIRouter()

    async def receive(signal: str, request: Request) -> Response:
        content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        as_json = content_type == JSON
        try:
            checked = await accept(signal, request, content_type)
        except Refused as refused:
            metrics.refused.labels(signal, str(refused.status)).inc()
            return _refusal(refused, as_json=as_json)
        return _response(acknowledgement(signal, checked), 200, as_json=as_json)

    async def accept(signal: str, request: Request, content_type: str) -> Checked:
        project = await _project(authenticator, request)
        if content_type not in (PROTOBUF, JSON):
            raise Refused(
                415, f"content type {content_type[:80] or 'missing'}: send OTLP as {PROTOBUF} or {JSON}"
            )
        body = await read_body(request, settings.max_body_bytes)
        started = time.perf_counter()
        incoming = IncomingRequest(
            signal,
            body,
            request.headers.get("content-encoding", "identity").strip().lower(),
            content_type == JSON,
            project,
        )
        inline = len(body) <= (_INLINE_JSON_BYTES if incoming.as_json else _INLINE_BYTES)
        checked = intake.check(incoming) if inline else await asyncio.to_thread(intake.check, incoming)
        new = True
        if checked.accepted:
            try:
                new = await asyncio.wrap_future(intake.append(incoming, checked))
            except WalFull as error:
                raise refusal_when_full(error) from error
        intake.count_acknowledged(incoming, checked, new=new)
        metrics.ack_seconds.observe(time.perf_counter() - started)
        return checked

    def handler(signal: str) -> Callable[[Request], Awaitable[Response]]:
        async def handle(request: Request) -> Response:
            return await receive(signal, request)

        return handle

    for signal in SIGNALS:
        routes.add_api_route(f"/v1/{signal}", handler(signal), methods=["POST"], name=signal)
    return routes


async def _project(authenticator: Authenticator, request: Request) -> str:
    """The project of the request's key; empty when it has none. Raises Refused."""
    try:
        return (await authenticator.identify(request, "ingest")).project
    except Denied as denied:
        # Exporters in use drop what they sent on 429 and try again on 503.
        status = 503 if denied.status == 429 else denied.status
        raise Refused(status, str(denied), denied.retry_after) from denied


async def read_body(request: Request, limit: int) -> bytes:
    """The request's body as sent. Raises Refused beyond `limit` bytes, without reading the rest, and when it
    takes too long.
    """
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for chunk in request.stream():
                size += len(chunk)
                if size > limit:
                    raise Refused(413, f"the body is larger than {limit} bytes: send smaller batches")
                chunks.append(chunk)
    except TimeoutError as error:
        raise Refused(408, f"the body was not there after {_BODY_SECONDS:g} s") from error
    except ClientDisconnect as error:
        raise Refused(400, "the connection was closed before the body was complete") from error
    return b"".join(chunks)


def _refusal(refused: Refused, *, as_json: bool) -> Response:
    status = Status(code=_CODES.get(refused.status, 2), message=str(refused))
    answer = _response(status, refused.status, as_json=as_json)
    if refused.retry_after is not None:
        answer.headers["Retry-After"] = str(refused.retry_after)
    return answer


def _response(message: Message, status: int, *, as_json: bool) -> Response:
    data = to_json(message) if as_json else message.SerializeToString()
    return Response(data, status, media_type=JSON if as_json else PROTOBUF)

"""The OTLP/HTTP endpoint: bytes in, one durable frame in the log, then 200."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

from fastapi import APIRouter, Request, Response
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status
from starlette.datastructures import Headers

from llmtrace.common.http_limits.middleware import Scope
from llmtrace.common.http_limits.refusal import Refusal
from llmtrace_collector.metrics import CollectorMetrics

from .intake import IncomingRequest, Intake, acknowledgement, refusal_when_full
from .otlp_json import to_json
from .validate import SIGNALS, Checked
from .wal import WalFull

PROTOBUF = "application/x-protobuf"
JSON = "application/json"

#: Where Langfuse's SDK sends its spans, below `LANGFUSE_BASE_URL` (formerly `LANGFUSE_HOST`).
LANGFUSE_PATH = "/api/public/otel/v1/traces"

#: Path → signal.
OTLP_PATHS: Mapping[str, str] = MappingProxyType(
    {**{f"/v1/{signal}": signal for signal in SIGNALS}, LANGFUSE_PATH: "traces"}
)

#: google.rpc.Code by HTTP status.
_CODES = {400: 3, 401: 16, 403: 7, 408: 4, 413: 8, 415: 3, 429: 8, 503: 14}


def router(intake: Intake, metrics: CollectorMetrics) -> APIRouter:
    """The routes /v1/traces, /v1/logs and /v1/metrics, and Langfuse's.

    A 200 means that the request is on disk and will be in the store exactly once, whatever happens to this
    process; a resend of the same bytes is acknowledged and not stored again. Answers and errors are in the
    request's encoding.
    """
    routes = APIRouter()
    turn = asyncio.Lock()

    async def receive(signal: str, request: Request) -> Response:
        content_type = _content_type(request.headers)
        try:
            checked = await accept(signal, request, content_type)
        except Refusal as refusal:
            intake.count_refused(signal, refusal)
            headers, body = refusal_answer(request.scope, refusal)
            return Response(body, refusal.status, headers)
        return _response(acknowledgement(signal, checked), as_json=content_type == JSON)

    async def accept(signal: str, request: Request, content_type: str) -> Checked:
        if content_type not in (PROTOBUF, JSON):
            raise Refusal(
                415, f"content type {content_type[:80] or 'missing'}: send OTLP as {PROTOBUF} or {JSON}"
            )
        body = await request.body()
        started = time.perf_counter()
        incoming = IncomingRequest(
            signal,
            body,
            request.headers.get("content-encoding", "identity").strip().lower(),
            content_type == JSON,
            request.state.identity.project,
        )
        # One at a time: between two, others of this loop, health's among them, have their turn.
        async with turn:
            checked = intake.check_small(incoming)
        if checked is None:
            checked = await asyncio.wrap_future(intake.check_large(incoming))
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

    for path, signal in OTLP_PATHS.items():
        routes.add_api_route(path, handler(signal), methods=["POST"], name=signal)
    return routes


def refusal_answer(scope: Scope, refusal: Refusal) -> tuple[dict[str, str], bytes]:
    """An error as OTLP's senders read it: headers and body."""
    as_json = _content_type(Headers(scope=scope)) == JSON
    answer = _response(Status(code=_CODES.get(refusal.status, 2), message=str(refusal)), as_json=as_json)
    headers = {"content-type": JSON if as_json else PROTOBUF}
    if refusal.retry_after is not None:
        headers["retry-after"] = str(refusal.retry_after)
    return headers, bytes(answer.body)


def _content_type(headers: Headers) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def _response(message: Message, *, as_json: bool) -> Response:
    data = to_json(message) if as_json else message.SerializeToString()
    return Response(data, media_type=JSON if as_json else PROTOBUF)

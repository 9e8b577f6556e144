"""The endpoint /clickhouse: ClickHouse's HTTP interface, read-only, over the store in either home."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from email.parser import BytesParser
from email.policy import HTTP

from fastapi import APIRouter, Request, Response

from llmtrace_collector.access.auth import Authenticator, Denied
from llmtrace_collector.metrics import CollectorMetrics
from llmtrace_collector.sql_values import EncodedText
from llmtrace_collector.store.engine import StoreError, StoreUnavailable
from llmtrace_collector.store.query_guard import QueryRefused, check_format, make_safe
from llmtrace_collector.store.store import Store

#: Reads that run at the same time; the rest wait their turn.
_READERS = 4

#: URL parameters that clients send as a matter of course and that change nothing here.
_IGNORED = frozenset(
    "query database user password default_format compress decompress enable_http_compression "
    "http_zlib_compression_level wait_end_of_query send_progress_in_http_headers session_id session_timeout "
    "session_check session_timezone query_id quota_key client_protocol_version "
    "cancel_http_readonly_queries_on_client_close http_headers_progress_interval_ms buffer_size "
    "date_time_input_format date_time_output_format output_format_native_encode_types_in_binary_format "
    "output_format_json_quote_64bit_integers add_http_cors_header".split()
)

_CONTENT_TYPES = {
    "JSON": "application/json; charset=UTF-8",
    "JSONCompact": "application/json; charset=UTF-8",
    "JSONEachRow": "application/x-ndjson; charset=UTF-8",
    "CSV": "text/csv; charset=UTF-8",
    "CSVWithNames": "text/csv; charset=UTF-8",
    "Native": "application/octet-stream",
    "Parquet": "application/octet-stream",
}

#: ClickHouse's error codes for what the endpoint itself says.
_SYNTAX_ERROR, _AUTHENTICATION_FAILED, _QUOTA_EXCEEDED = 62, 516, 201


def router(
    store: Store, authenticator: Authenticator, metrics: CollectorMetrics, pool: ThreadPoolExecutor
) -> APIRouter:
    """The routes under /clickhouse, by which clickhouse-connect, Grafana or curl read the store."""
    routes = APIRouter()

    @routes.get("/clickhouse/ping")
    async def ping() -> Response:
        return Response("Ok.\n", media_type="text/plain")

    @routes.get("/clickhouse")
    @routes.get("/clickhouse/")
    @routes.post("/clickhouse")
    @routes.post("/clickhouse/")
    async def read(request: Request) -> Response:
        try:
            project = authenticator.admit(request.headers, "read").project
        except Denied as denied:
            message = "a valid read key is needed as the password" if denied.status == 401 else str(denied)
            code = _AUTHENTICATION_FAILED if denied.status == 401 else _QUOTA_EXCEEDED
            return _failure(denied.status, code, message, denied.retry_after)
        try:
            text, params = await _query_of(request)
            if not text:
                return Response("Ok.\n", media_type="text/plain")
            query = make_safe(text, project)
            default = request.headers.get(
                "x-clickhouse-format", request.query_params.get("default_format", "TabSeparated")
            )
            fmt = query.format or check_format(default)
        except QueryRefused as error:
            metrics.reads.labels("refused").inc()
            return _failure(400, _SYNTAX_ERROR, str(error))
        try:
            loop = asyncio.get_running_loop()
            data = await loop.run_in_executor(pool, store.read, query.sql, params, fmt, project)
        except StoreUnavailable as error:
            metrics.reads.labels("unavailable").inc()
            return _failure(503, error.code, str(error))
        except StoreError as error:
            metrics.reads.labels("failed").inc()
            return _failure(400, error.code, str(error))
        metrics.reads.labels("answered").inc()
        headers = {"X-ClickHouse-Format": fmt, "X-ClickHouse-Timezone": "UTC"}
        return Response(data, 200, headers, _CONTENT_TYPES.get(fmt, "text/plain; charset=UTF-8"))

    return routes


def reader_pool() -> ThreadPoolExecutor:
    """The threads that reads run on; each keeps a read-only handle of its own."""
    return ThreadPoolExecutor(_READERS, thread_name_prefix="llmtrace-read")


async def _query_of(request: Request) -> tuple[str, dict[str, EncodedText]]:
    """The query's text and the values of its placeholders."""
    body = await request.body() if request.method == "POST" else b""
    pairs = list(request.query_params.items())
    kind = request.headers.get("content-type", "")
    if kind.startswith("multipart/form-data"):
        # How clickhouse-connect sends parameters that are too long for an address.
        pairs += _form(kind, body)
        body = b""
    texts = [value for name, value in pairs if name == "query"]
    text = "\n".join(part for part in (*texts, body.decode(errors="replace")) if part.strip())
    params: dict[str, EncodedText] = {}
    for name, value in pairs:
        if name.startswith("param_"):
            params[name.removeprefix("param_")] = EncodedText(value)
        elif name not in _IGNORED:
            raise QueryRefused(f"setting {name[:60]!r} cannot be changed here")
    return text.strip(), params


def _form(kind: str, body: bytes) -> list[tuple[str, str]]:
    """Names and values of a form's fields. Raises QueryRefused when it is none."""
    message = BytesParser(policy=HTTP).parsebytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + body)
    if not message.is_multipart():
        raise QueryRefused("the body is no multipart form")
    fields = []
    for part in message.iter_parts():
        value = part.get_payload(decode=True)
        data = value if isinstance(value, bytes) else b""
        name = part.get_param("name", header="content-disposition")
        fields.append((str(name or ""), data.decode(errors="replace")))
    return fields


def _failure(status: int, code: int, message: str, retry_after: int | None = None) -> Response:
    """An error as ClickHouse's clients read it."""
    text = message if message.startswith("Code: ") else f"Code: {code}. DB::Exception: {message}"
    headers = {"X-ClickHouse-Exception-Code": str(code)}
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)
    if status == 401:
        headers["WWW-Authenticate"] = 'Basic realm="llmtrace"'
    return Response(text + "\n", status, headers, "text/plain; charset=UTF-8")

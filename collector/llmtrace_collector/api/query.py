"""The endpoint /clickhouse: ClickHouse's HTTP interface, read-only, over the store in either home."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

from fastapi import APIRouter, Request, Response

from llmtrace_collector.access.auth import Authenticator
from llmtrace_collector.access.identity import Identity
from llmtrace_collector.metrics import CollectorMetrics
from llmtrace_collector.store.engine import NotConfined, StoreError, StoreUnavailable
from llmtrace_collector.store.query_guard.process import ParserUnavailable
from llmtrace_collector.store.query_guard.refusal import QueryRefused, ReadDenied
from llmtrace_collector.store.query_guard.text_queue import QueryQueue, TooManyQueries
from llmtrace_collector.store.store import Store

from .query_answer import QueryAnswers, demand_a_projects_own
from .query_errors import ACCESS_DENIED, SYNTAX_ERROR, TOO_MANY_QUERIES, failure_answer
from .query_request import QueryRequest, judge_setting, read_request
from .query_turns import ReadTurns

#: Reads that run at the same time, and those of one project, or of one key of every project; the rest wait
#: their turn.
_READERS, _READERS_OF_ONE = 4, 3

#: ClickHouse's codes for time and memory that were used up: asked again, the same text ends the same way.
_TOO_DEAR = frozenset({159, 241})

_CONTENT_TYPES = {
    "JSON": "application/json; charset=UTF-8",
    "JSONCompact": "application/json; charset=UTF-8",
    "JSONEachRow": "application/x-ndjson; charset=UTF-8",
    "CSV": "text/csv; charset=UTF-8",
    "CSVWithNames": "text/csv; charset=UTF-8",
    "Native": "application/octet-stream",
    "Parquet": "application/octet-stream",
}

QUERY_PATHS = ("/clickhouse", "/clickhouse/", "/")


def router(
    store: Store,
    authenticator: Authenticator,
    metrics: CollectorMetrics,
    pool: ThreadPoolExecutor,
    queries: QueryQueue,
) -> APIRouter:
    """The routes under /clickhouse, by which clickhouse-connect, Grafana or curl read the store."""
    routes = APIRouter()
    answers = QueryAnswers(store)
    turns = ReadTurns(pool, _READERS_OF_ONE)

    async def ping() -> Response:
        return Response("Ok.\n", media_type="text/plain")

    async def read(request: Request) -> Response:
        identity: Identity = request.state.identity
        reader = identity.key_id or identity.address
        try:
            asked = await read_request(request)
            query = await queries.make_safe(asked.text, reader)
            for name, value in query.settings:
                judge_setting(name, value)
            fmt = asked.format_of(query)
            if identity.project:
                demand_a_projects_own(query)
        except QueryRefused as error:
            metrics.reads.labels("refused").inc()
            if isinstance(error, ReadDenied):
                authenticator.record_denied(identity, str(error))
            return _failure(400, SYNTAX_ERROR, str(error))
        except (TooManyQueries, ParserUnavailable) as error:
            metrics.reads.labels("unavailable").inc()
            return _failure(503, TOO_MANY_QUERIES, str(error), 1)
        answer = partial(answers.answer, query, asked, fmt, identity.project)
        try:
            data = await turns.run(identity.project or reader, answer)
        except StoreUnavailable as error:
            if error.code in _TOO_DEAR:
                metrics.reads.labels("failed").inc()
                return _failure(400, error.code, str(error))
            metrics.reads.labels("unavailable").inc()
            return _failure(503, error.code, str(error), 1)
        except NotConfined as error:
            metrics.reads.labels("refused").inc()
            return _failure(403, ACCESS_DENIED, str(error))
        except StoreError as error:
            metrics.reads.labels("failed").inc()
            if error.code == ACCESS_DENIED:
                authenticator.record_denied(identity, "the engine denied a read")
            return _failure(400, error.code, str(error))
        metrics.reads.labels("answered").inc()
        return _success(data, fmt, asked)

    for path in QUERY_PATHS:
        routes.add_api_route(
            path, read, methods=["GET", "HEAD", "POST"], include_in_schema=path == QUERY_PATHS[0]
        )
    for path in ("/clickhouse/ping", "/ping"):
        routes.add_api_route(path, ping, methods=["GET", "HEAD"], include_in_schema=False)
    return routes


def reader_pool() -> ThreadPoolExecutor:
    """The threads that reads run on; each keeps a read-only handle of its own."""
    return ThreadPoolExecutor(_READERS, thread_name_prefix="llmtrace-read")


def _success(data: bytes, fmt: str, asked: QueryRequest) -> Response:
    headers = {
        "X-ClickHouse-Format": fmt,
        "X-ClickHouse-Timezone": "UTC",
        "X-ClickHouse-Query-Id": asked.query_id,
        "X-ClickHouse-Server-Display-Name": "llmtrace",
    }
    return Response(data, 200, headers, _CONTENT_TYPES.get(fmt, "text/plain; charset=UTF-8"))


def _failure(status: int, code: int, message: str, retry_after: int | None = None) -> Response:
    headers, body = failure_answer(status, code, message, retry_after)
    return Response(body, status, headers)

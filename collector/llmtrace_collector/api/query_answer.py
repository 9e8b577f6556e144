"""The answer to a query that may run: what stands in for the engine's tables, and what errors say."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from llmtrace_collector.sql_values import QueryParams
from llmtrace_collector.store.catalogue import NOBODYS, READABLE
from llmtrace_collector.store.clients.frames import compressed, hello
from llmtrace_collector.store.clients.metadata import STAND_INS, stand_ins
from llmtrace_collector.store.engine import NotConfined, StoreError, StoreUnavailable
from llmtrace_collector.store.query_guard.refusal import ReadDenied
from llmtrace_collector.store.query_guard.safe_query import SafeQuery
from llmtrace_collector.store.store import Store

from .query_request import QueryRequest

#: clickhouse-go's first query, whose answer it reads as its own protocol writes it.
_HELLO = "SELECT displayName(), version(), revision(), timezone()"

_UNKNOWN_TABLE = 60


def demand_a_projects_own(query: SafeQuery) -> None:
    """Raise ReadDenied when `query`, of a project's key, names a table whose rows are no one project's. The
    engine lets its rows through, since views over them need them.
    """
    nobodys = [table for table in query.tables if READABLE[table] == NOBODYS]
    if nobodys:
        raise ReadDenied(f"table {min(nobodys)!r} is for keys of every project")


class QueryAnswers:
    """Runs checked queries of one store. Every method is for any thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._stand_ins: Mapping[str, str] = {}
        self._error_names: dict[int, str] = {}
        self._lock = threading.Lock()

    def answer(self, query: SafeQuery, asked: QueryRequest, fmt: str, project: str) -> bytes:
        """The bytes of the answer in format `fmt`. Raises StoreError; with a `project` its text is a code and
        a name, since the engine's own may quote values that the reader's rows do not hold.
        """
        if not query.sql:
            return b""
        if fmt == "Native" and asked.protocol and asked.text.rstrip("; ") == _HELLO:
            version, zone = self._store.read("SELECT version(), timezone()").decode().strip().split("\t")
            data = hello(version, zone, asked.protocol)
        else:
            data = self._read(self._with_stand_ins(query), asked.params, fmt, project)
        return compressed(data) if asked.compressed else data

    def _read(self, sql: str, params: QueryParams, fmt: str, project: str) -> bytes:
        try:
            return self._store.read(sql, params, fmt, project)
        except StoreError as error:
            if not project or isinstance(error, NotConfined):
                raise
            kind = StoreUnavailable if isinstance(error, StoreUnavailable) else StoreError
            raise kind(
                f"Code: {error.code}. DB::Exception: more of an error is for keys of every project. "
                f"({self._error_name(error.code)})",
                error.code,
            ) from None

    def _error_name(self, code: int) -> str:
        """The engine's name of an error code."""
        if code not in self._error_names:
            try:
                name = self._store.read(f"SELECT errorCodeToName({code:d})").decode().strip()
            except StoreError:
                return "the store failed"
            self._error_names[code] = name or "the store does not answer"
        return self._error_names[code]

    def _with_stand_ins(self, query: SafeQuery) -> str:
        """The query with what stands in for tables of the engine before it. Raises StoreError for others."""
        if not query.stand_ins:
            return query.sql
        unknown = query.stand_ins - STAND_INS
        if unknown:
            raise StoreError(f"table {min(unknown)} cannot be read here", _UNKNOWN_TABLE)
        with self._lock:
            if not self._stand_ins:
                self._stand_ins = stand_ins(self._store.engine)
        parts = ", ".join(f'"{name}" AS ({self._stand_ins[name]})' for name in sorted(query.stand_ins))
        for start in ("WITH RECURSIVE ", "WITH "):
            if query.sql.startswith(start):
                return f"{start}{parts}, {query.sql.removeprefix(start)}"
        body = f"SELECT * FROM {query.sql}" if query.sql.startswith("(") else query.sql  # noqa: S608, checked
        return f"WITH {parts} {body}"

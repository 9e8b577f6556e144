"""Erasure of a user: every trace that names them, with its scores, log records and share of the rollup."""

from __future__ import annotations

import json
import logging
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from llmtrace_collector.attributes.fields import USER_KEYS
from llmtrace_collector.sql_values import inlined, literal

from .engine import StoreError
from .store import Store

logger = logging.getLogger(__name__)


@dataclass
class Erasure:
    """One request. `counts` are rows per table; `done` of `steps` are finished; `state` is running, done,
    failed."""

    erasure_id: str
    user: str
    project: str
    state: str = "running"
    done: int = 0
    steps: tuple[str, ...] = ()
    error: str = ""
    counts: dict[str, int] = field(default_factory=dict)


class Eraser:
    """Runs erasures, one at a time, each in a thread of its own. One that was interrupted is run again from
    the start: the spans, by which everything else is found, go last.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._known: dict[str, Erasure] = {}

    def count(self, user: str, project: str) -> dict[str, int]:
        """Rows per table that an erasure would delete."""
        traces = f"SELECT Project, TraceId FROM otel_traces WHERE {_names_user('UserId = {user:String}')}"  # noqa: S608
        return self._counts(user, project, f"({traces})")

    def start(self, user: str, project: str) -> Erasure:
        """Begin to erase."""
        erasure = Erasure(uuid.uuid4().hex[:12], user, project)
        self._known[erasure.erasure_id] = erasure
        threading.Thread(target=self._run, args=(erasure,), name="llmtrace-erase", daemon=True).start()
        return erasure

    def get(self, erasure_id: str) -> Erasure | None:
        """An erasure of this process by its id."""
        return self._known.get(erasure_id)

    def _run(self, erasure: Erasure) -> None:
        with self._lock:
            try:
                self._erase(erasure)
            except StoreError as error:
                erasure.error = str(error)[:1000]
                erasure.state = "failed"
                logger.warning("erasure %s failed: %s", erasure.erasure_id, error)
            else:
                erasure.state = "done"

    def _erase(self, erasure: Erasure) -> None:
        execute = self._store.engine.execute
        params = {"user": erasure.user, "project": erasure.project}
        # What is found is written down first: deletions must not change what later ones look for.
        engine = self._store.engine
        traces_table = f"{engine.own}erasure_{erasure.erasure_id}"
        execute(
            f"CREATE TABLE {traces_table} (Project String, TraceId String) "
            "ENGINE = MergeTree ORDER BY TraceId"
        )
        try:
            execute(
                f"INSERT INTO {traces_table} SELECT DISTINCT Project, TraceId "  # noqa: S608
                f"FROM {engine.everywhere}otel_traces WHERE {_names_user('UserId = {user:String}')}",
                params,
            )
            erasure.counts = self._counts(erasure.user, erasure.project, traces_table)
            days = self._days(traces_table)
            conditions = dict(_conditions(traces_table))
            # Spans are erased with what a pass would make of them again.
            together = {name: conditions.pop(name) for name in ("trace_rows", "otel_traces")}
            steps: list[tuple[str, Callable[[], Any]]] = [
                (table, lambda table=table, where=where: self._delete({table: where}, params))  # type: ignore[misc]
                for table, where in conditions.items()
            ]
            steps.append(("otel_traces", lambda: self._delete(together, params)))
            steps += [
                (f"usage of {day}", lambda day=day, of=of: self._store.rebuild_usage(day, of))  # type: ignore[misc]
                for day, of in days.items()
            ]
            erasure.steps = tuple(name for name, _ in steps)
            for _, work in steps:
                work()
                erasure.done += 1
        finally:
            execute(f"DROP TABLE IF EXISTS {traces_table} SYNC")

    def _days(self, user_traces: str) -> dict[str, list[str]]:
        """Days of the spans that are erased and whose rollups are made anew, with the projects that had all
        their spans of it.
        """
        rows = self._store.engine.execute(
            "SELECT toString(toDate(Timestamp, 'UTC')) AS day, groupUniqArray(Project) FROM otel_traces "  # noqa: S608
            "WHERE toDate(Timestamp, 'UTC') > toDate(now(), 'UTC') - RetentionDays "
            f"AND (Project, TraceId) IN (SELECT Project, TraceId FROM {user_traces}) "
            "GROUP BY day ORDER BY day FORMAT JSONCompactEachRow"
        )
        return dict(json.loads(row) for row in rows.splitlines())

    def _delete(self, conditions: Mapping[str, str], params: dict[str, str]) -> None:
        """Delete the rows of each table for which its condition holds."""
        # A pass would write again what it has read.
        with self._store.rollups_paused():
            for table, where in conditions.items():
                # Parameters do not reach a mutation's text, which outlives the query: it gets literals.
                statement = inlined(f"ALTER TABLE {table} DELETE WHERE {where}", params)
                self._store.engine.execute(statement, settings={"mutations_sync": "2"})

    def _counts(self, user: str, project: str, user_traces: str) -> dict[str, int]:
        counts = {}
        for table, where in _conditions(user_traces):
            text = self._store.engine.read_all(
                f"SELECT count() FROM {self._store.engine.own}{table} WHERE {where}",  # noqa: S608
                {"user": user, "project": project},
            )
            counts[table] = int(text)
        return counts


def _names_user(condition: str) -> str:
    return f"({condition}) AND ({{project:String}} = '' OR Project = {{project:String}})"


def _conditions(user_traces: str) -> list[tuple[str, str]]:
    """Table and condition of its rows, spans last. `user_traces`: (Project, TraceId) of theirs."""
    rows = user_traces if user_traces.startswith("(") else f"(SELECT Project, TraceId FROM {user_traces})"  # noqa: S608
    traces = f"(Project, TraceId) IN {rows}"

    def by(attributes: str) -> str:
        return " OR ".join(f"{attributes}[{literal(key)}] = {{user:String}}" for key in USER_KEYS)

    return [
        ("scores", traces),
        ("otel_logs", f"{traces} OR {_names_user(by('LogAttributes'))}"),
        *((f"otel_metrics_{kind}", _names_user(by("Attributes"))) for kind in ("gauge", "sum", "histogram")),
        ("otel_traces_trace_id_ts", traces),
        # Days whose spans are gone keep their usage, which names the user; the others are rebuilt after, with
        # steps.
        ("usage_10s", _names_user("UserId = {user:String}")),
        ("usage_hour_closed", _names_user("UserId = {user:String}")),
        ("trace_rows", traces),
        ("otel_traces", traces),
    ]

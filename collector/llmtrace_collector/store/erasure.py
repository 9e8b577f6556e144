"""Erasure of a user: every trace that names them, with its scores, log records and share of the rollup."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from llmtrace_collector.attributes.fields import USER_KEYS
from llmtrace_collector.sql_values import inlined, literal
from llmtrace_collector.store.integrity.deletion import noted_deletion

from .engine import EmbeddedEngine, StoreError, StoreUnavailable
from .store import Store

logger = logging.getLogger(__name__)

#: How long rollups wait for a segment that is stored in part, which waits for the space that was freed here.
_HALF_STORED_SECONDS = 60.0

#: How long a deletion may stand still while the disk is full.
_STUCK_SECONDS = 20.0

#: How long what was deleted may take to leave the disk: what still reads it holds it there.
_LEAVES_DISK_SECONDS = 60.0


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

    def __init__(self, store: Store, disk_full: Callable[[], str] = lambda: "") -> None:
        """`disk_full` is not empty while the space of what is deleted is needed at once."""
        self._store = store
        self._disk_full = disk_full
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
            # Whatever it was: who asked for the erasure must not wait for an end that does not come.
            except BaseException as error:
                erasure.error = (str(error) or type(error).__name__)[:1000]
                erasure.state = "failed"
                cause = None if isinstance(error, StoreError) else error
                logger.warning("erasure %s failed: %s", erasure.erasure_id, erasure.error, exc_info=cause)
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
            if self._disk_full():
                tables = tuple(table for table, _ in _conditions(traces_table))
                steps.append(("space on the disk", lambda: self._free_space(tables)))
            steps += [
                (f"usage of {day}", lambda day=day, of=of: self._rebuild_usage(day, of))  # type: ignore[misc]
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
                condition = inlined(where, params)
                statement = f"ALTER TABLE {table} DELETE WHERE {condition}"
                execute, waits = self._store.engine.execute, isinstance(self._store.engine, EmbeddedEngine)
                begin = partial(execute, statement, settings={"mutations_sync": "0" if waits else "2"})
                with noted_deletion(self._store, table, condition, begin):
                    if waits:
                        self._wait(table)

    def _wait(self, table: str) -> None:
        """Wait for a mutation, but not for one that waits for space: the engine would for ever."""
        execute = self._store.engine.execute
        of_table = f"database = currentDatabase() AND table = {literal(table)} AND NOT is_done"
        state = (
            f"SELECT count(), any(latest_fail_reason) FROM system.mutations WHERE {of_table} FORMAT TSVRaw"  # noqa: S608
        )
        parts = "SELECT sum(parts_to_do) FROM system.mutations WHERE " + of_table  # noqa: S608
        progressed, left, pause = time.monotonic(), b"", 0.01
        while (row := execute(state)) and not row.startswith(b"0"):
            reason = row.decode().strip().partition("\t")[2]
            if (now_left := execute(parts)) != left:
                progressed, left = time.monotonic(), now_left
            stuck = self._disk_full() if time.monotonic() > progressed + _STUCK_SECONDS else ""
            if reason or stuck:
                execute(f"KILL MUTATION WHERE {of_table} SYNC FORMAT Null")
                raise StoreUnavailable(
                    reason
                    or f"the engine has no room to write {table} anew without these rows, which stay: {stuck}"
                )
            time.sleep(pause)
            pause = min(pause * 1.5, 0.5)

    def _free_space(self, tables: Sequence[str]) -> None:
        """Wait until the engine has taken what was deleted off the disk: it keeps former parts for minutes,
        in case the machine crashes before those that replace them are on disk.
        """
        engine = self._store.engine
        if not isinstance(engine, EmbeddedEngine):
            return
        os.sync()  # so they are now
        names = ", ".join(map(literal, tables))
        former = (
            f"SELECT count() FROM system.parts WHERE NOT active AND database = currentDatabase() "  # noqa: S608
            f"AND table IN ({names})"
        )
        for table in tables:
            engine.execute(f"ALTER TABLE {table} MODIFY SETTING old_parts_lifetime = 0")
        try:
            deadline = time.monotonic() + _LEAVES_DISK_SECONDS
            while int(engine.execute(former)) and time.monotonic() < deadline:
                for table in tables:  # there is no such partition, and the engine looks for what may go
                    engine.execute(f"ALTER TABLE {table} DROP PARTITION ID 'none'")
                time.sleep(0.2)
        finally:
            for table in tables:
                engine.execute(f"ALTER TABLE {table} RESET SETTING old_parts_lifetime")

    def _rebuild_usage(self, day: str, emptied: Collection[str]) -> None:
        deadline = time.monotonic() + _HALF_STORED_SECONDS
        while True:
            try:
                self._store.rebuild_usage(day, emptied)
            except StoreUnavailable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)
            else:
                return

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
        ("attachments", traces),
        ("otel_logs", f"{traces} OR {_names_user(by('LogAttributes'))}"),
        *((f"otel_metrics_{kind}", _names_user(by("Attributes"))) for kind in ("gauge", "sum", "histogram")),
        ("otel_traces_trace_id_ts", traces),
        # Days whose spans are gone keep their usage, which names the user; the others are rebuilt after, with
        # steps.
        ("usage_10s", _names_user("UserId = {user:String}")),
        ("usage_hour_closed", _names_user("UserId = {user:String}")),
        ("call_evidence", traces),
        ("trace_rows", traces),
        ("otel_traces", traces),
    ]

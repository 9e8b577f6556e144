"""Passes of the rollups: killed anywhere, made by several collectors at once, and for spans of before."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from llmtrace_collector.accounting.rollup_task import RollupTask
from llmtrace_collector.metrics import CollectorMetrics
from llmtrace_collector.settings import CollectorSettings
from llmtrace_collector.store.engine import EmbeddedEngine, StoreError
from llmtrace_collector.store.rollups import steps
from llmtrace_collector.store.rollups.clock import Clock
from llmtrace_collector.store.rollups.edges import note_edge
from llmtrace_collector.store.store import open_store

from .otlp import SECOND, llm, span
from .rolled import Rolled

HOUR = 3600 * SECOND

STEPS = """SELECT Project, Time, ServiceName, StepKind, StepName, Status, Steps, DurationSum
FROM steps ORDER BY ALL"""
EXPECTED_STEPS = """SELECT
    Project, toStartOfInterval(toDateTime(Timestamp), INTERVAL 10 SECOND) AS Time, ServiceName,
    if(Operation = '', 'span', toString(Operation)) AS StepKind, toString(SpanName) AS StepName,
    if(StatusCode = 'Error', 'error', 'ok') AS Status, count() AS Steps, sum(Duration) AS DurationSum
FROM otel_traces GROUP BY ALL ORDER BY ALL"""
TRACES = (
    "SELECT TraceId, Start, Duration, Spans, FailedSteps, Calls, HasRoot FROM trace_rows FINAL ORDER BY ALL"
)
EXPECTED_TRACES = """SELECT TraceId, min(Timestamp) AS Start,
    toUInt64(max(toUnixTimestamp64Nano(Timestamp) + Duration) - toUnixTimestamp64Nano(Start)) AS Duration,
    count() AS Spans, countIf(StatusCode = 'Error') AS FailedSteps, countIf(Counted) AS Calls,
    toBool(max(ParentSpanId = '')) AS HasRoot
FROM otel_traces GROUP BY TraceId ORDER BY ALL"""
TIMES = "SELECT Project, TraceId, min(Start), max(End) FROM {} GROUP BY ALL ORDER BY ALL"
EXPECTED_TIMES = """SELECT Project, TraceId, toDateTime(min(Timestamp)), toDateTime(max(Timestamp))
FROM otel_traces GROUP BY ALL ORDER BY ALL"""


@pytest.fixture(scope="module")
def rolled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rolled]:
    harness = Rolled(tmp_path_factory.mktemp("passes"))
    harness.store.roll_up()
    yield harness
    harness.store.close()


def check(rolled: Rolled) -> None:
    """Every rollup is what the spans say."""
    read = rolled.store.read
    assert rolled.usage() == rolled.counted()
    assert read(STEPS) == read(EXPECTED_STEPS)
    assert read(TRACES) == read(EXPECTED_TRACES)
    for table in ("otel_traces_trace_id_ts", "trace_times"):
        assert read(TIMES.format(table)) == read(EXPECTED_TIMES), table


def some_traces(source: random.Random, count: int) -> list[Span]:
    """Traces of three spans in any order, in the last hours: some without their root."""
    spans = []
    for _ in range(count):
        start = time.time_ns() - source.randrange(5 * HOUR)
        root = span(name=f"root {source.randrange(3)}", start=start, duration=SECOND)
        below: dict[str, Any] = {
            "trace_id": root.trace_id,
            "parent_span_id": root.span_id,
            "start": start + 1000,
        }
        failed: dict[str, Any] = {"status": {"code": 2}} if source.random() < 0.3 else {}
        spans += [llm(**below), span(name="work", **below, **failed)]
        if source.random() < 0.8:
            spans.append(root)
    source.shuffle(spans)
    return spans


class Killed(Exception):
    """What ends a pass as a kill would: nothing of ours catches it."""


def test_a_pass_that_was_killed_anywhere_is_made_again(
    rolled: Rolled, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = random.Random(7)
    execute = EmbeddedEngine.execute
    left = 0

    def until_killed(self: EmbeddedEngine, sql: str, *rest: Any, **named: Any) -> bytes:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed
        return execute(self, sql, *rest, **named)

    rolled.send(*some_traces(source, 5), project="killed")
    rolled.store.roll_up(at_once=True)
    kills = 0
    for statements in range(0, 100, 3):
        late = some_traces(source, 2)
        rolled.send(*late, project="killed")
        left = statements
        with monkeypatch.context() as patched:
            patched.setattr(EmbeddedEngine, "execute", until_killed)
            try:
                rolled.store.roll_up(at_once=True)
            except Killed:
                kills += 1
        finished = left >= 0
        rolled.store.roll_up(at_once=True)
        check(rolled)
        if finished:
            break
    assert kills > 5


def test_a_rollup_that_fails_does_not_hold_up_the_others(
    rolled: Rolled, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute = EmbeddedEngine.execute

    def without_steps(self: EmbeddedEngine, sql: str, *rest: Any, **named: Any) -> bytes:
        if sql.startswith("INSERT INTO steps_10s"):
            raise StoreError("no steps today")
        return execute(self, sql, *rest, **named)

    metrics = CollectorMetrics()
    task = RollupTask(rolled.store, metrics)
    rolled.send(*some_traces(random.Random(8), 3), project="held up")
    with monkeypatch.context() as patched:
        patched.setattr(EmbeddedEngine, "execute", without_steps)
        with pytest.raises(StoreError, match="no steps today"):
            rolled.store.roll_up(at_once=True)
        with pytest.raises(StoreError, match="no steps today"):
            task.sync()
    assert rolled.store.read(TRACES) == rolled.store.read(EXPECTED_TRACES)
    assert rolled.steps("held up") == []
    rolled.store.roll_up(at_once=True)
    check(rolled)


def test_when_a_trace_was_is_known_before_a_pass_and_after_each(rolled: Rolled) -> None:
    read = rolled.store.read
    noted = rolled.count("otel_traces_trace_id_ts")
    for seed in (9, 10):
        rolled.send(*some_traces(random.Random(seed), 3), project="times")
        assert read(TIMES.format("trace_times")) == read(EXPECTED_TIMES)
        assert read(TIMES.format("otel_traces_trace_id_ts")) != read(EXPECTED_TIMES)
        rolled.store.roll_up()
        assert read(TIMES.format("otel_traces_trace_id_ts")) == read(EXPECTED_TIMES)
    # What one pass finds of a trace is one row; a pass without spans adds none.
    rolled.store.roll_up()
    assert rolled.count("otel_traces_trace_id_ts") == noted + 6


def test_ten_seconds_that_are_too_many_to_be_named_are_looked_for(
    rolled: Rolled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "_NAMED", 2)
    monkeypatch.setattr(steps, "_GAINED", 20)
    rolled.send(*some_traces(random.Random(13), 30), project="many")
    rolled.store.roll_up(at_once=True)
    check(rolled)
    # What some of them gain later leaves the others as they are.
    rolled.send(*some_traces(random.Random(14), 2), project="many")
    rolled.store.roll_up(at_once=True)
    check(rolled)


def test_traces_wait_for_when_they_were(rolled: Rolled, monkeypatch: pytest.MonkeyPatch) -> None:
    execute = EmbeddedEngine.execute

    def without_times(self: EmbeddedEngine, sql: str, *rest: Any, **named: Any) -> bytes:
        if "INSERT INTO otel_traces_trace_id_ts" in sql:
            raise StoreError("no times today")
        return execute(self, sql, *rest, **named)

    rolled.store.roll_up(at_once=True)
    rows = rolled.count("trace_rows")
    rolled.send(*some_traces(random.Random(11), 3), project="waiting")
    with monkeypatch.context() as patched:
        patched.setattr(EmbeddedEngine, "execute", without_times)
        with pytest.raises(StoreError, match="no times today"):
            rolled.store.roll_up(at_once=True)
    assert rolled.count("trace_rows") == rows
    rolled.store.roll_up(at_once=True)
    assert rolled.count("trace_rows") == rows + 3
    check(rolled)


def test_a_rebuild_notes_the_times_that_are_missing(rolled: Rolled) -> None:
    rolled.send(*some_traces(random.Random(12), 5), project="missing")
    rolled.store.roll_up(at_once=True)
    rows = rolled.count("otel_traces_trace_id_ts")
    rolled.store.rebuild_usage()
    assert rolled.count("otel_traces_trace_id_ts") == rows
    rolled.store.mutate("ALTER TABLE otel_traces_trace_id_ts DELETE WHERE cityHash64(TraceId) % 2 = 0")
    rolled.store.mutate(
        "ALTER TABLE otel_traces_trace_id_ts UPDATE End = Start WHERE cityHash64(TraceId) % 3 = 0"
    )
    assert rolled.count("otel_traces_trace_id_ts") < rows
    rolled.store.rebuild_usage()
    check(rolled)


def test_collectors_on_one_server_may_make_passes_at_once(
    rolled: Rolled, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two stores on one engine, as two collectors on one server are, while spans come in."""
    monkeypatch.setattr("llmtrace_collector.store.rollups.passes._OTHERS_MARGIN", 0)
    monkeypatch.setattr(EmbeddedEngine, "alone", False)
    other = open_store(f"chdb://{rolled.folder / 'store'}")
    # Each knows of the other's inserts, which the margin is for: what is tried is passes over each other.
    monkeypatch.setitem(vars(other), "_lock", vars(rolled.store)["_lock"])
    failures: list[BaseException] = []

    def passes(store: Any) -> None:
        try:
            for _ in range(6):
                store.roll_up(at_once=True)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=passes, args=(store,)) for store in (rolled.store, other)]
    for thread in threads:
        thread.start()
    source = random.Random(9)
    for _ in range(6):
        rolled.send(*some_traces(source, 3), project="two")
    for thread in threads:
        thread.join()
    assert not failures
    rolled.store.roll_up(at_once=True)
    check(rolled)
    other.close()


def test_lag_is_told_and_warned_of(rolled: Rolled, monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = CollectorMetrics()
    task = RollupTask(rolled.store, metrics)
    task.sync()
    assert task.warning() == ""
    lag = metrics.registry.get_sample_value("llmtrace_rollup_lag_seconds")
    took = metrics.registry.get_sample_value("llmtrace_rollup_pass_seconds")
    assert took
    assert lag
    assert took <= lag < 60
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 420)
    assert task.warning() == (
        "hours, steps and traces are 7 minutes behind the spans: the collector's log says why"
    )
    # A pass that is left out for an insert that was interrupted does not count as one.
    with rolled.store.half_stored():
        assert rolled.store.roll_up() is None
        task.sync()
        assert task.lag() > 400


def test_spans_stored_after_the_clock_was_set_back_are_not_missed(
    rolled: Rolled, caplog: pytest.LogCaptureFixture
) -> None:
    old = time.time_ns() // HOUR * HOUR - 2 * HOUR
    rolled.send(llm(start=old), project="set back")
    rolled.store.roll_up(at_once=True)
    for name in ("usage_hour", "steps", "trace times", "traces", "traces without root"):
        note_edge(rolled.store.engine, name, scanned_to=int(time.time() * 1000) + 1_800_000)
    rolled.send(llm(start=old + 15 * SECOND), project="set back")
    rolled.store.roll_up(at_once=True)
    check(rolled)
    assert "the clock was set back" in caplog.text
    caplog.clear()
    rolled.store.roll_up()
    assert caplog.text == ""


def test_a_clock_is_watched_by_one_that_nobody_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 50.0)
    clock = Clock(alone=True)
    assert clock.set_back_to(100_000, [99_000]) is None
    monkeypatch.setattr(time, "monotonic", lambda: 60.0)
    # Ten seconds later it says eight more: what came since the last pass may lie up to two seconds before it.
    assert clock.set_back_to(108_000, [100_000]) == 97_900
    monkeypatch.setattr(time, "monotonic", lambda: 70.0)
    assert clock.set_back_to(118_050, [108_000]) is None
    # Where nobody watched, it is seen by what was noted.
    assert Clock(alone=True).set_back_to(50_000_000, [50_000_001]) == 46_400_000
    assert Clock(alone=False).set_back_to(50_000_000, [50_000_001]) is None


def test_a_root_is_waited_for_at_least_as_long(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="trace_rootless_seconds is 5, less than trace_quiet_seconds"):
        CollectorSettings(data_dir=tmp_path, trace_rootless_seconds=5)

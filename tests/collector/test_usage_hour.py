"""Hours of usage are the sum of the counted calls at every moment, whatever a pass has closed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llmtrace_collector.accounting.call_dedup import CallDeduplicator
from llmtrace_collector.store.erasure import Eraser, Erasure
from llmtrace_collector.store.rollups import hours, partitions

from .otlp import SECOND, llm
from .prefilled import prefill
from .rolled import Rolled
from .running import until

HOUR = 3600 * SECOND


@pytest.fixture(scope="module")
def rolled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rolled]:
    harness = Rolled(tmp_path_factory.mktemp("hours"))
    yield harness
    harness.store.close()


def whole_hour(ago: int) -> int:
    """Unix nanoseconds of the begin of the hour so many hours ago."""
    return (time.time_ns() // HOUR - ago) * HOUR


def check(rolled: Rolled) -> None:
    """The hours are what the spans add up to."""
    assert rolled.usage() == rolled.counted()


def test_hours_are_the_sum_of_the_calls_at_every_moment(rolled: Rolled) -> None:
    old, older = whole_hour(3), whole_hour(30)
    begun = [llm({"user.id": "ada"}, start=old + n * SECOND) for n in range(3)]
    rolled.send(*begun, llm({"llmtrace.tags": ["b", "a"], "llmtrace.account": "team"}), project="moments")
    check(rolled)
    assert rolled.count("usage_hour_closed") == 0
    rolled.store.roll_up()
    closed = rolled.count("usage_hour_closed")
    assert closed == 1
    check(rolled)
    # A late span into a closed hour, and one into an hour that had none: there at once, closed by the next
    # pass.
    rolled.send(llm(start=old + 5 * SECOND), llm({"user.id": "ada"}, start=older), project="moments")
    check(rolled)
    assert rolled.count("usage_hour_closed") == closed
    rolled.store.roll_up()
    check(rolled)
    assert rolled.count("usage_hour_closed") == closed + 2
    (sums,) = rolled.store.rows("SELECT sum(Calls) AS n FROM usage_hour_closed")
    assert sums == {"n": 5}


def test_sampled_failed_and_unknown_calls_add_up_too(rolled: Rolled) -> None:
    old = whole_hour(5)
    rolled.send(
        llm({"llmtrace.sample.weight": 10}, start=old),
        llm({"llmtrace.purpose": "bench", "openai.response.service_tier": "flex"}, start=old + SECOND),
        llm({"gen_ai.usage.input_tokens": None, "gen_ai.usage.output_tokens": None}, start=old + 2 * SECOND),
        llm({"error.type": "timeout"}, start=old + 3 * SECOND, status={"code": 2}),
        llm({"gen_ai.usage.input_tokens": 300_000}, start=old + 4 * SECOND),
        llm({"litellm.cost.total": 0.25, "llmtrace.sample.weight": 2}, start=old + 5 * SECOND),
        llm({"litellm.cost.total": 0.0}, start=old + 6 * SECOND),
        project="shapes",
    )
    check(rolled)
    rolled.store.roll_up()
    check(rolled)
    (sums,) = rolled.store.rows(
        "SELECT sum(Calls) AS calls, sum(Errors) AS errors, "
        "uniq(Purpose, ServiceTier, ContextClass) AS kinds, sum(StatedCost) AS stated "
        "FROM usage_hour_closed WHERE Project = 'shapes'"
    )
    assert sums == {"calls": 17, "errors": 1, "kinds": 3, "stated": 0.5}


def test_what_call_dedup_excludes_leaves_the_closed_hours(rolled: Rolled) -> None:
    old = whole_hour(6)
    response = {"gen_ai.response.id": "resp-hours"}
    first, again = (
        llm(response, start=old, duration=SECOND),
        llm(response, start=old + 1000, duration=SECOND // 2),
    )
    alone = whole_hour(8)
    rolled.send(first, llm({"gen_ai.response.id": "r2"}, start=alone), project="dedup")
    rolled.store.roll_up()
    rolled.send(again, project="dedup", scope_name="another tracer")
    check(rolled)
    # The call in the hour of its own goes with its span: nothing is left that says when it was stored.
    outer = llm(start=alone - SECOND, duration=2 * SECOND)
    rolled.send(outer, project="dedup")
    rolled.store.roll_up()
    assert CallDeduplicator(rolled.store).sync() == 1
    check(rolled)
    rolled.store.roll_up()
    check(rolled)


def test_an_hour_that_lost_all_its_calls_is_empty(rolled: Rolled) -> None:
    old = whole_hour(10)
    rolled.send(llm(start=old), project="emptied")
    rolled.store.roll_up()
    assert b"emptied" in rolled.usage()
    rolled.store.mutate(
        "ALTER TABLE otel_traces UPDATE Counted = false, Uncounted = 'duplicate' WHERE Project = 'emptied'"
    )
    rolled.store.mark_stale([old // SECOND], "test")
    rolled.store.rebuild_stale()
    assert b"emptied" not in rolled.usage()
    check(rolled)


def test_erased_users_leave_closed_hours(rolled: Rolled) -> None:
    rolled.send(llm({"user.id": "eve"}, start=whole_hour(4)), llm({"user.id": "eve"}), project="erasure")
    rolled.store.roll_up(at_once=True)
    erasure = Eraser(rolled.store).start("eve", "erasure")
    until(lambda: erasure.state == "done", what="the erasure")
    assert erasure.counts["usage_hour_closed"] >= 1
    assert b"eve" not in rolled.usage()
    check(rolled)
    rolled.store.roll_up()
    check(rolled)


def test_rebuilt_days_are_what_they_were(rolled: Rolled) -> None:
    before = rolled.usage()
    rolled.store.rebuild_usage()
    assert rolled.usage() == before
    rolled.store.roll_up()
    assert rolled.usage() == before
    check(rolled)


def sums(rolled: Rolled, project: str) -> list[dict[str, object]]:
    """The hours of a project by accounts."""
    return rolled.store.rows(
        "SELECT Account, toUInt32(sum(Calls)) AS calls FROM usage_hour WHERE Project = {project:String} "
        "GROUP BY Account ORDER BY Account",
        {"project": project},
    )


def test_hours_that_the_ten_seconds_lost_keep_what_they_have_and_gain_what_comes_late(rolled: Rolled) -> None:
    old = whole_hour(450 * 24)
    rolled.store.engine.execute(
        "INSERT INTO usage_hour_closed (Project, Time, Model, Calls) "
        f"SELECT 'kept', {old // SECOND}, 'm', 1000"
    )
    for calls in (1, 2):
        rolled.send(llm(start=old + 5 * SECOND), project="ancient")
        for _ in range(3):
            assert sums(rolled, "kept") == [{"Account": "", "calls": 1000}]
            assert sums(rolled, "ancient") == [{"Account": "", "calls": calls}]
            rolled.store.roll_up()
            rolled.store.engine.execute("OPTIMIZE TABLE usage_10s FINAL")
    # The ten seconds of what came late go again, a week later.
    rolled.store.engine.execute(
        "ALTER TABLE usage_10s DELETE WHERE Project = 'ancient'", settings={"mutations_sync": "2"}
    )
    rolled.store.roll_up()
    assert sums(rolled, "ancient") == [{"Account": "", "calls": 2}]
    rolled.store.engine.execute(
        "ALTER TABLE otel_traces DELETE WHERE Project = 'ancient'", settings={"mutations_sync": "2"}
    )
    rolled.store.engine.execute(
        "ALTER TABLE usage_hour_closed DELETE WHERE Project IN ('ancient', 'kept')",
        settings={"mutations_sync": "2"},
    )


def test_hours_of_before_an_upgrade_keep_accounts_that_the_ten_seconds_do_not_know(rolled: Rolled) -> None:
    old = whole_hour(12)
    for table, more in (("usage_10s", ""), ("usage_hour_closed", "team")):
        rolled.store.engine.execute(
            f"INSERT INTO {table} (Project, Time, Model, Account, Calls, LateAt) "
            f"SELECT 'former', {old // SECOND}, 'm', '{more}', 7, toDateTime64(1, 3)"
        )
    before = {"Account": "team", "calls": 7}
    assert sums(rolled, "former") == [before]
    rolled.send(llm(start=old), project="former")
    for _ in range(2):
        assert sums(rolled, "former") == [{"Account": "", "calls": 1}, before]
        rolled.store.roll_up()
    # Minutes that are made anew have all that the spans say, and nothing twice.
    rolled.store.mark_stale([old // SECOND], "test")
    rolled.store.rebuild_stale()
    assert sums(rolled, "former") == [{"Account": "", "calls": 1}]
    check(rolled)


def test_an_erasure_waits_for_a_pass_that_has_read_the_user(
    rolled: Rolled, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of days whose spans are gone nothing is made anew after the erasure."""
    day = whole_hour(40 * 24) // SECOND // 86_400 * 86_400
    execute = rolled.store.engine.execute

    def use(user: str, hour: int) -> None:
        execute(
            "INSERT INTO usage_10s (Project, Time, Model, UserId, Calls, StoredAt) "
            f"SELECT 'beside', {day + hour * 3600}, 'm', '{user}', 5, now64(3)"
        )

    use("mallory", 1)
    rolled.store.roll_up()
    use("bob", 3)
    replace_day = partitions.replace_day
    begun: list[Erasure] = []

    def erase_meanwhile(*arguments: Any) -> None:
        if not begun:
            begun.append(Eraser(rolled.store).start("mallory", ""))
            time.sleep(0.5)
        replace_day(*arguments)

    monkeypatch.setattr(hours, "replace_day", erase_meanwhile)
    rolled.store.roll_up()
    until(lambda: begun[0].state == "done", what="the erasure")
    assert b"mallory" not in rolled.usage()
    assert b"bob" in rolled.usage()
    assert not rolled.store.rows("SELECT 1 FROM usage_hour_closed WHERE UserId = 'mallory'")
    execute("ALTER TABLE usage_10s DELETE WHERE Project = 'beside'", settings={"mutations_sync": "2"})
    execute("ALTER TABLE usage_hour_closed DELETE WHERE Project = 'beside'", settings={"mutations_sync": "2"})


def test_rebuilding_a_day_leaves_projects_whose_spans_are_gone(rolled: Rolled) -> None:
    old = whole_hour(10 * 24)
    rolled.send(llm(start=old), project="gone")
    rolled.send(llm(start=old), llm(start=old + HOUR), project="there")
    rolled.store.roll_up(at_once=True)
    gone = [
        f"SELECT {what} FROM {table} WHERE Project = 'gone'"
        for table, what in (
            ("usage_10s", "sum(Calls)"),
            ("usage_hour", "sum(Calls)"),
            ("steps", "sum(Steps)"),
            ("traces", "count()"),
        )
    ]
    assert [rolled.store.read(query) for query in gone] == [b"1\n"] * 4
    rolled.store.engine.execute(
        "ALTER TABLE otel_traces DELETE WHERE Project = 'gone'", settings={"mutations_sync": "2"}
    )
    rolled.store.mark_stale([old // SECOND // 60 * 60], "test")
    rolled.store.rebuild_stale()
    rolled.store.rebuild_usage()
    assert [rolled.store.read(query) for query in gone] == [b"1\n"] * 4
    assert sums(rolled, "there") == [{"Account": "", "calls": 2}]


IN_A_ZONE = """import sys
from llmtrace_collector.store.store import open_store
store, (table, first, count) = open_store(sys.argv[1]), sys.argv[2:]
more = ", now64(3)" if table == "usage_10s" else ""
store.engine.execute(f"INSERT INTO {table} (Project, Time, Calls{', StoredAt' if more else ''}) "
    f"SELECT 'zone', {first} + number * 3600, 1{more} FROM numbers({count})")
store.roll_up()
print(store.read("SELECT uniq(Time) FROM usage_hour").decode(), end="")
store.close()
"""


def test_days_are_those_of_utc_in_every_zone(tmp_path: Path) -> None:
    """As a collector that is started in another zone: the closed hours of a day are in one partition."""
    store = f"chdb://{prefill(tmp_path / 'store')}"
    day = whole_hour(72) // SECOND // 86_400 * 86_400
    for zone, *arguments in (
        ("UTC", "usage_hour_closed", day, 24),
        ("Asia/Tokyo", "usage_10s", day + 7200, 1),
    ):
        ran = subprocess.run(
            [sys.executable, "-c", IN_A_ZONE, store, *map(str, arguments)],
            env={**os.environ, "TZ": str(zone)}, check=True, timeout=120, capture_output=True, text=True,
        )  # fmt: skip
        assert ran.stdout == "24\n"

"""Hours of usage are the sum of the counted calls at every moment, whatever a pass has closed."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from llmtrace_collector.accounting.call_dedup import CallDeduplicator
from llmtrace_collector.store.erasure import Eraser
from llmtrace_collector.store.schema.description import usage_select

from .otlp import SECOND, llm
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
    # A late span into a closed hour, and one into an hour that had none: there at once, closed by the next pass.
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
        project="shapes",
    )
    check(rolled)
    rolled.store.roll_up()
    check(rolled)
    (sums,) = rolled.store.rows(
        "SELECT sum(Calls) AS calls, sum(Errors) AS errors, uniq(Purpose, ServiceTier, ContextClass) AS kinds "
        "FROM usage_hour_closed WHERE Project = 'shapes'"
    )
    assert sums == {"calls": 14, "errors": 1, "kinds": 3}


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
    rolled.send(again, project="dedup")
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


def test_rows_of_before_accounts_are_made_anew_when_their_hour_is_closed(rolled: Rolled) -> None:
    """As in a store of before: `usage_10s` without accounts, tags and times of storing."""
    values = {"llmtrace.account": "team-former", "llmtrace.tags": ["x"]}
    rolled.send(llm(values, start=whole_hour(12)), llm(values), project="former")
    execute = rolled.store.engine.execute
    execute("ALTER TABLE usage_10s DELETE WHERE Project = 'former'", settings={"mutations_sync": "2"})
    names = (
        "Project, Time, ServiceName, Provider, Model, ResponseModel, Operation, Purpose, Calls, InputTokens"
    )
    select = usage_select("otel_traces", "Project = 'former'")
    execute(f"INSERT INTO usage_10s ({names}) SELECT {names} FROM ({select})")
    assert b"team-former" not in rolled.usage()
    rolled.send(llm(values, start=whole_hour(12) + SECOND), project="former")
    rolled.store.roll_up()
    assert rolled.usage().count(b"team-former") == 2
    check(rolled)

"""Rules that people write: what they read, held against plain Python; what they say; and their incidents."""

from __future__ import annotations

import json
import math
import statistics
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from clickhouse_connect.driver.client import Client
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from llmtrace_analysis.detect.own_rules.history import stretches
from llmtrace_analysis.detect.own_rules.judgement import judge
from llmtrace_analysis.detect.own_rules.objectives import (
    BURN_WINDOWS,
    Counts,
    burn_limit,
    burning,
    read_counts,
)
from llmtrace_analysis.detect.own_rules.own_rule import OwnRule
from llmtrace_analysis.detect.own_rules.readings import Reading, read, read_over, step_of
from llmtrace_analysis.rule_settings import METRICS, AlertRule
from llmtrace_analysis.watch.app import build
from llmtrace_cli.main import cli
from tests.collector.running import Served
from tests.collector.running import settings as collector_settings

from .stack import ADMIN_KEY, Stack
from .test_watch import Scene, watch_settings
from .traffic import SpanData


def rule(**fields: Any) -> AlertRule:
    return AlertRule.model_validate({"name": "Checkout", **({"above": 1.0} | fields)})


@pytest.fixture(scope="module")
def client(stack: Stack) -> Client:
    return stack.reader()


@pytest.fixture(scope="module")
def now(stack: Stack) -> int:
    return int(stack.end) // 10 * 10


def is_call(span: SpanData) -> bool:
    return (
        "gen_ai.provider.name" in span.attributes
        and span.kind == 3
        and "gen_ai.request.model" in span.attributes
    )


def calls(stack: Stack, since: int, until: int) -> list[SpanData]:
    return [
        span
        for span in stack.traffic.spans
        if is_call(span) and span.purpose == "product" and since <= span.start / 1e9 < until
    ]


def test_values_are_those_of_the_spans(stack: Stack, client: Client, now: int) -> None:
    window = calls(stack, now - 1800, now)
    assert len(window) > 100
    by_model: dict[str, list[SpanData]] = defaultdict(list)
    for span in window:
        by_model[str(span.attributes["gen_ai.request.model"])].append(span)
    for search in ("", "latency>=0s"):  # from the rollup, and from the calls themselves
        readings = read(
            client, rule(metric="error_rate", by="model", window="30m", search=search), now
        ).readings
        rates = {
            model: sum(bool(span.error) for span in spans) / len(spans) for model, spans in by_model.items()
        }
        assert {item.group: item.value for item in readings} == pytest.approx(rates)
        assert {item.group: item.count for item in readings} == {
            model: len(spans) for model, spans in by_model.items()
        }
        (mean,) = read(client, rule(metric="latency.mean", window="30m", search=search), now).readings
        assert mean.value == pytest.approx(statistics.fmean(span.duration / 1e9 for span in window), rel=1e-6)
        (users,) = read(client, rule(metric="users", window="30m", search=search), now).readings
        assert users.value == len({span.attributes.get("user.id") for span in window} - {None})


@pytest.mark.parametrize("over", ["calls", "spans", "traces"])
def test_every_metric_is_read_in_every_way(client: Client, now: int, over: str) -> None:
    tried = 0
    for metric in (*METRICS, "score.helpful.mean", "score.helpful.share", "score.helpful.min"):
        values = []
        for search in ("", "latency>=0s"):
            try:
                written = rule(over=over, metric=metric, search=search, window="30m")
            except ValidationError:
                continue
            values.append([reading.value for reading in read(client, written, now).readings])
            tried += 1
        if len(values) == 2:
            # Digests of the rollup are not exact, above all far out.
            near = 0.4 if metric.endswith(("p95", "p99")) else 0.1
            assert values[0] == pytest.approx(values[1], rel=near), metric
    assert tried > 40


@pytest.mark.parametrize("by", ["user", "key", "tag", "model", "provider", "service", "project", "prompt"])
def test_groups_add_up(client: Client, now: int, by: str) -> None:
    for search in ("", "latency>=0s"):
        grouped = read(client, rule(by=by, window="30m", search=search), now).readings
        (whole,) = read(client, rule(window="30m", search=search), now).readings
        counts = [reading.count for reading in grouped]
        assert len({reading.group for reading in grouped}) == len(grouped)
        assert sum(counts) == whole.count if by != "tag" else max(counts) <= whole.count


@pytest.mark.parametrize("over", ["calls", "spans", "traces"])
def test_windows_of_the_past_are_what_was_read_then(client: Client, now: int, over: str) -> None:
    written = rule(over=over, metric="error_rate", window="10m")
    step = step_of(written)
    past = {item.ended: item for item in read_over(client, written, now - 3600, now, step).readings}
    assert step == 150
    assert len(past) >= 20
    for ended in sorted(past)[::5]:
        (then,) = read(client, written, ended).readings
        assert (then.count, then.value) == pytest.approx((past[ended].count, past[ended].value))


def test_what_is_good_is_counted_as_the_search_says(stack: Stack, client: Client, now: int) -> None:
    written = rule(above=None, objective=0.99, good="-status:failed latency<2s")
    total = [Counts(*counts) for _, counts in read_counts(client, written, now - 1800, now, 60)]
    window = calls(stack, now - 1800, now)
    bad = [span for span in window if span.error or span.duration >= 2e9]
    assert (sum(item.total for item in total), sum(item.bad for item in total)) == (len(window), len(bad))


@settings(max_examples=60)
@given(st.floats(0, 1), st.floats(0, 1), st.integers(1, 90))
def test_a_budget_burns_where_both_windows_say_so(long: float, short: float, days: int) -> None:
    written = rule(above=None, objective=0.9, objective_days=days)
    now, window = 10_000_000, BURN_WINDOWS[0]
    minutes = [(now - age * 60, Counts(100.0, 100 * (short if age <= 5 else long))) for age in range(1, 61)]
    rate = (5 * short + 55 * long) / 60 / 0.1
    limit = burn_limit(window, days)
    expected = min(rate, short / 0.1) >= limit
    if not math.isclose(min(rate, short / 0.1), limit, rel_tol=1e-9):
        assert any(burn.window is window for burn in burning(written, minutes, now)) == expected


def test_a_budget_of_thirty_days_has_the_workbooks_rates() -> None:
    assert [round(burn_limit(window, 30), 1) for window in BURN_WINDOWS] == [14.4, 6.0, 3.0, 1.0]


def test_both_sides_of_a_limit() -> None:
    written = rule(above=None, below=2.0, warn_below=5.0)
    levels = [
        [item.level for item in judge(written, [Reading(10, "", 1, value)])] for value in (1.0, 3.0, 6.0)
    ]
    assert levels == [["alert"], ["warning"], []]


def test_changes_are_of_the_value_before() -> None:
    written = rule(above=None, rises_by=0.5, falls_by=0.2)
    before = {"": Reading(10, "", 5, 10.0)}
    for value, side in ((16.0, "above"), (7.0, "below"), (14.0, None)):
        outside = judge(written, [Reading(20, "", 5, value)], before)
        assert [item.side for item in outside] == ([] if side is None else [side])
    assert not judge(written, [Reading(20, "", 5, 99.0)], {}), "nothing to compare with"


@settings(max_examples=100)
@given(st.lists(st.tuples(st.floats(0, 100), st.integers(0, 9)), max_size=8))
def test_groups_beyond_a_limit_and_no_others_are_outside(values: list[tuple[float, int]]) -> None:
    written = rule(by="user", above=50.0, warn_above=30.0, min_calls=3)
    readings = [Reading(10, str(number), count, value) for number, (value, count) in enumerate(values)]
    outside = judge(written, readings)
    expected = {
        item.group: "alert" if item.value > 50 else "warning"
        for item in readings
        if item.count >= 3 and item.value > 30
    }
    assert {item.group: item.level for item in outside} == expected
    levels = [item.level for item in outside]
    assert levels == sorted(levels)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"above": None}, "needs a condition"),
        ({"metric": "speed"}, "is no metric"),
        ({"search": "model:"}, "is no search"),
        ({"search": "last:1h"}, "must not name a period"),
        ({"window": "5"}, "is no window"),
        ({"window": "40d"}, "is no window"),
        ({"zone": "Mars/Olympus"}, "is no time zone"),
        ({"warn_above": 2.0}, "comes before its alert"),
        ({"window": "day", "rises_by": 0.5}, "a rolling one"),
        ({"objective": 0.99}, "leave the thresholds out"),
        ({"over": "traces", "metric": "users"}, "not known of whole traces"),
        ({"over": "spans", "metric": "cost"}, "of calls or traces"),
        ({"metric": "score.helpful.mean", "by": "model"}, "scores can be told apart by"),
    ],
)
def test_what_cannot_be_is_refused_with_its_reason(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        rule(**fields)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    collector = Served(collector_settings(tmp_path_factory.mktemp("own")))
    yield collector
    collector.close()


def test_incidents_open_by_user_escalate_and_end(served: Served) -> None:
    scene = Scene(served, "limits", seed=3)
    scene.normal_traffic()
    scene.send([scene.call(0, user="eve") for _ in range(12)])
    written = {
        "name": "Calls of a user", "search": "project:limits", "by": "user", "window": "1m",
        "warn_above": 10, "above": 20,
    }  # fmt: skip
    configured = watch_settings(served, rules=[written], rest_seconds=0)
    own = "own.calls-of-a-user"
    with closing(build(configured)) as watch:
        assert watch.evaluate(scene.at(15))
        (incident,) = [row for row in scene.incidents() if row["Rule"] == own]
        assert (incident["Severity"], incident["Kind"], incident["State"]) == ("warning", "rule", "open")
        assert incident["Dimensions"] == {"name": "Calls of a user", "user": "eve"}
        assert "12" in incident["Title"]
        assert incident["Evidence"]
        scene.send([scene.call(20, user="eve") for _ in range(12)])
        assert watch.evaluate(scene.at(35))
        (incident,) = [row for row in scene.incidents() if row["Rule"] == own]
        assert (incident["Severity"], incident["Observed"]) == ("critical", 24.0)
        for seconds in (100, 115, 130, 145):
            assert watch.evaluate(scene.at(seconds))
        (incident,) = [row for row in scene.incidents() if row["Rule"] == own]
        assert incident["State"] == "resolved"


def test_more_groups_than_wanted_are_one_incident(served: Served) -> None:
    scene = Scene(served, "many", seed=4)
    scene.send([scene.call(0, user=f"u{number}") for number in range(9) for _ in range(6)])
    evaluated = OwnRule(rule(search="project:many", by="user", above=5, window="1m", max_groups=4))
    with closing(served.reader()) as reader:
        findings = evaluated.findings(reader, [], scene.at(15))
    assert len(findings) == 5
    assert "5 more of user" in findings[-1].title
    assert findings[-1].project == "many"


@pytest.mark.parametrize(("no_data", "titles"), [("ok", 0), ("keep", 0), ("alert", 1)])
def test_where_nothing_came(served: Served, no_data: str, titles: int) -> None:
    evaluated = OwnRule(rule(search="project:nobody", no_data=no_data))
    with closing(served.reader()) as reader:
        findings = evaluated.findings(reader, [], 2_000_000_000.0)
    assert len(findings) == titles
    # What is kept as it is has not been examined.
    assert bool(evaluated.quiet_periods(2_000_000_000.0)) == (no_data != "keep")


def test_a_rule_is_tried_against_what_is_stored(stack: Stack, client: Client, now: int) -> None:
    written = rule(metric="error_rate", window="10m", above=0.05)
    tried = stretches(client, written, now - 3000, now)
    step = step_of(written)
    outside = {
        item.ended
        for item in read_over(client, written, (now - 3000) // step * step, now, step).readings
        if item.value > 0.05 and item.ended > now - 3000
    }
    assert outside
    within = {moment for item in tried for moment in range(item.since, item.until + 1, step)}
    assert outside <= within
    assert {item.since for item in tried} | {item.until for item in tried} <= outside


def test_the_commands_list_and_try_rules(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "llmtrace.toml").write_text(
        f"""[collector]
port = {stack.url.rpartition(":")[2]}
[[watch.rules]]
name = "Calls"
above = 0
window = "30m"
[[watch.rules]]
name = "Good ones"
objective = 0.999
good = "latency<1ms"
"""
    )
    options = ["--config", str(tmp_path / "llmtrace.toml"), "alerts"]
    listed = CliRunner().invoke(cli, [*options, "rules", "--format", "json"])
    assert listed.exit_code == 0, listed.output
    assert [row["rule"] for row in json.loads(listed.stdout)] == ["own.calls", "own.good-ones"]
    tried = CliRunner().invoke(
        cli, [*options, "check", "--since", "1h", "--format", "json", "--key", ADMIN_KEY]
    )
    assert tried.exit_code == 0, tried.output
    assert {row["rule"] for row in json.loads(tried.stdout)} == {"Calls", "Good ones"}
    unknown = CliRunner().invoke(cli, [*options, "check", "Nothing"])
    assert unknown.exit_code == 2
    assert "there is no rule" in unknown.output
